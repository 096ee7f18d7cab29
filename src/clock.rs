//! [`Clock`]: the only reader of time and the only maker of timers.
//!
//! Everything that asks what time it is gets a [`Moment`]; everything that waits asks [`Clock::sleep_until`]. A test
//! holds a [`ManualClock`] and moves both. What elapses is the larger of what the monotonic clock and the wall clock
//! say: the monotonic one stands still while a machine is suspended, and a wall clock that was set back must not make
//! anything younger. A connection's task is told one moment a poll (`poll`); everything else the time as it is.

#![expect(clippy::disallowed_methods, reason = "the one owner of time")]

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

pub use self::manual::ManualClock;
use self::manual::{ManualSleep, ManualTime};
pub use self::moment::{Moment, ShortMoment};
pub use self::poll::{ByPolls, forget};
use crate::lock::Mutex;

mod manual;
mod moment;
mod poll;

/// So long before the process the system's monotonic clock begins. What is taken over from others may be older than the process: with
/// a clock that began with it that would be dated later, and be believed for longer once the wall clock is set back.
const BEFORE_THE_PROCESS: Duration = Duration::from_secs(30 * 86_400);

/// A wait ended before what was waited for came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Elapsed;

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("deadline reached")
    }
}

impl std::error::Error for Elapsed {}

/// A cheap handle to the process's time.
#[derive(Clone, Debug)]
pub struct Clock {
    /// Tells it from the other clocks of the process.
    number: u64,
    source: Source,
}

#[derive(Clone, Debug)]
enum Source {
    System { start: Instant },
    Manual(Arc<Mutex<ManualTime>>),
}

impl Clock {
    /// The machine's clocks.
    #[must_use]
    pub fn system() -> Self {
        let now = Instant::now();
        // Not every system can tell of a time before its own start.
        Self::of(Source::System { start: now.checked_sub(BEFORE_THE_PROCESS).unwrap_or(now) })
    }

    /// A clock that stands still until its [`ManualClock`] moves it.
    #[must_use]
    pub fn manual() -> (Self, ManualClock) {
        let time = Arc::new(Mutex::new(ManualTime::beginning_at(Instant::now())));
        (Self::of(Source::Manual(Arc::clone(&time))), ManualClock(time))
    }

    fn of(source: Source) -> Self {
        static CLOCKS: AtomicU64 = AtomicU64::new(0);
        Self { number: CLOCKS.fetch_add(1, Ordering::Relaxed), source }
    }

    /// A reading of both clocks.
    fn both(&self) -> Moment {
        match &self.source {
            Source::System { start } => Moment {
                monotonic: start.elapsed(),
                wall: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default(),
            },
            Source::Manual(time) => time.lock().both(),
        }
    }

    /// A reading of the monotonic clock alone, for half the price.
    fn monotonic(&self) -> Duration {
        match &self.source {
            Source::System { start } => start.elapsed(),
            Source::Manual(time) => time.lock().monotonic(),
        }
    }

    /// Waits until `deadline` on the monotonic clock; at once if it has passed.
    pub fn sleep_until(&self, deadline: Moment) -> Sleep {
        match &self.source {
            Source::System { start } => {
                let deadline = start.checked_add(deadline.monotonic).unwrap_or_else(far_future);
                Sleep(Sleeper::System(Box::pin(tokio::time::sleep_until(deadline.into()))))
            }
            Source::Manual(time) => {
                Sleep(Sleeper::Manual(ManualSleep::until(deadline.monotonic, Arc::clone(time))))
            }
        }
    }

    /// Waits until so long after the clock's beginning.
    pub fn sleep_until_uptime(&self, uptime: Duration) -> Sleep {
        self.sleep_until(Moment { monotonic: uptime, wall: Duration::MAX })
    }

    /// Waits for `duration`.
    pub fn sleep(&self, duration: Duration) -> Sleep {
        self.sleep_until(self.now().plus(duration))
    }

    /// Runs `future` until it is done or `deadline` is reached, whichever is first.
    ///
    /// # Errors
    ///
    /// [`Elapsed`] if the deadline came first; the future is dropped then.
    pub async fn deadline<F: Future>(&self, deadline: Moment, future: F) -> Result<F::Output, Elapsed> {
        tokio::select! {
            biased;
            output = future => Ok(output),
            () = self.sleep_until(deadline) => Err(Elapsed),
        }
    }
}

fn far_future() -> Instant {
    Instant::now() + Duration::from_secs(86_400 * 365)
}

/// A timer made by a [`Clock`].
#[must_use = "a timer does nothing unless awaited"]
pub struct Sleep(Sleeper);

enum Sleeper {
    System(Pin<Box<tokio::time::Sleep>>),
    Manual(ManualSleep),
}

impl fmt::Debug for Sleep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sleep")
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.0 {
            Sleeper::System(sleep) => sleep.as_mut().poll(cx),
            Sleeper::Manual(sleep) => sleep.poll(cx),
        }
    }
}

impl hyper::rt::Sleep for Sleep {}

impl hyper::rt::Timer for Clock {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn hyper::rt::Sleep>> {
        Box::pin(Self::sleep(self, duration))
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn hyper::rt::Sleep>> {
        let base = match &self.source {
            Source::System { start } => *start,
            Source::Manual(time) => time.lock().base,
        };
        let monotonic = deadline.saturating_duration_since(base);
        Box::pin(Self::sleep_until(self, Moment { monotonic, wall: Duration::MAX }))
    }

    fn now(&self) -> Instant {
        match &self.source {
            Source::System { .. } => Instant::now(),
            Source::Manual(time) => {
                let time = time.lock();
                time.base + time.monotonic
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn what_is_older_than_the_process_keeps_its_age_when_the_wall_clock_is_set_back() {
        let now = Clock::system().now();
        let taken_over = now.back(Duration::from_secs(300));
        let later = Moment::of(now.uptime() + Duration::from_secs(10), now.unix().saturating_sub(HOUR));
        assert_eq!(later.since(taken_over), Duration::from_secs(310));
    }

    #[test]
    fn elapsed_time_is_the_larger_of_both_clocks() {
        let (clock, hand) = Clock::manual();
        let start = clock.now();
        hand.advance(Duration::from_secs(5));
        assert_eq!(clock.now().since(start), Duration::from_secs(5));
        hand.jump_wall_ahead(HOUR);
        assert_eq!(clock.now().since(start), HOUR + Duration::from_secs(5));
    }

    #[test]
    fn a_wall_clock_set_back_makes_nothing_younger() {
        let (clock, hand) = Clock::manual();
        let start = clock.now();
        hand.advance(Duration::from_secs(5));
        hand.jump_wall_back(10 * 365 * 24 * HOUR);
        assert_eq!(clock.now().since(start), Duration::from_secs(5));
    }

    #[tokio::test]
    async fn a_manual_timer_fires_when_the_hand_passes_it() {
        let (clock, hand) = Clock::manual();
        let mut sleep = std::pin::pin!(clock.sleep(HOUR));
        assert!(futures_poll(sleep.as_mut()).await.is_pending());
        hand.advance(HOUR);
        sleep.await;
    }

    async fn futures_poll(mut sleep: Pin<&mut Sleep>) -> Poll<()> {
        std::future::poll_fn(|cx| Poll::Ready(sleep.as_mut().poll(cx))).await
    }
}
