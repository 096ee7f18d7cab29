//! [`Counted`]: a response body that keeps its request counted as under way until its last piece was handed over.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Frame, SizeHint};

use super::under_way::UnderWay;
use crate::body::{Body, BodyError};

/// A body from memory is handed over in pieces of at most this size: given whole, hyper would drop it at once, and a
/// slow reader would look idle while most of it is still to be sent.
const PIECE_BYTES: usize = 64 * 1024;

/// A response body and its request's guard.
pub(super) struct Counted {
    body: Body,
    rest: Bytes,
    under_way: UnderWay,
}

impl Counted {
    /// Keeps the request counted for as long as this body lives.
    pub(super) fn new(body: Body, under_way: UnderWay) -> Self {
        Self { body, rest: Bytes::new(), under_way }
    }

    fn next_piece(&mut self) -> Frame<Bytes> {
        Frame::data(self.rest.split_to(PIECE_BYTES.min(self.rest.len())))
    }
}

impl http_body::Body for Counted {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if self.rest.is_empty() {
            let polled = Pin::new(&mut self.body).poll_frame(cx)?;
            if polled.is_pending() {
                self.under_way.note_want();
            }
            let Some(frame) = ready!(polled) else { return Poll::Ready(None) };
            self.under_way.note_piece();
            match frame.into_data() {
                Ok(data) if data.len() > PIECE_BYTES => self.rest = data,
                Ok(data) => return Poll::Ready(Some(Ok(Frame::data(data)))),
                Err(frame) => return Poll::Ready(Some(Ok(frame))),
            }
        }
        self.under_way.note_piece();
        Poll::Ready(Some(Ok(self.next_piece())))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (body, rest) = (self.body.size_hint(), self.rest.len() as u64);
        let mut hint = SizeHint::new();
        if let Some(upper) = body.upper() {
            hint.set_upper(upper.saturating_add(rest));
        }
        hint.set_lower(body.lower().saturating_add(rest));
        hint
    }
}

#[cfg(test)]
mod tests {
    use http_body::Body as _;
    use http_body_util::BodyExt;

    use super::super::progress::{Progress, Stage};
    use super::*;
    use crate::clock::Clock;

    #[tokio::test]
    async fn a_large_body_is_handed_over_in_pieces_and_counts_until_the_last() {
        let progress = Progress::new(Clock::manual().0, Stage::Serving);
        let bytes: Bytes = (0..=255).cycle().take(2 * PIECE_BYTES + 1).collect::<Vec<u8>>().into();
        let mut body = Counted::new(Body::whole(bytes.clone()), progress.begin());
        let (mut received, mut left) = (Vec::new(), bytes.len() as u64);
        while let Some(frame) = body.frame().await {
            assert!(progress.is_busy());
            let piece = frame.unwrap().into_data().unwrap();
            assert!(piece.len() <= PIECE_BYTES);
            left -= piece.len() as u64;
            assert_eq!((body.size_hint().exact(), body.is_end_stream()), (Some(left), left == 0));
            received.extend_from_slice(&piece);
        }
        assert_eq!(received, bytes);
        drop(body);
        assert!(!progress.is_busy());
    }
}
