//! The admin port: probes, metrics, status, purge and explanations, apart from the data port.
//!
//! Probes and metrics are free; data and actions follow [`Access`]. Answers are JSON or the text of metrics; refusals have
//! the vendor's envelope. Listening, time-outs and the number of connections are left to the server.

mod access;
mod callers;
mod explain;
mod exposition;
mod fleet;
mod history;
mod page;
mod purge;
mod refusal;
mod status;
#[cfg(test)]
mod tests;

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::Serialize;

pub use access::Access;

use crate::body::{Body, BodyError};
use crate::clock::{Clock, Moment};
use crate::error::envelope;
use crate::metrics::{AdminPath, Metrics};
use crate::outcome::StatusClass;
use crate::proxy::Proxy;
use exposition::Pages;
use history::History;
use page::Page;
use refusal::Refusal;
use status::{Figures, Status};

const MAX_BODY_BYTES: usize = 16 * 1024;
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// Answers the requests of the admin port.
#[derive(Debug)]
pub struct Admin {
    proxy: Arc<Proxy>,
    metrics: Arc<Metrics>,
    clock: Clock,
    started: Moment,
    ready: Arc<AtomicBool>,
    access: Access,
    history: History,
    metrics_pages: Pages,
    page: Page,
}

impl Admin {
    /// Begins at the moment at which the process started; `ready` turns false when it begins to stop.
    #[must_use]
    pub fn new(
        proxy: Arc<Proxy>,
        metrics: Arc<Metrics>,
        clock: Clock,
        ready: Arc<AtomicBool>,
        access: Access,
    ) -> Self {
        let started = clock.now();
        Self {
            proxy,
            metrics,
            clock,
            started,
            ready,
            access,
            history: History::default(),
            metrics_pages: Pages::default(),
            page: Page::default(),
        }
    }

    /// Keeps the history of the last hour, for ever.
    pub async fn follow(self: Rc<Self>) {
        self.history.follow(&self.proxy, &self.metrics, &self.clock).await;
    }

    /// Answers one request; never fails: a failure is an answer.
    pub async fn handle<B>(&self, request: Request<B>) -> Response<Body>
    where
        B: http_body::Body<Data = Bytes>,
        B::Error: Into<BodyError>,
    {
        let path = path(request.uri().path());
        let is_head = request.method() == Method::HEAD;
        let mut response = match self.answer(path, request).await {
            Ok(response) => response,
            Err(Refusal(status, message)) => {
                let mut response = answer(status, JSON, envelope(status, &message));
                if status == StatusCode::UNAUTHORIZED {
                    response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
                }
                if status == StatusCode::METHOD_NOT_ALLOWED {
                    response.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed(path)));
                }
                response
            }
        };
        if is_head {
            *response.body_mut() = Body::empty();
        }
        self.metrics.admin_request(path, StatusClass::of(response.status()));
        response
    }

    async fn answer<B>(&self, path: AdminPath, request: Request<B>) -> Result<Response<Body>, Refusal>
    where
        B: http_body::Body<Data = Bytes>,
        B::Error: Into<BodyError>,
    {
        let (head, body) = request.into_parts();
        if path != AdminPath::Other && !allowed(path).split(", ").any(|method| method == head.method.as_str())
        {
            let message = "This path is not asked in this way: use a method of those in Allow.";
            return Err(Refusal(StatusCode::METHOD_NOT_ALLOWED, message.to_owned()));
        }
        match path {
            AdminPath::Livez => Ok(answer(StatusCode::OK, TEXT, Bytes::from_static(b"alive\n"))),
            AdminPath::Readyz if self.is_ready() => {
                Ok(answer(StatusCode::OK, TEXT, Bytes::from_static(b"ready\n")))
            }
            AdminPath::Readyz => Err(stopping()),
            AdminPath::Metrics => {
                let (metrics, proxy) = (Arc::clone(&self.metrics), Arc::clone(&self.proxy));
                let render = move |format| metrics.render_in(format, proxy.gauges());
                let written = self.metrics_pages.answer(&head.headers, render, answer).await;
                written.map_err(|_| stopping())
            }
            AdminPath::Status => {
                self.access.read(&head)?;
                Ok(json(&self.status().await))
            }
            AdminPath::Purge => {
                self.access.act(&head)?;
                let what = purge::parse(&self.whole(body).await?, self.proxy.resources())?;
                let (purged, told) = self.proxy.purge(what).await;
                Ok(json(&purge::Gone::new(purged, told)))
            }
            AdminPath::Explain => {
                self.access.act(&head)?;
                let asked = explain::parse(&self.whole(body).await?)?;
                Ok(json(&self.proxy.explain(&asked)))
            }
            AdminPath::Page
            | AdminPath::PageStyle
            | AdminPath::PageScript
            | AdminPath::CallersScript
            | AdminPath::ChartStyle
            | AdminPath::ChartScript => self.page.answer(path, &head.headers).ok_or_else(unknown),
            AdminPath::Other => Err(unknown()),
        }
    }

    fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Relaxed)
    }

    async fn status(&self) -> Status {
        Status::new(Figures {
            uptime: self.clock.now().since(self.started),
            ready: self.is_ready(),
            totals: self.metrics.totals(),
            resources: self.metrics.by_resource(),
            gauges: self.proxy.gauges(),
            overview: self.proxy.overview(),
            failures: self.metrics.failures(),
            fleet: self.proxy.fleet_overview().await,
            callers: self.proxy.bill().map(|bill| callers::Callers::new(bill, self.proxy.caller_limits())),
            history: self.history.columns(),
        })
    }

    async fn whole<B>(&self, body: B) -> Result<Bytes, Refusal>
    where
        B: http_body::Body<Data = Bytes>,
        B::Error: Into<BodyError>,
    {
        let deadline = self.clock.now().plus(BODY_TIMEOUT);
        let read = self.clock.deadline(deadline, Limited::new(body, MAX_BODY_BYTES).collect());
        match read.await {
            Ok(Ok(body)) => Ok(body.to_bytes()),
            Ok(Err(error)) if error.is::<LengthLimitError>() => {
                Err(Refusal(StatusCode::PAYLOAD_TOO_LARGE, "The body may have 16 KiB at most.".to_owned()))
            }
            Ok(Err(_)) => Err(Refusal(StatusCode::BAD_REQUEST, "The body ended early.".to_owned())),
            Err(_) => {
                Err(Refusal(StatusCode::REQUEST_TIMEOUT, "The body did not come within 10 s.".to_owned()))
            }
        }
    }
}

fn stopping() -> Refusal {
    let message = "The process is stopping: send requests elsewhere.";
    Refusal(StatusCode::SERVICE_UNAVAILABLE, message.to_owned())
}

fn unknown() -> Refusal {
    Refusal(StatusCode::NOT_FOUND, "There is no such path on the admin port.".to_owned())
}

fn path(text: &str) -> AdminPath {
    let known = AdminPath::ALL.iter().find(|path| **path != AdminPath::Other && path.as_str() == text);
    known.copied().unwrap_or(AdminPath::Other)
}

const fn allowed(path: AdminPath) -> &'static str {
    match path {
        AdminPath::Livez
        | AdminPath::Readyz
        | AdminPath::Metrics
        | AdminPath::Status
        | AdminPath::Page
        | AdminPath::PageStyle
        | AdminPath::PageScript
        | AdminPath::CallersScript
        | AdminPath::ChartStyle
        | AdminPath::ChartScript => "GET, HEAD",
        AdminPath::Purge | AdminPath::Explain => "POST",
        AdminPath::Other => "",
    }
}

const JSON: &str = "application/json; charset=utf-8";
const TEXT: &str = "text/plain; charset=utf-8";

fn json(value: &impl Serialize) -> Response<Body> {
    let bytes = serde_json::to_vec(value).expect("plain members have a JSON form");
    answer(StatusCode::OK, JSON, bytes.into())
}

fn answer(status: StatusCode, content_type: &'static str, bytes: Bytes) -> Response<Body> {
    let length = HeaderValue::from(bytes.len());
    let mut response = Response::new(Body::whole(bytes));
    *response.status_mut() = status;
    let fields = response.headers_mut();
    fields.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    fields.insert(CONTENT_LENGTH, length);
    fields.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
