//! Callers: who asks, and what the upstream has proved of them.

pub mod attempts;
pub mod bindings;
pub mod credential;
pub mod identity;
pub mod introduced;
pub mod routes;
mod shard;
pub mod standing;
