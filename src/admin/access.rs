//! Who may read data and act on the admin port.
//!
//! With a token file the token is needed, on loopback too. Without one, loopback is trusted and anything else refused.
//! A page in a browser on the same machine must do neither. Without a token both need a Host that no foreign name can stand
//! for; actions need a content type that a form cannot send, and no foreign Origin, besides.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, ORIGIN};
use http::request::Parts;
use http::uri::Authority;
use http::{HeaderValue, StatusCode};
use subtle::ConstantTimeEq;

use super::refusal::Refusal;
use crate::config::files::Token;
use crate::lock::{Mutex, MutexGuard};

const HOST_NEEDED: &str =
    "Without a token the Host must be an IP address or localhost: use one, or set admin.token_file.";

/// The rules for one admin port.
/// Clones have one token together.
#[derive(Clone, Debug)]
pub struct Access {
    loopback: bool,
    token: Arc<Mutex<Option<Token>>>,
}

impl Access {
    /// The rules for a port at this address.
    #[must_use]
    pub fn new(address: SocketAddr, token: Option<Token>) -> Self {
        Self { loopback: address.ip().to_canonical().is_loopback(), token: Arc::new(Mutex::new(token)) }
    }

    /// From now on this token is asked for.
    pub fn set_token(&self, token: Option<Token>) {
        *self.token() = token;
    }

    fn token(&self) -> MutexGuard<'_, Option<Token>> {
        self.token.lock()
    }

    /// Says whether data may be read.
    pub(super) fn read(&self, head: &Parts) -> Result<(), Refusal> {
        match &*self.token() {
            Some(token) if given_token(head).is_some_and(|given| is(token, given)) => Ok(()),
            Some(_) => refuse(
                StatusCode::UNAUTHORIZED,
                "The admin token is missing or wrong: send it as Authorization: Bearer.",
            ),
            // A page that has the browser believe its own name to be this address is of the same origin as this.
            None if self.loopback && has_foreign_host(head) => refuse(StatusCode::FORBIDDEN, HOST_NEEDED),
            None if self.loopback => Ok(()),
            None => refuse(StatusCode::FORBIDDEN, "Off loopback this needs a token: set admin.token_file."),
        }
    }

    /// Says whether something may be done.
    pub(super) fn act(&self, head: &Parts) -> Result<(), Refusal> {
        self.read(head)?;
        let host = host(head);
        if let Some(origin) = head.headers.get(ORIGIN)
            && !is_origin_of(origin, host.as_ref())
        {
            return refuse(StatusCode::FORBIDDEN, "Pages of another origin may not do this.");
        }
        if self.token().is_none() && host.is_none() {
            return refuse(StatusCode::FORBIDDEN, HOST_NEEDED);
        }
        if !head.headers.get(CONTENT_TYPE).is_some_and(is_json) {
            return refuse(StatusCode::UNSUPPORTED_MEDIA_TYPE, "Send Content-Type: application/json.");
        }
        Ok(())
    }
}

/// In constant time: how much of a guess is right must not show.
fn is(token: &Token, given: &[u8]) -> bool {
    token.expose().as_bytes().ct_eq(given).into()
}

fn refuse(status: StatusCode, message: &str) -> Result<(), Refusal> {
    Err(Refusal(status, message.to_owned()))
}

fn given_token(head: &Parts) -> Option<&[u8]> {
    let mut values = head.headers.get_all(AUTHORIZATION).iter();
    let (value, None) = (values.next()?, values.next()) else { return None };
    let (scheme, token) = value.as_bytes().split_at_checked("Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then(|| token.trim_ascii())
}

fn host(head: &Parts) -> Option<Authority> {
    match head.uri.authority() {
        Some(authority) => Some(authority.clone()),
        None => head.headers.get(HOST)?.to_str().ok()?.parse().ok(),
    }
}

/// Whether a request names another host than this machine's; a browser always names one.
fn has_foreign_host(head: &Parts) -> bool {
    match host(head) {
        Some(host) => !is_address_or_localhost(host.host()),
        None => head.headers.get(HOST).is_some_and(|host| !host.is_empty()),
    }
}

fn is_address_or_localhost(host: &str) -> bool {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let name = host.strip_suffix('.').unwrap_or(host);
    bare.parse::<IpAddr>().is_ok() || name.eq_ignore_ascii_case("localhost")
}

fn is_origin_of(origin: &HeaderValue, host: Option<&Authority>) -> bool {
    let origin = origin.to_str().ok().and_then(|origin| origin.strip_prefix("http://"));
    matches!((origin, host), (Some(origin), Some(host)) if host.as_str().eq_ignore_ascii_case(origin))
}

fn is_json(content_type: &HeaderValue) -> bool {
    let essence = content_type.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default();
    essence.trim_ascii().eq_ignore_ascii_case(b"application/json")
}
