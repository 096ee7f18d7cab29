//! A plain read beside the long way's reading of the same bytes: what fuzzing and the property of the tests ask.

use std::mem::MaybeUninit;

use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request as HttpRequest, Version};
use httparse::{Header, Request, Status};

use super::PlainRead;
use crate::caller::credential::Digester;
use crate::classify::{Class, classify};
use crate::guard;
use crate::resource::RESOURCES;
use crate::semantics::directives::RequestDirectives;
use crate::semantics::framing::announces_body;
use crate::semantics::preference;

/// Reads any bytes as the fast path does, and asserts that the long way reads alike what is plain.
pub(crate) fn compare(bytes: &[u8]) {
    let caller_field = HeaderName::from_static("x-caller");
    for field in [None, Some(&caller_field)] {
        if let Some(read) = PlainRead::parse(RESOURCES, field, bytes) {
            assert_read_alike(bytes, &read);
        }
    }
}

/// One whole head as hyper reads it; nothing if it takes none, or if anything is behind it.
pub(crate) fn long_reading(bytes: &[u8]) -> Option<Parts> {
    let mut lines = [MaybeUninit::<Header<'_>>::uninit(); 100];
    let mut request = Request::new(&mut []);
    let whole = Status::Complete(bytes.len());
    if request.parse_with_uninit_headers(bytes, &mut lines) != Ok(whole) {
        return None;
    }
    let version = if request.version == Some(1) { Version::HTTP_11 } else { Version::HTTP_10 };
    let mut made = HttpRequest::builder()
        .method(Method::from_bytes(request.method?.as_bytes()).ok()?)
        .uri(request.path?)
        .version(version)
        .body(())
        .ok()?;
    for line in request.headers.iter() {
        let name = HeaderName::from_bytes(line.name.as_bytes()).ok()?;
        made.headers_mut().append(name, HeaderValue::from_bytes(line.value).ok()?);
    }
    Some(made.into_parts().0)
}

fn alone<'h>(fields: &'h HeaderMap, name: &str) -> Option<&'h [u8]> {
    assert!(fields.get_all(name).iter().count() <= 1, "{name}");
    fields.get(name).map(HeaderValue::as_bytes)
}

/// Asserts that a plain read is what the long way takes it for, in everything on which its answer depends.
pub(super) fn assert_read_alike(bytes: &[u8], read: &PlainRead<'_>) {
    let parts = long_reading(bytes).expect("a head that hyper takes");
    let place = guard::check(RESOURCES, &parts, "own").expect("the guard lets it pass");
    let Class::Read(long) = classify(&parts, place) else { panic!("not read from the cache") };
    assert_eq!((long.resource, &long.target), (read.resource, &read.target));
    assert!(long.storable && !long.head && !announces_body(&parts.headers));
    assert_eq!(RequestDirectives::parse(&parts.headers), RequestDirectives::default());
    assert_eq!(preference::wait(&parts.headers), None);
    assert_eq!(alone(&parts.headers, "if-none-match"), read.condition);
    assert_eq!(alone(&parts.headers, "x-request-id"), read.request_id);
    let persists =
        alone(&parts.headers, "connection").is_none_or(|value| value.eq_ignore_ascii_case(b"keep-alive"));
    assert!(parts.version == Version::HTTP_11 && persists);
    let digester = Digester::default();
    let credential = digester.credential(&parts.headers).expect("a credential").digests();
    assert_eq!(credential, digester.digests(read.authorization, read.workspace));
}
