//! [`Refetches`]: how often clients may ask for a younger response than a fresh stored one.
//!
//! Each such wish costs a call that the store had saved: a tenth of an organization's budget at most goes there.

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use lru::LruCache;

use super::account::AccountKey;
use super::limits::Limits;
use super::window::Minute;
use crate::bounded::{bounded, sweep};
use crate::clock::Moment;
use crate::lock::Mutex;

/// One refetch for so many calls of the budget.
const CALLS_A_REFETCH: u32 = 10;
const SECOND: Duration = Duration::from_secs(1);
/// Organizations whose refetches are counted.
const ACCOUNTS: NonZeroUsize = NonZeroUsize::new(4096).expect("not zero");

/// The refetches of the last minute, by account.
#[derive(Debug)]
pub struct Refetches {
    per_second: AtomicUsize,
    per_minute: AtomicUsize,
    recent: Mutex<LruCache<AccountKey, Recent>>,
}

/// The refetches of one account: each of the last second, and how many in the last minute.
#[derive(Debug, Default)]
struct Recent {
    second: VecDeque<Duration>,
    minute: Minute,
}

impl Recent {
    fn of_second(&self, now: Duration) -> usize {
        self.second.iter().rev().take_while(|at| now.saturating_sub(**at) < SECOND).count()
    }

    fn of_minute(&self, now: Duration) -> usize {
        usize::try_from(self.minute.used(now)).unwrap_or(usize::MAX)
    }

    fn take(&mut self, now: Duration) {
        while self.second.front().is_some_and(|first| now.saturating_sub(*first) >= SECOND) {
            self.second.pop_front();
        }
        self.second.push_back(now);
        self.minute.take(now);
    }
}

impl Refetches {
    /// A tenth of `limits`, at least one.
    #[must_use]
    pub fn new(limits: &Limits) -> Self {
        Self {
            per_second: AtomicUsize::new(tenth(limits.per_second)),
            per_minute: AtomicUsize::new(tenth(limits.per_minute)),
            recent: Mutex::new(bounded(ACCOUNTS)),
        }
    }

    /// From now on a tenth of these.
    pub fn set_limits(&self, limits: &Limits) {
        self.per_second.store(tenth(limits.per_second), Ordering::Relaxed);
        self.per_minute.store(tenth(limits.per_minute), Ordering::Relaxed);
    }

    /// Takes one refetch of the account's tenth, if there is one left in both windows.
    #[must_use]
    pub fn take(&self, key: AccountKey, now: Moment) -> bool {
        let mut accounts = self.recent.lock();
        let (recent, now) = (accounts.get_or_insert_mut(key, Recent::default), now.uptime());
        let fits = self.fits(recent, now);
        if fits {
            recent.take(now);
        }
        fits
    }

    /// Forgets accounts without a refetch in the last minute.
    pub fn tidy(&self, now: Moment) {
        let mut accounts = self.recent.lock();
        sweep(&mut accounts, |recent| recent.of_minute(now.uptime()) == 0);
    }

    /// What [`Self::take`] would say, without taking.
    #[must_use]
    pub fn would_take(&self, key: AccountKey, now: Moment) -> bool {
        let accounts = self.recent.lock();
        accounts.peek(&key).is_none_or(|recent| self.fits(recent, now.uptime()))
    }

    fn fits(&self, recent: &Recent, now: Duration) -> bool {
        recent.of_second(now) < self.per_second.load(Ordering::Relaxed)
            && recent.of_minute(now) < self.per_minute.load(Ordering::Relaxed)
    }
}

fn tenth(limit: u32) -> usize {
    usize::try_from(limit / CALLS_A_REFETCH).unwrap_or(usize::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::config::Burst;
    use crate::organization::OrganizationName;

    #[test]
    fn a_tenth_of_both_windows_goes_to_refetches_and_no_more() {
        let (clock, hand) = Clock::manual();
        let refetches =
            Refetches::new(&Limits { per_second: 90, per_minute: 200, kept: 4, burst: Burst::Half });
        let burst =
            |count: usize| (0..count).filter(|_| refetches.take(AccountKey::Everybody, clock.now())).count();
        assert!(refetches.would_take(AccountKey::Everybody, clock.now()));
        assert_eq!(burst(20), 9, "of the second's");
        assert!(!refetches.would_take(AccountKey::Everybody, clock.now()));
        hand.advance(SECOND);
        assert_eq!(burst(9), 9);
        hand.advance(SECOND);
        assert_eq!(burst(9), 2, "of the minute's");
        hand.advance(SECOND * 61);
        assert_eq!(burst(9), 9);
    }

    #[test]
    fn accounts_are_told_apart_up_to_a_bound_and_for_a_minute() {
        let (clock, hand) = Clock::manual();
        let refetches =
            Refetches::new(&Limits { per_second: 90, per_minute: 5400, kept: 4, burst: Burst::Half });
        let held = || refetches.recent.lock().len();
        for number in 0..ACCOUNTS.get() as u128 + 10 {
            let account = AccountKey::Organization(OrganizationName(uuid::Uuid::from_u128(number)));
            assert!(refetches.take(account, clock.now()));
        }
        assert_eq!(held(), ACCOUNTS.get());
        hand.advance(SECOND * 62);
        refetches.tidy(clock.now());
        assert_eq!(held(), 0);
    }
}
