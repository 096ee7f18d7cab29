//! An account: what one organization (or one caller without a binding) may send, and what it has sent.
//!
//! It holds both windows, the hold that an upstream 429 begins, the pace of callers that have more than their part while
//! others want some too, and the queue. It knows nothing of other accounts, of waiters or of timers: `table` does.

use std::time::Duration;

use super::beside::{Beside, Part};
use super::booked::Booking;
use super::limits::Limits;
pub use super::payers::{AccountKey, Accounts};
use super::queue::Queue;
use super::rare::{AtFirst, Rare};
use super::spare::Spare;
use super::window::{CallerId, Minute, Second, WINDOW};
use crate::config::Burst;

/// For how long after a call had to wait, or was turned away, callers with a large part are paced.
const CONTENDED_FOR: Duration = Duration::from_secs(2);
/// How late a paced caller may be and catch up at once; one send may always. Timers are late by a few milliseconds. Whoever
/// could catch up more would send a burst, which comes again a second later, when it leaves the window.
const PACE_LAG: Duration = Duration::from_millis(10);
/// How long a reopened account waits for its probe's answer before another call may go.
const PROBE_LASTS: Duration = Duration::from_secs(10);
/// When callers are told to come again while a probe is under way.
const PROBE_ANSWERS: Duration = Duration::from_secs(1);

/// Tells one probe from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ProbeId(pub(super) u64);

/// Whether the upstream lets the account in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Hold {
    /// Everybody may go.
    #[default]
    None,
    /// Nobody may before `until`; the first one after it is a probe.
    Until { until: Duration },
    /// One call is on its way to find out.
    Probing { probe: ProbeId, until: Duration },
}

/// What was sent for one [`AccountKey`], and who waits.
#[derive(Debug, Default)]
pub(super) struct Account {
    pub(super) second: Second,
    pub(super) minute: Minute,
    pub(super) restraint: Rare<Restraint>,
    /// What it knows of the moments that the store books for it.
    pub(super) booking: Rare<Booking>,
    pub(super) queue: Rare<Queue>,
    /// What is left for callers that have what others leave.
    pub(super) spare: Rare<Spare>,
    /// Calls since it was made.
    pub(super) calls: u64,
    /// When it was last asked for.
    pub(super) used_at: Duration,
}

/// What holds an account's calls back besides its windows.
#[derive(Debug, Default)]
pub(super) struct Restraint {
    pub(super) hold: Hold,
    /// What it may spend of its limits.
    pub(super) beside: Beside,
    /// When the next call of a caller with a large part may go, while the account is contended.
    pace: Duration,
    contended_until: Duration,
}

impl AtFirst for Restraint {
    fn at_first() -> &'static Self {
        static AT_FIRST: Restraint = Restraint {
            hold: Hold::None,
            beside: Beside::NONE,
            pace: Duration::ZERO,
            contended_until: Duration::ZERO,
        };
        &AT_FIRST
    }
}

impl Restraint {
    fn close_until(&mut self, until: Duration) {
        self.hold = match self.hold {
            Hold::Until { until: earlier } => Hold::Until { until: until.max(earlier) },
            Hold::None | Hold::Probing { .. } => Hold::Until { until },
        };
    }

    fn merge(&mut self, other: Self, now: Duration) {
        match other.hold {
            Hold::None => {}
            Hold::Until { until } => self.close_until(until),
            // That probe asked for another account; the next call here finds out for this one.
            Hold::Probing { .. } if self.hold == Hold::None => {
                self.hold = Hold::Until { until: Duration::ZERO };
            }
            Hold::Probing { .. } => {}
        }
        self.beside.merge(other.beside, now);
        self.pace = self.pace.max(other.pace);
        self.contended_until = self.contended_until.max(other.contended_until);
    }

    /// Whether nothing of it matters any more: no pace is behind by more than a window.
    pub(super) fn is_over(&self, now: Duration) -> bool {
        let paced_until = self.pace.saturating_add(WINDOW);
        self.hold == Hold::None && self.beside.is_none() && paced_until.max(self.contended_until) <= now
    }
}

/// A caller with its weight, beside the weights of all that had calls in the last second.
#[derive(Clone, Copy, Debug)]
pub(super) struct Weighted {
    pub(super) caller: CallerId,
    pub(super) weight: u32,
    pub(super) of: u32,
}

impl Account {
    pub(super) fn new(now: Duration) -> Self {
        Self { used_at: now, ..Self::default() }
    }

    /// What it may send now: all of `limits`, or less while it is lowered. The limits that its methods are told are the
    /// whole ones.
    pub(super) fn limits(&self, limits: &Limits, now: Duration) -> Limits {
        limits.lowered(self.restraint.beside.part(now))
    }

    /// What it has spent of its limits: of the window that is fuller, since that is the likelier to be the one that the
    /// upstream has found full.
    pub(super) fn spent(&self, limits: &Limits, now: Duration) -> Part {
        let second = Part::of(self.second.used(now), limits.per_second);
        second.max(Part::of(self.minute.used(now), limits.per_minute))
    }

    /// When a call of `caller` may go if `ahead` others go before it; it may now if that is not after `now`.
    pub(super) fn free_at(&self, who: Weighted, ahead: u32, limits: &Limits, now: Duration) -> Duration {
        let caller = who.caller;
        let limits = &self.limits(limits, now);
        let nth = ahead.saturating_add(1);
        let mut second = self.second.free_at(limits.common(), nth, now);
        if second > now {
            let has_none = self.second.last_of_leaves_at(caller).unwrap_or(now);
            second = second.min(has_none.max(self.second.free_at(limits.per_second, nth, now)));
        }
        if limits.burst == Burst::Half {
            second = second.max(self.second.paced_at(limits.per_second, nth, now));
        }
        let free = second.max(self.limited_minute().free_at(limits.per_minute, nth, now));
        if self.restraint.contended_until > now && self.has_large_part(who, limits) {
            free.max(self.restraint.pace.saturating_add(limits.interval().saturating_mul(ahead)))
        } else {
            free
        }
    }

    /// The calls that count for the limit of a minute here.
    fn limited_minute(&self) -> &Minute {
        self.booking.changed().and_then(|booking| booking.alone.as_ref()).unwrap_or(&self.minute)
    }

    /// Whether a caller had half of its part of the last second or more: an equal one, or what its weight says. Such a caller is paced while calls have to wait.
    /// Its burst would fill the window at once and leave it at once a second later, and whoever comes in between would wait
    /// for that moment. Sent one by one, its calls free a slot for the others every few milliseconds.
    fn has_large_part(&self, who: Weighted, limits: &Limits) -> bool {
        let sent = u64::from(self.second.of(who.caller));
        sent > 0 && sent * 2 * u64::from(who.of) >= u64::from(limits.common()) * u64::from(who.weight)
    }

    /// When the hold lets the next call go.
    pub(super) fn opens_at(&self) -> Duration {
        match self.restraint.hold {
            Hold::None => Duration::ZERO,
            Hold::Until { until } | Hold::Probing { until, .. } => until,
        }
    }

    /// When the hold is expected to let calls go.
    pub(super) fn expected_to_open_at(&self, now: Duration) -> Duration {
        match self.restraint.hold {
            Hold::Probing { until, .. } => until.min(now.saturating_add(PROBE_ANSWERS)),
            Hold::None | Hold::Until { .. } => self.opens_at(),
        }
    }

    /// Holds its calls, never for a shorter time than they are held already.
    pub(super) fn close_until(&mut self, until: Duration) {
        self.restraint.close_until(until);
    }

    /// A call goes at `at` by the windows of this process: the next one of a caller with a large part goes no earlier than
    /// the pace allows. What the store books is spaced by the store.
    pub(super) fn keep_pace(&mut self, caller: CallerId, at: Duration, limits: &Limits) {
        if self.second.of(caller) > 0 {
            let limits = self.limits(limits, at);
            let interval = limits.interval();
            let pace = &mut self.restraint.pace;
            *pace = (*pace).max(at.saturating_sub(interval.max(PACE_LAG))) + interval;
        }
    }

    /// Spends a slot at `at`; after a hold, the call is `probe`. Says whether it is.
    pub(super) fn take(&mut self, caller: CallerId, at: Duration, probe: ProbeId) -> bool {
        self.second.take(caller, at);
        self.minute.take(at);
        self.calls = self.calls.saturating_add(1);
        self.used_at = at;
        let probing = self.restraint.hold != Hold::None;
        if probing {
            self.restraint.hold = Hold::Probing { probe, until: at.saturating_add(PROBE_LASTS) };
        }
        probing
    }

    /// Spends a slot for a call that would have gone at `at`, later than it does.
    pub(super) fn take_ahead(&mut self, caller: CallerId, at: Duration) {
        self.second.take_ahead(caller, at);
        self.minute.take_ahead(at);
        self.calls = self.calls.saturating_add(1);
        self.used_at = at;
    }

    /// Undoes the pace, so that a test can tell what it is good for.
    #[cfg(test)]
    pub(super) fn forget_pace(&mut self) {
        self.restraint.pace = Duration::ZERO;
    }

    /// Undoes what [`Self::keep_pace`] did for a call that was given back.
    pub(super) fn give_pace_back(&mut self, caller: CallerId, limits: &Limits) {
        if self.second.of(caller) > 0 {
            let pace = &mut self.restraint.pace;
            *pace = pace.saturating_sub(limits.interval());
        }
    }

    /// Takes back a slot whose call was never sent.
    pub(super) fn give_back(&mut self, caller: CallerId, at: Duration) {
        self.second.give_back(caller, at);
        self.minute.give_back(at);
        self.calls = self.calls.saturating_sub(1);
    }

    /// Notes that a call has to wait or go without.
    pub(super) fn contend(&mut self, now: Duration) {
        self.restraint.contended_until = now.saturating_add(CONTENDED_FOR);
    }

    /// Whether a call had to wait, or go without, in the last two seconds.
    pub(super) fn is_contended(&self, now: Duration) -> bool {
        self.restraint.contended_until > now
    }

    /// Whether more than a fifth of the minute is left.
    pub(super) fn has_fifth(&self, limits: &Limits, now: Duration) -> bool {
        self.limited_minute().used(now) < self.limits(limits, now).for_background()
    }

    /// How long the minute has less than that left, if nothing more is sent.
    pub(super) fn spare_in(&self, limits: &Limits, now: Duration) -> Duration {
        let limits = self.limits(limits, now);
        self.limited_minute().free_at(limits.for_background(), 1, now).saturating_sub(now)
    }

    /// Whether a caller that had some of the last second would have to wait now, whoever waits. A hold whose time is over lets a
    /// call through: somebody has to be the probe.
    pub(super) fn is_used_up(&self, limits: &Limits, now: Duration) -> bool {
        let limits = self.limits(limits, now);
        self.opens_at() > now
            || self.second.used(now) >= limits.common()
            || self.limited_minute().used(now) >= limits.per_minute
    }

    /// Takes over what another account spent and who waits there.
    pub(super) fn merge(&mut self, other: Self, now: Duration) {
        self.second.merge(other.second, now);
        self.minute.merge(other.minute, now);
        self.calls = self.calls.saturating_add(other.calls);
        if let Some(restraint) = other.restraint.into_changed() {
            self.restraint.merge(restraint, now);
        }
        if let Some(booking) = other.booking.into_changed() {
            self.booking.merge(booking, now);
        }
        self.used_at = self.used_at.max(other.used_at);
        if let Some(queue) = other.queue.into_changed() {
            self.queue.merge(queue);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_without_restraint_queue_or_store_takes_128_bytes() {
        assert_eq!(size_of::<Account>(), 128);
    }

    #[test]
    fn a_closed_door_is_never_closed_for_less() {
        let mut account = Account::default();
        account.close_until(Duration::from_secs(30));
        account.close_until(Duration::from_secs(5));
        assert_eq!(account.opens_at(), Duration::from_secs(30));
    }
}
