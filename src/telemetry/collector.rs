//! [`Collector`]: sends batches, over HTTP or gRPC, straight or through the forward proxy.
//!
//! The library makes protobuf and a request of it; its thread asks, the control runtime sends. gRPC is that request on HTTP/2
//! with five bytes before the message and a status behind the answer: for one unary call that is not worth a stack of its own.

use std::fmt;
use std::future::Future;
use std::io::Write;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use flate2::write::GzEncoder;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, TE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper::rt;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::{TokioExecutor, TokioIo};
use opentelemetry_http::{HttpClient, HttpError};
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tower_service::Service;

use super::counted::Reason;
use crate::clock::Clock;
use crate::config::{self, Compression, ForwardProxy, OtlpProtocol, files, header_fields};
use crate::received::Received;
use crate::setup_error::SetupError;
use crate::upstream::egress::{Egress, Transport};
use crate::upstream::roots::trusting;

/// How long one batch may take.
pub(super) const EXPORT_TIMEOUT: Duration = Duration::from_secs(5);

/// What a collector may answer; it is not used.
const MAX_ANSWER: usize = 64 * 1024;
/// The method of OTLP over gRPC (opentelemetry-proto, `trace_service.proto`).
const METHOD: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");
const GZIP: HeaderValue = HeaderValue::from_static("gzip");
const GRPC_ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");
const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

/// See the module.
pub(super) struct Collector {
    client: Client<HttpsConnector<Connector>, Full<Bytes>>,
    protocol: OtlpProtocol,
    compression: Compression,
    fields: HeaderMap,
    reason: Reason,
    clock: Clock,
    runtime: Handle,
}

impl fmt::Debug for Collector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Collector")
    }
}

impl Collector {
    /// Reads what the configuration names. The forward proxy is for a collector that is asked by `https`, as `HTTPS_PROXY` is.
    ///
    /// # Errors
    ///
    /// If a file cannot be used.
    pub(super) fn new(
        settings: &config::Telemetry,
        egress: Option<&ForwardProxy>,
        clock: Clock,
        runtime: Handle,
    ) -> Result<Self, SetupError> {
        let is_for = |endpoint: &Uri| {
            let is_secure = endpoint.scheme() == Some(&http::uri::Scheme::HTTPS);
            egress.filter(|egress| is_secure && egress.is_for(endpoint))
        };
        let egress = settings.otlp_endpoint.as_ref().and_then(is_for).map(Egress::read).transpose()?;
        let fields = match &settings.headers_file {
            None => HeaderMap::new(),
            Some(file) => header_fields(file)
                .map_err(|fault| SetupError(format!("telemetry.headers_file: {} {fault}", file.display())))?,
        };
        let named = |fault: String| match &settings.ca_file {
            Some(file) => SetupError(format!("telemetry.ca_file: {} {fault}", file.display())),
            None => SetupError(fault),
        };
        let roots = settings.ca_file.as_deref().map(files::contents).transpose().map_err(named)?;
        let tls = trusting(roots.as_deref()).map_err(named)?.with_no_client_auth();
        let connector = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http();
        let connector = match settings.otlp_protocol {
            OtlpProtocol::Http => connector.enable_http1().wrap_connector(Connector { egress }),
            OtlpProtocol::Grpc => connector.enable_http2().wrap_connector(Connector { egress }),
        };
        let mut client = Client::builder(TokioExecutor::new());
        client.http2_only(settings.otlp_protocol == OtlpProtocol::Grpc);
        let (protocol, compression) = (settings.otlp_protocol, settings.compression);
        let (client, reason) = (client.build(connector), Reason::default());
        Ok(Self { client, protocol, compression, fields, reason, clock, runtime })
    }

    /// Where it notes why a batch was not taken.
    pub(super) const fn reason(&self) -> &Reason {
        &self.reason
    }

    /// The library's request as it is sent.
    fn outgoing(&self, request: Request<Bytes>) -> Result<Request<Full<Bytes>>, HttpError> {
        let (mut head, message) = request.into_parts();
        for (name, value) in &self.fields {
            head.headers.append(name, value.clone());
        }
        let packed = match self.compression {
            Compression::None => None,
            Compression::Gzip => {
                let mut packer = GzEncoder::new(Vec::new(), flate2::Compression::fast());
                packer.write_all(&message)?;
                Some(Bytes::from(packer.finish()?))
            }
        };
        let encoding = packed.as_ref().map(|_| GZIP);
        let flag = u8::from(packed.is_some());
        let message = packed.unwrap_or(message);
        let body = match self.protocol {
            OtlpProtocol::Http => {
                if let Some(encoding) = encoding {
                    head.headers.insert(CONTENT_ENCODING, encoding);
                }
                message
            }
            OtlpProtocol::Grpc => {
                head.uri = with_path(&head.uri, METHOD)?;
                head.headers.insert(CONTENT_TYPE, GRPC);
                head.headers.insert(TE, HeaderValue::from_static("trailers"));
                if let Some(encoding) = encoding {
                    head.headers.insert(GRPC_ENCODING, encoding);
                }
                let mut framed = BytesMut::with_capacity(5 + message.len());
                framed.put_u8(flag);
                framed.put_u32(u32::try_from(message.len())?);
                framed.put(message);
                framed.freeze()
            }
        };
        Ok(Request::from_parts(head, Full::new(body)))
    }
}

#[async_trait::async_trait]
impl HttpClient for Collector {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let request = self.outgoing(request)?;
        let (client, clock, protocol) = (self.client.clone(), self.clock.clone(), self.protocol);
        let sending = async move {
            let answered = async {
                let answer = client.request(request).await?;
                let (head, body) = Received::answer(answer, &Method::POST).into_parts();
                let body = Limited::new(body, MAX_ANSWER).collect().await?;
                let trailers = body.trailers().cloned().unwrap_or_default();
                let mut response = Response::from_parts(head, body.to_bytes());
                if protocol == OtlpProtocol::Grpc {
                    response.headers_mut().extend(trailers);
                    // An answer without gRPC in it keeps its own status, unless that says that all is well.
                    if response.headers().contains_key(GRPC_STATUS) || response.status().is_success() {
                        *response.status_mut() = status_of(response.headers());
                    }
                    *response.body_mut() = grpc_message(response.body());
                }
                Ok::<_, HttpError>(response)
            };
            clock.deadline(clock.now().plus(EXPORT_TIMEOUT), answered).await?
        };
        let answered = self.runtime.spawn(sending).await?;
        match &answered {
            Ok(response) if response.status().is_success() => {}
            Ok(response) => self.reason.note(refusal(response)),
            Err(error) => self.reason.note(causes(&**error)),
        }
        answered
    }
}

fn with_path(uri: &Uri, path: &'static str) -> Result<Uri, HttpError> {
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(http::uri::PathAndQuery::from_static(path));
    Ok(Uri::from_parts(parts)?)
}

/// The HTTP status that the library takes as this one of gRPC: whether it makes sense to send again is all that it asks. A
/// status that is missing is none that is good.
fn status_of(fields: &HeaderMap) -> StatusCode {
    match fields.get(GRPC_STATUS).map(HeaderValue::as_bytes) {
        Some(b"0") => StatusCode::OK,
        // RESOURCE_EXHAUSTED, UNAVAILABLE (OTLP 1.x, "Failures").
        Some(b"8") => StatusCode::TOO_MANY_REQUESTS,
        Some(b"14") => StatusCode::SERVICE_UNAVAILABLE,
        Some(b"16") => StatusCode::UNAUTHORIZED,
        Some(b"7") => StatusCode::FORBIDDEN,
        Some(b"12") => StatusCode::NOT_FOUND,
        Some(_) => StatusCode::BAD_REQUEST,
        None => StatusCode::BAD_GATEWAY,
    }
}

/// A message without what gRPC puts before it.
fn grpc_message(body: &Bytes) -> Bytes {
    if body.len() >= 5 { body.slice(5..) } else { Bytes::new() }
}

/// Why the collector did not take a batch, as it says.
fn refusal(response: &Response<Bytes>) -> String {
    let text = |name| response.headers().get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    match (text(GRPC_STATUS), text(GRPC_MESSAGE)) {
        (Some(code), message) => {
            format!("the collector answered grpc-status {code}: {}", message.unwrap_or_default())
        }
        (None, _) => format!("the collector answered {}", response.status()),
    }
}

fn causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}

/// Opens connections to a collector.
#[derive(Clone)]
struct Connector {
    egress: Option<Egress>,
}

/// Bytes to a collector.
struct Bound(TokioIo<Transport>);

impl Service<Uri> for Connector {
    type Response = Bound;
    type Error = std::io::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Bound, std::io::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let egress = self.egress.clone();
        Box::pin(async move {
            let host =
                uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']').to_owned();
            let secure = uri.scheme() == Some(&http::uri::Scheme::HTTPS);
            let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
            let transport = match egress {
                Some(egress) => egress.open(&host, port).await?,
                None => Transport::Tcp(TcpStream::connect((host.as_str(), port)).await?),
            };
            Ok(Bound(TokioIo::new(transport)))
        })
    }
}

impl Connection for Bound {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl rt::Read for Bound {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: rt::ReadBufCursor<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl rt::Write for Bound {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
