//! Copies that hold nothing of the connection on which a message came.
//!
//! A field value is a slice of its head, and a head is a slice of the connection's read buffer, up to some hundred KiB of it:
//! one small value that is kept keeps all of that. What outlives the exchange that it came with is copied by one of these.

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue};

/// The same value in memory of its own; one that is sensitive stays so.
#[must_use]
pub fn value(of: &HeaderValue) -> HeaderValue {
    // What the parser took for a value is one here, too.
    let Ok(mut own) = HeaderValue::from_bytes(of.as_bytes()) else { return of.clone() };
    own.set_sensitive(of.is_sensitive());
    own
}

/// The same fields with values in memory of their own. Names have theirs already.
#[must_use]
pub fn fields(mut of: HeaderMap) -> HeaderMap {
    for each in of.values_mut() {
        *each = value(each);
    }
    of
}

/// The same bytes in memory of their own.
#[must_use]
pub fn bytes(of: &[u8]) -> Bytes {
    Bytes::copy_from_slice(of)
}

/// The same target in memory of its own.
#[must_use]
pub fn target(of: &PathAndQuery) -> PathAndQuery {
    PathAndQuery::try_from(of.as_str()).unwrap_or_else(|_| of.clone())
}

#[cfg(test)]
mod tests {
    use http::Uri;

    use super::*;

    #[test]
    fn a_copy_says_the_same_and_shares_no_memory_with_what_it_was_made_of() {
        let head = Bytes::from(b"Bearer secret;/api/v2/lead-labels?limit=1".to_vec());
        let mut token = HeaderValue::from_maybe_shared(head.slice(..13)).unwrap();
        token.set_sensitive(true);
        let uri = Uri::from_maybe_shared(head.slice(14..)).unwrap();
        let path = uri.path_and_query().unwrap().clone();
        let map = HeaderMap::from_iter([(http::header::AUTHORIZATION, token)]);
        let (copied, copied_path) = (fields(map), target(&path));
        assert_eq!(copied_path, path);
        drop((uri, path));
        assert!(head.is_unique(), "nothing of the head is held");
        let copy = &copied[http::header::AUTHORIZATION];
        assert_eq!((copy.as_bytes(), copy.is_sensitive()), (&head[..13], true));
    }
}
