//! [`ByPolls`]: a task for which time stands still while it is polled.
//!
//! A reading of both clocks costs more than most of what is done with it, and of what one poll does nothing waits: whatever
//! did would have ended it. So the first reading of a poll stands for the rest of it, unless
//!
//! - bytes have come in since ([`forget`]): a request is never older than the read that brought it, by which a fleet's lease
//!   judges it;
//! - somebody must know how late it is ([`Clock::read`]): a turn in the budget, the end of an answer;
//! - it has stood for [`MOST`] questions: a poll is bounded by what tokio lets a task do in a row, and this bounds it again.
//!
//! What was judged by it is younger by no more than that: what was asked in one poll never waited. Tasks that are not
//! wrapped get a new reading each time.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use super::Clock;
use super::moment::Moment;

/// How many questions one reading answers.
const MOST: u32 = 64;

thread_local! {
    static STANDING: Standing = const { Standing::new() };
}

/// What this thread's poll goes by.
struct Standing {
    /// Which clock it is that stands still; a test has several. None outside of polls.
    clock: Cell<Option<u64>>,
    moment: Cell<Option<Moment>>,
    asked: Cell<u32>,
}

impl Standing {
    const fn new() -> Self {
        Self { clock: Cell::new(None), moment: Cell::new(None), asked: Cell::new(0) }
    }

    fn set(&self, moment: Moment) -> Moment {
        self.moment.set(Some(moment));
        self.asked.set(0);
        moment
    }

    fn is_of(&self, clock: &Clock) -> bool {
        self.clock.get() == Some(clock.number)
    }
}

/// From here on a poll goes by a new reading: bytes have come in.
pub fn forget() {
    STANDING.with(|standing| standing.moment.set(None));
}

impl Clock {
    /// A task that asks this clock once a poll.
    pub fn by_polls<F: Future>(&self, task: F) -> ByPolls<F> {
        ByPolls { clock: self.number, task: Box::pin(task) }
    }

    /// Now, on both clocks: in a task [by polls](Self::by_polls) what its poll goes by.
    #[must_use]
    pub fn now(&self) -> Moment {
        STANDING.with(|standing| {
            if !standing.is_of(self) {
                return self.both();
            }
            match standing.moment.get() {
                Some(moment) if standing.asked.get() < MOST => {
                    standing.asked.set(standing.asked.get() + 1);
                    moment
                }
                _ => standing.set(self.both()),
            }
        })
    }

    /// Now, by a reading that is made for this question; what a poll goes by from here on. Within a poll the wall clock goes
    /// on by the monotonic one, which is read alone: a jump of the wall clock is seen by the next poll.
    #[must_use]
    pub fn read(&self) -> Moment {
        STANDING.with(|standing| {
            if !standing.is_of(self) {
                return self.both();
            }
            standing.set(match standing.moment.get() {
                Some(moment) => moment.plus(self.monotonic().saturating_sub(moment.uptime())),
                None => self.both(),
            })
        })
    }

    /// What this poll goes by, and a new reading where that is no later than `earlier`: the end of what began in the same
    /// poll.
    #[must_use]
    pub fn behind(&self, earlier: Moment) -> Moment {
        let now = self.now();
        if now == earlier { self.read() } else { now }
    }

    /// The [`Moment::uptime`] of now.
    #[must_use]
    pub fn uptime(&self) -> Duration {
        let goes_by_polls = STANDING.with(|standing| standing.is_of(self));
        // What comes behind it in the poll will want to know both.
        if goes_by_polls { self.now().uptime() } else { self.monotonic() }
    }
}

/// See the module.
#[must_use = "a task does nothing unless awaited"]
#[derive(Debug)]
pub struct ByPolls<F> {
    clock: u64,
    /// In a box: there is one a connection, and to look into it by reference takes `unsafe`.
    task: Pin<Box<F>>,
}

impl<F: Future> Future for ByPolls<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let _scope = Scope::begin(self.clock);
        self.task.as_mut().poll(cx)
    }
}

/// The length of one poll, which may end by a panic.
struct Scope {
    outer: Option<u64>,
}

impl Scope {
    fn begin(clock: u64) -> Self {
        forget();
        Self { outer: STANDING.with(|standing| standing.clock.replace(Some(clock))) }
    }
}

impl Drop for Scope {
    fn drop(&mut self) {
        forget();
        STANDING.with(|standing| standing.clock.set(self.outer));
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test]
    async fn a_task_by_polls_is_told_one_moment_a_poll() {
        let (clock, hand) = Clock::manual();
        let mut polls = 0;
        let mut told = Vec::new();
        let task = poll_fn(|cx| {
            polls += 1;
            told.push((clock.now(), clock.uptime(), clock.now()));
            hand.advance(SECOND);
            told.push((clock.now(), clock.uptime(), clock.now()));
            cx.waker().wake_by_ref();
            if polls == 2 { Poll::Ready(()) } else { Poll::Pending }
        });
        let begun = clock.now();
        let before = hand.readings();
        clock.by_polls(task).await;
        assert_eq!(hand.readings() - before, 4, "both clocks, once a poll");
        for (at, poll) in told.chunks(2).enumerate() {
            let moment = begun.plus(SECOND * u32::try_from(at).unwrap());
            assert_eq!(poll, [(moment, moment.uptime(), moment); 2]);
        }
        assert_eq!(clock.now(), begun.plus(2 * SECOND), "nothing stands still behind it");
    }

    #[tokio::test]
    async fn who_must_know_reads_anew_and_what_follows_goes_by_that() {
        let (clock, hand) = Clock::manual();
        let asking = clock.clone();
        clock
            .by_polls(async move {
                let first = asking.now();
                hand.advance(SECOND);
                let second = asking.read();
                assert_eq!((second, asking.now()), (first.plus(SECOND), second));
                hand.advance(SECOND);
                forget();
                assert_eq!(asking.now(), second.plus(SECOND));
            })
            .await;
    }

    #[tokio::test]
    async fn a_moment_stands_for_so_many_questions_and_no_more() {
        let (clock, hand) = Clock::manual();
        let asking = clock.clone();
        clock
            .by_polls(async move {
                let first = asking.now();
                hand.advance(SECOND);
                let later = (0..=MOST).map(|_| asking.now());
                let same = later.filter(|moment| *moment == first).count();
                assert_eq!(same, MOST as usize);
            })
            .await;
    }

    #[tokio::test]
    async fn another_clock_and_another_task_are_told_the_time_as_it_is() {
        let ((one, hand), (other, others_hand)) = (Clock::manual(), Clock::manual());
        let asking = one.clone();
        let beside = one.clone();
        one.by_polls(async move {
            let (first, others_first) = (asking.now(), other.now());
            hand.advance(SECOND);
            others_hand.advance(SECOND);
            assert_eq!(asking.now(), first);
            assert_eq!(other.now(), others_first.plus(SECOND));
            let told = tokio::spawn(async move { beside.now() }).await.unwrap();
            assert_eq!(told, first.plus(SECOND));
        })
        .await;
    }

    #[test]
    fn a_panic_ends_the_poll_it_is_in() {
        let (clock, hand) = Clock::manual();
        let asking = clock.clone();
        let panicking = clock.by_polls(async move {
            let _ = asking.now();
            panic!("as a bug would");
        });
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| runtime.block_on(panicking)));
        assert!(caught.is_err());
        let before = clock.now();
        hand.advance(SECOND);
        assert_eq!(clock.now(), before.plus(SECOND));
    }
}
