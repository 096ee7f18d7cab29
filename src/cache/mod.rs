//! The cache: keys, stored responses, what may be stored, what may be served.

pub mod gate;
