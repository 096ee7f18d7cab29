//! [`Refetches`]: how often clients may ask for a younger response than a fresh stored one.
//!
//! Each such wish costs a call that the store had saved: a tenth of an organization's budget at most goes there.

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use lru::LruCache;

use super::account::{AccountKey, Limits};
use crate::bounded::bounded;
use crate::clock::Moment;

/// One refetch for so many calls of the budget.
const CALLS_A_REFETCH: u32 = 10;
const MINUTE: Duration = Duration::from_secs(60);
const SECOND: Duration = Duration::from_secs(1);
/// Organizations whose refetches are counted.
const ACCOUNTS: NonZeroUsize = NonZeroUsize::new(10_000).expect("not zero");

/// The refetches of the last minute, by account.
#[derive(Debug)]
pub struct Refetches {
    per_second: AtomicUsize,
    per_minute: AtomicUsize,
    recent: Mutex<LruCache<AccountKey, VecDeque<Moment>>>,
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
        let mut accounts = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        let recent = accounts.get_or_insert_mut(key, VecDeque::new);
        while recent.front().is_some_and(|first| now.since(*first) >= MINUTE) {
            recent.pop_front();
        }
        let fits = self.fits(recent, now);
        if fits {
            recent.push_back(now);
        }
        fits
    }

    /// What [`Self::take`] would say, without taking.
    #[must_use]
    pub fn would_take(&self, key: AccountKey, now: Moment) -> bool {
        let accounts = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        accounts.peek(&key).is_none_or(|recent| self.fits(recent, now))
    }

    fn fits(&self, recent: &VecDeque<Moment>, now: Moment) -> bool {
        let within = |span| recent.iter().rev().take_while(|moment| now.since(**moment) < span).count();
        within(SECOND) < self.per_second.load(Ordering::Relaxed)
            && within(MINUTE) < self.per_minute.load(Ordering::Relaxed)
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
        hand.advance(MINUTE);
        assert_eq!(burst(9), 9);
    }
}
