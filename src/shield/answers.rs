//! The store's answers to the [`Table`]: a moment, a later time, a hold, or none in time.
//!
//! Nobody waits in vain: who cannot wait for what an answer says is told so, and who has waited for an answer beyond its time
//! goes by the next ones while calls need not wait, by the share where those take long, and is turned away otherwise.

use std::hash::BuildHasher;
use std::time::Duration;

use super::account::{AccountKey, Accounts, Hold};
use super::booked::{Asked, Granted};
use super::booking::{Answer, Order, ProbeFate, Ticket, Unanswered, Urgency};
use super::call::{Call, Reason, Rejection};
use super::forecast::TICK;
use super::queue::{Line, WaiterId};
use super::slot::Slot;
use super::table::Table;
use super::waiter::Waiter;
use super::window::{CallerId, WINDOW};

/// For how long calls take from the share after the store did not answer: the next one would wait as long for nothing.
const SHARE_FOR: Duration = Duration::from_secs(1);
/// A moment further ahead is not booked. Who has the patience asks again so long before it.
const ASK_AHEAD: Duration = Duration::from_secs(2);

impl Table {
    /// The store's answer to a question.
    pub(super) fn answered(&mut self, ticket: Ticket, answer: Result<Answer, Unanswered>, now: Duration) {
        let Some(timeout) = self.bookings.as_ref().map(|bookings| bookings.timeout) else { return };
        let Some(account) = self.accounts.get_mut(&ticket.queue) else { return };
        let Some(asked) = account.booking.asked.filter(|asked| asked.number == ticket.number) else { return };
        account.booking.asked = None;
        account.booking.took = now.saturating_sub(asked.at);
        // Later than that it is of no use to whoever waits, and the send would be later than the store counts with.
        let in_time = now <= asked.at.saturating_add(timeout);
        match answer.ok().filter(|_| in_time) {
            Some(Answer::Booked { wait, moment, is_probe, allowed }) => {
                let (number, accounts, at) = (asked.number, asked.accounts, now.saturating_add(wait));
                let until = asked.at.saturating_add(wait).saturating_add(timeout);
                account.booking.on_booked(
                    Granted { number, accounts, at, until, moment, is_probe },
                    wait,
                    WINDOW,
                );
                if !wait.is_zero() {
                    account.contend(now);
                }
                account.beside.learn(allowed, now);
                self.note_gate(accounts, is_probe, now);
                accounts.keys().for_each(|key| self.tell_share(key, now));
            }
            Some(Answer::NotBefore { wait, allowed }) => {
                account.beside.learn(allowed, now);
                self.not_before(ticket.queue, asked, wait, now);
            }
            Some(Answer::Held { wait, allowed }) => {
                account.beside.learn(allowed, now);
                self.held(ticket.queue, asked, wait, now);
            }
            None => self.take_from_share(ticket.queue, asked.accounts, now.saturating_add(SHARE_FOR)),
        }
        self.dispatch(ticket.queue, now);
        self.turn_late_away(ticket.queue, now);
    }

    /// Lets go of what is of no use any more: a moment that has passed, and a question whose answer was lost on its way here.
    pub(super) fn let_go(&mut self, queue: AccountKey, now: Duration) {
        let Some(timeout) = self.bookings.as_ref().map(|bookings| bookings.timeout) else { return };
        let Some(account) = self.accounts.get_mut(&queue) else { return };
        if let Some(passed) = account.booking.granted.filter(|granted| granted.until < now) {
            account.booking.granted = None;
            for key in passed.accounts.keys().filter(|_| passed.is_probe) {
                let (probe, fate) = (passed.number, ProbeFate::Lost);
                self.tell_store(key, |_| Order::Probed { account: key, probe, fate });
            }
        }
        let Some(account) = self.accounts.get_mut(&queue) else { return };
        if let Some(asked) = account.booking.asked.filter(|asked| asked.is_lost(timeout, now)) {
            account.booking.asked = None;
            self.take_from_share(queue, asked.accounts, now.saturating_add(SHARE_FOR));
        }
    }

    /// Nothing is to be had before `wait` is over: who cannot wait for that is told so.
    fn not_before(&mut self, queue: AccountKey, asked: Asked, wait: Duration, now: Duration) {
        let at = now.saturating_add(wait);
        let rejection = Rejection { reason: Reason::Budget, retry_after: wait.max(TICK) };
        if asked.urgency == Urgency::Background {
            // Others may go nevertheless: a fifth of the minute is theirs.
            return self.reject(queue, rejection, |waiter| waiter.line == Line::Background);
        }
        if let Some(account) = self.accounts.get_mut(&queue) {
            account.contend(now);
            account.booking.on_not_before(at);
            account.booking.ask_at = at.saturating_sub(ASK_AHEAD).max(now + TICK);
        }
        self.reject(queue, rejection, |waiter| waiter.accounts == asked.accounts && waiter.deadline < at);
    }

    /// The account is on hold, as another replica has learnt, or a probe of another one is under way.
    fn held(&mut self, queue: AccountKey, asked: Asked, wait: Duration, now: Duration) {
        let at = now.saturating_add(wait);
        match asked.accounts.second {
            None => self.hold_back(asked.accounts.first, at, now),
            // Nobody knows which of the two it is.
            Some(_) => {
                if let Some(account) = self.accounts.get_mut(&queue) {
                    account.booking.ask_at = at;
                }
                let rejection = Rejection { reason: Reason::Hold, retry_after: wait.max(TICK) };
                self.reject(queue, rejection, |waiter| {
                    waiter.accounts == asked.accounts && waiter.deadline < at
                });
            }
        }
    }

    /// What a booking says of the gate: it is open to all, or to this one call.
    fn note_gate(&mut self, accounts: Accounts, is_probe: bool, now: Duration) {
        for key in accounts.keys() {
            let Some(account) = self.accounts.get_mut(&key) else { continue };
            match account.hold {
                Hold::None if is_probe => account.hold = Hold::Until { until: now },
                Hold::Until { until } if until <= now && !is_probe => account.hold = Hold::None,
                _ => {}
            }
        }
    }

    fn take_from_share(&mut self, queue: AccountKey, accounts: Accounts, until: Duration) {
        for key in accounts.keys().chain([queue]) {
            if let Some(account) = self.accounts.get_mut(&key) {
                account.booking.share_until = account.booking.share_until.max(until);
            }
        }
    }

    /// A slot of the share for a call whose moment has passed.
    pub(super) fn take_instead(
        &mut self,
        call: &Call,
        lost: &Slot,
        now: Duration,
    ) -> Result<Slot, Rejection> {
        let Some(timeout) = self.bookings.as_ref().map(|bookings| bookings.timeout) else { return Ok(*lost) };
        let accounts = self.settle(call.accounts, now);
        self.take_from_share(accounts.first, accounts, now.saturating_add(timeout));
        self.give_up(lost, now);
        let caller = CallerId(self.hasher.hash_one(call.caller));
        if self.ready_at(accounts, caller, now) <= now {
            return Ok(self.spend(accounts, caller, Line::Calls, now));
        }
        Err(self.rejection(accounts, Line::Calls, caller, now))
    }

    fn reject(&mut self, queue: AccountKey, rejection: Rejection, is_meant: impl Fn(&Waiter) -> bool) {
        let Some(account) = self.accounts.get(&queue) else { return };
        let meant = |id: &WaiterId| self.waiters.get(id).is_some_and(&is_meant);
        for id in account.queue.waiters().filter(meant).collect::<Vec<_>>() {
            let Some(waiter) = self.take_out(id) else { continue };
            if let Some(account) = self.accounts.get_mut(&queue) {
                account.queue.remove(waiter.caller, waiter.line, id);
            }
            let reason = if waiter.line == Line::Background { Reason::NoSpare } else { rejection.reason };
            waiter.tell(Err(Rejection { reason, ..rejection }));
        }
    }

    /// Turns those away who have waited for an answer beyond their time. While calls need not wait, everybody has its
    /// turn by the next answers; where those take long, by the share.
    pub(super) fn turn_late_away(&mut self, queue: AccountKey, now: Duration) {
        let Some(timeout) = self.bookings.as_ref().map(|bookings| bookings.timeout) else { return };
        let Some(account) = self.accounts.get(&queue) else { return };
        let next_answer = now.saturating_add(account.booking.took);
        let in_turn = !account.booking.is_short(now) && account.opens_at() <= now;
        let late: Vec<WaiterId> = account.queue.waiters().filter(|id| self.is_late(*id, now)).collect();
        let Some(first) = late.first().and_then(|id| self.waiters.get(id)) else { return };
        if in_turn && self.needs_booking(first.accounts, now) {
            let deadlines = late.iter().filter_map(|id| self.waiters.get(id)).map(|waiter| waiter.deadline);
            if deadlines.min().is_none_or(|deadline| next_answer <= deadline.saturating_add(timeout)) {
                return;
            }
            let accounts = first.accounts;
            self.take_from_share(queue, accounts, now.saturating_add(timeout));
            self.dispatch(queue, now);
        }
        for id in late {
            self.turn_away(id, now);
        }
    }

    /// Whether a waiter's time is over, and it does not wait for its connection alone.
    fn is_late(&self, id: WaiterId, now: Duration) -> bool {
        self.waiters.get(&id).is_some_and(|waiter| waiter.deadline <= now && !self.only_connects(waiter, now))
    }
}
