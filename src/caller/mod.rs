//! Caller.
