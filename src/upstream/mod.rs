//! The way to the upstream: connections and whose they are, calls on them, and what a failure says.
//!
//! `connector` opens bytes, through `egress` where there is a forward proxy; `http1` and `http2` speak on them; `pool` keeps those that wait for their owner; `connections`
//! is how a call comes by one; `calls` is the way out; `reach` is what the breaker is told.

pub mod activity;
pub mod calls;
mod cause;
pub mod client;
mod connect_time;
pub mod connections;
mod connector;
pub mod egress;
mod failure;
mod http1;
mod http2;
mod interim;
mod lease;
mod names;
pub mod outgoing;
pub mod pace;
pub mod permits;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod pipes;
mod pool;
pub mod probe;
mod reach;
pub mod roots;
mod stream;
pub mod transfer;
mod want;
pub mod way;
