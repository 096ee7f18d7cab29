//! Reading a body whole, up to a limit, and handing on what turned out larger.
//!
//! What is read whole outlives the exchange that it came with: it is kept in memory of its own, of no more than its size,
//! and so are the fields beside it. A slice of what was received would hold the connection's read buffer.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use http::response::Parts;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt;

use crate::body::{Body, BodyError};
use crate::clock::Clock;
use crate::error::{ErrorKind, ProxyError};
use crate::held::{self, Charge, Full, Gathering, Held};
use crate::lock::Mutex;
use crate::received::Received;
use crate::semantics::{fields, owned};
use crate::shield::refusals::Unauthorized;
use crate::upstream::activity::Activity;
use crate::upstream::permits::Permit;
use crate::upstream::transfer::Download;

/// A body after at most `limit` bytes of it were read.
pub enum Read<B = Received> {
    /// All of it.
    Whole(Bytes),
    /// More than the limit.
    TooLarge(Beginning<B>),
}

/// What was read of a body, and the rest as it comes.
pub struct Beginning<B = Received> {
    read: Bytes,
    rest: B,
    /// What the rest holds, which is on its way.
    charge: Charge,
}

/// Reads `body` to its end, or until it is over `limit`. Trailers are dropped. What is held of it counts in `held`.
///
/// # Errors
///
/// If the body ends early or is malformed; [`Full`] if there is no memory for it.
pub async fn read<B>(body: B, limit: usize, held: &Held) -> Result<Read<B>, BodyError>
where
    B: http_body::Body<Data = Bytes, Error = BodyError> + Unpin,
{
    let memory = held.gather(length_of(&body));
    read_into(memory, body, limit, held).await
}

/// The length of a body, if it was announced and fits.
pub fn length_of(body: &impl http_body::Body) -> Option<usize> {
    body.size_hint().exact().and_then(|length| usize::try_from(length).ok())
}

/// The same with memory that was made for it.
///
/// # Errors
///
/// If the body ends early or is malformed; [`Full`] if there is no memory for it.
pub async fn read_into<B>(
    mut read: Gathering,
    mut body: B,
    limit: usize,
    held: &Held,
) -> Result<Read<B>, BodyError>
where
    B: http_body::Body<Data = Bytes, Error = BodyError> + Unpin,
{
    let mut is_over = body.size_hint().lower() > limit as u64;
    while !is_over {
        let Some(frame) = body.frame().await else { return Ok(Read::Whole(read.finish())) };
        let Ok(data) = frame?.into_data() else { continue };
        read.push(&data)?;
        is_over = read.len() > limit;
    }
    let charge = held.take_held(held::DOWNLOAD);
    Ok(Read::TooLarge(Beginning { read: read.finish(), rest: body, charge }))
}

/// Why the body of an upstream answer could not be read.
pub fn unread(cause: BodyError) -> ProxyError {
    match cause.downcast_ref::<Full>() {
        Some(full) => full.for_answer(),
        None => ErrorKind::BadUpstreamAnswer.error().because(cause),
    }
}

/// A body that is passed on, with what it holds.
pub struct Holding<B> {
    body: B,
    _charge: Charge,
}

impl<B> Holding<B> {
    /// Holds `charge` until `body` is dropped.
    pub const fn new(body: B, charge: Charge) -> Self {
        Self { body, _charge: charge }
    }
}

impl<B: http_body::Body + Unpin> http_body::Body for Holding<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        Pin::new(&mut self.get_mut().body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// An upstream answer that is passed on as it is, its body in memory.
#[derive(Clone)]
pub struct WholeAnswer {
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
    pub fn new(head: Parts, body: Bytes) -> Self {
        let fields = owned::fields(fields::forwardable_response(head.headers));
        Self { status: head.status, fields, body }
    }

    /// Its status.
    pub const fn status(&self) -> StatusCode {
        self.status
    }

    /// What is remembered of a 401: an encoded body cannot be sent to everybody, and the answer to a HEAD has none.
    pub fn unauthorized(&self) -> Unauthorized {
        if self.fields.contains_key(CONTENT_ENCODING) || self.body.is_empty() {
            return Unauthorized::default();
        }
        Unauthorized::new(self.fields.get(CONTENT_TYPE), &self.body)
    }

    /// As an answer to a request with `method`.
    pub fn response(&self, method: &Method) -> Response<Body> {
        let is_head = method == Method::HEAD;
        let mut response =
            Response::new(if is_head { Body::empty() } else { Body::whole(self.body.clone()) });
        *response.status_mut() = self.status;
        *response.headers_mut() = self.fields.clone();
        // What answered a HEAD came without the body whose length it announces (RFC 9110 §8.6): that length stays.
        let has_body = !matches!(self.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        if has_body && !(is_head && self.body.is_empty()) {
            response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(self.body.len()));
        }
        response
    }
}

/// The answer with `head` and a body that begins so, as a stream; it holds the permit of its call until its end.
pub fn streamed(
    head: Parts,
    body: Beginning,
    clock: &Clock,
    idle: Duration,
    permit: Option<Permit>,
) -> Response<Body> {
    let activity = Activity::begin(clock.clone());
    let download = Download::new(body.rest, activity, idle, permit).after(body.read);
    let mut response = Response::new(Body::stream(Holding::new(download, body.charge)));
    *response.status_mut() = head.status;
    *response.headers_mut() = fields::forwardable_response(head.headers);
    response
}

/// An upstream answer too large to keep: whoever asks first gets it as a stream.
pub struct StreamedAnswer(Mutex<Option<Response<Body>>>);

impl fmt::Debug for StreamedAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StreamedAnswer")
    }
}

impl StreamedAnswer {
    /// Of this answer.
    pub const fn new(answer: Response<Body>) -> Self {
        Self(Mutex::new(Some(answer)))
    }

    /// The answer, once.
    pub fn take(&self) -> Option<Response<Body>> {
        self.0.lock().take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_is_kept_holds_nothing_of_the_head_that_it_came_with() {
        let buffer = Bytes::from(b"application/json".to_vec());
        let mut answer = Response::new(());
        let value = HeaderValue::from_maybe_shared(buffer.clone()).unwrap();
        answer.headers_mut().insert(CONTENT_TYPE, value);
        let kept = WholeAnswer::new(answer.into_parts().0, Bytes::from_static(b"{}"));
        assert!(buffer.is_unique(), "something of it is held");
        assert_eq!(kept.response(&Method::GET).headers()[CONTENT_TYPE], "application/json");
    }

    #[test]
    fn an_answer_to_head_announces_the_length_that_the_upstream_announced() {
        let answer = Response::builder().status(401).header(CONTENT_LENGTH, "57").body(()).unwrap();
        let kept = WholeAnswer::new(answer.into_parts().0, Bytes::new());
        assert_eq!(kept.response(&Method::HEAD).headers()[CONTENT_LENGTH], "57");
    }
}
