//! [`AdminClient`]: the few HTTP/1.1 exchanges that commands have with the admin listener of a running proxy.
//!
//! One connection an exchange, one deadline over all of it. Says what failed in words for a terminal; leaves the
//! meaning of an answer to the command.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{HeaderValue, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde_json::Value;
use tokio::net::TcpStream;

use super::failure::Failure;
use crate::body::BodyError;
use crate::clock::Clock;
use crate::config::{self, files};
use crate::received::Received;

/// Far more than any answer that a command reads: a status has the last hour in it, and up to 2,000 callers and keys.
const ANSWER_LIMIT: usize = 16 * 1024 * 1024;

/// An answer of the admin listener.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) body: Bytes,
}

#[derive(Deserialize)]
struct Refusal {
    message: String,
}

impl Answer {
    /// The JSON of an answer.
    ///
    /// # Errors
    ///
    /// If it is a refusal, or no JSON.
    pub(super) fn document(&self, admin: &config::Admin) -> Result<Value, Failure> {
        self.accepted(admin)?;
        serde_json::from_slice(&self.body)
            .map_err(|_| Failure::failed("the admin listener's answer is no JSON"))
    }

    /// Whether it is what was asked for.
    ///
    /// # Errors
    ///
    /// If it is a refusal: says of which key of the configuration where that is known.
    pub(super) fn accepted(&self, admin: &config::Admin) -> Result<(), Failure> {
        if self.status == StatusCode::OK {
            return Ok(());
        }
        let reason = serde_json::from_slice::<Refusal>(&self.body).map(|refusal| refusal.message);
        let reason = reason.unwrap_or_else(|_| "without a reason".to_owned());
        let key = config::Key::AdminTokenFile;
        let hint = match (self.status, &admin.token_file) {
            (StatusCode::UNAUTHORIZED, Some(file)) => {
                format!(" ({key} is \"{}\" here: the running process has another token)", file.display())
            }
            (StatusCode::UNAUTHORIZED, None) => {
                format!(" ({key} is not set here: give the running process's configuration)")
            }
            _ => String::new(),
        };
        Err(Failure::failed(format!("the admin listener answered {}: {reason}{hint}", self.status)))
    }
}

/// Talks to the admin listener that the configuration describes.
#[derive(Debug)]
pub(super) struct AdminClient {
    address: SocketAddr,
    authorization: Option<HeaderValue>,
    patience: Duration,
    clock: Clock,
}

impl AdminClient {
    /// A client without a token, whose exchanges take `patience` at most.
    ///
    /// # Errors
    ///
    /// If the listener's port is not known.
    pub(super) fn new(admin: &config::Admin, patience: Duration) -> Result<Self, Failure> {
        if admin.address.port() == 0 {
            return Err(Failure::misused(
                "admin.address has port 0: the port that was taken is not known here",
            ));
        }
        Ok(Self { address: reachable(admin.address), authorization: None, patience, clock: Clock::system() })
    }

    /// The same client with the token of `admin.token_file`, if that is set.
    ///
    /// # Errors
    ///
    /// If the file holds no token.
    pub(super) fn authorized(mut self, admin: &config::Admin) -> Result<Self, Failure> {
        if let Some(path) = &admin.token_file {
            let token = files::token(path).map_err(|problem| {
                Failure::misused(format!("{}: \"{}\" {problem}", config::Key::AdminTokenFile, path.display()))
            })?;
            self.authorization = Some(bearer(&token));
        }
        Ok(self)
    }

    /// Reads `path`.
    pub(super) async fn get(&self, path: &'static str) -> Result<Answer, Failure> {
        self.send(Method::GET, path, Bytes::new()).await
    }

    /// Asks for the action at `path`.
    pub(super) async fn post(&self, path: &'static str, body: &Value) -> Result<Answer, Failure> {
        self.send(Method::POST, path, Bytes::from(body.to_string())).await
    }

    async fn send(&self, method: Method, path: &'static str, body: Bytes) -> Result<Answer, Failure> {
        let mut request = Request::new(Full::new(body));
        *request.uri_mut() = http::Uri::from_static(path);
        let host = HeaderValue::try_from(self.address.to_string()).expect("an address is visible ASCII");
        request.headers_mut().insert(HOST, host);
        if method == Method::POST {
            request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        if let Some(authorization) = &self.authorization {
            request.headers_mut().insert(AUTHORIZATION, authorization.clone());
        }
        *request.method_mut() = method;
        let deadline = self.clock.now().plus(self.patience);
        match self.clock.deadline(deadline, exchange(self.address, request)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(reason)) => {
                Err(Failure::failed(format!("no answer from http://{}{path}: {reason}", self.address)))
            }
            Err(_) => Err(Failure::failed(format!(
                "no answer from http://{}{path} within {}",
                self.address,
                humantime::format_duration(self.patience)
            ))),
        }
    }
}

async fn exchange(address: SocketAddr, request: Request<Full<Bytes>>) -> Result<Answer, BodyError> {
    let stream = TcpStream::connect(address).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // Ends with the command's runtime; an error of the connection reaches the sender too.
    tokio::spawn(connection);
    let method = request.method().clone();
    let (head, body) = Received::answer(sender.send_request(request).await?, &method).into_parts();
    let body = Limited::new(body, ANSWER_LIMIT).collect().await?.to_bytes();
    Ok(Answer { status: head.status, body })
}

fn bearer(token: &files::Token) -> HeaderValue {
    let mut value =
        HeaderValue::try_from(format!("Bearer {}", token.expose())).expect("a token is visible ASCII");
    value.set_sensitive(true);
    value
}

/// Where a listener on a wildcard can be reached from its own machine.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_on_a_wildcard_is_reached_by_loopback() {
        for (bound, asked) in [
            ("0.0.0.0:8081", "127.0.0.1:8081"),
            ("[::]:8081", "[::1]:8081"),
            ("10.0.0.1:8081", "10.0.0.1:8081"),
        ] {
            assert_eq!(reachable(bound.parse().unwrap()), asked.parse().unwrap());
        }
    }
}
