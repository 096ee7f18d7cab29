//! [`Answer`]: what a request is answered with, before the fields that every answer carries.

use std::time::Duration;

use http::header::{AGE, CONTENT_LENGTH, CONTENT_TYPE, ETAG};
use http::request::Parts;
use http::{HeaderValue, Method, Response, StatusCode};

use crate::body::Body;
use crate::cache::decide::Servable;
use crate::cache::stored::StoredResponse;
use crate::error::ErrorKind;
use crate::outcome::{CacheStatus, Outcome, StaleReason};
use crate::semantics::conditional;
use crate::shield::latch::Unauthorized;

/// An answer that is not an error of ours.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) response: Response<Body>,
    pub(super) outcome: Outcome,
    /// Nothing where neither the store nor the upstream was asked.
    pub(super) cache_status: Option<CacheStatus>,
}

impl Answer {
    /// From the store, fresh, unasked upstream.
    pub(super) fn hit(request: &Parts, stored: &StoredResponse, servable: Servable) -> Self {
        let cache_status = CacheStatus::Hit { ttl: servable.ttl };
        Self {
            response: render_aged(request, stored, servable.age),
            outcome: Outcome::Hit,
            cache_status: Some(cache_status),
        }
    }

    /// From the store although stale.
    pub(super) fn stale(
        request: &Parts,
        stored: &StoredResponse,
        servable: Servable,
        reason: StaleReason,
    ) -> Self {
        let cache_status = CacheStatus::Stale { ttl: servable.ttl, reason };
        Self {
            response: render_aged(request, stored, servable.age),
            outcome: Outcome::Stale,
            cache_status: Some(cache_status),
        }
    }

    /// The vendor's 401, said again by us. `Proxy-Status` tells that the API was not asked, and there is no `Cache-Status`.
    pub(super) fn latched(answer: &Unauthorized, method: &Method) -> Self {
        let is_head = method == Method::HEAD;
        let mut response =
            Response::new(if is_head { Body::empty() } else { Body::whole(answer.body.clone()) });
        *response.status_mut() = StatusCode::UNAUTHORIZED;
        let fields = response.headers_mut();
        if let Some(content_type) = &answer.content_type {
            fields.insert(CONTENT_TYPE, content_type.clone());
        }
        fields.insert(CONTENT_LENGTH, HeaderValue::from(answer.body.len()));
        fields.insert("proxy-status", HeaderValue::from_static("instantly-proxy; error=http_request_denied"));
        Self { response, outcome: Outcome::Rejected, cache_status: None }
    }

    /// From the store although the client asked for a younger response.
    pub(super) fn refetch_limited(request: &Parts, stored: &StoredResponse, servable: Servable) -> Self {
        let cache_status = CacheStatus::RefetchLimited { ttl: servable.ttl };
        Self {
            response: render_aged(request, stored, servable.age),
            outcome: Outcome::Hit,
            cache_status: Some(cache_status),
        }
    }
}

impl StaleReason {
    /// Why a fetch that failed so is answered from the store; nothing where the failure is no reason to.
    pub(super) const fn of_failure(kind: ErrorKind) -> Option<Self> {
        match kind {
            ErrorKind::UpstreamLimited
            | ErrorKind::OverBudget
            | ErrorKind::QueueFull
            | ErrorKind::GateClosed
            | ErrorKind::TooManyStrangers => Some(Self::Limit),
            ErrorKind::ConnectFailed
            | ErrorKind::ConnectTimeout
            | ErrorKind::TlsFailed
            | ErrorKind::UpstreamTimeout
            | ErrorKind::BadUpstreamAnswer
            | ErrorKind::UpstreamFailed
            | ErrorKind::Unreachable
            | ErrorKind::NoConnection => Some(Self::Error),
            _ => None,
        }
    }
}

fn render_aged(request: &Parts, stored: &StoredResponse, age: Duration) -> Response<Body> {
    let mut response = render(request, stored);
    response.headers_mut().insert(AGE, HeaderValue::from(age.as_secs()));
    response
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
