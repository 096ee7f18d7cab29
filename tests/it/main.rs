//! Behaviour over real sockets: one file a promise.

mod bindings;
mod clients;
mod collapse;
mod configuration;
mod crowds;
mod documents;
mod drain;
mod faults;
mod gate;
mod guard;
mod isolation;
mod model;
mod pass_through;
mod purge;
mod secrets;
mod semantics;
mod server;
mod startup;
mod streams;
mod support;
mod support_selftest;
mod upstream_tls;
mod writes;
