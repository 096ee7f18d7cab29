//! Changes of an account that no timer knows of: a slot that came back, a door that opened or closed, a merge.
//!
//! They concern whoever waits in the account's queue, and whoever waits in another's for both: a call that acts for a
//! workspace waits in the workspace's queue and takes from the account of its key, too.

use std::collections::HashSet;
use std::time::Duration;

use super::account::AccountKey;
use super::budget::{Accounts, Reason, Rejection};
use super::queue::WaiterId;
use super::table::{Table, Waiter};

impl Table {
    /// Dispatches after a change that nobody's timer knows of.
    pub(super) fn stir(&mut self, accounts: Accounts, now: Duration) {
        for key in accounts.keys() {
            for queue in self.queues_at(key) {
                self.dispatch(queue, now);
                self.ring_driver(queue);
            }
        }
    }

    /// Tells those who wait in vain so, now that an account is closed.
    pub(super) fn refuse_before(&mut self, key: AccountKey, until: Duration, now: Duration) {
        let rejection = Rejection { reason: Reason::Gate, retry_after: until.saturating_sub(now) };
        for queue in self.queues_at(key) {
            let Some(account) = self.accounts.get(&queue) else { continue };
            let in_vain = |waiter: &Waiter| {
                waiter.deadline < until && waiter.accounts.keys().any(|account| account == key)
            };
            let late: Vec<WaiterId> =
                account.queue.waiters().filter(|id| self.waiters.get(id).is_some_and(in_vain)).collect();
            for id in late {
                self.dismiss(id, rejection);
            }
            self.pass_on(queue);
            self.ring_driver(queue);
        }
    }

    /// The queues in which somebody may wait for an account: its own, and those of who takes from it besides.
    fn queues_at(&self, key: AccountKey) -> Vec<AccountKey> {
        let acting = self.acting.iter().filter_map(|id| self.waiters.get(id));
        let besides = acting.filter(|waiter| waiter.accounts.second == Some(key));
        let mut queues: Vec<AccountKey> =
            std::iter::once(key).chain(besides.map(|waiter| waiter.accounts.first)).collect();
        let mut seen = HashSet::new();
        queues.retain(|queue| seen.insert(*queue));
        queues
    }
}
