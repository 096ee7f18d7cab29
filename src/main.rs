//! The `instantly-proxy` program.

fn main() {}
