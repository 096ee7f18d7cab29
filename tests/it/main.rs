//! Behaviour over real sockets: one file a promise.

// mod bindings;
// mod clients;
// mod collapse;
// mod faults;
// mod gate;
// mod guard;
// mod isolation;
// mod pass_through;
// mod purge;
// mod semantics;
#[expect(dead_code, unused_imports, reason = "the promises that use the rest are not kept yet")]
mod support;
mod support_selftest;
// mod writes;
