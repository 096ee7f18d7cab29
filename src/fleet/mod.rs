//! The fleet: through a Redis or Valkey store many replicas are one cache with one budget and one order of writes.
//!
//! What every replica must know is a [`Notice`] in the store's log; a replica that has applied all of it holds a [`Lease`] and
//! may serve what is stored. `docs/FLEET.md` has the whole argument. [`store`] is the way to the store, [`tier`] what the
//! replicas share of what they have read. Without `[shared]` nothing here runs.

pub mod heard;
pub mod lease;
