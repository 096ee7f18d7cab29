//! The vendor's two rate windows of a workspace, and what was really called.
//!
//! Both windows slide exactly: every call is remembered with its time. A refused call takes nothing from the limits (the
//! vendor does not say), but it does count for the peaks, which tell what a client did.

use std::collections::VecDeque;
use std::time::Duration;

/// Calls that a workspace may make over all its keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// In any second.
    pub per_second: usize,
    /// In any minute.
    pub per_minute: usize,
    /// Whether a 429 says in `Retry-After` when there will be room.
    pub retry_after: bool,
}

impl Limits {
    /// No limit at all: for benches of what is in front.
    pub const NONE: Self = Self { per_second: usize::MAX, per_minute: usize::MAX, retry_after: false };
}

impl Default for Limits {
    /// The vendor's 100 a second and 6,000 a minute, without `Retry-After`.
    fn default() -> Self {
        Self { per_second: 100, per_minute: 6000, retry_after: false }
    }
}

/// The most calls that arrived for one workspace in any second and in any minute, refused ones included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Peak {
    /// In any second.
    pub second: usize,
    /// In any minute.
    pub minute: usize,
}

/// A call that found no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OverLimit {
    /// Until there is room, where the limits say so.
    pub(super) retry_after: Option<Duration>,
}

/// One workspace's calls.
#[derive(Debug)]
pub(super) struct Account {
    limits: Limits,
    admitted: CallLog,
    arrived: CallLog,
    peak: Peak,
    classified: VecDeque<Duration>,
}

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const MONTH: Duration = Duration::from_secs(30 * 86_400);
const CLASSIFICATIONS_PER_MONTH: usize = 500;

impl Account {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            admitted: CallLog::default(),
            arrived: CallLog::default(),
            peak: Peak::default(),
            classified: VecDeque::new(),
        }
    }

    pub(super) fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    pub(super) const fn peak(&self) -> Peak {
        self.peak
    }

    /// Counts a call that arrives at `now` (the clock's uptime), and says whether it is within the limits.
    pub(super) fn call(&mut self, now: Duration) -> Result<(), OverLimit> {
        self.arrived.add(now);
        self.peak.second = self.peak.second.max(self.arrived.in_second());
        self.peak.minute = self.peak.minute.max(self.arrived.in_minute());
        if self.limits == Limits::NONE {
            return Ok(());
        }
        self.admitted.forget_before(now);
        let wait = self.admitted.wait(now, self.limits);
        if wait.is_zero() {
            self.admitted.add(now);
            return Ok(());
        }
        Err(OverLimit { retry_after: self.limits.retry_after.then_some(wait) })
    }

    /// Counts a call of the reply classifier, of which there are 500 in 30 days.
    pub(super) fn classify(&mut self, now: Duration) -> Result<(), OverLimit> {
        while self.classified.front().is_some_and(|&call| now.saturating_sub(call) >= MONTH) {
            self.classified.pop_front();
        }
        if self.classified.len() >= CLASSIFICATIONS_PER_MONTH {
            return Err(OverLimit { retry_after: None });
        }
        self.classified.push_back(now);
        Ok(())
    }
}

/// The calls of the last minute, oldest first. `before_second` of them are older than a second: two cursors over one
/// queue, so that a call costs the same however many there were.
#[derive(Debug, Default)]
struct CallLog {
    calls: VecDeque<Duration>,
    before_second: usize,
}

impl CallLog {
    /// Threads read the clock before they reach the lock, so a call can come with a time that is a little behind.
    fn add(&mut self, now: Duration) {
        let now = self.calls.back().map_or(now, |&last| last.max(now));
        self.forget_before(now);
        self.calls.push_back(now);
    }

    fn forget_before(&mut self, now: Duration) {
        while self.calls.front().is_some_and(|&call| now.saturating_sub(call) >= MINUTE) {
            self.calls.pop_front();
            self.before_second = self.before_second.saturating_sub(1);
        }
        while self.calls.get(self.before_second).is_some_and(|&call| now.saturating_sub(call) >= SECOND) {
            self.before_second += 1;
        }
    }

    fn in_second(&self) -> usize {
        self.calls.len() - self.before_second
    }

    fn in_minute(&self) -> usize {
        self.calls.len()
    }

    /// Zero if one more call fits now; else until enough of the counted calls have left their window.
    fn wait(&self, now: Duration, limits: Limits) -> Duration {
        let leaves = |window: Duration, limit: usize, counted: usize| {
            if counted < limit {
                return Duration::ZERO;
            }
            let last_too_many = self.calls.len() - limit.min(counted).max(1);
            self.calls.get(last_too_many).map_or(window, |&call| (call + window).saturating_sub(now))
        };
        leaves(SECOND, limits.per_second, self.in_second()).max(leaves(
            MINUTE,
            limits.per_minute,
            self.in_minute(),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn limits(per_second: usize, per_minute: usize) -> Limits {
        Limits { per_second, per_minute, retry_after: true }
    }

    fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn the_second_slides() {
        let mut account = Account::new(limits(2, 100));
        assert_eq!(account.call(millis(0)), Ok(()));
        assert_eq!(account.call(millis(600)), Ok(()));
        assert_eq!(account.call(millis(700)), Err(OverLimit { retry_after: Some(millis(300)) }));
        assert_eq!(account.call(millis(1000)), Ok(()));
        assert_eq!(account.call(millis(1100)), Err(OverLimit { retry_after: Some(millis(500)) }));
        assert_eq!(account.peak(), Peak { second: 4, minute: 5 });
    }

    #[test]
    fn the_minute_holds_even_where_no_second_is_full() {
        let mut account = Account::new(limits(100, 6));
        for call in 0..6 {
            assert_eq!(account.call(millis(call * 5000)), Ok(()));
        }
        assert_eq!(account.call(millis(30_000)), Err(OverLimit { retry_after: Some(millis(30_000)) }));
        assert_eq!(account.call(millis(60_000)), Ok(()));
    }

    #[test]
    fn without_limits_only_the_peaks_are_kept() {
        let mut account = Account::new(Limits::NONE);
        for call in 0..500 {
            assert_eq!(account.call(millis(call * 10)), Ok(()));
        }
        assert_eq!(account.peak(), Peak { second: 100, minute: 500 });
    }

    #[test]
    fn a_lowered_limit_holds_for_the_next_call() {
        let mut account = Account::new(limits(100, 100));
        for call in 0..5 {
            assert_eq!(account.call(millis(call * 10)), Ok(()));
        }
        account.set_limits(limits(2, 100));
        assert_eq!(account.call(millis(500)), Err(OverLimit { retry_after: Some(millis(530)) }));
    }

    #[test]
    fn the_classifier_has_500_calls_in_30_days() {
        let mut account = Account::new(Limits::NONE);
        assert!((0..500).all(|_| account.classify(Duration::ZERO).is_ok()));
        assert!(account.classify(MONTH - SECOND).is_err());
        assert!(account.classify(MONTH).is_ok());
    }
}
