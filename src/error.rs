//! [`ProxyError`]: every failure that this proxy answers itself, and the one mapping to what the client sees.
//!
//! A kind decides status, sentence and `Proxy-Status` error type (RFC 9209 §2.3); the cause goes to the log only. No
//! sentence holds request data: what a client sent must not come back, nor reach a log, by way of an error.

mod kind;
mod table;

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CONNECTION, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, Response, StatusCode};

use crate::body::Body;

pub use kind::ErrorKind;
pub use table::Counts;

/// A failure that this proxy answers itself.
#[derive(Debug)]
pub struct ProxyError {
    kind: ErrorKind,
    /// In place of the kind's own sentence.
    message: Option<&'static str>,
    retry_after: Option<Duration>,
    reason: Option<&'static str>,
    cause: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl ErrorKind {
    /// A failure without a cause to log.
    #[must_use]
    pub const fn error(self) -> ProxyError {
        ProxyError { kind: self, message: None, retry_after: None, reason: None, cause: None }
    }
}

impl From<ErrorKind> for ProxyError {
    fn from(kind: ErrorKind) -> Self {
        kind.error()
    }
}

impl ProxyError {
    /// What failed.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The same failure with what brought it about, for the log.
    #[must_use]
    pub fn because(mut self, cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    /// The same failure in the words of the resource that it is about.
    #[must_use]
    pub const fn saying(mut self, message: &'static str) -> Self {
        self.message = Some(message);
        self
    }

    /// The sentence that the client reads.
    #[must_use]
    pub fn message(&self) -> &'static str {
        self.message.unwrap_or_else(|| self.kind.message())
    }

    /// The same failure with a wait to recommend; sent in whole seconds, rounded up.
    #[must_use]
    pub const fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// The same failure with why it was refused, in a word of a closed set, for the log.
    #[must_use]
    pub const fn for_reason(mut self, reason: &'static str) -> Self {
        self.reason = Some(reason);
        self
    }

    /// Why it was refused, if more is known than its kind.
    #[must_use]
    pub const fn reason(&self) -> Option<&'static str> {
        self.reason
    }

    /// The wait that it recommends.
    #[must_use]
    pub const fn wait(&self) -> Option<Duration> {
        self.retry_after
    }

    /// The causes from the outermost inwards, joined by `: `. For the log; never for the client.
    #[must_use]
    pub fn causes(&self) -> Option<String> {
        let mut cause: &dyn std::error::Error = self.cause.as_deref()?;
        let mut text = cause.to_string();
        while let Some(inner) = cause.source() {
            text.push_str(": ");
            text.push_str(&inner.to_string());
            cause = inner;
        }
        Some(text)
    }

    /// The answer in the vendor's shape, with `Proxy-Status` and no `Cache-Status`. A request that is malformed or too large
    /// is its connection's last, so that nothing that follows it is read as a request.
    #[must_use]
    pub fn response(&self) -> Response<Body> {
        let status = self.kind.status();
        let mut response = Response::new(Body::whole(envelope(status, self.message())));
        *response.status_mut() = status;
        let fields = response.headers_mut();
        fields.insert(CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
        fields.insert(
            "proxy-status",
            HeaderValue::try_from(format!("instantly-proxy; error={}", self.kind.proxy_status()))
                .expect("the table holds tokens"),
        );
        if status == StatusCode::METHOD_NOT_ALLOWED {
            fields.insert(ALLOW, HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE"));
        }
        if matches!(status.as_u16(), 400 | 408 | 413 | 414 | 431) {
            fields.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        if let Some(wait) = self.retry_after {
            fields.insert(RETRY_AFTER, HeaderValue::from(whole_seconds_up(wait)));
        }
        response
    }
}

/// The vendor's error envelope: `{"statusCode":…,"error":"<HTTP phrase>","message":"…"}`.
#[must_use]
pub fn envelope(status: StatusCode, message: &str) -> Bytes {
    let phrase = status.canonical_reason().unwrap_or("Unknown");
    let message = serde_json::Value::from(message);
    Bytes::from(format!(r#"{{"statusCode":{},"error":"{phrase}","message":{message}}}"#, status.as_u16()))
}

fn whole_seconds_up(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
}

impl fmt::Display for ProxyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message())
    }
}

impl std::error::Error for ProxyError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.cause.as_deref().map(|cause| cause as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_envelope_is_json_of_the_vendors_shape() {
        let body: serde_json::Value =
            serde_json::from_slice(&envelope(StatusCode::NOT_FOUND, "a \"b\"")).unwrap();
        assert_eq!(body, serde_json::json!({"statusCode": 404, "error": "Not Found", "message": "a \"b\""}));
    }

    #[test]
    fn retry_after_is_rounded_up() {
        let error = ErrorKind::NoConnection.error().retry_after(Duration::from_millis(1200));
        assert_eq!(error.response().headers()[RETRY_AFTER], "2");
    }
}
