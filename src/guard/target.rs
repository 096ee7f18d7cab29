//! The request target (RFC 9112 §3.2) and the host that it is meant for.
//!
//! Any single well-formed host passes, because callers reach us by many names; it is never forwarded and in no key.

use std::net::Ipv6Addr;
use std::str::FromStr;

use http::{Uri, Version};
use memchr::memchr;

use crate::error::ErrorKind;
use crate::semantics::octets::Octets;

/// The longest target, in bytes. Our own limits are below those of the upstream.
const MAX_TARGET: usize = 8 * 1024;

/// Accepts origin-form, and absolute-form of `http` and `https`; HTTP/2 gives the latter.
pub(super) fn check(uri: &Uri) -> Result<(), ErrorKind> {
    let path_and_query = uri.path_and_query().map_or("", |target| target.as_str());
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    if path_and_query.len() + authority.len() > MAX_TARGET {
        return Err(ErrorKind::TargetTooLong);
    }
    // `*` and authority-form have no such path, nor has `http://host?query`.
    let scheme_fits = uri.scheme_str().is_none_or(|scheme| matches!(scheme, "http" | "https"));
    if scheme_fits && path_and_query.starts_with('/') { Ok(()) } else { Err(ErrorKind::BadTarget) }
}

/// Finds the host: the target's authority, the `Host` field, or both if they are equal (RFC 9113 §8.3.1). On HTTP/1.1 the field
/// is not to be missing, whatever the target is (RFC 9112 §3.2).
pub(super) fn check_host(uri: &Uri, version: Version, field: Option<&[u8]>) -> Result<(), ErrorKind> {
    let authority = uri.authority().map(|authority| authority.as_str().as_bytes());
    let host =
        field.or_else(|| authority.filter(|_| version != Version::HTTP_11)).ok_or(ErrorKind::BadHost)?;
    if !is_well_formed(host) {
        return Err(ErrorKind::BadHost);
    }
    match authority {
        Some(authority) if !are_equal(authority, host, uri.scheme_str()) => Err(ErrorKind::Misdirected),
        _ => Ok(()),
    }
}

/// RFC 9110 §4.2.3: no port, an empty one and the scheme's own are the same.
fn are_equal(authority: &[u8], host: &[u8], scheme: Option<&str>) -> bool {
    let own: &[u8] = match scheme {
        Some("http") => b":80",
        Some("https") => b":443",
        _ => b":",
    };
    let without = |name: &'_ [u8]| {
        let kept = name.strip_suffix(own).or_else(|| name.strip_suffix(b":")).unwrap_or(name);
        kept.len()
    };
    authority.eq_ignore_ascii_case(host)
        || authority[..without(authority)].eq_ignore_ascii_case(&host[..without(host)])
}

/// A name or an address with an optional port; no user information, no escapes (RFC 3986 §3.2 allows more names than any
/// resolver).
pub(super) fn is_well_formed(host: &[u8]) -> bool {
    static UNRESERVED: Octets = Octets::letters_digits_and(b"-._~");
    let end = |text: &[u8], byte| memchr(byte, text).unwrap_or(text.len());
    let (name_is_sound, after) = if let Some(literal) = host.strip_prefix(b"[") {
        let (address, behind) = literal.split_at(end(literal, b']'));
        let Some(after) = behind.strip_prefix(b"]") else { return false };
        (parsed::<Ipv6Addr>(address).is_some(), after)
    } else {
        let (name, after) = host.split_at(end(host, b':'));
        (!name.is_empty() && UNRESERVED.have_all_of(name), after)
    };
    let port_is_sound = match after {
        [] | [b':'] => true,
        [b':', port @ ..] => port.iter().all(u8::is_ascii_digit) && parsed::<u16>(port).is_some(),
        _ => false,
    };
    name_is_sound && port_is_sound
}

fn parsed<T: FromStr>(text: &[u8]) -> Option<T> {
    std::str::from_utf8(text).ok()?.parse().ok()
}
