//! The waiters of the [`Table`]: how a call comes to wait, and how it leaves.
//!
//! A waiter is in the table and in one queue until it is told its verdict, and then in neither. Whoever tells it holds the
//! table's lock, and whoever leaves takes it: so a verdict is heard, or found and given back.

use std::collections::HashSet;
use std::time::Duration;

use super::account::AccountKey;
use super::forecast::TICK;
use super::queue::{Line, Seat, WaiterId};
use super::table::Table;
use super::waiter::{Readiness, Waiter};

impl Table {
    /// Puts a call into the queue, as the last of its caller's.
    pub(super) fn enqueue(&mut self, waiter: Waiter, now: Duration) -> WaiterId {
        self.last_id += 1;
        let id = WaiterId(self.last_id);
        let key = waiter.accounts.first;
        let seat = Seat { caller: waiter.caller, credential: waiter.credential, line: waiter.line };
        self.account(key, now).queue.push(seat, id);
        let (readiness, begins_at) = (waiter.readiness, waiter.due.saturating_sub(waiter.ahead));
        let ready_at = match readiness {
            Readiness::Connected => self.may_go_at(&waiter, now),
            Readiness::Near | Readiness::Far => Duration::MAX,
        };
        if waiter.accounts.second.is_some() {
            self.acting.insert(id);
        }
        self.waiters.insert(id, waiter);
        self.agenda.bring_forward(key, ready_at.max(now + TICK));
        // What is booked may be for others, who have left.
        self.let_go(key, now);
        self.ask(key, now);
        if readiness == Readiness::Far && begins_at < self.agenda.next_look(key) {
            self.plan(key, now);
        }
        id
    }

    /// A waiter has its connection in hand.
    pub(super) fn connected(&mut self, id: WaiterId, now: Duration) {
        let Some(waiter) = self.waiters.get_mut(&id) else { return };
        waiter.readiness = Readiness::Connected;
        let key = waiter.accounts.first;
        self.dispatch(key, now);
        let Some(waiter) = self.waiters.get_mut(&id) else { return };
        // Its turn has gone to others meanwhile: now it waits for the next, if it still has the time.
        waiter.free = false;
        if now >= waiter.deadline && !self.is_asking(key) {
            self.turn_away(id, now);
        }
    }

    /// A waiter's time is over: it is told so, unless its turn has come but for its connection.
    pub(super) fn expire(&mut self, id: WaiterId, now: Duration) {
        let Some(waiter) = self.waiters.get(&id) else { return };
        let key = waiter.accounts.first;
        self.hand_out(key, now);
        let waits_for_answer = self.is_asking(key);
        if self.waiters.get(&id).is_some_and(|waiter| !waits_for_answer && !self.only_connects(waiter, now)) {
            self.turn_away(id, now);
        }
    }

    /// Whether a waiter's turn has come, but for its connection: its longest wait is not for that.
    pub(super) fn only_connects(&self, waiter: &Waiter, now: Duration) -> bool {
        let turn_has_come = || match self.accounts.get(&waiter.accounts.first) {
            Some(account) if self.needs_booking(waiter.accounts, now) => {
                account.booking.expected(0, now).max(self.apart_until(waiter.accounts)) <= now
            }
            _ => self.ready_at(waiter.accounts, waiter.caller, now) <= now,
        };
        waiter.readiness == Readiness::Near && turn_has_come()
    }

    /// Tells a waiter that its turn does not come in time, and when it would.
    pub(super) fn turn_away(&mut self, id: WaiterId, now: Duration) {
        let Some(waiter) = self.withdraw(id, now) else { return };
        let rejection = self.rejection(waiter.accounts, waiter.line, waiter.caller, now);
        waiter.tell(Err(rejection));
    }

    /// A waiter leaves, if it has not been told its verdict.
    pub(super) fn leave(&mut self, id: WaiterId, now: Duration) {
        drop(self.withdraw(id, now));
    }

    /// Takes a waiter out of the table and of its queue. Those behind it move up.
    pub(super) fn withdraw(&mut self, id: WaiterId, now: Duration) -> Option<Waiter> {
        let waiter = self.take_out(id)?;
        let key = waiter.accounts.first;
        if let Some(account) = self.accounts.get_mut(&key) {
            account.queue.remove(waiter.caller, waiter.line, id);
            if !account.queue.is_empty() {
                self.agenda.bring_forward(key, now + TICK);
            }
        }
        Some(waiter)
    }

    /// Takes a waiter out of the table.
    pub(super) fn take_out(&mut self, id: WaiterId) -> Option<Waiter> {
        self.acting.remove(&id);
        self.waiters.remove(&id)
    }

    /// How many wait for their turn, and not for a connection alone.
    pub(super) fn waiting(&self) -> usize {
        self.waiters.values().filter(|waiter| !waiter.free).count()
    }

    /// The same in one line of one queue.
    pub(super) fn waiting_in(&self, key: AccountKey, line: Line) -> usize {
        let waiters = self.accounts.get(&key).into_iter().flat_map(|account| account.queue.waiters());
        let waiters = waiters.filter_map(|id| self.waiters.get(&id));
        waiters.filter(|waiter| waiter.line == line && !waiter.free).count()
    }

    /// The queues in which somebody may wait for an account: its own, and those of who takes from it besides.
    pub(super) fn queues_at(&self, key: AccountKey) -> Vec<AccountKey> {
        let acting = self.acting.iter().filter_map(|id| self.waiters.get(id));
        let besides = acting.filter(|waiter| waiter.accounts.second == Some(key));
        let mut queues: Vec<AccountKey> =
            std::iter::once(key).chain(besides.map(|waiter| waiter.accounts.first)).collect();
        let mut seen = HashSet::new();
        queues.retain(|queue| seen.insert(*queue));
        queues
    }
}
