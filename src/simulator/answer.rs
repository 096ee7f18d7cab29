//! What the API says: JSON answers, and the closed list of its refusals with the vendor's words.

use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, Response, StatusCode};

use super::limits::OverLimit;
use crate::body::Body;
use crate::error::envelope;

/// Why a request is not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// 400 in the validator's words.
    Invalid(String),
    /// The web framework's own refusal, with its `code`.
    Framework(Framework),
    /// 401: no `Authorization`.
    MissingAuthorization,
    /// 401: unknown or revoked key.
    InvalidKey,
    /// The key lacks the scope: documented as 403, seen as 401 too.
    MissingScope(StatusCode),
    /// 403: not the admin of that workspace.
    NotMember,
    /// 404: no such label in this workspace.
    NotFound,
    /// 409: there is one already, in the vendor's words.
    Conflict(&'static str),
    /// 404: no such route; the message echoes the request.
    UnknownRoute(String),
    /// 429.
    RateLimit(OverLimit),
    /// 429 of the reply classifier, which has a shape of its own.
    ClassifierLimit,
}

/// Refusals of Fastify itself, before a handler runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framework {
    /// A JSON content type and no body.
    EmptyJsonBody,
    /// No JSON.
    InvalidJsonBody,
    /// Over 1 MiB.
    BodyTooLarge,
    /// A body of another type.
    InvalidMediaType,
}

impl Refusal {
    pub(super) fn response(&self) -> Response<Body> {
        match self {
            Self::Invalid(message) => error(StatusCode::BAD_REQUEST, message),
            Self::Framework(refusal) => refusal.response(),
            Self::MissingAuthorization => error(StatusCode::UNAUTHORIZED, "Missing Authorization header"),
            Self::InvalidKey => plain(StatusCode::UNAUTHORIZED),
            Self::MissingScope(status) => plain(*status),
            Self::NotMember => plain(StatusCode::FORBIDDEN),
            Self::NotFound => plain(StatusCode::NOT_FOUND),
            Self::Conflict(message) => error(StatusCode::CONFLICT, message),
            Self::UnknownRoute(route) => error(StatusCode::NOT_FOUND, &format!("Route {route} not found")),
            Self::RateLimit(over) => too_many_requests(over.retry_after.map(whole_seconds)),
            Self::ClassifierLimit => {
                json(StatusCode::TOO_MANY_REQUESTS, Bytes::from_static(br#"{"error":"Rate limit exceeded"}"#))
            }
        }
    }
}

impl Framework {
    fn response(self) -> Response<Body> {
        let (status, code, message) = match self {
            Self::EmptyJsonBody => (
                StatusCode::BAD_REQUEST,
                "FST_ERR_CTP_EMPTY_JSON_BODY",
                "Body cannot be empty when content-type is set to 'application/json'",
            ),
            Self::InvalidJsonBody => (
                StatusCode::BAD_REQUEST,
                "FST_ERR_CTP_INVALID_JSON_BODY",
                "Body is not valid JSON but content-type is set to 'application/json'",
            ),
            Self::BodyTooLarge => {
                (StatusCode::PAYLOAD_TOO_LARGE, "FST_ERR_CTP_BODY_TOO_LARGE", "Request body is too large")
            }
            Self::InvalidMediaType => (
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "FST_ERR_CTP_INVALID_MEDIA_TYPE",
                "Unsupported Media Type",
            ),
        };
        let phrase = status.canonical_reason().expect("a status of RFC 9110");
        let number = status.as_u16();
        let body =
            format!(r#"{{"statusCode":{number},"code":"{code}","error":"{phrase}","message":"{message}"}}"#);
        json(status, body.into())
    }
}

/// An answer of type `application/json; charset=utf-8`.
pub(super) fn json(status: StatusCode, body: Bytes) -> Response<Body> {
    let mut response = Response::new(Body::whole(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
    response
}

/// An error answer with the vendor's example message for its status.
pub(super) fn plain(status: StatusCode) -> Response<Body> {
    let message = match status.as_u16() {
        401 => "Invalid authorization header or API key",
        402 => "Workspace does not have an active paid plan",
        403 => "Forbidden",
        404 => "Resource not found",
        429 => "Rate limit exceeded",
        _ => status.canonical_reason().unwrap_or("Unknown"),
    };
    error(status, message)
}

/// 429, with this `Retry-After` if there is one.
pub(super) fn too_many_requests(retry_after: Option<HeaderValue>) -> Response<Body> {
    let mut response = plain(StatusCode::TOO_MANY_REQUESTS);
    if let Some(wait) = retry_after {
        response.headers_mut().insert(RETRY_AFTER, wait);
    }
    response
}

/// What the edge says to a client that it takes for a robot: a page, not the API's JSON.
pub(super) fn edge_block() -> Response<Body> {
    let page = Bytes::from_static(
        b"<!DOCTYPE html>\n<html><head><title>Access denied</title></head>\n<body>error code: 1010</body></html>\n",
    );
    let mut response = Response::new(Body::whole(page));
    *response.status_mut() = StatusCode::FORBIDDEN;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=UTF-8"));
    response
}

fn error(status: StatusCode, message: &str) -> Response<Body> {
    json(status, envelope(status, message))
}

fn whole_seconds(wait: Duration) -> HeaderValue {
    HeaderValue::from(wait.as_secs() + u64::from(wait.subsec_nanos() > 0))
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    async fn text(refusal: Refusal) -> (u16, String) {
        let response = refusal.response();
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn refusals_speak_the_vendors_words() {
        for (refusal, status, body) in [
            (
                Refusal::Invalid("body must be object".to_owned()),
                400,
                r#"{"statusCode":400,"error":"Bad Request","message":"body must be object"}"#,
            ),
            (
                Refusal::MissingAuthorization,
                401,
                r#"{"statusCode":401,"error":"Unauthorized","message":"Missing Authorization header"}"#,
            ),
            (
                Refusal::NotFound,
                404,
                r#"{"statusCode":404,"error":"Not Found","message":"Resource not found"}"#,
            ),
            (
                Refusal::UnknownRoute("GET:/x\"".to_owned()),
                404,
                r#"{"statusCode":404,"error":"Not Found","message":"Route GET:/x\" not found"}"#,
            ),
            (Refusal::ClassifierLimit, 429, r#"{"error":"Rate limit exceeded"}"#),
        ] {
            assert_eq!(text(refusal.clone()).await, (status, body.to_owned()), "{refusal:?}");
        }
    }

    #[tokio::test]
    async fn the_framework_names_its_code() {
        let (status, body) = text(Refusal::Framework(Framework::EmptyJsonBody)).await;
        assert_eq!(status, 400);
        assert!(body.contains(r#""code":"FST_ERR_CTP_EMPTY_JSON_BODY""#), "{body}");
    }

    #[test]
    fn retry_after_is_rounded_up_and_may_be_absent() {
        let over = |retry_after| Refusal::RateLimit(OverLimit { retry_after }).response();
        assert_eq!(over(Some(Duration::from_millis(1200))).headers()[RETRY_AFTER], "2");
        assert!(!over(None).headers().contains_key(RETRY_AFTER));
    }
}
