//! Shares of the [`Table`]: callers that are told apart by more than their credentials, with their weights and caps.
//!
//! A cap is kept by a window of its own over all accounts: it is asked wherever a call could go, and counted where a slot is
//! spent. With a store it is divided by the replicas that were seen, as the limits are without one.

use std::hash::BuildHasher;
use std::num::NonZeroU32;
use std::time::Duration;

use super::account::{Account, AccountKey, Accounts, Weighted};
use super::beside::Part;
use super::call::{Call, Rejection};
use super::held_share::HeldShare;
use super::queue::{Had, Line, WaiterId};
use super::share::{Observed, Share, Urgency};
use super::slot::{self, Slot};
use super::spare::LOOK_AGAIN;
use super::table::Table;
use super::turns::turn_kept_until;
use super::waiter::{Readiness, Waiter};
use super::window::{CallerId, Minute};
use crate::config::Mode;

/// Callers with a share of their own; whoever makes keys up can make callers as well.
pub(super) const MAX_SHARES: usize = 2048;
/// A share that nobody has asked by for so long is forgotten: its window is empty.
const IDLE: Duration = Duration::from_secs(120);

/// Whether a share says nothing but whose it is.
fn is_common(share: &Share) -> bool {
    *share == Share { caller: share.caller, ..Share::default() }
}

impl Table {
    /// Who takes turns: a caller that is told apart by more than its credential, or the credential.
    pub(super) fn caller_of(&self, call: &Call) -> CallerId {
        let Some(caller) = call.share.caller else { return CallerId(self.hasher.hash_one(call.caller)) };
        let own = CallerId(self.hasher.hash_one(("caller", caller)));
        if self.shares.len() < MAX_SHARES || is_common(&call.share) || self.shares.contains_key(&own) {
            return own;
        }
        // Those beyond have one share together, and one cap: all who have the same limits.
        let Share { weight, cap, urgency, mode, .. } = call.share;
        CallerId(self.hasher.hash_one(("others", weight, cap, urgency as u8, mode as u8)))
    }

    /// Notes what a call's caller has of the turns now.
    pub(super) fn note_share(&mut self, call: &Call, now: Duration) -> CallerId {
        let caller = self.caller_of(call);
        if !is_common(&call.share) {
            self.notes_spare |= call.share.urgency == Urgency::Spare;
            let (share, minute) = (call.share, Minute::default());
            let held = self.shares.entry(caller).or_insert(HeldShare { share, minute, used_at: now });
            (held.share, held.used_at) = (share, now);
        } else if let Some(held) = self.shares.get_mut(&caller) {
            // Its limits are gone.
            held.share = call.share;
        }
        caller
    }

    /// What a caller had of the last second, beside what its part is.
    pub(super) fn had(&self, account: &Account, caller: CallerId) -> Had {
        Had { calls: account.second.of(caller), weight: self.weight(caller) }
    }

    /// A caller beside those that had calls of an account in the last second.
    pub(super) fn weighted(&self, account: &Account, caller: CallerId) -> Weighted {
        if self.shares.is_empty() {
            return Weighted { caller, weight: 1, of: account.second.callers() };
        }
        let weights = account.second.who().map(|other| self.weight(other).get());
        Weighted { caller, weight: self.weight(caller).get(), of: weights.fold(0, u32::saturating_add) }
    }

    fn weight(&self, caller: CallerId) -> NonZeroU32 {
        // Empty unless somebody has a share: then this is all that it costs.
        if self.shares.is_empty() {
            return NonZeroU32::MIN;
        }
        self.shares.get(&caller).map_or(NonZeroU32::MIN, |held| held.share.weight)
    }

    /// What of a cap is this process's.
    fn part_of(&self, cap: NonZeroU32) -> u32 {
        (cap.get() / self.replicas_seen()).max(1)
    }

    /// How many replicas were seen; one where there is no store.
    pub(super) fn replicas_seen(&self) -> NonZeroU32 {
        let seen =
            self.bookings.as_ref().map(|bookings| bookings.replicas.unwrap_or(bookings.rules.replicas));
        seen.unwrap_or(NonZeroU32::MIN)
    }

    /// When the `nth` call of a caller from now may go by its cap.
    pub(super) fn capped_until(&self, caller: CallerId, nth: u32, now: Duration) -> Duration {
        let held = if self.shares.is_empty() { None } else { self.shares.get(&caller) };
        match held.map(|held| (held, held.share.cap)) {
            Some((held, Some(cap))) if held.share.mode == Mode::Enforce => {
                held.minute.free_at(self.part_of(cap), nth, now)
            }
            _ => now,
        }
    }

    /// Counts a call of a caller; what its cap would have made of it, if that is observed alone.
    pub(super) fn spend_share(&mut self, caller: CallerId, at: Duration) -> Option<Observed> {
        let cap = self.shares.get(&caller)?.share.cap?;
        let part = self.part_of(cap);
        let held = self.shares.get_mut(&caller)?;
        let free_at = held.minute.free_at(part, 1, at);
        if free_at > at {
            // It would not have gone: what comes later is judged without it.
            return Some(Observed::Refused(free_at - at));
        }
        held.minute.take(at);
        None
    }

    /// A call is not sent that was counted.
    pub(super) fn give_share_back(&mut self, slot: &Slot) {
        if let Some(held) = self.shares.get_mut(&slot.caller)
            && slot.observed.is_none()
        {
            held.minute.give_back(slot.at);
        }
    }

    /// Whether those who have what others leave may have what is free, as far as others' likely needs go.
    fn has_room_for_spare(&self, key: AccountKey, account: &Account, now: Duration) -> bool {
        let books = self.books(key, now);
        // What is booked is of the whole limit, whatever this replica's share would be.
        let limits = if books { self.usable() } else { self.limits };
        account.spare.has_room(&account.limits(&limits, now), now)
            && (books || account.has_fifth(&self.limits, now))
    }

    /// Whether those who have what others leave may have what is free, and connect for it.
    pub(super) fn leaves_spare(&self, accounts: Accounts, now: Duration) -> bool {
        accounts.keys().all(|key| {
            let Some(account) = self.accounts.get(&key) else { return true };
            !account.queue.has_turns() && self.has_room_for_spare(key, account, now)
        })
    }

    /// Whether one of them that is connected may go: who still connects is overtaken, for it may be connections that are short.
    pub(super) fn lets_spare_go(&self, accounts: Accounts, now: Duration) -> bool {
        let takes_turns = |id: &WaiterId| {
            let waiter = self.waiters.get(id);
            waiter.is_some_and(|waiter| waiter.takes_turns() && waiter.readiness != Readiness::Near)
        };
        accounts.keys().all(|key| {
            let Some(account) = self.accounts.get(&key) else { return true };
            let is_waited_for =
                account.queue.has_turns() && account.queue.waiters().any(|id| takes_turns(&id));
            !is_waited_for && self.has_room_for_spare(key, account, now)
        })
    }

    /// Whether one more of them may connect: there is something to be had, and no other of them connects for it or has. They go
    /// one by one, and would keep connections from calls that take turns.
    pub(super) fn lets_spare_connect(&self, accounts: Accounts, now: Duration) -> bool {
        let connects = |id: WaiterId| {
            self.waiters.get(&id).is_some_and(|waiter| {
                waiter.line == Line::Spare
                    && match waiter.readiness {
                        Readiness::Far => false,
                        Readiness::Near => now < turn_kept_until(waiter.due, waiter.ahead),
                        Readiness::Connected => true,
                    }
            })
        };
        let queue = self.accounts.get(&accounts.first).map(|account| &account.queue);
        self.leaves_spare(accounts, now) && !queue.is_some_and(|queue| queue.waiters().any(connects))
    }

    /// When those may go, as far as it is known.
    pub(super) fn spare_at(&self, accounts: Accounts, now: Duration) -> Duration {
        let known = accounts.keys().filter_map(|key| self.accounts.get(&key));
        let spare_in = known.map(|account| account.spare_in(&self.limits, now)).max().unwrap_or_default();
        let look_in = if self.leaves_spare(accounts, now) { Duration::ZERO } else { LOOK_AGAIN };
        now.saturating_add(spare_in.max(look_in))
    }

    /// When a waiter that is connected may go, if nobody else comes.
    pub(super) fn may_go_at(&self, waiter: &Waiter, now: Duration) -> Duration {
        let ready_at = self.ready_at(waiter.accounts, waiter.caller, now);
        if waiter.line != Line::Spare || self.lets_spare_go(waiter.accounts, now) {
            return ready_at;
        }
        ready_at.max(self.spare_at(waiter.accounts, now)).max(now.saturating_add(LOOK_AGAIN))
    }

    /// Whether a moment may be asked of the store for a waiter, as far as its caller's share goes.
    pub(super) fn share_lets_go(&self, waiter: &Waiter, now: Duration) -> bool {
        let leaves = || match waiter.readiness {
            Readiness::Connected => self.lets_spare_go(waiter.accounts, now),
            Readiness::Near | Readiness::Far => self.leaves_spare(waiter.accounts, now),
        };
        self.capped_until(waiter.caller, 1, now) <= now && (waiter.line != Line::Spare || leaves())
    }

    /// Lets a call go that limits would hold up or refuse, and says what they would have done. What would have waited counts
    /// from when it would have gone, and what would have been refused does not count, so that what comes later is judged as
    /// if limits held.
    pub(super) fn enter_observed(&mut self, call: &Call, now: Duration) -> Slot {
        let accounts = self.settle(call.accounts, now);
        for key in accounts.keys() {
            self.account(key, now).second.expire(now);
        }
        let (caller, line) = (self.note_share(call, now), Line::Calls);
        let (slot, observed) = match self.foresee(call, now) {
            Ok(wait) if wait.is_zero() => return self.spend(accounts, caller, line, now),
            Ok(wait) => (now.saturating_add(wait), Observed::Waits(wait)),
            // Nothing is found at that moment that could be given back.
            Err(Rejection { retry_after, .. }) => (Duration::MAX, Observed::Refused(retry_after)),
        };
        if let Observed::Waits(_) = observed {
            for key in accounts.keys() {
                self.account(key, now).take_ahead(caller, slot);
            }
        }
        let had = slot::Had { first: Part::WHOLE, second: Part::WHOLE };
        Slot { accounts, caller, at: slot, had, booked: None, probe: None, observed: Some(observed) }
    }

    /// Forgets shares that nobody has asked by.
    pub(super) fn tidy_shares(&mut self, now: Duration) {
        self.shares.retain(|_, held| now.saturating_sub(held.used_at) < IDLE);
        self.notes_spare = self.shares.values().any(|held| held.share.urgency == Urgency::Spare);
    }
}
