//! Drivers: the one waiter of each queue whose timer serves all who wait there.
//!
//! A timer for each waiter and slot would wake hundreds for one slot; a task for each queue would need an owner. The
//! driver is one of those who wait: when it goes or leaves, another is made driver and told so, under the table's lock,
//! so that no queue with anybody in it is ever without one.

use std::time::Duration;

use super::account::{Account, AccountKey};
use super::forecast::TICK;
use super::queue::{Driver, Line, WaiterId};
use super::table::{Readiness, Table, Waiter};

impl Table {
    /// Makes sure that a queue with anybody in it has a driver that still waits.
    pub(super) fn pass_on(&mut self, key: AccountKey) {
        let Some(account) = self.accounts.get_mut(&key) else { return };
        let queue = &mut account.queue;
        let waits = |driver: &Driver| self.waiters.get(&driver.waiter).is_some_and(|w| !w.has_verdict());
        if queue.driver.as_ref().is_some_and(waits) {
            return;
        }
        let next = queue.waiters().next();
        queue.driver = next.map(|waiter| Driver { waiter, wakes_at: Duration::ZERO });
        self.ring_driver(key);
    }

    /// Makes the driver look at the queue now.
    pub(super) fn ring_driver(&self, key: AccountKey) {
        let driver = self.accounts.get(&key).and_then(|account| account.queue.driver);
        if let Some(waiter) = driver.and_then(|driver| self.waiters.get(&driver.waiter)) {
            waiter.bell.notify_one();
        }
    }

    /// Tells those whose turn is near to connect.
    pub(super) fn call_up(&mut self, key: AccountKey, now: Duration) {
        let Some(account) = self.accounts.get(&key) else { return };
        let mut near = Vec::new();
        let in_turn = account.queue.in_turn(|caller| account.second.of(caller));
        for (before, id) in in_turn.enumerate() {
            let Some(waiter) = self.waiters.get(&id) else { continue };
            if waiter.readiness != Readiness::Far {
                continue;
            }
            if self.comes_at(waiter, before, now) > now.saturating_add(waiter.ahead) {
                break;
            }
            near.push(id);
        }
        for id in near {
            if let Some(waiter) = self.waiters.get_mut(&id) {
                waiter.readiness = Readiness::Near;
                waiter.bell.notify_one();
            }
        }
    }

    /// When a waiter's turn comes if so many others go before it.
    fn comes_at(&self, waiter: &Waiter, before: usize, now: Duration) -> Duration {
        let before = u32::try_from(before).unwrap_or(u32::MAX);
        let of = |account: &Account| {
            account.free_at(waiter.caller, before, &self.limits, now).max(account.expected_to_open_at(now))
        };
        waiter.accounts.keys().filter_map(|key| self.accounts.get(&key)).map(of).max().unwrap_or(now)
    }

    /// When a waiter must look again on behalf of its queue; only the driver must.
    pub(super) fn drive(&mut self, id: WaiterId, waiter: &Waiter, now: Duration) -> Duration {
        let key = waiter.accounts.first;
        let Some(account) = self.accounts.get(&key) else { return Duration::MAX };
        if account.queue.driver.is_none_or(|driver| driver.waiter != id) {
            return Duration::MAX;
        }
        // The driver itself is out of the table while it is looked at.
        let of = |other: WaiterId| if other == id { Some(waiter) } else { self.waiters.get(&other) };
        let is_connected = |id| of(id).is_some_and(|waiter| waiter.readiness == Readiness::Connected);
        let heads =
            [Line::Proofs, Line::Calls].into_iter().flat_map(|line| account.queue.heads(line, is_connected));
        let ready = heads.filter_map(|(caller, head)| Some(self.ready_at(of(head)?.accounts, caller, now)));
        let in_turn = account.queue.in_turn(|caller| account.second.of(caller));
        let far = in_turn.enumerate().filter_map(|(before, id)| Some((before, of(id)?)));
        let near = far
            .into_iter()
            .find(|(_, waiter)| waiter.readiness == Readiness::Far)
            .map(|(before, waiter)| self.comes_at(waiter, before, now).saturating_sub(waiter.ahead));
        let wakes_at = ready.chain(near).min().unwrap_or(Duration::MAX).max(now + TICK);
        if let Some(account) = self.accounts.get_mut(&key) {
            account.queue.driver = Some(Driver { waiter: id, wakes_at });
        }
        wakes_at
    }
}
