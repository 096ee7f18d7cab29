//! A caching reverse proxy for the Instantly API.

pub mod admin;
pub mod body;
mod bounded;
pub mod cache;
pub mod caller;
pub mod classify;
pub mod cli;
pub mod clock;
mod closed_enum;
pub mod config;
pub mod error;
pub mod fence;
pub mod guard;
pub mod logging;
pub mod metrics;
pub mod organization;
pub mod outcome;
pub mod peer;
pub mod proxy;
pub mod received;
pub mod resource;
pub mod semantics;
pub mod server;
pub mod shield;
pub mod simulator;
pub mod telemetry;
pub mod upstream;
