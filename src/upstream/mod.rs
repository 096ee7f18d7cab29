//! The way to the upstream: two clients, their time-outs, and the connections that a caller may hold.

pub mod activity;
pub mod client;
mod connector;
mod interim;
mod names;
pub mod pace;
pub mod permits;
pub mod purpose;
mod reach;
pub mod transfer;
pub mod way;
