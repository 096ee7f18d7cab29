//! A client that speaks to one simulator: a connection a call, in the HTTP version and over the transport asked for.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use http_body_util::BodyExt;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::body::Body;
use crate::simulator::{Key, Simulator};

/// An answer that was read to its end.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) fields: HeaderMap,
    pub(super) body: Bytes,
}

impl Reply {
    #[track_caller]
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    #[track_caller]
    pub(super) fn assert_status(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.text());
        self
    }
}

/// One request, built up.
#[must_use]
pub(super) struct Call(Request<Body>);

impl Call {
    pub(super) fn new(method: &str, target: &str, key: &Key) -> Self {
        Self::without_key(method, target).field("authorization", key.bearer().to_str().unwrap())
    }

    pub(super) fn get(target: &str, key: &Key) -> Self {
        Self::new("GET", target, key)
    }

    pub(super) fn without_key(method: &str, target: &str) -> Self {
        let mut request = Request::new(Body::empty());
        *request.method_mut() = Method::from_bytes(method.as_bytes()).unwrap();
        *request.uri_mut() = format!("/api/v2/{target}").parse().unwrap();
        request.headers_mut().insert("host", HeaderValue::from_static("localhost"));
        Self(request)
    }

    pub(super) fn field(mut self, name: &'static str, value: &str) -> Self {
        self.0.headers_mut().append(name, HeaderValue::from_str(value).unwrap());
        self
    }

    pub(super) fn json(mut self, body: &Value) -> Self {
        *self.0.body_mut() = Body::whole(body.to_string().into());
        self.field("content-type", "application/json")
    }

    pub(super) fn body(mut self, body: Bytes) -> Self {
        *self.0.body_mut() = Body::whole(body);
        self
    }

    pub(super) async fn send(self, simulator: &Simulator) -> Reply {
        self.attempt(simulator).await.unwrap()
    }

    pub(super) async fn attempt(self, simulator: &Simulator) -> Result<Reply, hyper::Error> {
        self.attempt_at(simulator.address()).await
    }

    pub(super) async fn attempt_at(self, address: SocketAddr) -> Result<Reply, hyper::Error> {
        let stream = TcpStream::connect(address).await.unwrap();
        http1(stream, self.0).await
    }

    /// For an answer that is cut: the length that its head announced, and the bytes that came before the end.
    pub(super) async fn send_for_cut(self, simulator: &Simulator) -> (String, usize) {
        let stream = TcpStream::connect(simulator.address()).await.unwrap();
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        let driver = tokio::spawn(connection);
        let mut response = sender.send_request(self.0).await.unwrap();
        let announced = response.headers()["content-length"].to_str().unwrap().to_owned();
        let mut bytes = 0;
        while let Some(Ok(frame)) = response.frame().await {
            bytes += frame.into_data().map_or(0, |data| data.len());
        }
        driver.abort();
        (announced, bytes)
    }

    /// With prior knowledge, without TLS.
    pub(super) async fn send_h2(mut self, simulator: &Simulator) -> Reply {
        let stream = TcpStream::connect(simulator.address()).await.unwrap();
        self.absolute(simulator);
        http2(stream, self.0).await.unwrap()
    }

    /// In the version that ALPN settles, having checked the certificate for `localhost`.
    pub(super) async fn send_tls(
        mut self,
        simulator: &Simulator,
        offers: &[&[u8]],
    ) -> (Option<Vec<u8>>, Reply) {
        let root = CertificateDer::from_pem_slice(simulator.ca_pem().unwrap().as_bytes()).unwrap();
        let mut roots = rustls::RootCertStore::empty();
        roots.add(root).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = offers.iter().map(|offer| offer.to_vec()).collect();
        let stream = TcpStream::connect(simulator.address()).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap();
        let settled = stream.get_ref().1.alpn_protocol().map(<[u8]>::to_vec);
        let reply = if settled.as_deref() == Some(b"h2") {
            self.absolute(simulator);
            http2(stream, self.0).await.unwrap()
        } else {
            http1(stream, self.0).await.unwrap()
        };
        (settled, reply)
    }

    fn absolute(&mut self, simulator: &Simulator) {
        let target = format!("{}{}", simulator.url(), self.0.uri());
        *self.0.uri_mut() = target.parse().unwrap();
        self.0.headers_mut().remove("host");
    }
}

async fn http1<S>(stream: S, request: Request<Body>) -> Result<Reply, hyper::Error>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let driver = tokio::spawn(connection);
    let response = sender.send_request(request).await?;
    let reply = read(response).await;
    driver.abort();
    reply
}

async fn http2<S>(stream: S, request: Request<Body>) -> Result<Reply, hyper::Error>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let executor = TokioExecutor::new();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(executor, TokioIo::new(stream)).await?;
    let driver = tokio::spawn(connection);
    let response = sender.send_request(request).await?;
    let reply = read(response).await;
    driver.abort();
    reply
}

async fn read(response: http::Response<hyper::body::Incoming>) -> Result<Reply, hyper::Error> {
    let (head, body) = response.into_parts();
    let body = body.collect().await?.to_bytes();
    Ok(Reply { status: head.status, fields: head.headers, body })
}
