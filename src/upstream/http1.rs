//! An HTTP/1.1 connection to the upstream: one call at a time, for one owner, and what is left behind an answer is seen.
//!
//! A pool of ours on hyper's connections, and not the pooled client of hyper-util: that one shares connections between
//! callers, opens them before or after it is asked to, and does not tell whether a failed request was written.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::header::{HOST, HeaderValue};
use http::{Request, Response, Uri};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt;
use tokio::sync::oneshot;

use super::failure::{Failure, Progress};
use super::interim::Interim;
use super::outgoing::{Outgoing, Sending};
use super::stream::{Link, Metered, Stream};
use crate::clock::{Clock, Moment};
use crate::error::{ErrorKind, ProxyError};
use crate::held::UPSTREAM_BUFFER;
use crate::race::{First, race};

/// A head over this ends the connection, and no more than this is read ahead of a reader.
pub(super) const MAX_HEAD_BYTES: usize = UPSTREAM_BUFFER;
/// Fields of an answer.
const MAX_FIELDS: usize = 256;
/// How long the end of TLS may take to be told to a peer that does not read.
pub(super) const FAREWELL: Duration = Duration::from_secs(1);

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Nothing was left.
    Clean,
    /// Bytes had come behind the last answer.
    Excess,
}

/// An open connection with no call under way, or with one.
#[derive(Debug)]
pub(super) struct Http1 {
    sender: http1::SendRequest<Sending>,
    ended: oneshot::Receiver<End>,
    /// With it goes the task that moves the bytes: the rest of a request whose answer came early would keep that up.
    _held: oneshot::Sender<()>,
    pub(super) link: Arc<Link>,
    /// When it is too old for another call: an upstream that moved is followed.
    pub(super) expires: Moment,
    /// Whether a call was answered on it before.
    pub(super) reused: bool,
}

impl Http1 {
    /// Speaks HTTP/1.1 on `stream`. Its bytes are moved by a task on the runtime of who calls this.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::ConnectFailed`] if hyper will not begin.
    pub(super) async fn begin(
        stream: Stream,
        link: Arc<Link>,
        expires: Moment,
        clock: Clock,
    ) -> Result<Self, ProxyError> {
        let mut builder = http1::Builder::new();
        builder
            .max_headers(MAX_FIELDS)
            .max_header_size(MAX_HEAD_BYTES)
            .max_buf_size(MAX_HEAD_BYTES)
            // RFC 9112 §5.1: white space before the colon of an answer's field is removed.
            .allow_spaces_after_header_name_in_responses(true);
        let io = TokioIo::new(Metered::new(stream, Arc::clone(&link)));
        let (sender, connection) =
            builder.handshake(io).await.map_err(|cause| ErrorKind::ConnectFailed.error().because(cause))?;
        let (ending, ended) = oneshot::channel();
        let (held, released) = oneshot::channel();
        tokio::spawn(drive(connection, ending, released, clock));
        Ok(Self { sender, ended, _held: held, link, expires, reused: false })
    }

    /// Whether a call may be put on it.
    pub(super) fn is_ready(&self, now: Moment) -> bool {
        self.sender.is_ready() && !self.link.is_retired() && !now.reached(self.expires)
    }

    /// Whether it has come to its end.
    pub(super) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// Writes a request and waits for the head of its answer.
    pub(super) async fn send(
        &mut self,
        outgoing: Box<Outgoing>,
        host: &HeaderValue,
    ) -> Result<Response<Incoming>, Failure> {
        let (method, before) = (outgoing.method.clone(), self.link.moved());
        let (request, interim) = self.request(outgoing, host);
        let error = match race(pin!(self.sender.try_send_request(request)), pin!(interim.too_many())).await {
            First::One(Ok(answer)) => {
                interim.check()?;
                return Ok(answer);
            }
            First::One(Err(error)) => error.into_error(),
            First::Other(()) => return Err(Interim::refusal().into()),
        };
        let moved = self.link.moved();
        let progress = if moved.written == before.written {
            Progress::Unwritten
        } else if self.reused && moved.read == before.read {
            Progress::Unanswered
        } else {
            Progress::Written
        };
        Err(Failure::on_http1(error, progress, &method))
    }

    fn request(&self, outgoing: Box<Outgoing>, host: &HeaderValue) -> (Request<Sending>, Interim) {
        let Outgoing { method, path, mut fields, body, .. } = *outgoing;
        let mut request = Request::new(Sending::new(body, Arc::clone(&self.link)));
        *request.method_mut() = method;
        *request.uri_mut() = Uri::from(path);
        fields.insert(HOST, host.clone());
        *request.headers_mut() = fields;
        let interim = Interim::of(&mut request);
        (request, interim)
    }

    /// Whether nothing but the end is left of the call under way, and nothing came behind it.
    pub(super) fn poll_clean(&mut self, cx: &mut Context<'_>) -> Poll<Option<End>> {
        if !self.link.request_has_ended() {
            // An early answer: the rest of the request is not waited for, and the connection not used again.
            return Poll::Ready(Some(End::Clean));
        }
        match self.sender.poll_ready(cx) {
            Poll::Ready(Ok(())) => Poll::Ready(None),
            // Its task is about to say how it ended.
            Poll::Ready(Err(_)) | Poll::Pending => {
                Pin::new(&mut self.ended).poll(cx).map(|end| Some(end.unwrap_or(End::Clean)))
            }
        }
    }
}

/// Moves the bytes of a connection until it ends or is let go, and says what was left of them.
async fn drive(
    mut connection: http1::Connection<TokioIo<Metered>, Sending>,
    ending: oneshot::Sender<End>,
    released: oneshot::Receiver<()>,
    clock: Clock,
) {
    let ended = tokio::select! {
        biased;
        ended = std::future::poll_fn(|cx| connection.poll_without_shutdown(cx)) => ended,
        _ = released => Ok(()),
    };
    if let Err(error) = &ended {
        tracing::debug!(error = error as &dyn std::error::Error, "upstream connection failed");
    }
    let parts = connection.into_parts();
    let _ = ending.send(if parts.read_buf.is_empty() { End::Clean } else { End::Excess });
    let mut io = parts.io.into_inner();
    let _ = clock.deadline(clock.now().plus(FAREWELL), io.shutdown()).await;
}
