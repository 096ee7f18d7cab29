//! Connections to the upstream: name look-up, TCP and TLS under one deadline, with the roots that are to be trusted.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use tokio::net::TcpStream;
use tower_service::Service;

use super::names::Names;
use super::way::Way;
use crate::body::BodyError;
use crate::clock::Clock;

/// Connects within `connect_timeout`, TLS handshake included.
#[derive(Clone)]
pub(super) struct Connector {
    inner: HttpsConnector<HttpConnector<Names>>,
    clock: Clock,
    timeout: Duration,
}

/// Which protocols a connector offers by ALPN (RFC 7301).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocols {
    /// HTTP/2 where the upstream takes it, HTTP/1.1 otherwise.
    Http2Preferred,
    /// HTTP/1.1: one connection a call, so that a reader that stalls holds its own connection only.
    Http1Only,
}

/// A connection was not there in time.
#[derive(Clone, Copy, Debug)]
pub(super) struct ConnectTimedOut;

impl fmt::Display for ConnectTimedOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no connection within connect_timeout")
    }
}

impl std::error::Error for ConnectTimedOut {}

impl Connector {
    pub(super) fn new(way: &Way, protocols: Protocols, names: &Names, clock: Clock) -> Self {
        let mut tcp = HttpConnector::new_with_resolver(names.clone());
        tcp.set_nodelay(true);
        tcp.enforce_http(false);
        tcp.set_keepalive(Some(Duration::from_secs(30)));
        let builder =
            HttpsConnectorBuilder::new().with_tls_config(ClientConfig::clone(&way.tls)).https_or_http();
        let inner = match protocols {
            Protocols::Http2Preferred => builder.enable_all_versions().wrap_connector(tcp),
            Protocols::Http1Only => builder.enable_http1().wrap_connector(tcp),
        };
        Self { inner, clock, timeout: way.connect_timeout }
    }
}

impl Service<Uri> for Connector {
    type Response = MaybeHttpsStream<TokioIo<TcpStream>>;
    type Error = BodyError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BodyError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BodyError>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let deadline = self.clock.now().plus(self.timeout);
        let (connecting, clock) = (self.inner.call(uri), self.clock.clone());
        Box::pin(async move { clock.deadline(deadline, connecting).await.map_err(|_| ConnectTimedOut)? })
    }
}
