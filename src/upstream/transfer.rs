//! Bodies that pass through: each frame is noted as activity, trailers are dropped, and a body that stops is ended.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Frame, SizeHint};

use super::activity::{Activity, Broken};
use super::pace::{Paced, TooSlow};
use super::permits::Permit;
use crate::body::BodyError;
use crate::clock::Elapsed;
use crate::received::{Excess, Received};

/// A request body on its way upstream.
#[derive(Debug)]
pub struct Upload {
    /// Bytes of the body that were read before.
    before: Bytes,
    body: Paced,
    activity: Activity,
}

impl Upload {
    /// Passes `body` on behind what was read of it before.
    #[must_use]
    pub const fn new(before: Bytes, body: Paced, activity: Activity) -> Self {
        Self { before, body, activity }
    }
}

impl http_body::Body for Upload {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        if !this.before.is_empty() {
            this.activity.note_byte();
            return Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut this.before)))));
        }
        loop {
            match ready!(Pin::new(&mut this.body).poll_frame(cx)) {
                Some(Ok(frame)) if frame.is_data() => {
                    this.activity.note_byte();
                    return Poll::Ready(Some(Ok(frame)));
                }
                Some(Ok(_trailers)) => {}
                Some(Err(error)) => {
                    let how = if error.is::<TooSlow>() { Broken::TooSlow } else { Broken::Cut };
                    this.activity.note_request_broken(how);
                    return Poll::Ready(Some(Err(error)));
                }
                None => {
                    this.activity.note_request_sent();
                    return Poll::Ready(None);
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        let has_ended = self.before.is_empty() && self.body.is_end_stream();
        if has_ended {
            // Who is told so asks for no more, be it before the first piece.
            self.activity.note_request_sent();
        }
        has_ended
    }

    fn size_hint(&self) -> SizeHint {
        behind(self.before.len(), &self.body.size_hint())
    }
}

/// The hint of a body in front of which so many bytes go.
fn behind(before: usize, rest: &SizeHint) -> SizeHint {
    let before = before as u64;
    let mut hint = SizeHint::new();
    if let Some(upper) = rest.upper() {
        hint.set_upper(upper.saturating_add(before));
    }
    hint.set_lower(rest.lower().saturating_add(before));
    hint
}

/// An answer's body on its way downstream. It holds the call's permit, and ends with an error when it was asked for more
/// and no byte has moved for too long: a stalled upstream holds no connection for ever. A reader that stalls asks for
/// nothing; to cut its connection, and this body with it, is left to the server.
pub struct Download {
    /// Bytes of the body that were read before.
    before: Option<Bytes>,
    body: Received,
    activity: Activity,
    idle: Duration,
    /// Made when the next piece is first waited for: most answers are there when they are asked for.
    overdue: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    _permit: Option<Permit>,
}

impl Download {
    /// Passes `body` on until it ends or stands still for `idle`.
    #[must_use]
    pub fn new(body: Received, activity: Activity, idle: Duration, permit: Option<Permit>) -> Self {
        activity.note_byte();
        Self { before: None, body, activity, idle, overdue: None, _permit: permit }
    }

    /// The same behind bytes that were read of the body before.
    #[must_use]
    pub fn after(mut self, before: Bytes) -> Self {
        self.before = (!before.is_empty()).then_some(before);
        self
    }
}

impl http_body::Body for Download {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        if let Some(before) = this.before.take() {
            return Poll::Ready(Some(Ok(Frame::data(before))));
        }
        loop {
            match Pin::new(&mut this.body).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) if frame.is_data() => {
                    this.activity.note_byte();
                    return Poll::Ready(Some(Ok(frame)));
                }
                Poll::Ready(Some(Ok(_trailers))) => {}
                // The answer is whole, and what came behind it went with its connection.
                Poll::Ready(Some(Err(error))) if error.is::<Excess>() => return Poll::Ready(None),
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(error))),
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending => {
                    let (activity, idle) = (&this.activity, this.idle);
                    let overdue = this.overdue.get_or_insert_with(|| {
                        let watch = activity.clone();
                        Box::pin(async move { watch.idle(idle).await })
                    });
                    ready!(overdue.as_mut().poll(cx));
                    return Poll::Ready(Some(Err(Elapsed.into())));
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.before.is_none() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        behind(self.before.as_ref().map_or(0, Bytes::len), &self.body.size_hint())
    }
}
