//! [`Exchange`]: one request from its head to the end of its answer, and the one place where it is counted and logged.

use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::header::VIA;
use http::request::Parts;
use http::{Extensions, HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, Uri};
use http_body::{Frame, SizeHint};
use hyper::ext::ReasonPhrase;
use uuid::{Timestamp, Uuid};

use super::Proxy;
use super::answer::Answer;
use crate::body::{Body, BodyError};
use crate::caller::identity::Caller;
use crate::caller::routes;
use crate::callers::figures::Figure;
use crate::callers::{Identity, Ledger, Refused};
use crate::classify::{Class, Target};
use crate::clock::Moment;
use crate::error::{ErrorKind, ProxyError};
use crate::logging::{self, Ending, RequestLine};
use crate::outcome::{BypassReason, CacheStatus, Outcome, StatusClass};
use crate::peer::Peer;
use crate::resource::{Descriptor, Route};
use crate::rules::Rules;
use crate::semantics::lines::Lines;
use crate::semantics::preference::{self, PREFERENCE_APPLIED};
use crate::semantics::request_id::{self, REQUEST_ID};
use crate::semantics::via;
use crate::survey::{Presence, Survey};
use crate::telemetry::Span;

const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");
const VIA_US: HeaderValue = HeaderValue::from_static(via::DOWNSTREAM);

/// The id under which a request is found in the logs of every hop.
#[derive(Clone, Debug)]
pub(super) struct RequestId(HeaderValue);

impl RequestId {
    /// The caller's own where it is sane, else a fresh UUID of version 7.
    fn of(lines: Lines<'_>, now: Moment) -> Self {
        Self(request_id::incoming(lines).cloned().unwrap_or_else(|| {
            let mut text = Uuid::encode_buffer();
            HeaderValue::from_str(fresh_id(now).hyphenated().encode_lower(&mut text))
                .expect("a UUID is a valid field value")
        }))
    }

    /// Puts it into a request's or an answer's fields.
    pub(super) fn present(&self, fields: &mut HeaderMap) {
        fields.insert(REQUEST_ID, self.0.clone());
    }

    fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }
}

/// The id of a request that came at this moment, and brought none.
pub(super) fn fresh_id(now: Moment) -> Uuid {
    let unix = now.unix();
    Uuid::new_v7(Timestamp::from_unix(uuid::NoContext, unix.as_secs(), unix.subsec_nanos()))
}

/// Who sends a request: told once, before anything else is done for it.
pub(super) struct Identified {
    /// By its credential.
    pub(super) caller: Caller,
    /// By its service, where those are told apart.
    pub(super) identity: Option<Arc<Identity>>,
}

/// What a request brings along besides itself.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) id: RequestId,
    pub(super) peer: IpAddr,
    /// Who sends it: told here, once.
    pub(super) caller: Caller,
    /// The resource at or below whose path it is.
    pub(super) resource: Option<&'static Descriptor>,
    /// When it came.
    pub(super) arrived_at: Moment,
    /// How long it may wait for its turn to be sent.
    pub(super) max_wait: Duration,
    /// Which service it is, where those are told apart, and what its calls come to.
    pub(super) ledger: Ledger,
    /// What holds for it, to its end.
    pub(super) rules: Arc<Rules>,
    /// What its client asked for by `Prefer: wait` (RFC 7240).
    preference: Option<Duration>,
    /// Whether it says anything to caches.
    pub(super) directives: Presence,
}

/// A request that is being answered. Dropped before [`Exchange::finish`], it counts as one whose client left.
#[derive(Debug)]
pub(super) struct Exchange {
    asked: Asked,
    line: Option<Line>,
}

/// What is counted and logged of a request.
#[derive(Debug)]
struct Line {
    proxy: Arc<Proxy>,
    begun: Moment,
    peer: Peer,
    method: Method,
    target: Uri,
    route: Route,
    outcome: Outcome,
    status: Option<StatusCode>,
    error: Option<ErrorKind>,
    cause: Option<String>,
    /// Why it was bypassed, served stale or refused.
    reason: Option<&'static str>,
    bypass: Option<BypassReason>,
    /// Its own at the end.
    ledger: Ledger,
    /// In a box: few requests are traced, and every one would move the room for it.
    span: Option<Box<Span>>,
}

impl Exchange {
    /// Begins with a request's head, and what its fields have shown. Until it is classified it counts as refused.
    pub(super) fn begin(
        proxy: &Arc<Proxy>,
        head: &Parts,
        survey: &Survey<'_>,
        peer: Peer,
        identified: Identified,
        rules: Arc<Rules>,
    ) -> Self {
        let span = proxy.tracing.as_ref().map(|tracing| tracing.request(&head.headers, &head.method));
        let begun = proxy.clock.now();
        let preference = survey.prefer.then(|| preference::wait(&head.headers));
        let Identified { caller, identity } = identified;
        Self {
            asked: Asked {
                id: RequestId::of(survey.request_id, begun),
                peer: peer.ip(),
                caller,
                resource: None,
                arrived_at: begun,
                max_wait: rules.max_wait_of(identity.as_ref(), preference),
                ledger: Ledger::new(identity),
                rules,
                preference,
                directives: survey.directives,
            },
            line: Some(Line {
                proxy: Arc::clone(proxy),
                begun,
                peer,
                method: head.method.clone(),
                target: head.uri.clone(),
                route: Route::Refused,
                outcome: Outcome::Rejected,
                status: None,
                error: None,
                cause: None,
                reason: None,
                bypass: None,
                ledger: Ledger::default(),
                span: span.map(Box::new),
            }),
        }
    }

    /// Where a trace is asked for, the head's extensions are told of the request's own span in it.
    pub(super) fn trace(&self, extensions: &mut Extensions) {
        if let Some(span) = self.line.as_ref().and_then(|line| line.span.as_ref()) {
            extensions.insert(span.context());
        }
    }

    /// Notes what kind of request it is, and of which resource; gives what it brings along, and whose it is.
    pub(super) fn classified(
        &mut self,
        class: &Class,
        resource: Option<&'static Descriptor>,
    ) -> (&Asked, &Peer) {
        self.asked.resource = resource;
        let line = self.line.as_mut().expect("taken by `finish` alone");
        (line.route, line.outcome) = match class {
            Class::Read(read) => match read.target {
                Target::Item(_) => (Route::Item(read.resource), Outcome::Miss),
                Target::List(_) => (Route::List(read.resource), Outcome::Miss),
            },
            Class::Uncached { resource, item: true, .. } => (Route::Item(resource), Outcome::Bypass),
            Class::Uncached { resource, item: false, .. } => (Route::List(resource), Outcome::Bypass),
            Class::Write { resource, .. } => (Route::Write(resource), Outcome::Forwarded),
            Class::PassThrough => (Route::PassThrough, Outcome::Forwarded),
        };
        (&self.asked, &line.peer)
    }

    /// Turns what a request came to into what is sent: errors into their answers, the fields that every answer carries,
    /// one count, one line of the log.
    pub(super) fn finish(mut self, answer: Result<Answer, ProxyError>) -> Response<Body> {
        let mut line = self.line.take().expect("taken here alone");
        line.ledger = std::mem::take(&mut self.asked.ledger);
        let mut response = match answer {
            Ok(answer) => {
                line.outcome = answer.outcome;
                line.reason = answer.cache_status.and_then(CacheStatus::reason);
                line.bypass = answer.cache_status.and_then(CacheStatus::bypass);
                let mut response = answer.response;
                if let Some(cache_status) = answer.cache_status {
                    line.proxy.metrics.cache_status(cache_status);
                    // RFC 9211 §2: behind the members of caches nearer to the origin.
                    response.headers_mut().append(CACHE_STATUS, cache_status.value());
                }
                response
            }
            Err(error) => {
                let is_client_error = error.kind().status().is_client_error();
                line.outcome = if is_client_error { Outcome::Rejected } else { Outcome::Error };
                line.error = Some(error.kind());
                line.reason = error.reason();
                line.proxy.metrics.failure(error.kind(), line.proxy.clock.now().unix());
                line.cause = error.causes();
                error.response()
            }
        };
        let fields = response.headers_mut();
        fields.append(VIA, VIA_US);
        self.asked.id.present(fields);
        if self.asked.preference.is_some() {
            // What was applied: no more than the operator allows.
            fields.insert(PREFERENCE_APPLIED, preference::wait_applied(self.asked.max_wait));
        }
        line.status = Some(response.status());
        if response.status().canonical_reason().is_none() {
            // hyper would say `<none>`; RFC 9112 §4 lets it be empty.
            response.extensions_mut().insert(ReasonPhrase::from_static(b""));
        }
        let now = line.proxy.clock.behind(line.begun);
        line.count(now);
        match response.body() {
            Body::Stream(_) => {
                let id = self.asked.id.clone();
                response.map(|body| Body::stream(Relayed { body, id, line, sent: 0, ending: Ending::Cut }))
            }
            Body::Whole(body) => {
                let sent = body.as_ref().map_or(0, Bytes::len) as u64;
                line.log(&self.asked.id, now, sent, Ending::Complete);
                response
            }
        }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        if let Some(mut line) = self.line.take() {
            line.ledger = std::mem::take(&mut self.asked.ledger);
            let now = line.proxy.clock.now();
            line.count(now);
            line.log(&self.asked.id, now, 0, Ending::Cut);
        }
    }
}

impl Line {
    fn count(&self, now: Moment) {
        let metrics = &self.proxy.metrics;
        let status = self.status.map_or(StatusClass::None, StatusClass::of);
        metrics.request(self.route, self.outcome, status, now.since(self.begun));
        if let (Some(_), Some(by)) = (self.status, self.outcome.avoided()) {
            metrics.avoided(by);
        }
        if let Some(identity) = self.ledger.identity() {
            self.bill(identity, now);
        }
    }

    /// Counts for its caller and its key what metrics count for all.
    fn bill(&self, identity: &Identity, now: Moment) {
        for row in [&identity.caller, &identity.credential] {
            row.counters.request(self.outcome);
            if let Some(reason) = self.bypass {
                row.counters.bypass(reason);
            }
            if self.status.is_some() && self.outcome.avoided().is_some() {
                row.counters.add(Figure::Saved, 1);
            }
            if self.error.is_some() && self.status == Some(StatusCode::TOO_MANY_REQUESTS) {
                row.counters.add(Figure::OwnLimited, 1);
            }
        }
        if let (None, Some(status @ (401..=403))) = (self.error, self.status.map(|status| status.as_u16())) {
            let path = self.target.path();
            let route = routes::segments(path).map_or("", |segments| &path[..=segments.len()]);
            identity.credential.note_refusal(Refused {
                status,
                route: format!("{} {}", self.method, &route[..route.floor_char_boundary(100)]),
                caller: identity.caller.name().into(),
                at: now.unix(),
            });
        }
    }

    /// Ends the span with what came of the request; the trace's id.
    fn end_span(&mut self) -> Option<String> {
        let mut span = self.span.take()?;
        span.note("http.route", self.route.as_str());
        span.note("instantly_proxy.outcome", self.outcome.as_str());
        match (self.status, self.error) {
            (Some(status), _) => span.answered(status.as_u16()),
            (None, Some(kind)) => span.failed(kind.as_str()),
            (None, None) => span.failed("client_gone"),
        }
        let trace = span.context().trace_id();
        span.end();
        Some(trace)
    }

    fn log(&mut self, id: &RequestId, now: Moment, response_bytes: u64, ending: Ending) {
        let trace = self.end_span();
        let identity = self.ledger.identity();
        if let Some(identity) = identity {
            identity.caller.counters.add(Figure::Bytes, response_bytes);
            identity.credential.counters.add(Figure::Bytes, response_bytes);
        }
        let spent = self.ledger.spent();
        let who = identity.map(|identity| identity.who(self.peer.as_str(), self.ledger.organization()));
        logging::request(&RequestLine {
            at: now.unix(),
            request_id: id.as_str(),
            trace_id: trace.as_deref(),
            peer: self.peer.as_str(),
            method: logging::method(&self.method),
            path: self.target.path(),
            route: self.route.as_str(),
            outcome: self.outcome.as_str(),
            status: self.status.map(|status| status.as_u16()),
            who: who.as_deref(),
            reason: self.reason,
            waited: spent.waited,
            upstream: spent.upstream,
            upstream_calls: spent.calls,
            error: self.error.map(ErrorKind::as_str),
            cause: self.cause.as_deref(),
            duration: now.since(self.begun),
            response_bytes,
            ending,
        });
    }
}

/// A streamed answer on its way downstream; its line is logged when it ends, whichever way.
struct Relayed {
    body: Body,
    id: RequestId,
    line: Line,
    sent: u64,
    ending: Ending,
}

impl http_body::Body for Relayed {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        match &frame {
            Some(Ok(frame)) => self.sent += frame.data_ref().map_or(0, Bytes::len) as u64,
            Some(Err(error)) => self.line.cause = Some(error.to_string()),
            None => self.ending = Ending::Complete,
        }
        if self.body.is_end_stream() {
            self.ending = Ending::Complete;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Relayed {
    fn drop(&mut self) {
        let now = self.line.proxy.clock.now();
        self.line.log(&self.id, now, self.sent, self.ending);
    }
}
