//! [`Client`]: somebody with a key, a connection of its own, and a watch.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{HeaderValue, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

use crate::clock::Clock;
use crate::received::Received;
use crate::simulator::Key;

/// Somebody who asks, over connections that are kept.
pub(super) struct Client {
    http: legacy::Client<HttpConnector, Full<Bytes>>,
    token: HeaderValue,
    clock: Clock,
}

/// What an answer says, once all of it was read.
pub(super) struct Heard {
    pub(super) status: StatusCode,
    pub(super) cache_status: Option<HeaderValue>,
    pub(super) body: Bytes,
    /// From the request to the last byte of the answer, as this client sees it: the one place where times of the demonstration
    /// are taken.
    pub(super) took: Duration,
}

impl Heard {
    /// Whether it came from memory.
    pub(super) fn is_hit(&self) -> bool {
        self.cache_status
            .as_ref()
            .is_some_and(|value| value.to_str().is_ok_and(|value| value.contains("; hit")))
    }
}

impl Client {
    /// With this key.
    pub(super) fn new(key: &Key, clock: &Clock) -> Self {
        let http = legacy::Client::builder(TokioExecutor::new()).build_http();
        Self { http, token: key.bearer(), clock: clock.clone() }
    }

    /// The time as it has it.
    pub(super) const fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Reads something.
    pub(super) async fn get(&self, address: SocketAddr, path: &str) -> Option<Heard> {
        self.call(address, Method::GET, path, String::new()).await
    }

    /// What is answered there; nothing if there was no whole answer.
    pub(super) async fn call(
        &self,
        address: SocketAddr,
        method: Method,
        path: &str,
        body: String,
    ) -> Option<Heard> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("http://{address}{path}"))
            .header(HOST, address.to_string())
            .header(AUTHORIZATION, self.token.clone());
        if !body.is_empty() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        let request = request.body(Full::from(body)).ok()?;
        let begun = self.clock.now();
        let method = request.method().clone();
        let answer = Received::answer(self.http.request(request).await.ok()?, &method);
        let (status, cache_status) = (answer.status(), answer.headers().get("cache-status").cloned());
        let body = answer.into_body().collect().await.ok()?.to_bytes();
        Some(Heard { status, cache_status, body, took: self.clock.now().since(begun) })
    }
}
