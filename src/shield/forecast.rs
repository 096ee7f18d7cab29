//! Forecasts: when a call may go, and when one that has to wait can expect to.
//!
//! They are made of what was sent and of who waits. A call that comes later and goes first makes one wrong: a proof, or a
//! call of a caller that had less of the last second.

use std::time::Duration;

use super::account::{Account, AccountKey, Accounts};
use super::booked::Cause;
use super::call::{Call, Class, Reason, Rejection};
use super::limits::Limits;
use super::queue::{Line, WaiterId};
use super::share::Urgency;
use super::table::Table;
use super::window::CallerId;

/// The shortest time that a timer can tell.
pub(super) const TICK: Duration = Duration::from_millis(1);

impl Table {
    /// What [`Self::enter`] would say of a call that somebody waits for: how long it would wait, or why it may not.
    pub(super) fn foresee(&self, call: &Call, now: Duration) -> Result<Duration, Rejection> {
        let caller = self.caller_of(call);
        let line = match (call.share.urgency, call.class) {
            (Urgency::Spare, _) => Line::Spare,
            (Urgency::Turns, Class::Proof) => Line::Proofs,
            (Urgency::Turns, _) => Line::Calls,
        };
        let queue = self.accounts.get(&call.accounts.first).map(|account| &account.queue);
        // Nobody waits who could go: what is free is handed out when it comes free.
        let has_spare = line != Line::Spare || self.leaves_spare(call.accounts, now);
        if has_spare && self.ready_at(call.accounts, caller, now) <= now {
            return Ok(Duration::ZERO);
        }
        if self.needs_booking(call.accounts, now) && self.expected_at(call.accounts, line, caller, now) <= now
        {
            return Ok(Duration::ZERO);
        }
        let rejection = self.rejection(call.accounts, line, caller, now);
        if rejection.retry_after > call.max_wait {
            return Err(rejection);
        }
        if queue.is_some_and(|queue| queue.len(line) >= self.max_queued) {
            return Err(Rejection { reason: Reason::QueueFull, ..rejection });
        }
        Ok(rejection.retry_after)
    }

    /// When a call could go if nobody else came.
    pub(super) fn ready_at(&self, accounts: Accounts, caller: CallerId, now: Duration) -> Duration {
        let of = |key: AccountKey| {
            let account = self.accounts.get(&key)?;
            let free = if self.books(key, now) {
                now
            } else {
                account.free_at(self.weighted(account, caller), 0, &self.limits, now)
            };
            Some(free.max(account.opens_at()))
        };
        let here = accounts.keys().filter_map(of).max().unwrap_or(now);
        let here = here.max(self.capped_until(caller, 1, now));
        self.booked_at(accounts, now).map_or(here, |booked| booked.max(here))
    }

    /// When a call that joins the queue now can expect to go.
    pub(super) fn expected_at(
        &self,
        accounts: Accounts,
        line: Line,
        caller: CallerId,
        now: Duration,
    ) -> Duration {
        let of = |key: AccountKey| {
            let account = self.accounts.get(&key)?;
            let ahead = match key == accounts.first {
                true => account.queue.ahead(line, caller, |caller| self.had(account, caller)),
                false => 0,
            };
            Some(self.comes_in(key, caller, ahead, now).max(account.expected_to_open_at(now)))
        };
        let turn = accounts.keys().filter_map(of).max().unwrap_or(now).max(self.apart_until(accounts));
        let waiting =
            self.accounts.get(&accounts.first).map_or(0, |account| account.queue.len_of(line, caller));
        let capped =
            self.capped_until(caller, u32::try_from(waiting).unwrap_or(u32::MAX).saturating_add(1), now);
        let spare = if line == Line::Spare { self.spare_at(accounts, now) } else { now };
        turn.max(capped).max(spare)
    }

    /// When the call behind so many others may go, by one account alone.
    pub(super) fn comes_in(&self, key: AccountKey, caller: CallerId, ahead: u32, now: Duration) -> Duration {
        let Some(account) = self.accounts.get(&key) else { return now };
        match self.books(key, now) {
            true => account.booking.expected(ahead, now),
            false => account.free_at(self.weighted(account, caller), ahead, &self.limits, now),
        }
    }

    /// Whether background work may go, as far as is known here.
    pub(super) fn has_spare(&self, accounts: Accounts, now: Duration) -> bool {
        accounts.keys().all(|key| match self.accounts.get(&key) {
            Some(account) if self.books(key, now) => {
                !self.is_short(key, now) && account.queue.len(Line::Calls) == 0
            }
            Some(account) => !self.is_short(key, now) && account.has_fifth(&self.limits, now),
            None => true,
        })
    }

    /// Whether a caller that had some of the last second would have to wait now, as far as is known here.
    pub(super) fn is_short(&self, key: AccountKey, now: Duration) -> bool {
        match self.accounts.get(&key) {
            Some(account) if self.books(key, now) => {
                account.opens_at() > now || account.booking.is_short(now)
            }
            Some(account) => account.is_used_up(&self.limits, now) || self.is_waited_for(key, account, now),
            None => false,
        }
    }

    /// Whether somebody waits for this account. Who acts for a workspace waits in its queue, and it may be the account of its own key
    /// alone that it waits for: the workspace has what others need.
    fn is_waited_for(&self, key: AccountKey, account: &Account, now: Duration) -> bool {
        let has_rest = |id: WaiterId| {
            let others = self.waiters.get(&id).into_iter().flat_map(|waiter| waiter.accounts.keys());
            others
                .filter(|other| *other != key)
                .filter_map(|other| self.accounts.get(&other))
                .all(|other| !other.is_used_up(&self.limits, now))
        };
        Line::ALL.into_iter().any(|line| account.queue.heads(line, has_rest).next().is_some())
    }

    pub(super) fn rejection(
        &self,
        accounts: Accounts,
        line: Line,
        caller: CallerId,
        now: Duration,
    ) -> Rejection {
        let expected = self.expected_at(accounts, line, caller, now).max(now + TICK);
        let closed = !self.all(accounts, |account, _| account.opens_at() <= now);
        let held = self.apart(accounts).is_some_and(|apart| apart.until > now && apart.cause == Cause::Held);
        let capped = || self.capped_until(caller, 1, now) > now;
        let reason = match (closed || held, capped(), line) {
            (true, ..) => Reason::Hold,
            (false, true, _) => Reason::CallerCap,
            (false, false, Line::Spare | Line::Background) => Reason::NoSpare,
            (false, false, Line::Proofs | Line::Calls) => Reason::Budget,
        };
        Rejection { reason, retry_after: expected - now }
    }

    /// Whether something holds of each account; of one that nothing is known of, everything does.
    pub(super) fn all(&self, accounts: Accounts, holds: impl Fn(&Account, &Limits) -> bool) -> bool {
        accounts.keys().filter_map(|key| self.accounts.get(&key)).all(|account| holds(account, &self.limits))
    }
}
