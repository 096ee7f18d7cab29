//! The store's answers to the [`Table`]: a moment, a later time, a hold, or none in time.
//!
//! Nobody waits in vain: who cannot wait for what an answer says is told so, and who has waited for an answer beyond its time
//! goes by the next ones while calls need not wait, by the share where those take long, and is turned away otherwise.

use std::time::Duration;

use super::account::{AccountKey, Accounts, Hold};
use super::booked::{Apart, Asked, Cause, Granted};
use super::booking::{Answer, Ticket, Unanswered, Urgency};
use super::call::{Call, Reason, Rejection};
use super::forecast::TICK;
use super::queue::{Line, WaiterId};
use super::slot::Slot;
use super::table::Table;
use super::waiter::Waiter;

/// A moment further ahead is not booked. Who has the patience asks again so long before it.
const ASK_AHEAD: Duration = Duration::from_secs(2);

/// What a booking says of an account's gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gate {
    /// It is open to all.
    Open,
    /// One call finds out whether it is.
    Probed,
}

impl Table {
    /// The store's answer to a question.
    pub(super) fn answered(&mut self, ticket: Ticket, answer: Result<Answer, Unanswered>, now: Duration) {
        let Some(timeout) = self.bookings.as_ref().map(|bookings| bookings.timeout) else { return };
        let interval = self.limits.interval();
        let Some(account) = self.accounts.get_mut(&ticket.queue) else { return };
        let Some(asked) = account.booking.asked.filter(|asked| asked.number == ticket.number) else {
            if let Ok(Answer::Booked { is_probe: true, .. }) = answer {
                self.lose_probe(ticket.number, Accounts::one(ticket.queue));
            }
            return;
        };
        account.booking.asked = None;
        account.booking.took = now.saturating_sub(asked.at);
        // Later than that it is of no use to whoever waits, and the send would be later than the store counts with.
        let in_time = now <= asked.at.saturating_add(timeout);
        if let Some(allowed) = answer.ok().map(Answer::allowed)
            && let Some(account) = self.accounts.get_mut(&asked.paid().first)
        {
            account.restraint.beside.learn(allowed, now);
        }
        let Some(account) = self.accounts.get_mut(&ticket.queue) else { return };
        match answer.ok() {
            Some(Answer::Booked { wait, moment, is_probe, .. }) if in_time => {
                let (number, accounts, at) = (asked.number, asked.accounts, now.saturating_add(wait));
                let until = asked.at.saturating_add(wait).saturating_add(timeout);
                account.booking.on_booked(
                    Granted { number, accounts, paying: asked.paying, at, until, moment, is_probe },
                    wait,
                    interval,
                );
                if !wait.is_zero() {
                    account.contend(now);
                }
                let gate = if is_probe { Gate::Probed } else { Gate::Open };
                self.note_gate(accounts, gate, now);
                accounts.keys().for_each(|key| self.tell_share(key, now));
            }
            Some(Answer::NotBefore { wait, .. }) if in_time => {
                self.not_before(ticket.queue, asked, wait, now)
            }
            Some(Answer::Held { wait, .. }) if in_time => self.held(ticket.queue, asked, wait, now),
            late => {
                // What is not answered in time may have been booked all the same, and the store would wait for what that
                // probe finds out; a number that is no probe's is nothing to it.
                if matches!(late, Some(Answer::Booked { is_probe: true, .. }) | None) {
                    self.lose_probe(asked.number, asked.paid());
                }
                self.take_from_share(ticket.queue, asked.accounts, now.saturating_add(timeout));
            }
        }
        self.dispatch(ticket.queue, now);
        self.turn_late_away(ticket.queue, now);
    }

    /// Lets go of what is of no use any more: a moment that has passed, and a question whose answer was lost on its way here.
    pub(super) fn let_go(&mut self, queue: AccountKey, now: Duration) {
        let Some(timeout) = self.bookings.as_ref().map(|bookings| bookings.timeout) else { return };
        let Some(account) = self.accounts.get(&queue) else { return };
        // Nobody has it, and those who wait take from other accounts: they would wait for it to pass.
        let for_nobody = |granted: &Granted| {
            let mut waiters = account.queue.waiters().filter_map(|id| self.waiters.get(&id));
            !account.queue.is_empty() && waiters.all(|waiter| waiter.accounts != granted.accounts)
        };
        let useless = |granted: &Granted| granted.until < now || for_nobody(granted);
        if let Some(useless) = account.booking.granted.filter(useless) {
            if let Some(account) = self.accounts.get_mut(&queue) {
                account.booking.granted = None;
            }
            if useless.is_probe {
                self.lose_probe(useless.number, useless.paid());
            }
        }
        let Some(account) = self.accounts.get_mut(&queue) else { return };
        if let Some(asked) = account.booking.asked.filter(|asked| asked.is_lost(timeout, now)) {
            account.booking.asked = None;
            self.lose_probe(asked.number, asked.paid());
            self.take_from_share(queue, asked.accounts, now.saturating_add(timeout));
        }
    }

    /// Nothing is to be had before `wait` is over: who cannot wait for that is told so.
    fn not_before(&mut self, queue: AccountKey, asked: Asked, wait: Duration, now: Duration) {
        let at = now.saturating_add(wait);
        let rejection = Rejection { reason: Reason::Budget, retry_after: wait.max(TICK) };
        if asked.urgency == Urgency::Background {
            // Others may go nevertheless: a fifth of the minute is theirs.
            return self.reject(queue, rejection, |waiter| {
                waiter.line == Line::Background && waiter.accounts == asked.accounts
            });
        }
        if asked.paid() == Accounts::one(queue) {
            if let Some(account) = self.accounts.get_mut(&queue) {
                account.contend(now);
                account.booking.on_not_before(at);
                account.booking.ask_at = at.saturating_sub(ASK_AHEAD).max(now + TICK);
            }
        } else {
            // Sooner the other account would still be too far behind this one.
            let ahead = self.bookings.as_ref().map_or(Duration::ZERO, |bookings| bookings.timeout);
            let ask_at = at.saturating_sub(ahead).max(now + TICK);
            self.hold_apart(asked.accounts, Apart { ask_at, until: at, cause: Cause::Full }, now);
        }
        self.reject(queue, rejection, |waiter| waiter.accounts == asked.accounts && waiter.deadline < at);
    }

    /// An account is on hold, as another replica has learnt, or a probe of another one is under way.
    fn held(&mut self, queue: AccountKey, asked: Asked, wait: Duration, now: Duration) {
        let at = now.saturating_add(wait);
        if asked.paid().second.is_none() {
            return self.hold_back(asked.paid().first, at, now);
        }
        // Nobody knows which of the two it is: calls of this account alone find out for themselves.
        self.hold_apart(asked.accounts, Apart { ask_at: at, until: at, cause: Cause::Held }, now);
        let rejection = Rejection { reason: Reason::Hold, retry_after: wait.max(TICK) };
        self.reject(queue, rejection, |waiter| waiter.accounts == asked.accounts && waiter.deadline < at);
    }

    /// What was said of two accounts together holds back who takes from both, and never the queue of the first: one call
    /// of a key whose own account is full would shut out everybody else of the workspace.
    fn hold_apart(&mut self, accounts: Accounts, apart: Apart, now: Duration) {
        if let Some((account, other)) = self.accounts.get_mut(&accounts.first).zip(accounts.second) {
            account.booking.hold_apart(other, apart, now);
        }
    }

    /// What a booking says of the gate: it is open to all, or to this one call.
    fn note_gate(&mut self, accounts: Accounts, gate: Gate, now: Duration) {
        for key in accounts.keys() {
            let Some(account) = self.accounts.get_mut(&key) else { continue };
            match account.restraint.hold {
                Hold::None if gate == Gate::Probed => account.restraint.hold = Hold::Until { until: now },
                Hold::Until { until } if until <= now && gate == Gate::Open => {
                    account.restraint.hold = Hold::None
                }
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
        let accounts = self.settle(call.accounts, now);
        // For this one alone: the store is there.
        self.take_from_share(accounts.first, accounts, now.saturating_add(TICK));
        self.give_up(lost, now);
        let caller = self.caller_of(call);
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
        let (waiting, mut over): (Vec<WaiterId>, Vec<WaiterId>) = late.into_iter().partition(|id| {
            in_turn && self.waiters.get(id).is_some_and(|waiter| self.asks_at(waiter.accounts, now) <= now)
        });
        let too_late: Vec<&Waiter> = waiting
            .iter()
            .filter_map(|id| self.waiters.get(id))
            .filter(|waiter| next_answer > waiter.deadline.saturating_add(timeout))
            .collect();
        // Background work never opens the share.
        let starves = too_late.iter().find(|waiter| waiter.line != Line::Background);
        if let Some(accounts) = starves.map(|waiter| waiter.accounts) {
            self.take_from_share(queue, accounts, now.saturating_add(TICK));
            self.dispatch(queue, now);
            over.extend(waiting);
        } else if !too_late.is_empty() {
            let is_over = |id: &WaiterId| {
                let deadline = self.waiters.get(id).map(|waiter| waiter.deadline);
                deadline.is_some_and(|deadline| next_answer > deadline.saturating_add(timeout))
            };
            over.extend(waiting.into_iter().filter(is_over));
        }
        for id in over {
            self.turn_away(id, now);
        }
    }

    /// Whether a waiter's time is over, and it does not wait for its connection alone.
    fn is_late(&self, id: WaiterId, now: Duration) -> bool {
        self.waiters.get(&id).is_some_and(|waiter| waiter.deadline <= now && !self.only_connects(waiter, now))
    }
}
