//! The health path of the data port, for load balancers that cannot ask the admin port.
//!
//! Promises that a check never leaves: without such a path it is passed through, and the API answers 401 to each. It says what
//! `/readyz` of the admin port says. It is no request of a caller's, so it is neither counted nor logged.

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderValue, Method, Response, StatusCode};

use super::Proxy;
use crate::body::Body;

impl Proxy {
    /// The answer to a `GET` or `HEAD` of `listen.health_path`, which is `path`; nothing to anything else. Before the guard: checks come without
    /// `Host`, and say nothing that could have two readings.
    pub(super) fn health(&self, path: &str, head: &Parts) -> Option<Response<Body>> {
        let is_head = head.method == Method::HEAD;
        if head.uri.path() != path || !(is_head || head.method == Method::GET) {
            return None;
        }
        // Closed from the first signal to stop on.
        let (status, text) = if self.cache.is_closed() {
            (StatusCode::SERVICE_UNAVAILABLE, "stopping\n")
        } else {
            (StatusCode::OK, "ready\n")
        };
        let body = if is_head { Body::empty() } else { Body::whole(Bytes::from_static(text.as_bytes())) };
        let mut response = Response::new(body);
        *response.status_mut() = status;
        let fields = response.headers_mut();
        fields.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        fields.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        Some(response)
    }
}
