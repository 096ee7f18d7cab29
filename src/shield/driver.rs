//! Drivers: the one waiter of each queue whose timer serves all who wait there.
//!
//! A timer for each waiter and slot would wake hundreds for one slot; a task for each queue would need an owner. The
//! driver is one of those who wait: when it goes or leaves, another is made driver and told so, under the table's lock,
//! so that no queue with anybody in it is ever without one.

use std::time::Duration;

use super::account::AccountKey;
use super::forecast::TICK;
use super::queue::{Driver, Line, WaiterId};
use super::table::{Table, Waiter};

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

    /// When a waiter must look again on behalf of its queue; only the driver must.
    pub(super) fn drive(&mut self, id: WaiterId, waiter: &Waiter, now: Duration) -> Duration {
        let key = waiter.accounts.first;
        let Some(account) = self.accounts.get(&key) else { return Duration::MAX };
        if account.queue.driver.is_none_or(|driver| driver.waiter != id) {
            return Duration::MAX;
        }
        let heads = account.queue.heads(Line::Proofs).chain(account.queue.heads(Line::Calls));
        let ready = heads.filter_map(|(caller, head)| {
            // The driver itself is out of the table while it is looked at.
            let accounts = if head == id { waiter.accounts } else { self.waiters.get(&head)?.accounts };
            Some(self.ready_at(accounts, caller, now))
        });
        let wakes_at = ready.min().unwrap_or(Duration::MAX).max(now + TICK);
        if let Some(account) = self.accounts.get_mut(&key) {
            account.queue.driver = Some(Driver { waiter: id, wakes_at });
        }
        wakes_at
    }
}
