//! The listener: accepts, tells HTTP/2 from HTTP/1.1, and serves each connection in a task of its own.
//!
//! It keeps no time-outs but for who has its answer and goes on sending: what is in front is to show its own, and a test's clock would set them off.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::Version;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::api::Api;
use super::tls::H2;
use crate::clock::{Clock, Sleep};
use crate::linger::Left;

/// The tasks of a running simulator.
#[derive(Clone, Debug)]
pub(super) struct Tasks {
    /// Ends the listener and every connection.
    pub(super) stop: CancellationToken,
    pub(super) tracker: TaskTracker,
}

/// Accepts until the tasks are told to stop. `cut` gives each connection what ends it.
pub(super) async fn accept(
    listener: TcpListener,
    tls: Option<Arc<ServerConfig>>,
    api: Arc<Api>,
    tasks: Tasks,
    cut: impl Fn() -> CancellationToken,
) {
    let tls = tls.map(TlsAcceptor::from);
    loop {
        let accepted = tokio::select! {
            () = tasks.stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        // Accepting fails for want of descriptors, or because the client has gone; the next may do better.
        let Ok((stream, _)) = accepted else {
            tokio::task::yield_now().await;
            continue;
        };
        let cut = cut();
        let (api, tls) = (Arc::clone(&api), tls.clone());
        tasks.tracker.spawn(async move {
            let serving = connection(stream, tls, &api);
            // How a connection ended is of interest to its client alone.
            let _ended = cut.run_until_cancelled(serving).await;
        });
    }
}

async fn connection(stream: TcpStream, tls: Option<TlsAcceptor>, api: &Arc<Api>) -> io::Result<()> {
    let (number, _open) = api.counters.connected();
    stream.set_nodelay(true)?;
    match tls {
        Some(acceptor) => {
            let stream = acceptor.accept(stream).await?;
            let chosen = stream.get_ref().1.alpn_protocol();
            let version = if chosen == Some(H2) { Version::HTTP_2 } else { Version::HTTP_11 };
            speak(stream, version, api, number).await
        }
        None => {
            let preface = begins_with_preface(&stream).await?;
            let version = if preface { Version::HTTP_2 } else { Version::HTTP_11 };
            speak(stream, version, api, number).await
        }
    }
}

/// RFC 9113 §3.3: a client with prior knowledge begins with `PRI * HTTP/2.0`. One that sends less than four bytes at
/// first is taken for HTTP/1.1.
async fn begins_with_preface(stream: &TcpStream) -> io::Result<bool> {
    let mut start = [0; 4];
    let length = stream.peek(&mut start).await?;
    Ok(&start[..length] == b"PRI ")
}

async fn speak<S>(stream: S, version: Version, api: &Arc<Api>, number: u64) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(|request| {
        let api = Arc::clone(api);
        async move { api.handle(request, number).await }
    });
    let served = if version == Version::HTTP_2 {
        let stream = TokioIo::new(stream);
        hyper::server::conn::http2::Builder::new(TokioExecutor::new()).serve_connection(stream, service).await
    } else {
        let stream = TokioIo::new(InTwoSteps { io: stream, clock: api.clock.clone(), ending: None });
        let mut builder = hyper::server::conn::http1::Builder::new();
        builder.half_close(true).serve_connection(stream, service).await
    };
    served.map_err(io::Error::other)
}

/// How long a client may go on sending after its answer.
const ENDING: Duration = Duration::from_secs(30);

/// A connection that is closed in two steps: a refusal is answered before its upload has been read, and a reset would
/// overtake it.
struct InTwoSteps<S> {
    io: S,
    clock: Clock,
    /// Once our side has ended.
    ending: Option<(Left, Sleep)>,
}

impl<S: AsyncRead + Unpin> AsyncRead for InTwoSteps<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buffer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for InTwoSteps<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { io, clock, ending } = &mut *self;
        if ending.is_none() {
            ready!(Pin::new(&mut *io).poll_shutdown(cx))?;
        }
        let (left, over) = ending.get_or_insert_with(|| (Left::default(), clock.sleep(ENDING)));
        if left.poll_discard(io, cx).is_pending() {
            ready!(Pin::new(over).poll(cx));
        }
        Poll::Ready(Ok(()))
    }
}
