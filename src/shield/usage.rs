//! What accounts show of what they used: one by one for an operator, the fullest for a gauge.

use std::cmp::Reverse;
use std::num::NonZeroU32;
use std::time::Duration;

use super::account::{Account, AccountKey};
use super::beside::Part;
use super::limits::{Limits, ShieldRules};
use super::orders::Link;
use super::queue::Line;
use super::table::Table;

/// What one account shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Whose.
    pub account: AccountKey,
    /// Calls of the last second.
    pub second: u32,
    /// Calls of the last minute.
    pub minute: u32,
    /// Calls since the account was made; what was spent before its organization was known included.
    pub calls: u64,
    /// Calls that wait.
    pub queued: usize,
    /// What it may spend of its limits: less than all since the upstream refused it below them.
    pub allowed: Part,
    /// Set where the upstream limits it: for how long still.
    pub closed_for: Option<Duration>,
}

/// What all accounts show: the busiest, and the rest as one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// What each account may send.
    pub limits: Limits,
    /// The accounts with most calls in the last minute.
    pub busiest: Vec<Usage>,
    /// How many others there are.
    pub others: usize,
    /// Their calls of the last minute.
    pub others_minute: u64,
    /// Their calls since they were made.
    pub others_calls: u64,
    /// Their calls that wait.
    pub others_queued: usize,
}

/// What the fullest account has used of each window; above 1 just after a merge.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct UsedRatio {
    /// Of the second's.
    pub second: f64,
    /// Of the minute's.
    pub minute: f64,
}

impl Table {
    /// What an account may spend here: with a store all of it, for nobody else may be asking.
    pub(super) fn usable(&self) -> Limits {
        match &self.bookings {
            Some(bookings) if bookings.link == Link::Linked => {
                Limits::new(&ShieldRules { replicas: NonZeroU32::MIN, ..bookings.rules })
            }
            _ => self.limits,
        }
    }

    pub(super) fn snapshot(&self, top: usize, now: Duration) -> Snapshot {
        let usages = self.accounts.iter().map(|(key, account)| usage(key, account, now));
        let mut usages: Vec<Usage> = usages.collect();
        usages.sort_unstable_by_key(|usage| Reverse((usage.minute, usage.queued)));
        let others = usages.split_off(top.min(usages.len()));
        Snapshot {
            limits: self.usable(),
            busiest: usages,
            others: others.len(),
            others_minute: others.iter().map(|usage| u64::from(usage.minute)).sum(),
            others_calls: others.iter().map(|usage| usage.calls).sum(),
            others_queued: others.iter().map(|usage| usage.queued).sum(),
        }
    }

    pub(super) fn usage_of(&self, key: AccountKey, now: Duration) -> Usage {
        let none = || Usage {
            account: key,
            second: 0,
            minute: 0,
            calls: 0,
            queued: 0,
            allowed: Part::WHOLE,
            closed_for: None,
        };
        self.accounts.get(&key).map_or_else(none, |account| usage(&key, account, now))
    }

    /// What the account that is lowered most may spend of its limits.
    pub(super) fn least_allowed(&self, now: Duration) -> Part {
        self.accounts.values().map(|account| account.restraint.beside.part(now)).min().unwrap_or(Part::WHOLE)
    }

    pub(super) fn used_ratio(&self, now: Duration) -> UsedRatio {
        let limits = self.usable();
        let fullest = |used: fn(&Account, Duration) -> u32, limit: u32| {
            let used = self.accounts.values().map(|account| used(account, now)).max().unwrap_or(0);
            f64::from(used) / f64::from(limit)
        };
        UsedRatio {
            second: fullest(|account, now| account.second.used(now), limits.per_second),
            minute: fullest(|account, now| account.minute.used(now), limits.per_minute),
        }
    }
}

fn usage(key: &AccountKey, account: &Account, now: Duration) -> Usage {
    let closed_for = account.opens_at().saturating_sub(now);
    Usage {
        account: *key,
        second: account.second.used(now),
        minute: account.minute.used(now),
        calls: account.calls,
        queued: account.queue.len(Line::Proofs) + account.queue.len(Line::Calls),
        allowed: account.restraint.beside.part(now),
        closed_for: (!closed_for.is_zero()).then_some(closed_for),
    }
}
