//! What HTTP fields mean (RFC 9110, RFC 9111): functions of values, without I/O and without a clock.
//!
//! Each file answers one question about a head. Where a value can be read in two ways, the reading is the one that asks
//! the upstream once too often.

pub mod age;
pub mod caller_name;
pub mod conditional;
pub mod cookie;
pub mod directives;
pub mod fields;
pub mod framing;
pub mod lines;
pub(crate) mod list;
pub mod media_type;
pub(crate) mod octets;
pub mod owned;
pub mod preference;
pub(crate) mod request_fields;
pub mod request_id;
pub mod response_directives;
pub mod seconds;
pub mod validator;
pub mod vary;
pub mod via;
