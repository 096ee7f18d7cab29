//! The way to the upstream: two clients, their time-outs, and the connections that a caller may hold.

pub mod activity;
mod cause;
pub mod client;
mod connector;
mod names;
pub mod permits;
pub mod purpose;
mod reach;
mod roots;
pub mod transfer;
mod want;
pub mod way;
