//! Behaviour over real sockets: one file a promise.

mod configuration;
mod documents;
