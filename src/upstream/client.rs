//! [`Upstream`]: the one place from which calls leave, and where each is counted and judged as HTTP.
//!
//! Label calls share connections (HTTP/2 where it is offered): their bodies are checked against their key before they
//! are delivered. Pass-through bodies cannot be checked, so each of those calls has an HTTP/1.1 connection to itself.
//! Redirects are never followed, the authority comes from the configuration alone, and the framing is always ours.

use std::error::Error;
use std::fmt;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::header::{HOST, TRANSFER_ENCODING, USER_AGENT, VIA};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Extensions, HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri};
use hyper_util::client::legacy::connect::{CaptureConnection, capture_connection};
use hyper_util::client::legacy::{Client, Error as ClientError};
use hyper_util::rt::TokioExecutor;

use super::connector::{ConnectTimedOut, Connector, Protocols};
use super::interim::Interim;
use super::names::Names;
use super::purpose::{Purpose, UpstreamStatus};
use super::way::Way;
use crate::body::Body;
use crate::cache::gate;
use crate::clock::{Clock, Moment};
use crate::config;
use crate::config::files::{self, Mark};
use crate::error::{ErrorKind, ProxyError};
use crate::metrics::Metrics;
use crate::proxy::SetupError;
use crate::received::Received;
use crate::shield::RejectionReason;
use crate::shield::breaker::{Breaker, Verdict};
use crate::telemetry::{Context, Span, Tracing};

/// Idle upstream connections are closed after this long: below the 60 s and more that edges keep them open.
const POOL_IDLE: Duration = Duration::from_secs(50);

/// Between two HTTP/2 PINGs, while an answer is awaited.
const PING_EVERY: Duration = Duration::from_secs(2);
/// Within this a PING is answered.
const PING_ANSWERED: Duration = Duration::from_secs(2);

/// How much of one answer the upstream may send ahead of its reader: enough for any label.
const STREAM_WINDOW: u32 = 64 * 1024;
/// The same of all answers on a connection. Answers too large to keep are streamed to readers that may stall: so many must
/// stall at once before they hold up the labels of others.
const CONNECTION_WINDOW: u32 = 256 * STREAM_WINDOW;

/// A pooled client; connections are driven on the runtime that opened them.
#[derive(Clone)]
pub struct UpstreamClient(Client<Connector, Body>);

impl fmt::Debug for UpstreamClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UpstreamClient")
    }
}

/// Where calls go and what they carry.
#[derive(Debug)]
pub struct Upstream {
    scheme: Scheme,
    authority: Authority,
    host: HeaderValue,
    user_agent: HeaderValue,
    via: HeaderValue,
    pseudonym: String,
    pub(super) settings: config::Upstream,
    way: Mutex<Arc<Way>>,
    /// Of what `ca_file` was last found to hold, be it of no use.
    seen: Mutex<Option<Mark>>,
    tracing: Option<Tracing>,
    pub(super) names: Names,
    pub(super) breaker: Breaker,
    /// Numbers for connections that never were.
    pub(super) trials: Arc<AtomicU64>,
    pub(super) clock: Clock,
    pub(super) metrics: Arc<Metrics>,
}

impl Upstream {
    /// Reads the roots to trust and settles what every call carries.
    ///
    /// # Errors
    ///
    /// If `ca_file` cannot be used.
    pub fn new(
        settings: &config::Upstream,
        clock: Clock,
        metrics: Arc<Metrics>,
        tracing: Option<Tracing>,
    ) -> Result<Self, SetupError> {
        let unusable = |what: &str| SetupError(format!("upstream.{what} cannot be used"));
        let url = settings.url.clone().into_parts();
        let authority = url.authority.ok_or_else(|| unusable("url"))?;
        let way = Way::read(settings)?;
        let pseudonym = format!("instantly-proxy-{:08x}", uuid::Uuid::new_v4().as_fields().0);
        Ok(Self {
            scheme: url.scheme.ok_or_else(|| unusable("url"))?,
            host: HeaderValue::try_from(authority.as_str()).map_err(|_| unusable("url"))?,
            authority,
            user_agent: HeaderValue::try_from(&settings.user_agent).map_err(|_| unusable("user_agent"))?,
            via: HeaderValue::try_from(format!("1.1 {pseudonym}")).map_err(|_| unusable("url"))?,
            pseudonym,
            settings: settings.clone(),
            seen: Mutex::new(way.mark),
            way: Mutex::new(Arc::new(way)),
            tracing,
            names: Names::new(clock.clone()),
            breaker: Breaker::default(),
            trials: Arc::new(AtomicU64::new(u64::from(u16::MAX) + 1)),
            clock,
            metrics,
        })
    }

    /// This process's name in `Via` towards the upstream (RFC 9110 §7.6.3).
    #[must_use]
    pub fn pseudonym(&self) -> &str {
        &self.pseudonym
    }

    /// How connections are made at present.
    #[must_use]
    pub fn way(&self) -> Arc<Way> {
        Arc::clone(&lock(&self.way))
    }

    /// From now on connections are made so. Returns whether anything changed: then clients are to be made anew.
    pub fn take_way(&self, way: Way) -> bool {
        *lock(&self.seen) = way.mark;
        let mut current = lock(&self.way);
        let changed = !current.is_like(&way);
        // The file may be another one with the same roots in it.
        let kept = if changed { way } else { Way { tls: Arc::clone(&current.tls), ..way } };
        *current = Arc::new(kept);
        changed
    }

    /// Looks whether `ca_file` holds other roots than it did; what it holds that cannot be used is told of once and changes
    /// nothing. Returns whether clients are to be made anew.
    pub fn follow_roots(&self) -> bool {
        let current = self.way();
        let Some(file) = &current.ca_file else { return false };
        let contents = files::contents(file);
        let mark = Mark::of_read(&contents);
        if lock(&self.seen).replace(mark) == Some(mark) || Some(mark) == current.mark {
            return false;
        }
        let settings = config::Upstream {
            ca_file: current.ca_file.clone(),
            connect_timeout: current.connect_timeout,
            ..self.settings.clone()
        };
        match Way::read(&settings) {
            Ok(way) => {
                tracing::info!(file = %file.display(), "the upstream's roots changed");
                self.take_way(way)
            }
            Err(error) => {
                tracing::warn!(%error, "the upstream's new roots cannot be used; the old ones stay");
                false
            }
        }
    }

    /// A client for label calls.
    #[must_use]
    pub fn label_client(&self) -> UpstreamClient {
        self.client(Protocols::Http2Preferred)
    }

    /// A client for pass-through calls; one per worker, so that no call hops between threads.
    #[must_use]
    pub fn pass_through_client(&self) -> UpstreamClient {
        self.client(Protocols::Http1Only)
    }

    fn client(&self, protocols: Protocols) -> UpstreamClient {
        let connector = Connector::new(&self.way(), protocols, &self.names, self.clock.clone());
        let mut builder = Client::builder(TokioExecutor::new());
        builder
            // While something is owed on it, a silent connection is found out in four seconds.
            .http2_keep_alive_interval(PING_EVERY)
            .http2_keep_alive_timeout(PING_ANSWERED)
            .http2_initial_stream_window_size(STREAM_WINDOW)
            .http2_initial_connection_window_size(CONNECTION_WINDOW)
            .timer(self.clock.clone())
            .pool_timer(self.clock.clone())
            .pool_idle_timeout(POOL_IDLE)
            .pool_max_idle_per_host(self.settings.max_connections)
            .http1_max_headers(256)
            .set_host(false);
        UpstreamClient(builder.build(connector))
    }

    /// The fields that a fill carries besides its credential: our own, never a client's.
    #[must_use]
    pub fn fill_fields(&self) -> HeaderMap {
        let mut fields = HeaderMap::with_capacity(8);
        fields.insert(http::header::ACCEPT, HeaderValue::from_static("application/json"));
        fields.insert(http::header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        fields.insert(USER_AGENT, self.user_agent.clone());
        fields.insert(VIA, self.via.clone());
        fields
    }

    /// A request to the upstream with these fields, the configured authority and `Host`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::BadTarget`] if the path cannot be sent.
    pub fn request(
        &self,
        method: Method,
        path: PathAndQuery,
        fields: HeaderMap,
        body: Body,
    ) -> Result<Request<Body>, ProxyError> {
        let uri = Uri::builder()
            .scheme(self.scheme.clone())
            .authority(self.authority.clone())
            .path_and_query(path)
            .build()
            .map_err(|cause| ErrorKind::BadTarget.error().because(cause))?;
        let mut request = Request::new(body);
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        *request.headers_mut() = fields;
        request.headers_mut().insert(HOST, self.host.clone());
        Ok(request)
    }

    /// Sends a request; returns when the head of the answer is there, or `give_up` is.
    ///
    /// This is the only way out: what limits or paces upstream calls belongs here.
    ///
    /// # Errors
    ///
    /// What went wrong with connecting, TLS, time or HTTP. [`was_never_sent`] tells whether the request can have had an
    /// effect.
    pub async fn send(
        &self,
        client: &UpstreamClient,
        mut request: Request<Body>,
        purpose: Purpose,
        give_up: impl Future<Output = ()>,
    ) -> Result<Response<Received>, ProxyError> {
        let _probe = match self.breaker.admit(self.clock.now()) {
            Verdict::Go => None,
            Verdict::Probe(probe) => Some(probe),
            Verdict::Refuse { retry_after } => {
                self.metrics.shield_rejection(RejectionReason::Breaker);
                return Err(ErrorKind::Unreachable.error().retry_after(retry_after));
            }
        };
        let mut span = self.trace_call(&mut request, purpose);
        let mut call =
            Call { upstream: self, purpose, sent: self.clock.now(), status: UpstreamStatus::Error };
        let connection = capture_connection(&mut request);
        let method = request.method().clone();
        let interim = Interim::of(&mut request);
        let outcome = tokio::select! {
            biased;
            answer = client.0.request(request) => answer.map_err(describe).and_then(|answer| {
                let mut answer = Received::answer(answer, &method);
                // Before the answer is let go: what is left of it would be read, and the connection used again.
                interim.check().and_then(|()| check_head(&answer)).inspect_err(|_| poison(&connection))?;
                answer.extensions_mut().insert(connection.clone());
                Ok(answer)
            }),
            () = interim.too_many() => {
                poison(&connection);
                Err(Interim::refusal())
            }
            () = give_up => {
                // Whether the answer still comes is unknown: nobody else's may be taken for it.
                poison(&connection);
                Err(ErrorKind::UpstreamTimeout.error())
            }
        };
        call.status = match &outcome {
            Ok(answer) => UpstreamStatus::of(answer.status()),
            Err(error) => status_of(error.kind()),
        };
        self.judge(purpose, &outcome, &connection);
        match (&mut span, &outcome) {
            (Some(span), Ok(answer)) => span.answered(answer.status().as_u16()),
            (Some(span), Err(error)) => span.failed(error.kind().as_str()),
            (None, _) => {}
        }
        outcome
    }

    /// The span of a call, if its request says what it is a part of: the upstream is told of it.
    fn trace_call(&self, request: &mut Request<Body>, purpose: Purpose) -> Option<Span> {
        let tracing = self.tracing.as_ref()?;
        let parent = request.extensions_mut().remove::<Context>()?;
        let span = tracing.call(purpose.as_str(), request.method(), &parent);
        span.context().present(request.headers_mut());
        Some(span)
    }
}

fn lock<T>(value: &Mutex<T>) -> MutexGuard<'_, T> {
    value.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A call under way; counted when it is dropped, for a client may leave before the head of its answer.
struct Call<'a> {
    upstream: &'a Upstream,
    purpose: Purpose,
    sent: Moment,
    status: UpstreamStatus,
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        let Self { upstream, purpose, sent, status } = self;
        upstream.metrics.upstream(*purpose, *status, upstream.clock.now().since(*sent));
    }
}

fn status_of(kind: ErrorKind) -> UpstreamStatus {
    match kind {
        ErrorKind::ConnectTimeout | ErrorKind::UpstreamTimeout => UpstreamStatus::Timeout,
        _ => UpstreamStatus::Error,
    }
}

/// Whether a request that failed so cannot have reached the upstream.
#[must_use]
pub const fn was_never_sent(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::ConnectFailed
            | ErrorKind::ConnectTimeout
            | ErrorKind::TlsFailed
            | ErrorKind::Unreachable
            | ErrorKind::NoConnection
    )
}

/// Keeps the connection on which an answer with these extensions came from being used again: what came may have been the
/// answer to another request, and what comes next would be, too.
pub fn distrust_connection(extensions: &Extensions) {
    if let Some(connection) = extensions.get::<CaptureConnection>() {
        poison(connection);
    }
}

/// Keeps a connection from being used again.
fn poison(connection: &CaptureConnection) {
    if let Some(connected) = connection.connection_metadata().as_ref() {
        connected.poison();
    }
}

fn check_head(answer: &Response<Received>) -> Result<(), ProxyError> {
    if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
        return Err(ErrorKind::UnaskedUpgrade.error());
    }
    if gate::has_ambiguous_framing(answer.headers()) {
        let cause = match answer.headers().contains_key(TRANSFER_ENCODING) {
            true => "a Transfer-Encoding that is not one chunked alone",
            false => "more than one Content-Length",
        };
        return Err(ErrorKind::BadUpstreamAnswer.error().because(cause));
    }
    Ok(())
}

fn describe(error: ClientError) -> ProxyError {
    let kind = if error.is_connect() {
        if has_cause::<ConnectTimedOut>(&error) {
            ErrorKind::ConnectTimeout
        } else if has_cause::<rustls::Error>(&error) {
            ErrorKind::TlsFailed
        } else {
            ErrorKind::ConnectFailed
        }
    } else {
        ErrorKind::BadUpstreamAnswer
    };
    kind.error().because(error)
}

fn has_cause<E: Error + 'static>(error: &(dyn Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        // An io::Error hides what it carries from `source`.
        let carried = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        if error.is::<E>() || carried.is_some_and(|inner| has_cause::<E>(inner)) {
            return true;
        }
        cause = error.source();
    }
    false
}
