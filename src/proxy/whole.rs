//! Reading a body whole, up to a limit, and handing on what turned out larger.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use http::response::Parts;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use http_body_util::BodyExt;

use crate::body::{Body, BodyError};
use crate::clock::Clock;
use crate::received::Received;
use crate::semantics::fields;
use crate::shield::latch::Unauthorized;
use crate::upstream::activity::Activity;
use crate::upstream::transfer::Download;

/// A body after at most `limit` bytes of it were read.
pub(super) enum Read<B = Received> {
    /// All of it.
    Whole(Bytes),
    /// More than the limit: what was read, and the rest as it comes.
    TooLarge(Bytes, B),
}

/// Reads `body` to its end, or until it is over `limit`. Trailers are dropped.
///
/// # Errors
///
/// If the body ends early or is malformed.
pub(super) async fn read(body: Received, limit: usize) -> Result<Read, BodyError> {
    read_into(body, limit, |_| Ok(())).await
}

/// The same, while `hold` agrees to each further number of bytes that are held in memory.
///
/// # Errors
///
/// As [`read`], and what `hold` says.
pub(super) async fn read_into<B>(
    mut body: B,
    limit: usize,
    mut hold: impl FnMut(usize) -> Result<(), BodyError>,
) -> Result<Read<B>, BodyError>
where
    B: http_body::Body<Data = Bytes, Error = BodyError> + Unpin,
{
    let announced = body.size_hint().lower();
    if announced > limit as u64 {
        return Ok(Read::TooLarge(Bytes::new(), body));
    }
    let mut read = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        hold(data.len())?;
        if read.is_empty() && body.is_end_stream() && data.len() <= limit {
            return Ok(Read::Whole(data));
        }
        read.extend_from_slice(&data);
        if read.len() > limit {
            return Ok(Read::TooLarge(read.freeze(), body));
        }
    }
    Ok(Read::Whole(read.freeze()))
}

/// An upstream answer that is passed on as it is, its body in memory.
#[derive(Clone)]
pub(super) struct WholeAnswer {
    status: StatusCode,
    fields: HeaderMap,
    body: Bytes,
}

impl fmt::Debug for WholeAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WholeAnswer({}, {} bytes)", self.status, self.body.len())
    }
}

impl WholeAnswer {
    /// The answer with `head`, hop-by-hop fields removed.
    pub(super) fn new(head: Parts, body: Bytes) -> Self {
        Self { status: head.status, fields: fields::forwardable_response(head.headers), body }
    }

    /// Its status.
    pub(super) const fn status(&self) -> StatusCode {
        self.status
    }

    /// What a latch keeps of a 401; an encoded body cannot be sent to everybody.
    pub(super) fn unauthorized(&self) -> Unauthorized {
        if self.fields.contains_key(CONTENT_ENCODING) {
            return Unauthorized::default();
        }
        Unauthorized::new(self.fields.get(CONTENT_TYPE), &self.body)
    }

    /// As an answer to a request with `method`.
    pub(super) fn response(&self, method: &Method) -> Response<Body> {
        let is_head = method == Method::HEAD;
        let mut response =
            Response::new(if is_head { Body::empty() } else { Body::whole(self.body.clone()) });
        *response.status_mut() = self.status;
        *response.headers_mut() = self.fields.clone();
        let has_body = !matches!(self.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        if has_body {
            response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(self.body.len()));
        }
        response
    }
}

/// An upstream answer too large to keep: whoever asks first gets it as a stream.
pub(super) struct StreamedAnswer(Mutex<Option<Response<Body>>>);

impl fmt::Debug for StreamedAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StreamedAnswer")
    }
}

impl StreamedAnswer {
    /// The answer with `head`, of whose body `read` is the beginning.
    pub(super) fn new(head: Parts, read: Bytes, rest: Received, clock: &Clock, idle: Duration) -> Self {
        let activity = Activity::begin(clock.clone());
        let download = Download::new(rest, activity, idle, None).after(read);
        let mut response = Response::new(Body::stream(download));
        *response.status_mut() = head.status;
        *response.headers_mut() = fields::forwardable_response(head.headers);
        Self(Mutex::new(Some(response)))
    }

    /// The answer, once.
    pub(super) fn take(&self) -> Option<Response<Body>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}
