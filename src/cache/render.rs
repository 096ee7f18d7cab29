//! [`render`]: a stored response as an answer.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use http::header::{AGE, CONTENT_LENGTH, CONTENT_TYPE, ETAG};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};

use super::stored::{Packed, StoredResponse};
use crate::body::Body;
use crate::semantics::conditional;
use crate::semantics::seconds::Seconds;

/// A hit has six: two that are stored, `Age`, `Cache-Status`, `Via` and the request's id. The HTTP library reads the next request
/// into the map of an answer: with room for as many fields as most requests have, it makes no other.
const FIELDS: usize = 12;

/// A map that has grown beyond this is not kept.
const MOST_FIELDS: usize = 48;

thread_local! {
    static AGES: Seconds = const { Seconds::after("") };
    /// Room for the fields of the thread's next answer. It holds no field.
    static ROOM: Cell<Option<HeaderMap>> = const { Cell::new(None) };
}

/// Takes the map of a request that has been read from memory: it is emptied, and the next answer's fields get its room.
pub fn keep_room(mut fields: HeaderMap) {
    // Repeats of a name are not in its capacity, and their room would stay.
    if fields.len() <= MOST_FIELDS && fields.capacity() <= MOST_FIELDS {
        fields.clear();
        ROOM.set(Some(fields));
    }
}

/// A stored response as an answer to `request`: all of it, its head alone (RFC 9110 §9.3.2), or 304 (§13.1.2); with `Age`
/// (RFC 9111 §5.1), unless it has just come. What every answer carries is added by whoever sends it.
#[must_use]
pub fn render(request: &Parts, stored: &Arc<StoredResponse>, age: Option<Duration>) -> Response<Body> {
    let mut fields = ROOM.take().unwrap_or_else(|| HeaderMap::with_capacity(FIELDS));
    let is_head = request.method == Method::HEAD;
    let not_modified = conditional::not_modified(&request.headers, stored.etag());
    let Packed { etag, body, .. } = stored.packed();
    if !not_modified {
        fields.append(CONTENT_TYPE, stored.content_type().clone());
    }
    fields.append(ETAG, etag);
    if let Some(age) = age {
        fields.append(AGE, AGES.with(|ages| ages.value(age.as_secs())));
    }
    if is_head && !not_modified {
        // Elsewhere hyper writes it, without a value of its own.
        fields.append(CONTENT_LENGTH, HeaderValue::from(body.len()));
    }
    let body = if is_head || not_modified { Body::empty() } else { Body::whole(body) };
    let mut response = Response::new(body);
    if not_modified {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    }
    *response.headers_mut() = fields;
    response
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;
    use crate::cache::stored::{ToStore, pack};
    use crate::clock::Clock;
    use crate::held::Held;
    use crate::organization::OrganizationId;
    use crate::tick::Tick;

    #[test]
    fn an_answer_has_nothing_of_the_request_whose_room_it_gets() {
        let (clock, _) = Clock::manual();
        let stored = ToStore {
            organization: OrganizationId::example(1),
            content_type: HeaderValue::from_static("application/json"),
            packed: pack(&HeaderValue::from_static("\"x\""), b"{}", &Held::new(0)),
            sent: clock.now(),
            begun: Tick(1),
            jitter: 0,
            settling: false,
            limit: None,
        };
        let stored = stored.stored();
        let (request, ()) = Request::new(()).into_parts();
        for fields in [1, 12, 40, 80] {
            let mut before = HeaderMap::new();
            for number in 0..fields {
                let name = http::HeaderName::from_bytes(format!("x-field-{number}").as_bytes()).unwrap();
                before.append(name.clone(), HeaderValue::from_static("secret"));
                before.append(name, HeaderValue::from_static("and more"));
            }
            keep_room(before);
            let answer = render(&request, &stored, Some(Duration::ZERO));
            let names: Vec<_> = answer.headers().iter().map(|(name, _)| name.as_str()).collect();
            assert_eq!(names, ["content-type", "etag", "age"], "behind {fields}");
        }
    }
}
