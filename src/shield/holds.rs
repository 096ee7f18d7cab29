//! The holds of the [`Table`]: who is told when a 429 closes an account, and what its probe ends.

use std::time::Duration;

use super::account::{AccountKey, Accounts, Hold, ProbeId};
use super::booked::Granted;
use super::booking::{Order, ProbeFate};
use super::call::{Reason, Rejection};
use super::queue::WaiterId;
use super::slot::Slot;
use super::table::Table;
use super::waiter::Waiter;

impl Table {
    pub(super) fn close_until(&mut self, key: AccountKey, until: Duration, now: Duration) {
        let key = self.key(key, now);
        self.tell_sooner_or_later(key, Order::Hold { account: key, lasts: until.saturating_sub(now) });
        self.hold_back(key, until, now);
    }

    /// The same, where the store knows.
    pub(super) fn hold_back(&mut self, key: AccountKey, until: Duration, now: Duration) {
        let account = self.account(key, now);
        account.close_until(until);
        let until = account.opens_at();
        self.refuse_before(key, until, now);
    }

    /// The upstream refused a call over its limit: an account that was not full is lowered, for others spend from that limit.
    pub(super) fn limited(&mut self, slot: &Slot, now: Duration) {
        for (key, had) in slot.accounts.keys().zip([slot.had.first, slot.had.second]) {
            // Under the name that it has now.
            let key = self.key(key, now);
            match slot.booked {
                // What all replicas had is known to the store alone.
                Some(Granted { moment, .. }) => {
                    self.tell_store(key, |limits| Order::Refused { account: key, moment, limits });
                }
                None => self.account(key, now).restraint.beside.on_limited(had, slot.at, now),
            }
        }
    }

    /// The upstream let a probe in: the accounts that it was sent for are open.
    pub(super) fn probe_passed(&mut self, probe: ProbeId, accounts: Accounts, now: Duration) {
        self.end_probe(probe, accounts, ProbeFate::Passed, now);
    }

    /// Nobody knows what became of a probe: the next call is one.
    pub(super) fn probe_lost(&mut self, probe: ProbeId, accounts: Accounts, now: Duration) {
        self.end_probe(probe, accounts, ProbeFate::Lost, now);
    }

    fn end_probe(&mut self, ended: ProbeId, accounts: Accounts, fate: ProbeFate, now: Duration) {
        let hold = match fate {
            ProbeFate::Passed => Hold::None,
            ProbeFate::Lost => Hold::Until { until: now },
        };
        for key in accounts.keys() {
            match self.accounts.get_mut(&key) {
                Some(account) if matches!(account.restraint.hold, Hold::Probing { probe, .. } if probe == ended) =>
                {
                    account.restraint.hold = hold;
                    self.tell_sooner_or_later(key, Order::Probed { account: key, probe: ended.0, fate });
                }
                _ => {}
            }
        }
        self.changed(accounts, now);
    }

    /// Tells those who wait in vain so, now that an account is closed.
    pub(super) fn refuse_before(&mut self, key: AccountKey, until: Duration, now: Duration) {
        let rejection = Rejection { reason: Reason::Hold, retry_after: until.saturating_sub(now) };
        for queue in self.queues_at(key) {
            let Some(account) = self.accounts.get(&queue) else { continue };
            let in_vain = |waiter: &Waiter| {
                waiter.deadline < until && waiter.accounts.keys().any(|account| account == key)
            };
            let late: Vec<WaiterId> =
                account.queue.waiters().filter(|id| self.waiters.get(id).is_some_and(in_vain)).collect();
            for id in late {
                if let Some(waiter) = self.withdraw(id, now) {
                    waiter.tell(Err(rejection));
                }
            }
        }
    }
}
