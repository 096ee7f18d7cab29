//! One connection: TLS, the fast path, protocol, requests, end. The limits of hyper are set here and nowhere else.
//!
//! Promises that a connection ends when its [`Progress`] says so, whatever state it is in. What a request is answered
//! with is left to a [`Handler`].

use std::cell::Cell;
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body::Body as _;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tracing::debug;

use super::client_verifier;
use super::counted::Counted;
use super::fast_path::{self, Left};
use super::handler::Handler;
use super::io::{Protocol, Socket, Watched};
use super::progress::{Progress, Share};
use crate::clock::Clock;
use crate::guard::Fragment;
use crate::peer::Peer;
use crate::proxy::{Client, Recent};
use crate::received::Received;

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
    /// Streams of one HTTP/2 connection that may be open at a time.
    pub(super) max_streams: u32,
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
    let stream = match Box::pin(tls.accept(stream)).await {
        Ok(stream) => stream,
        Err(error) => {
            if let Some((reason, cause)) = client_verifier::refusal(&error) {
                context.handler.note_refused_client(peer, reason, &cause);
            }
            return Err(error.into());
        }
    };
    let leaf = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
    if let Some(name) = leaf.and_then(client_verifier::name_in) {
        peer.note_certificate(&name);
    }
    let agreed = match stream.get_ref().1.alpn_protocol() {
        Some(b"h2") => Some(Protocol::Http2),
        Some(_) => Some(Protocol::Http1),
        None => None,
    };
    serve_bytes(Watched::new(stream, peer.clone(), Rc::clone(progress)), agreed, peer, progress, context)
        .await
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Serves the bytes of a connection until its client ends it.
pub(super) async fn serve_bytes<I, H>(
    mut bytes: Watched<I>,
    mut agreed: Option<Protocol>,
    peer: &Peer,
    progress: &Rc<Progress>,
    context: &Rc<Context<H>>,
) -> Result<(), Failure>
where
    I: Socket + Unpin + 'static,
    H: Handler,
{
    let (mut stay, mut recent) = (Stay::default(), Recent::default());
    while agreed != Some(Protocol::Http2) {
        let client = Client { peer, recent: &mut recent };
        let left = fast_path::serve(&mut bytes, client, progress, &context.handler).await?;
        let Left::HandOver { answered } = left else { return Ok(bytes.shutdown().await?) };
        if answered > 0 {
            agreed = Some(Protocol::Http1);
        }
        stay.note_left(answered);
        if agreed.is_none() {
            agreed = bytes.protocol().await?;
        }
        match agreed {
            None => return Ok(()),
            Some(Protocol::Http2) => {}
            // In a box: who only reads from memory needs none of its room.
            Some(Protocol::Http1) => match Box::pin(serve_http1(bytes, peer, progress, context, stay)).await?
            {
                None => return Ok(()),
                Some(back) => bytes = back,
            },
        }
    }
    Box::pin(serve_http2(bytes, peer, progress, context)).await
}

/// How many requests in a row the HTTP library answers on a connection before it gives it back. It is made anew each time that
/// the fast path has a request that it does not answer: who sends nothing else shall not pay for that each time.
#[derive(Clone, Copy, Debug, Default)]
struct Stay(u32);

const LONGEST_STAY: u32 = 64;

impl Stay {
    /// Notes that the fast path has met a request that it does not answer, after it has answered so many.
    fn note_left(&mut self, answered: u32) {
        self.0 = if answered > 0 { 1 } else { (2 * self.0).clamp(1, LONGEST_STAY) };
    }
}

/// What a connection of the HTTP library came to.
enum Turn {
    Ended(hyper::Result<()>),
    Ending,
    AtRest,
}

/// Has the HTTP library serve a connection; gives it back once the library is at rest between two requests.
async fn serve_http1<I, H>(
    bytes: Watched<I>,
    peer: &Peer,
    progress: &Rc<Progress>,
    context: &Rc<Context<H>>,
    stay: Stay,
) -> Result<Option<Watched<I>>, Failure>
where
    I: Socket + Unpin + 'static,
    H: Handler,
{
    let (answered, asks_to_switch) = (Cell::new(0), Cell::new(false));
    let service = service_fn(|request: Request<Incoming>| {
        answered.set(answered.get() + 1);
        asks_to_switch.set(asks_to_switch.get() || request.extensions().get::<OnUpgrade>().is_some());
        answer(request, Protocol::Http1, peer.clone(), progress, &context.handler)
    });
    let mut connection = http1_builder(&context.clock).serve_connection(TokioIo::new(bytes), service);
    let turn = poll_fn(|cx| {
        if let Poll::Ready(ended) = Pin::new(&mut connection).poll(cx) {
            return Poll::Ready(Turn::Ended(ended));
        }
        if progress.poll_ending(cx).is_ready() {
            return Poll::Ready(Turn::Ending);
        }
        let share = if answered.get() >= stay.0 { Share::Had } else { Share::Due };
        progress.poll_rest(cx, share).map(|()| Turn::AtRest)
    });
    let ended = match turn.await {
        Turn::Ended(ended) => Some(ended),
        Turn::Ending => {
            Pin::new(&mut connection).graceful_shutdown();
            Some((&mut connection).await)
        }
        Turn::AtRest => None,
    };
    if let Some(ended) = ended {
        ended?;
        // Behind a request to switch protocols, which nobody here does, the library leaves the connection for somebody else to go on
        // with, and does not close it. Asked once more, it does.
        if asks_to_switch.get() {
            connection.await?;
        }
        return Ok(None);
    }
    // At rest the library ends at once, sends nothing, and has all bytes that it was given and has not read yet.
    Pin::new(&mut connection).graceful_shutdown();
    let mut ended = pin!(connection.without_shutdown());
    let at_once = poll_fn(|cx| Poll::Ready(ended.as_mut().poll(cx))).await;
    let is_at_rest = at_once.is_ready();
    let parts = match at_once {
        Poll::Ready(parts) => parts?,
        // It was not: then its next answer says that it is the last.
        Poll::Pending => ended.await?,
    };
    let mut bytes = parts.io.into_inner();
    if is_at_rest {
        bytes.put_back(&parts.read_buf);
        return Ok(Some(bytes));
    }
    bytes.shutdown().await?;
    Ok(None)
}

async fn serve_http2<I, H>(
    bytes: Watched<I>,
    peer: &Peer,
    progress: &Rc<Progress>,
    context: &Rc<Context<H>>,
) -> Result<(), Failure>
where
    I: Socket + Unpin + 'static,
    H: Handler,
{
    progress.note_multiplexed();
    let service = service_fn(|request: Request<Incoming>| {
        answer(request, Protocol::Http2, peer.clone(), progress, &context.handler)
    });
    let mut connection =
        pin!(http2_builder(context, progress).serve_connection(TokioIo::new(bytes), service));
    tokio::select! {
        biased;
        ended = connection.as_mut() => return Ok(ended?),
        () = progress.ending() => connection.as_mut().graceful_shutdown(),
    }
    Ok(connection.await?)
}

/// Answers one request of the HTTP library's.
fn answer<H: Handler>(
    request: Request<Incoming>,
    protocol: Protocol,
    peer: Peer,
    progress: &Rc<Progress>,
    handler: &H,
) -> impl Future<Output = Result<Response<Counted>, Infallible>> + use<H> {
    let (mut head, body) = request.into_parts();
    let mut body = Received::request(body, head.version, &head.headers);
    let under_way = progress.begin();
    let mut unread = None;
    if protocol == Protocol::Http1 {
        unread = (!body.is_end_stream()).then(|| body.unread_on_http1(&head.headers));
        progress.note_request(head.version, unread.clone());
    } else if !body.is_end_stream() {
        under_way.note_body(|| body.unread());
    }
    if progress.take_fragment() {
        head.extensions.insert(Fragment);
    }
    let handler = handler.clone();
    // Its future is made inside: one that came from outside would be kept twice by every connection.
    async move {
        let mut response = handler.answer(head, body, peer).await;
        // Before it counts as answered: the client is slow to send, and not to read.
        let leaves_unread = match &unread {
            Some(unread) => under_way.leaves(unread).await,
            None => false,
        };
        under_way.note_answered(response.body());
        // A client that is not told sends its next request on a connection that ends under it.
        let ends = leaves_unread || under_way.is_last();
        if ends && protocol == Protocol::Http1 {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        Ok(response.map(|body| Counted::new(body, under_way)))
    }
}

const KIB: usize = 1024;

/// A head over this is answered 431.
const MAX_HEAD_BYTES: usize = 32 * KIB;

/// Bytes that a connection may hold unread, and again unsent.
const MAX_BUFFER_BYTES: usize = 64 * KIB;

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

/// Streams that a connection of the data port may have open: an ingress or a sidecar is one for everybody behind it.
pub(super) const MAX_STREAMS: u32 = 256;
const STREAM_WINDOW_BYTES: u32 = 64 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = 1024 * 1024;
const PING_INTERVAL: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(15);

/// Streams that a client reset before they were looked at, and streams that its faults made us reset: with more, the
/// client is an attacker and the connection ends with GOAWAY (rapid reset, `MadeYouReset`).
const MAX_RESET_STREAMS: usize = 20;
const MAX_FAULTY_STREAMS: usize = 128;

fn http2_builder<H>(context: &Context<H>, progress: &Rc<Progress>) -> http2::Builder<LocalExecutor> {
    let clock = &context.clock;
    let executor = LocalExecutor { clock: clock.clone(), progress: Rc::clone(progress) };
    let mut builder = http2::Builder::new(executor);
    builder
        .timer(clock.clone())
        .max_concurrent_streams(context.max_streams)
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

/// Runs an HTTP/2 stream on the thread of its connection, whose [`Progress`] may end it.
#[derive(Clone, Debug)]
struct LocalExecutor {
    clock: Clock,
    progress: Rc<Progress>,
}

impl<F> hyper::rt::Executor<F> for LocalExecutor
where
    F: Future + 'static,
    F::Output: 'static,
{
    fn execute(&self, stream: F) {
        let task = tokio::task::spawn_local(self.clock.by_polls(stream));
        self.progress.streams().note_task(task.abort_handle());
    }
}
