//! [`Answer`]: what a request is answered with, before the fields that every answer carries.

use std::sync::Arc;

use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderValue, Method, Response, StatusCode};

use crate::body::Body;
use crate::cache::decide::Servable;
use crate::cache::render::render;
use crate::cache::stored::StoredResponse;
use crate::error::ErrorKind;
use crate::outcome::{CacheStatus, Outcome, StaleReason};
use crate::shield::refusals::Unauthorized;

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
    pub(super) fn hit(request: &Parts, stored: &Arc<StoredResponse>, servable: Servable) -> Self {
        let cache_status = CacheStatus::Hit { ttl: servable.ttl };
        Self {
            response: render(request, stored, Some(servable.age)),
            outcome: Outcome::Hit,
            cache_status: Some(cache_status),
        }
    }

    /// From what another replica fetched, as fresh as a hit.
    pub(super) fn shared(request: &Parts, stored: &Arc<StoredResponse>, servable: Servable) -> Self {
        let cache_status = Some(CacheStatus::Shared { ttl: servable.ttl });
        Self { cache_status, ..Self::hit(request, stored, servable) }
    }

    /// From the store although stale.
    pub(super) fn stale(
        request: &Parts,
        stored: &Arc<StoredResponse>,
        servable: Servable,
        reason: StaleReason,
    ) -> Self {
        let cache_status = CacheStatus::Stale { ttl: servable.ttl, reason };
        Self {
            response: render(request, stored, Some(servable.age)),
            outcome: Outcome::Stale,
            cache_status: Some(cache_status),
        }
    }

    /// The vendor's 401, said again by us. `Proxy-Status` tells that the API was not asked, and there is no `Cache-Status`.
    pub(super) fn remembered(answer: &Unauthorized, method: &Method) -> Self {
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
    pub(super) fn refetch_limited(request: &Parts, stored: &Arc<StoredResponse>, servable: Servable) -> Self {
        let cache_status = CacheStatus::RefetchLimited { ttl: servable.ttl };
        Self {
            response: render(request, stored, Some(servable.age)),
            outcome: Outcome::Hit,
            cache_status: Some(cache_status),
        }
    }
}

impl StaleReason {
    /// Why a fetch that failed so is answered from the store; nothing where the failure is no reason to.
    pub(super) const fn of_failure(kind: ErrorKind) -> Option<Self> {
        kind.stale_reason()
    }
}
