//! [`Received`]: a body as a peer sends it, which ends without an error only when it is whole.
//!
//! Bodies are wrapped in it right at the socket, below everything else that looks at them, in both directions and for
//! both protocols. It is needed because hyper does not tell every end from a cut: over HTTP/2 a `RST_STREAM` or `GOAWAY`
//! with `NO_ERROR` ends a body as `END_STREAM` does (RFC 9113 §8.1 lets a server that has answered early stop an upload
//! so), and half a body would pass for a whole one.
//!
//! A body is whole if its framing says so and, where a length was announced, exactly that many bytes came. On an HTTP/1.1
//! connection to the upstream nothing may have come behind it, either: there, an end is told only when the connection's
//! [`Tail`] has said so.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{HeaderMap, Method, Response, StatusCode, Version, header};
use http_body::{Body as _, Frame, SizeHint};
use hyper::body::Incoming;

pub use self::unread::Unread;
use crate::body::BodyError;

mod unread;

/// A body that is being received.
#[derive(Debug)]
pub struct Received {
    /// There until it is dropped.
    body: Option<Incoming>,
    /// HTTP/2 alone: hyper's own errors tell every cut on HTTP/1.1, and `is_end_stream` there tells nothing.
    end_is_told: bool,
    /// Bytes that were announced and have not come.
    missing: Option<u64>,
    ended: bool,
    tail: Option<Box<dyn Tail>>,
    /// Bytes came behind it: told when its end is asked for.
    excess: bool,
    /// Whoever asked whether it was read to its end.
    told: Option<Unread>,
    /// On HTTP/1.1: fields came behind it, of which readers differ on where they end.
    has_trailers: bool,
}

/// A body of up to so many bytes is short.
const SHORT_BYTES: u64 = 8 * 1024;

/// What is behind the last byte of a body.
pub trait Tail: Send + Sync {
    /// Whether nothing came behind the body; asked when all of it has come, until it is ready once.
    fn poll_clean(&mut self, cx: &mut Context<'_>) -> Poll<bool>;

    /// All of the body has come, and nobody waits any more for what is behind it.
    fn settle(self: Box<Self>);
}

impl fmt::Debug for dyn Tail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tail")
    }
}

/// The body is whole, and bytes came behind it: which of them is the answer is anybody's guess.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Excess;

impl fmt::Display for Excess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("bytes came behind the end of the answer")
    }
}

impl std::error::Error for Excess {}

/// A body ended before it was whole. It has no source: an HTTP/2 reset with the reason found there would be passed on, and
/// `NO_ERROR` among them would end the other side instead of cutting it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut;

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the body ended before it was whole")
    }
}

impl std::error::Error for Cut {}

impl Received {
    /// The body of a request of this version and with these fields.
    #[must_use]
    pub fn request(body: Incoming, version: Version, fields: &HeaderMap) -> Self {
        // On HTTP/1.1 hyper holds a body to the length that was announced.
        Self::new(body, version, if version == Version::HTTP_2 { announced(fields) } else { None })
    }

    /// The body of the answer to a request with this method.
    #[must_use]
    pub fn answer(answer: Response<Incoming>, method: &Method) -> Response<Self> {
        // RFC 9110 §6.4.1: their Content-Length is that of another answer.
        let has_none = method == Method::HEAD
            || matches!(answer.status(), StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        let version = answer.version();
        let is_counted = version == Version::HTTP_2 && !has_none;
        let announced = if is_counted { announced(answer.headers()) } else { None };
        answer.map(|body| Self::new(body, version, announced))
    }

    /// From now on it ends when `tail` says that nothing is behind it.
    pub fn end_before(&mut self, tail: Box<dyn Tail>) {
        self.tail = Some(tail);
    }

    /// Looks behind the last byte as soon as it has come: whoever knows the length may not ask for the end.
    fn look_behind(&mut self, cx: &mut Context<'_>) {
        if self.end_is_told || !self.is_at_its_end() {
            return;
        }
        if let Some(tail) = &mut self.tail
            && let Poll::Ready(is_clean) = tail.poll_clean(cx)
        {
            (self.tail, self.excess) = (None, !is_clean);
        }
    }

    /// Waits for the end of a body that has no byte, so that [`http_body::Body::is_end_stream`] may tell it.
    ///
    /// # Errors
    ///
    /// [`Excess`] if bytes came behind it.
    pub async fn end_if_empty(&mut self) -> Result<(), BodyError> {
        if self.tail.is_none() || !self.is_at_its_end() {
            return Ok(());
        }
        std::future::poll_fn(|cx| Pin::new(&mut *self).poll_frame(cx))
            .await
            .map_or(Ok(()), |frame| frame.map(drop))
    }

    const fn new(body: Incoming, version: Version, announced: Option<u64>) -> Self {
        let end_is_told = matches!(version, Version::HTTP_2);
        Self {
            body: Some(body),
            end_is_told,
            missing: announced,
            ended: false,
            tail: None,
            excess: false,
            told: None,
            has_trailers: false,
        }
    }

    /// Tells what becomes of it.
    pub fn unread(&mut self) -> Unread {
        self.told.get_or_insert_with(Unread::new).clone()
    }

    /// The same for a request on HTTP/1.1; of a body that is short and on its way, the rest can be read and thrown away.
    pub fn unread_on_http1(&mut self, fields: &HeaderMap) -> Unread {
        // Its client sends nothing until it is asked to (RFC 9110 §10.1.1), or for a while.
        let is_on_its_way = !fields.contains_key(header::EXPECT);
        if is_on_its_way && http_body::Body::size_hint(self).upper().is_some_and(|most| most <= SHORT_BYTES) {
            return self.told.insert(Unread::of_short()).clone();
        }
        self.unread()
    }

    fn is_at_its_end(&self) -> bool {
        self.body.as_ref().is_none_or(http_body::Body::is_end_stream)
    }

    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Option<hyper::Result<Frame<Bytes>>>> {
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let polled = Pin::new(body).poll_frame(cx);
        if let Some(told) = &self.told {
            match &polled {
                Poll::Pending => told.note_wait(),
                Poll::Ready(Some(Ok(frame))) => told.note_came(frame.data_ref().map_or(0, Bytes::len)),
                Poll::Ready(_) => told.note_came(0),
            }
        }
        polled
    }

    fn is_whole(&self) -> bool {
        (!self.end_is_told || self.is_at_its_end()) && matches!(self.missing, None | Some(0))
    }
}

/// What hyper and h2 hold a body to; a field that is no number is theirs to refuse.
fn announced(fields: &HeaderMap) -> Option<u64> {
    fields.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

impl http_body::Body for Received {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        if this.ended {
            return Poll::Ready(None);
        }
        let frame = match ready!(this.poll_body(cx)) {
            Some(Ok(frame)) => frame,
            Some(Err(error)) => {
                (this.ended, this.tail) = (true, None);
                return Poll::Ready(Some(Err(error.into())));
            }
            None if !this.is_whole() => {
                this.ended = true;
                return Poll::Ready(Some(Err(Cut.into())));
            }
            None => {
                let is_clean = match &mut this.tail {
                    Some(tail) => ready!(tail.poll_clean(cx)),
                    None => !this.excess,
                };
                (this.ended, this.tail) = (true, None);
                return Poll::Ready((!is_clean).then(|| Err(Excess.into())));
            }
        };
        if let (Some(missing), Some(data)) = (&mut this.missing, frame.data_ref()) {
            // More than was announced is an error of the framing, and h2 raises it.
            *missing = missing.saturating_sub(data.len() as u64);
        }
        this.has_trailers |= frame.is_trailers() && !this.end_is_told;
        this.look_behind(cx);
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.tail.is_none() && !self.excess && self.is_at_its_end() && self.is_whole()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map(http_body::Body::size_hint).unwrap_or_default()
    }
}

impl Drop for Received {
    fn drop(&mut self) {
        let is_at_its_end = self.is_at_its_end();
        if let Some(unread) = &self.told {
            let is_read = self.ended || is_at_its_end;
            unread.note_came(0);
            if is_read && !self.has_trailers {
                unread.note_end();
            }
            if !is_read && let Some(body) = self.body.take() {
                unread.leave(body);
            }
        }
        if !self.end_is_told
            && is_at_its_end
            && let Some(tail) = self.tail.take()
        {
            tail.settle();
        }
    }
}
