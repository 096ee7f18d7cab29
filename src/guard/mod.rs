//! The guard: what is refused before anything else looks at the request.
//!
//! Promises that what passes has one reading: one method that we pass on, one target, one host, one framing, one
//! credential, and no path that only some readers take for a cached resource's. The rows Q1 to Q20 of the tests name the
//! cases. hyper has repaired by then what RFC 9112 lets a server repair (equal lengths, bare line feeds, a length beside
//! chunks, after which it closes). What kind of request it is, is left to [`classify`](crate::classify).

pub(crate) mod fields;
mod target;

use http::Method;
use http::request::Parts;

use crate::error::{ErrorKind, ProxyError};
use crate::resource::{Place, Resources};

/// In a request's extensions: its target came with a fragment, which its type does not show.
#[derive(Clone, Copy, Debug)]
pub struct Fragment;

/// Says whether a request may be looked at, and where its path lies: everything in it that two parsers could read
/// differently is refused.
///
/// `own_via` is the pseudonym that this process puts into `Via` towards the upstream. Allocates nothing for a well-formed request with a plain path.
///
/// # Errors
///
/// The refusal; nothing of the request is sent upstream then.
pub fn check(resources: Resources, head: &Parts, own_via: &str) -> Result<Place, ProxyError> {
    let fields = fields::check(head.version, &head.headers, own_via);
    conclude(head, resources.locate(head.uri.path()), fields)
}

/// The same of a request whose fields somebody has looked at, and whose path lies in `place`.
///
/// # Errors
///
/// The refusal; nothing of the request is sent upstream then.
pub(crate) fn conclude(
    head: &Parts,
    place: Place,
    fields: Result<fields::Seen<'_>, ErrorKind>,
) -> Result<Place, ProxyError> {
    if !is_passed_on(&head.method) {
        return Err(ErrorKind::MethodNotAllowed.error());
    }
    target::check(&head.uri)?;
    if head.extensions.get::<Fragment>().is_some() {
        return Err(ErrorKind::BadTarget.error());
    }
    target::check_host(&head.uri, head.version, fields?.host)?;
    match place {
        Place::Elsewhere => Ok(place),
        Place::Disguised(resource) => {
            Err(ErrorKind::PathSpelling.error().saying(resource.sentences.misspelt))
        }
        _ => Ok(place),
    }
}

/// Whether what the fields of a request with a target in origin-form have shown names one well-formed host.
pub(crate) fn has_sound_host(seen: &fields::Seen<'_>) -> bool {
    seen.host.is_some_and(target::is_well_formed)
}

/// Methods have a case (RFC 9110 §9.1): `get` is another method, which nobody knows.
fn is_passed_on(method: &Method) -> bool {
    matches!(
        *method,
        Method::GET | Method::HEAD | Method::POST | Method::PUT | Method::PATCH | Method::DELETE
    )
}

#[cfg(test)]
mod tests;
