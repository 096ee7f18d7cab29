//! The guard: what is refused before anything else looks at the request.

use http::request::Parts;

use crate::error::ErrorKind;

/// Says whether a request may be looked at: everything in it that two parsers could read differently is refused.
///
/// `has_body` is whether a body with at least one byte, or of unknown length, follows; `own_via` is the pseudonym that
/// this process puts into `Via` towards the upstream.
///
/// # Errors
///
/// The kind of refusal; nothing of the request is sent upstream then.
pub fn check(_head: &Parts, _has_body: bool, _own_via: &str) -> Result<(), ErrorKind> {
    Ok(())
}
