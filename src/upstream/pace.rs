//! [`Paced`]: a request body that has to keep up a least rate.
//!
//! Whoever sends a byte now and then holds a place for as long as it likes. What counts is the time for which more was
//! asked for and did not come: a reader behind that stalls is not the sender's fault, and a body that nobody reads has no
//! pace. The first ten seconds are free, for slow starts; of those behind them no ten may bring less than their share.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use crate::body::BodyError;
use crate::clock::{Clock, Sleep};
use crate::received::Received;

const SECOND: Duration = Duration::from_secs(1);
/// Seconds over which the rate is taken, and that are free at first.
const SPAN: usize = 10;

/// A body that is being received, no slower than at its least rate.
#[derive(Debug)]
pub struct Paced {
    body: Received,
    clock: Clock,
    /// Bytes a second.
    least: u64,
    /// Bytes of each of the latest seconds of waiting, the one that runs included.
    came: [u64; SPAN],
    /// Whole seconds that were waited for the sender.
    waited: usize,
    /// What is left of the second that runs.
    left: Duration,
    /// When the wait that is under way was last looked at.
    since: Option<Duration>,
    /// Kept when a wait ends, for the next one cannot be over before it.
    over: Option<Sleep>,
}

/// A sender was slower than it may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooSlow;

impl fmt::Display for TooSlow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the body came slower than listen.min_upload_rate")
    }
}

impl std::error::Error for TooSlow {}

impl Paced {
    /// Asks `least` bytes a second of `body`.
    #[must_use]
    pub const fn new(body: Received, clock: Clock, least: u64) -> Self {
        Self { body, clock, least, came: [0; SPAN], waited: 0, left: SECOND, since: None, over: None }
    }

    /// Notes that a second of waiting is over.
    fn turn(&mut self) -> Result<(), TooSlow> {
        self.waited += 1;
        let sum = self.came.iter().copied().fold(0, u64::saturating_add);
        self.came[self.waited % SPAN] = 0;
        self.left = SECOND;
        let is_slow = self.waited >= 2 * SPAN && sum < self.least.saturating_mul(SPAN as u64);
        if is_slow { Err(TooSlow) } else { Ok(()) }
    }

    /// Ends the wait that is under way; what of its second has passed counts.
    fn note_came(&mut self, bytes: usize) {
        let cell = &mut self.came[self.waited % SPAN];
        *cell = cell.saturating_add(bytes as u64);
        if let Some(since) = self.since.take() {
            self.left = self.left.saturating_sub(self.clock.uptime().saturating_sub(since));
        }
    }

    /// Goes on waiting, and says when that has been too long.
    fn poll_wait(&mut self, cx: &mut Context<'_>) -> Poll<TooSlow> {
        loop {
            let since = *self.since.get_or_insert_with(|| self.clock.uptime());
            let over = self.over.get_or_insert_with(|| self.clock.sleep(self.left));
            ready!(Pin::new(over).poll(cx));
            (self.over, self.since) = (None, None);
            self.left = self.left.saturating_sub(self.clock.uptime().saturating_sub(since));
            if self.left.is_zero()
                && let Err(slow) = self.turn()
            {
                return Poll::Ready(slow);
            }
        }
    }
}

impl Body for Paced {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        match Pin::new(&mut this.body).poll_frame(cx) {
            Poll::Pending => this.poll_wait(cx).map(|slow| Some(Err(slow.into()))),
            Poll::Ready(frame) => {
                let data = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref());
                this.note_came(data.map_or(0, Bytes::len));
                Poll::Ready(frame)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
