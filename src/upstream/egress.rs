//! [`Egress`]: the forward proxy that connections go through, and the tunnel that it opens by CONNECT (RFC 9110 §9.3.6).
//!
//! What it refuses is an error of its own: it never looks like an answer of the API, so that a 401 of the proxy ends no proof.
//! What is spoken inside the tunnel, TLS with the upstream above all, is none of this module's business.

use std::fmt;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{HOST, PROXY_AUTHORIZATION};
use http::uri::Scheme;
use http::{HeaderValue, Method, Request, StatusCode};
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::roots::trusting;
use crate::config::files;
use crate::config::{ForwardProxy, ProxyAuthorization, user_and_password};
use crate::setup_error::SetupError;

/// A forward proxy; a handle.
#[derive(Clone)]
pub struct Egress(Arc<Proxy>);

struct Proxy {
    host: String,
    port: u16,
    tls: Option<(ServerName<'static>, Arc<ClientConfig>)>,
    authorization: Option<HeaderValue>,
}

/// Why a tunnel did not come about.
#[derive(Debug)]
pub(super) struct EgressError {
    proxy: String,
    why: Why,
}

#[derive(Debug)]
enum Why {
    /// The proxy answered, and not with a 2xx.
    Refused { status: StatusCode, target: String },
    /// Bytes came behind its answer, before anything was said in the tunnel: whose they are cannot be known.
    Excess,
    /// It could not be reached, or spoken to.
    Failed(Box<dyn std::error::Error + Send + Sync>),
}

impl fmt::Display for EgressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the forward proxy {} ", self.proxy)?;
        match &self.why {
            Why::Refused { status, target } => write!(f, "answered {status} to CONNECT {target}"),
            Why::Excess => f.write_str("sent bytes behind its answer to CONNECT"),
            Why::Failed(_) => f.write_str("could not be spoken to"),
        }
    }
}

impl std::error::Error for EgressError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.why {
            Why::Failed(cause) => Some(&**cause),
            Why::Refused { .. } | Why::Excess => None,
        }
    }
}

impl fmt::Debug for Egress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Egress({})", self.name())
    }
}

impl Egress {
    /// Reads what the configuration names.
    ///
    /// # Errors
    ///
    /// If a file cannot be used: names the key and the file.
    pub fn read(settings: &ForwardProxy) -> Result<Self, SetupError> {
        let fault = |key: &str, file: &std::path::Path, fault: String| {
            SetupError(format!("{key}: {} {fault}", file.display()))
        };
        let unusable = || SetupError("upstream.proxy cannot be used".to_owned());
        let host = settings.url.host().ok_or_else(unusable)?.trim_start_matches('[').trim_end_matches(']');
        let is_tls = settings.url.scheme() == Some(&Scheme::HTTPS);
        let tls = if is_tls {
            let of_file = |error| {
                let file = settings.ca_file.as_deref().unwrap_or_else(|| std::path::Path::new(""));
                fault("upstream.proxy_ca_file", file, error)
            };
            let pem = settings.ca_file.as_deref().map(files::contents).transpose().map_err(of_file)?;
            let tls = trusting(pem.as_deref()).map_err(of_file)?.with_no_client_auth();
            let name = ServerName::try_from(host.to_owned()).map_err(|_| unusable())?;
            Some((name, Arc::new(tls)))
        } else {
            None
        };
        let authorization = match &settings.authorization {
            None => None,
            Some(ProxyAuthorization::Given(text)) => Some(basic(text)),
            Some(ProxyAuthorization::File(file)) => {
                let line = user_and_password(file)
                    .map_err(|error| fault("upstream.proxy_authorization_file", file, error))?;
                Some(basic(line.expose()))
            }
        };
        let port = settings.url.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
        Ok(Self(Arc::new(Proxy { host: host.to_owned(), port, tls, authorization })))
    }

    /// Where it listens.
    pub(super) fn host(&self) -> &str {
        &self.0.host
    }

    /// At which port.
    pub(super) fn port(&self) -> u16 {
        self.0.port
    }

    fn name(&self) -> String {
        match self.0.host.contains(':') {
            true => format!("[{}]:{}", self.0.host, self.0.port),
            false => format!("{}:{}", self.0.host, self.0.port),
        }
    }

    /// What went wrong on the way to it.
    pub(super) fn failed(&self, cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
        self.error(Why::Failed(cause.into()))
    }

    fn error(&self, why: Why) -> io::Error {
        io::Error::other(EgressError { proxy: self.name(), why })
    }

    /// Opens a tunnel to `host` and `port`, on a connection of its own; for whom else this process asks than the upstream.
    ///
    /// # Errors
    ///
    /// An [`EgressError`] inside, if the proxy refuses or cannot be reached.
    pub(crate) async fn open(&self, host: &str, port: u16) -> io::Result<Transport> {
        let stream =
            TcpStream::connect((self.host(), self.port())).await.map_err(|cause| self.failed(cause))?;
        self.tunnel(stream, host, port).await
    }

    /// Opens a tunnel to `host` and `port` over a connection to the proxy.
    ///
    /// # Errors
    ///
    /// An [`EgressError`] inside, if the proxy refuses or cannot be spoken to.
    pub(super) async fn tunnel(&self, stream: TcpStream, host: &str, port: u16) -> io::Result<Transport> {
        let transport = match &self.0.tls {
            None => Transport::Tcp(stream),
            Some((name, tls)) => {
                let handshake = TlsConnector::from(Arc::clone(tls)).connect(name.clone(), stream);
                Transport::Secured(Box::new(handshake.await.map_err(|cause| self.failed(cause))?))
            }
        };
        let target = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
        let mut request = Request::new(Empty::<Bytes>::new());
        *request.method_mut() = Method::CONNECT;
        *request.uri_mut() = target.parse().map_err(|cause: http::uri::InvalidUri| self.failed(cause))?;
        let name = HeaderValue::try_from(&target).map_err(|cause| self.failed(cause))?;
        request.headers_mut().insert(HOST, name);
        if let Some(authorization) = &self.0.authorization {
            request.headers_mut().insert(PROXY_AUTHORIZATION, authorization.clone());
        }
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(transport)).await.map_err(|cause| self.failed(cause))?;
        // It ends with the answer: as a tunnel that is taken from it below, or with its sender.
        tokio::spawn(connection.with_upgrades());
        let response = sender.send_request(request).await.map_err(|cause| self.failed(cause))?;
        let status = response.status();
        if !status.is_success() {
            return Err(self.error(Why::Refused { status, target }));
        }
        let upgraded = hyper::upgrade::on(response).await.map_err(|cause| self.failed(cause))?;
        let parts = upgraded
            .downcast::<TokioIo<Transport>>()
            .map_err(|_| self.failed("the connection is of another kind"))?;
        if parts.read_buf.is_empty() { Ok(parts.io.into_inner()) } else { Err(self.error(Why::Excess)) }
    }
}

/// RFC 7617 §2.
fn basic(user_and_password: &str) -> HeaderValue {
    let mut value = HeaderValue::try_from(format!("Basic {}", STANDARD.encode(user_and_password)))
        .expect("base64 is a valid field value");
    value.set_sensitive(true);
    value
}

/// Bytes to and from the upstream, whatever they go through.
#[derive(Debug)]
pub enum Transport {
    /// To the upstream itself, or through a proxy that is spoken to in plaintext.
    Tcp(TcpStream),
    /// Through a proxy that is spoken to by TLS.
    Secured(Box<TlsStream<TcpStream>>),
    /// To nobody outside this thread.
    #[cfg(any(test, feature = "fuzzing"))]
    Pipe(tokio::io::DuplexStream),
}

impl AsyncRead for Transport {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Secured(stream) => Pin::new(stream).poll_read(cx, buffer),
            #[cfg(any(test, feature = "fuzzing"))]
            Self::Pipe(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Transport {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Secured(stream) => Pin::new(stream).poll_write(cx, bytes),
            #[cfg(any(test, feature = "fuzzing"))]
            Self::Pipe(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            Self::Secured(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            #[cfg(any(test, feature = "fuzzing"))]
            Self::Pipe(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Tcp(stream) => stream.is_write_vectored(),
            Self::Secured(stream) => stream.is_write_vectored(),
            #[cfg(any(test, feature = "fuzzing"))]
            Self::Pipe(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Self::Secured(stream) => Pin::new(stream).poll_flush(cx),
            #[cfg(any(test, feature = "fuzzing"))]
            Self::Pipe(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Secured(stream) => Pin::new(stream).poll_shutdown(cx),
            #[cfg(any(test, feature = "fuzzing"))]
            Self::Pipe(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
