//! The fleet: through a Redis or Valkey store many replicas are one cache with one budget and one order of writes.
//!
//! What every replica must know is a notice in the store's log; a replica that has applied all of it holds a [`lease`] and
//! may serve what is stored. `docs/FLEET.md` has the whole argument. Without `[shared]` nothing here runs.

pub mod control;
pub mod lease;
