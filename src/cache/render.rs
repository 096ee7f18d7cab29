//! [`render`]: a stored response as an answer.

use std::sync::Arc;
use std::time::Duration;

use http::header::{AGE, CONTENT_LENGTH, CONTENT_TYPE, ETAG};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};

use super::stored::{Packed, StoredResponse};
use crate::body::Body;
use crate::semantics::conditional;
use crate::semantics::seconds::Seconds;

/// A hit has as many: two that are stored, `Age`, `Cache-Status`, `Via` and the request's id. More makes the map grow.
const FIELDS: usize = 6;

thread_local! {
    static AGES: Seconds = const { Seconds::after("") };
}

/// A stored response as an answer to `request`: all of it, its head alone (RFC 9110 §9.3.2), or 304 (§13.1.2); with `Age`
/// (RFC 9111 §5.1), unless it has just come. What every answer carries is added by whoever sends it.
#[must_use]
pub fn render(request: &Parts, stored: &Arc<StoredResponse>, age: Option<Duration>) -> Response<Body> {
    let mut fields = HeaderMap::with_capacity(FIELDS);
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
