//! [`Probe`]: the way to the upstream gone step by step, for an operator who wants to know where it ends.
//!
//! What calls go by is what is tried: the same look-up, forward proxy, roots and certificate. One request is sent, and no more
//! than its head and status are told.

use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, DATE, HOST, USER_AGENT};
use http::{HeaderValue, Request, Response, StatusCode, Version};
use http_body_util::Empty;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};

use super::connector::{Connector, Protocols, Target};
use super::names::Names;
use super::stream::{Link, Metered, Stream};
use super::way::Way;
use crate::clock::Clock;
use crate::config;
use crate::config::files;
use crate::error::ProxyError;
use crate::setup_error::SetupError;

/// Goes to the upstream.
#[derive(Debug)]
pub struct Probe {
    settings: config::Upstream,
    connector: Connector,
}

/// What was found of a connection.
#[derive(Debug)]
pub struct Found {
    /// How long it took: look-up, TCP, the tunnel and TLS.
    pub took: Duration,
    /// Of TLS, where there is.
    pub tls: Option<FoundTls>,
    stream: Stream,
}

/// What was found of TLS.
#[derive(Debug)]
pub struct FoundTls {
    /// Such as `TLSv1_3`.
    pub version: String,
    /// Certificates that were shown.
    pub chain: usize,
    /// When the first of them ends, since 1970.
    pub end: Option<Duration>,
}

/// What a request came to.
#[derive(Debug)]
pub struct Answered {
    /// Its status.
    pub status: StatusCode,
    /// The version of HTTP.
    pub version: Version,
    /// How long its head took.
    pub took: Duration,
    /// What the other side believes the time to be, since 1970.
    pub date: Option<Duration>,
}

impl Probe {
    /// Reads what the configuration names.
    ///
    /// # Errors
    ///
    /// If a file cannot be used.
    pub fn new(settings: &config::Upstream, clock: Clock) -> Result<Self, SetupError> {
        let way = Way::read(settings)?;
        let unusable = || SetupError("upstream.url cannot be used".to_owned());
        let target = Target::of(&settings.url).ok_or_else(unusable)?;
        let names = Names::new(clock.clone());
        let connector = Connector::new(&target, &way, Protocols::Http2Preferred, &names, clock);
        Ok(Self { settings: settings.clone(), connector })
    }

    /// Opens a connection.
    ///
    /// # Errors
    ///
    /// As a call would fail.
    pub async fn connect(&self) -> Result<Found, ProxyError> {
        let begun = self.connector.clock().now();
        let stream = self.connector.connect().await?;
        let tls = match &stream {
            Stream::Plain(_) => None,
            Stream::Tls(stream) => {
                let session = stream.get_ref().1;
                let chain = session.peer_certificates().unwrap_or_default();
                Some(FoundTls {
                    version: session
                        .protocol_version()
                        .map_or_else(String::new, |version| format!("{version:?}")),
                    chain: chain.len(),
                    end: chain.first().and_then(files::end_of),
                })
            }
        };
        Ok(Found { took: self.connector.clock().now().since(begun), tls, stream })
    }

    /// Sends a GET on a connection, with a key if there is one.
    ///
    /// # Errors
    ///
    /// In words, if there is no answer.
    pub async fn get(&self, on: Found, path: &str, key: Option<&str>) -> Result<Answered, String> {
        let authority = self.settings.url.authority().map(ToString::to_string).unwrap_or_default();
        let field =
            |text: &str| HeaderValue::try_from(text).map_err(|_| "the key is no field value".to_owned());
        let mut request = Request::new(Empty::<Bytes>::new());
        let fields = request.headers_mut();
        fields.insert(USER_AGENT, field(&self.settings.user_agent)?);
        if let Some(key) = key {
            let mut value = field(&format!("Bearer {key}"))?;
            value.set_sensitive(true);
            fields.insert(AUTHORIZATION, value);
        }
        let speaks_http2 = on.stream.speaks_http2();
        let io = TokioIo::new(Metered::new(on.stream, Link::new(0)));
        let begun = self.connector.clock().now();
        let response: Result<Response<_>, hyper::Error> = if speaks_http2 {
            *request.uri_mut() =
                format!("https://{authority}{path}").parse().map_err(|_| "no such path".to_owned())?;
            let shaken = http2::handshake(TokioExecutor::new(), io).await;
            let (mut sender, connection) = shaken.map_err(|error| error.to_string())?;
            tokio::spawn(connection);
            sender.send_request(request).await
        } else {
            *request.uri_mut() = path.parse().map_err(|_| "no such path".to_owned())?;
            request.headers_mut().insert(HOST, field(&authority)?);
            let shaken = http1::handshake(io).await;
            let (mut sender, connection) = shaken.map_err(|error| error.to_string())?;
            tokio::spawn(connection);
            sender.send_request(request).await
        };
        let (head, _) = response.map_err(|error| error.to_string())?.into_parts();
        let date =
            head.headers.get(DATE).and_then(|date| httpdate::parse_http_date(date.to_str().ok()?).ok());
        let date = date.and_then(|date| date.duration_since(std::time::UNIX_EPOCH).ok());
        Ok(Answered {
            status: head.status,
            version: head.version,
            took: self.connector.clock().now().since(begun),
            date,
        })
    }
}
