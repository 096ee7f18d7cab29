//! One connection: TLS, protocol, requests, end. The limits of hyper are set here and nowhere else.
//!
//! Promises that a connection ends when its [`Progress`] says so, whatever state it is in. What a request is answered
//! with is left to a [`Handler`].

use std::convert::Infallible;
use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use http::request::Parts;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body::Body as _;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tracing::debug;

use super::counted::Counted;
use super::io::{Protocol, Socket, Watched};
use super::progress::Progress;
use crate::body::Body;
use crate::clock::Clock;
use crate::guard::Fragment;
use crate::peer::Peer;
use crate::received::Received;

/// Answers the requests of a thread's connections. A clone is made for each request.
pub(super) trait Handler: Clone + 'static {
    /// Answers one request; never fails: a failure is an answer.
    fn answer(
        &self,
        head: Parts,
        body: Received,
        peer: Peer,
    ) -> impl Future<Output = Response<Body>> + 'static;

    /// Notes a request that could not be read, and that the HTTP library has answered with a bare status.
    fn note_unreadable(&self, _peer: &Peer, _status: StatusCode, _fault: &hyper::Error) {}
}

/// What hyper answers to a head with this fault, if anything.
fn status_of(fault: &hyper::Error) -> Option<StatusCode> {
    let answered = fault.is_parse() && !fault.is_parse_version_h2();
    answered.then_some(if fault.is_parse_too_large() {
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE
    } else {
        StatusCode::BAD_REQUEST
    })
}

/// What the connections of a thread have in common.
pub(super) struct Context<H> {
    pub(super) handler: H,
    pub(super) tls: Option<TlsAcceptor>,
    pub(super) clock: Clock,
}

/// Serves one connection until its client or its [`Progress`] ends it.
pub(super) async fn serve<H: Handler>(
    stream: TcpStream,
    peer: Peer,
    progress: Rc<Progress>,
    context: Rc<Context<H>>,
) {
    let served = async {
        match &context.tls {
            None => {
                serve_bytes(
                    Watched::new(stream, peer.clone(), Rc::clone(&progress)),
                    None,
                    &peer,
                    &progress,
                    &context,
                )
                .await
            }
            // In a box, as HTTP/2 is below: a handshake's room would be kept by every connection to its end.
            Some(tls) => Box::pin(serve_tls(stream, tls, &peer, &progress, &context)).await,
        }
    };
    tokio::select! {
        biased;
        () = progress.cut() => debug!(peer = peer.as_str(), "connection cut"),
        ended = served => if let Err(error) = ended {
            let fault = error.downcast_ref::<hyper::Error>();
            if let Some((fault, status)) = fault.and_then(|fault| Some((fault, status_of(fault)?))) {
                context.handler.note_unreadable(&peer, status, fault);
            }
            debug!(peer = peer.as_str(), error, "connection failed");
        },
    }
}

async fn serve_tls<H: Handler>(
    stream: TcpStream,
    tls: &TlsAcceptor,
    peer: &Peer,
    progress: &Rc<Progress>,
    context: &Rc<Context<H>>,
) -> Result<(), Failure> {
    let stream = Box::pin(tls.accept(stream)).await?;
    let agreed = match stream.get_ref().1.alpn_protocol() {
        Some(b"h2") => Some(Protocol::Http2),
        Some(_) => Some(Protocol::Http1),
        None => None,
    };
    serve_bytes(Watched::new(stream, peer.clone(), Rc::clone(progress)), agreed, peer, progress, context)
        .await
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

async fn serve_bytes<I, H>(
    mut bytes: Watched<I>,
    agreed: Option<Protocol>,
    peer: &Peer,
    progress: &Rc<Progress>,
    context: &Rc<Context<H>>,
) -> Result<(), Failure>
where
    I: Socket + Unpin + 'static,
    H: Handler,
{
    let protocol = match agreed {
        Some(protocol) => protocol,
        None => match bytes.protocol().await? {
            Some(protocol) => protocol,
            None => return Ok(()),
        },
    };
    let service = service_fn(|request: Request<Incoming>| {
        let (mut head, body) = request.into_parts();
        let mut body = Received::request(body, head.version, &head.headers);
        let under_way = progress.begin();
        let mut is_long = false;
        if protocol == Protocol::Http1 {
            let unread = (!body.is_end_stream()).then(|| body.unread());
            is_long = unread.is_some() && body.size_hint().upper().is_none_or(|most| most > SHORT_BODY_BYTES);
            progress.note_request(head.version, unread);
        }
        if progress.take_fragment() {
            head.extensions.insert(Fragment);
        }
        let (handler, peer) = (context.handler.clone(), peer.clone());
        // Its future is made inside: one that came from outside would be kept twice by every idle connection.
        async move {
            let mut response = handler.answer(head, body, peer).await;
            under_way.note_answered(response.body());
            // A client that is not told sends its next request on a connection that ends under it.
            let ends = under_way.is_last() || (is_long && under_way.leaves_unread());
            if ends && protocol == Protocol::Http1 {
                response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            Ok::<_, Infallible>(response.map(|body| Counted::new(body, under_way)))
        }
    });
    let bytes = TokioIo::new(bytes);
    match protocol {
        Protocol::Http1 => {
            let mut connection = pin!(http1_builder(&context.clock).serve_connection(bytes, service));
            tokio::select! {
                biased;
                ended = connection.as_mut() => return Ok(ended?),
                () = progress.ending() => connection.as_mut().graceful_shutdown(),
            }
            Ok(connection.await?)
        }
        Protocol::Http2 => {
            progress.note_multiplexed();
            let mut connection = Box::pin(http2_builder(&context.clock).serve_connection(bytes, service));
            tokio::select! {
                biased;
                ended = connection.as_mut() => return Ok(ended?),
                () = progress.ending() => connection.as_mut().graceful_shutdown(),
            }
            Ok(connection.await?)
        }
    }
}

const KIB: usize = 1024;

/// A head over this is answered 431.
const MAX_HEAD_BYTES: usize = 32 * KIB;

/// Bytes that a connection may hold unread, and again unsent.
const MAX_BUFFER_BYTES: usize = 64 * KIB;

/// What is left unread of a body up to this, hyper mostly has already, and goes on; of a longer one it ends the connection.
const SHORT_BODY_BYTES: u64 = 8 * KIB as u64;

/// No limit on the number of fields is set: hyper's own is the contract's 100, and setting any costs an allocation for
/// each request.
fn http1_builder(clock: &Clock) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .timer(clock.clone())
        .header_read_timeout(None)
        .max_header_size(MAX_HEAD_BYTES)
        .max_buf_size(MAX_BUFFER_BYTES)
        // Who sends no more may wait for its answer; who has really left is found out by `Watched`.
        .half_close(true)
        .pipeline_flush(false)
        .auto_date_header(true);
    builder
}

const MAX_STREAMS: u32 = 256;
const STREAM_WINDOW_BYTES: u32 = 64 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = 1024 * 1024;
const PING_INTERVAL: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(15);

/// Streams that a client reset before they were looked at, and streams that its faults made us reset: with more, the
/// client is an attacker and the connection ends with GOAWAY (rapid reset, `MadeYouReset`).
const MAX_RESET_STREAMS: usize = 20;
const MAX_FAULTY_STREAMS: usize = 128;

fn http2_builder(clock: &Clock) -> http2::Builder<LocalExecutor> {
    let mut builder = http2::Builder::new(LocalExecutor);
    builder
        .timer(clock.clone())
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(u32::try_from(MAX_HEAD_BYTES).expect("32 KiB fit"))
        .adaptive_window(false)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_send_buf_size(MAX_BUFFER_BYTES)
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT)
        .max_pending_accept_reset_streams(MAX_RESET_STREAMS)
        .max_local_error_reset_streams(MAX_FAULTY_STREAMS)
        .auto_date_header(true);
    builder
}

/// Runs an HTTP/2 stream on the thread of its connection.
#[derive(Clone, Copy, Debug)]
struct LocalExecutor;

impl<F> hyper::rt::Executor<F> for LocalExecutor
where
    F: Future + 'static,
    F::Output: 'static,
{
    fn execute(&self, stream: F) {
        tokio::task::spawn_local(stream);
    }
}
