//! The listener: accepts, tells HTTP/2 from HTTP/1.1, and serves each connection in a task of its own.
//!
//! It keeps no time-outs: what is in front is to show its own, and a test's clock would set them off.

use std::io;
use std::sync::Arc;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::api::Api;
use super::tls::H2;

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
            let h2 = stream.get_ref().1.alpn_protocol() == Some(H2);
            speak(stream, h2, api, number).await
        }
        None => {
            let h2 = begins_with_preface(&stream).await?;
            speak(stream, h2, api, number).await
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

async fn speak<S>(stream: S, h2: bool, api: &Arc<Api>, number: u64) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(|request| {
        let api = Arc::clone(api);
        async move { api.handle(request, number).await }
    });
    let stream = TokioIo::new(stream);
    let served = if h2 {
        hyper::server::conn::http2::Builder::new(TokioExecutor::new()).serve_connection(stream, service).await
    } else {
        hyper::server::conn::http1::Builder::new().serve_connection(stream, service).await
    };
    served.map_err(io::Error::other)
}
