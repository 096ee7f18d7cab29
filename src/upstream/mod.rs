//! The way to the upstream.

pub mod purpose;
