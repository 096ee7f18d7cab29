//! [`Answer`]: what a request is answered with, before the fields that every answer carries.

use std::time::Duration;

use http::header::{AGE, CONTENT_LENGTH, CONTENT_TYPE, ETAG};
use http::request::Parts;
use http::{HeaderValue, Method, Response, StatusCode};

use crate::body::Body;
use crate::cache::stored::StoredResponse;
use crate::outcome::{CacheStatus, Outcome};
use crate::semantics::conditional;

/// An answer that is not an error of ours.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) response: Response<Body>,
    pub(super) outcome: Outcome,
    pub(super) cache_status: CacheStatus,
}

impl Answer {
    /// From the store, unasked upstream.
    pub(super) fn hit(request: &Parts, stored: &StoredResponse, age: Duration, ttl: i64) -> Self {
        let mut response = render(request, stored);
        response.headers_mut().insert(AGE, HeaderValue::from(age.as_secs()));
        Self { response, outcome: Outcome::Hit, cache_status: CacheStatus::Hit { ttl } }
    }
}

/// A stored response as an answer to `request`: all of it, its head alone (RFC 9110 §9.3.2), or 304 (§13.1.2).
pub(super) fn render(request: &Parts, stored: &StoredResponse) -> Response<Body> {
    if conditional::not_modified(&request.headers, &stored.etag) {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        response.headers_mut().insert(ETAG, stored.etag.clone());
        return response;
    }
    let body = if request.method == Method::HEAD { Body::empty() } else { Body::whole(stored.body.clone()) };
    let mut response = Response::new(body);
    let fields = response.headers_mut();
    fields.insert(CONTENT_TYPE, stored.content_type.clone());
    fields.insert(CONTENT_LENGTH, HeaderValue::from(stored.body.len()));
    fields.insert(ETAG, stored.etag.clone());
    response
}
