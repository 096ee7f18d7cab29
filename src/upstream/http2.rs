//! The HTTP/2 connection that label calls share, and the one attempt at a time to open it.
//!
//! Whoever finds no connection waits for the attempt that is under way, each until its own deadline: a pool that lets every
//! waiting call connect opens forty TLS connections to use one of them. Where the upstream agrees on HTTP/1.1 instead, who
//! began the attempt has the connection, and the others open their own.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use http::header::HOST;
use http::uri::{Authority, Scheme};
use http::{Request, Response, Uri};
use hyper::body::Incoming;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::sync::watch;

use super::failure::{Failure, Progress, RequestFate, of_h2};
use super::http1::MAX_HEAD_BYTES;
use super::outgoing::Outgoing;
use super::stream::{Link, Metered, Stream};
use crate::body::Body;
use crate::clock::{Clock, Moment};
use crate::error::{ErrorKind, ProxyError};
use crate::held::UPSTREAM_WINDOW;
use crate::lock::Mutex;

/// Between two PINGs, while an answer is awaited: with what follows, a silent connection is found out in four seconds.
const PING_EVERY: Duration = Duration::from_secs(2);
/// Within this a PING is answered.
const PING_ANSWERED: Duration = Duration::from_secs(2);
/// PINGs come at half the pace, again and again down to once a minute, where the upstream asks for calm.
const CALMEST: u32 = 5;

/// How much of one answer the upstream may send ahead of its reader: enough for any label.
const STREAM_WINDOW: u32 = UPSTREAM_WINDOW;
/// The same of all answers on a connection. Answers too large to keep are streamed to readers that may stall: so many must
/// stall at once before they hold up the labels of others.
const CONNECTION_WINDOW: u32 = 256 * STREAM_WINDOW;

/// An open connection; clones share it.
#[derive(Clone, Debug)]
pub(super) struct Http2 {
    sender: http2::SendRequest<Body>,
    pub(super) link: Arc<Link>,
    expires: Moment,
    /// Whether a call was answered on it before.
    served: Arc<AtomicBool>,
    calm: Arc<Asked>,
}

impl Http2 {
    /// Speaks HTTP/2 on `stream`. Its bytes are moved by a task on the runtime of who calls this.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::ConnectFailed`] if hyper will not begin.
    async fn begin(
        stream: Stream,
        link: Arc<Link>,
        expires: Moment,
        calm: &Arc<Calm>,
        clock: &Clock,
    ) -> Result<Self, ProxyError> {
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder
            .timer(clock.clone())
            .keep_alive_interval(calm.ping_every())
            .keep_alive_timeout(PING_ANSWERED)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_header_list_size(u32::try_from(MAX_HEAD_BYTES).expect("64 KiB fit"));
        let io = TokioIo::new(Metered::new(stream, Arc::clone(&link)));
        let (sender, connection) =
            builder.handshake(io).await.map_err(|cause| ErrorKind::ConnectFailed.error().because(cause))?;
        let calm = Arc::new(Asked { calm: Arc::clone(calm), noted: AtomicBool::new(false) });
        let driven = Arc::clone(&calm);
        tokio::spawn(async move {
            let Err(error) = connection.await else { return };
            driven.note(&error);
            tracing::debug!(error = &error as &dyn std::error::Error, "upstream connection failed");
        });
        Ok(Self { sender, link, expires, served: Arc::default(), calm })
    }

    /// Whether a call may be put on it.
    pub(super) fn is_ready(&self) -> bool {
        self.sender.is_ready() && !self.link.is_retired()
    }

    /// Writes a request and waits for the head of its answer.
    pub(super) async fn send(
        &mut self,
        outgoing: Box<Outgoing>,
        scheme: &Scheme,
        authority: &Authority,
    ) -> Result<Response<Incoming>, Failure> {
        let Outgoing { method, path, mut fields, body, .. } = *outgoing;
        // `:authority` alone says where to: a Host beside it is refused by servers that take the two for two (RFC 9113 §8.3.1).
        let uri = Uri::builder().scheme(scheme.clone()).authority(authority.clone()).path_and_query(path);
        let uri = uri.build().map_err(|cause| ErrorKind::BadTarget.error().because(cause))?;
        let mut request = Request::new(body);
        *request.method_mut() = method.clone();
        *request.uri_mut() = uri;
        fields.remove(HOST);
        *request.headers_mut() = fields;
        let (before, served) = (self.link.moved(), self.served.load(Ordering::Acquire));
        let mut error = match self.sender.try_send_request(request).await {
            Ok(answer) => {
                self.served.store(true, Ordering::Release);
                return Ok(answer);
            }
            Err(error) => error,
        };
        let kept = error.take_message().is_some();
        let error = error.into_error();
        // The connection is, and not this stream alone: then nothing of what others wait for is cut off.
        let ends_all = |cause: &h2::Error| cause.is_io() || (cause.is_go_away() && !cause.is_remote());
        let is_over = of_h2(&error).is_none_or(ends_all);
        let unwritten = kept || (is_over && self.link.cut_unless_written(before.written));
        self.calm.note(&error);
        let progress = match served {
            _ if unwritten => Progress::Unwritten,
            true => Progress::Unanswered,
            false => Progress::Written,
        };
        let failure = Failure::on_http2(error, progress, &method);
        if failure.fate == RequestFate::Unprocessed {
            // It goes away, or is too busy: the next call would only meet the same.
            self.link.retire();
        }
        Err(failure)
    }
}

/// How often the upstream asked for calm.
#[derive(Debug, Default)]
pub(super) struct Calm(AtomicU32);

impl Calm {
    fn ping_every(&self) -> Duration {
        PING_EVERY * 2_u32.pow(self.0.load(Ordering::Relaxed).min(CALMEST))
    }
}

/// Whether it did on one connection: every call that fails with the connection brings the same news.
#[derive(Debug)]
struct Asked {
    calm: Arc<Calm>,
    noted: AtomicBool,
}

impl Asked {
    /// Looks whether a failure asks for calm.
    fn note(&self, error: &hyper::Error) {
        let is_asked =
            |cause: &h2::Error| cause.is_remote() && cause.reason() == Some(h2::Reason::ENHANCE_YOUR_CALM);
        if of_h2(error).is_some_and(is_asked) && !self.noted.swap(true, Ordering::Relaxed) {
            self.calm.0.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// What an attempt to connect came to, for those who did not begin it.
#[derive(Clone, Debug)]
enum Told {
    Nothing,
    /// There is a connection to share.
    Open(Http2),
    /// The upstream speaks HTTP/1.1: each opens its own.
    Http1,
    /// It failed, and with what.
    Failed(ErrorKind, Arc<str>),
}

/// The connection that is shared, or the attempt at one.
#[derive(Debug, Default)]
pub(super) struct Shared {
    state: Mutex<State>,
    calm: Arc<Calm>,
}

#[derive(Debug, Default)]
struct State {
    open: Option<Http2>,
    /// The attempt under way, and when it began.
    attempt: Option<(watch::Receiver<Told>, Moment)>,
    /// What was agreed on last is HTTP/1.1.
    http1: bool,
}

/// What a call is to do for a connection.
pub(super) enum Course {
    /// Use this one.
    Open(Http2),
    /// Open an HTTP/1.1 connection of its own; it may turn out to speak HTTP/2.
    Http1,
    /// Open it for everybody, and tell them.
    Begin(Attempt),
    /// Wait for the attempt of somebody else.
    Wait(Waiting),
}

/// The one attempt under way. Dropped, it has failed and the next call begins another.
pub(super) struct Attempt {
    shared: Arc<Shared>,
    tell: watch::Sender<Told>,
}

/// A wait for somebody else's attempt.
pub(super) struct Waiting {
    told: watch::Receiver<Told>,
    /// When the attempt began.
    pub(super) begun: Moment,
}

impl Shared {
    /// What a call is to do that comes now.
    pub(super) fn course(self: &Arc<Self>, now: Moment) -> Course {
        let mut state = self.state.lock();
        state.open.take_if(|open| !open.is_ready());
        let attempt =
            state.attempt.as_ref().map(|(told, begun)| Waiting { told: told.clone(), begun: *begun });
        match (&state.open, attempt) {
            // An old one goes on being used while its successor is opened.
            (Some(open), attempt) if !now.reached(open.expires) || attempt.is_some() => {
                Course::Open(open.clone())
            }
            (None, Some(waiting)) => Course::Wait(waiting),
            (None, None) if state.http1 => Course::Http1,
            (_, _) => {
                let (tell, told) = watch::channel(Told::Nothing);
                state.attempt = Some((told, now));
                Course::Begin(Attempt { shared: Arc::clone(self), tell })
            }
        }
    }

    /// The connection that is open, whatever its age.
    pub(super) fn open(&self) -> Option<Http2> {
        let mut state = self.state.lock();
        state.open.take_if(|open| !open.is_ready());
        state.open.clone()
    }

    /// Speaks HTTP/2 on a stream on which that was agreed.
    ///
    /// # Errors
    ///
    /// As [`Http2::begin`].
    pub(super) async fn share(
        &self,
        stream: Stream,
        link: Arc<Link>,
        expires: Moment,
        clock: &Clock,
    ) -> Result<Http2, ProxyError> {
        let open = Http2::begin(stream, link, expires, &self.calm, clock).await?;
        let mut state = self.state.lock();
        (state.open, state.http1) = (Some(open.clone()), false);
        Ok(open)
    }
}

impl Attempt {
    /// There is a connection, which was [shared](Shared::share).
    pub(super) fn opened(self, open: Http2) {
        self.tell.send_replace(Told::Open(open));
    }

    /// The upstream agreed on HTTP/1.1.
    pub(super) fn agreed_on_http1(self, now: Moment) {
        let mut state = self.shared.state.lock();
        // It has no successor to wait for any more.
        state.open.take_if(|open| now.reached(open.expires));
        state.http1 = true;
        drop(state);
        self.tell.send_replace(Told::Http1);
    }

    /// It failed so.
    pub(super) fn failed(self, error: &ProxyError) {
        let cause = error.causes().unwrap_or_default();
        self.tell.send_replace(Told::Failed(error.kind(), cause.into()));
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        self.shared.state.lock().attempt = None;
    }
}

impl Waiting {
    /// What the attempt came to: `None` where another course must be taken.
    ///
    /// # Errors
    ///
    /// As the attempt failed.
    pub(super) async fn told(mut self) -> Result<Option<Http2>, ProxyError> {
        match self.told.wait_for(|told| !matches!(told, Told::Nothing)).await.as_deref() {
            Ok(Told::Open(open)) => Ok(Some(open.clone())),
            Ok(Told::Failed(kind, cause)) => Err(kind.error().because(cause.to_string())),
            // Whoever began it has left.
            Ok(Told::Http1 | Told::Nothing) | Err(_) => Ok(None),
        }
    }
}
