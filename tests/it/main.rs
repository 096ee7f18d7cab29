//! Behaviour over real sockets: one file a promise.

mod bindings;
mod clients;
mod collapse;
mod configuration;
mod faults;
mod gate;
mod guard;
mod isolation;
mod model;
mod pass_through;
mod purge;
mod semantics;
mod server;
mod support;
mod support_selftest;
mod writes;
