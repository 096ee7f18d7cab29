//! [`Body`]: the one body type that is sent, downstream and upstream.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use http_body_util::combinators::UnsyncBoxBody;

/// Why a streamed body ended early; the text goes to the log only.
pub type BodyError = Box<dyn std::error::Error + Send + Sync>;

/// Whole bytes from memory, or a stream that passes through.
pub enum Body {
    /// All of it, sent in one frame; `None` once sent.
    Whole(Option<Bytes>),
    /// Passed on as it comes, with back-pressure.
    Stream(UnsyncBoxBody<Bytes, BodyError>),
}

impl Body {
    /// No body.
    #[must_use]
    pub const fn empty() -> Self {
        Self::Whole(None)
    }

    /// A body that is wholly in memory.
    #[must_use]
    pub fn whole(bytes: Bytes) -> Self {
        Self::Whole((!bytes.is_empty()).then_some(bytes))
    }

    /// The body as it is sent next: any number of times from memory, a stream once.
    pub fn next(body: &mut Option<Self>) -> Option<Self> {
        match body {
            Some(Self::Whole(bytes)) => Some(Self::Whole(bytes.clone())),
            Some(Self::Stream(_)) | None => body.take(),
        }
    }

    /// A body that is passed on frame by frame.
    pub fn stream<B>(body: B) -> Self
    where
        B: http_body::Body<Data = Bytes, Error = BodyError> + Send + 'static,
    {
        Self::Stream(UnsyncBoxBody::new(body))
    }
}

/// Whether a body has no byte, as far as its head tells: it has ended, or announces a length of zero. On HTTP/2 such a
/// length may come before the frame that ends the stream.
#[must_use]
pub fn is_empty(body: &impl http_body::Body) -> bool {
    body.is_end_stream() || body.size_hint().exact() == Some(0)
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(bytes) => write!(f, "Whole({} bytes)", bytes.as_ref().map_or(0, Bytes::len)),
            Self::Stream(_) => f.write_str("Stream"),
        }
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.get_mut() {
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Stream(body) => Pin::new(body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(bytes) => bytes.is_none(),
            Self::Stream(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, Bytes::len) as u64),
            Self::Stream(body) => body.size_hint(),
        }
    }
}
