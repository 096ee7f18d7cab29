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

/// A turn that its caller cannot use is kept for so long, behind the time that connecting usually takes.
const TURN_KEPT: Duration = Duration::from_millis(50);

/// What a look at a queue finds.
struct Outlook {
    /// Those who hold nothing and whose turn is near, and when it comes.
    near: Vec<(WaiterId, Duration)>,
    /// When to look again for others.
    look_at: Duration,
}

impl Waiter {
    /// Until when who is behind leaves a slot for it while it connects.
    fn turn_kept_until(&self) -> Duration {
        self.due.saturating_add(self.ahead).saturating_add(TURN_KEPT)
    }
}

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
        let Outlook { near, .. } = self.look_ahead(account, |id| self.waiters.get(&id), now);
        for (id, due) in near {
            if let Some(waiter) = self.waiters.get_mut(&id) {
                (waiter.readiness, waiter.due) = (Readiness::Near, due);
                waiter.bell.notify_one();
            }
        }
    }

    /// Goes through a queue in turn, as far as turns are near.
    fn look_ahead<'a>(
        &'a self,
        account: &'a Account,
        of: impl Fn(WaiterId) -> Option<&'a Waiter>,
        now: Duration,
    ) -> Outlook {
        let mut outlook = Outlook { near: Vec::new(), look_at: Duration::MAX };
        let (mut before, mut kept_until, mut proofs_wait) = (0, Duration::MAX, false);
        for id in account.queue.in_turn(|caller| account.second.of(caller)) {
            let Some(waiter) = of(id) else { continue };
            match waiter.readiness {
                Readiness::Connected => before += 1,
                Readiness::Near if now < waiter.turn_kept_until() => {
                    before += 1;
                    kept_until = kept_until.min(waiter.turn_kept_until());
                }
                Readiness::Near => {}
                Readiness::Far if proofs_wait && waiter.line == Line::Proofs => {}
                Readiness::Far => {
                    let comes_at = self.comes_at(waiter, before, now);
                    let begins_at = comes_at.saturating_sub(waiter.ahead);
                    outlook.look_at = outlook.look_at.min(begins_at).min(kept_until);
                    if begins_at <= now {
                        before += 1;
                        outlook.near.push((id, comes_at));
                        continue;
                    }
                    // Its other account holds up nobody else; this one holds up all behind it, until then.
                    let here = self.comes_in(account, waiter, before, now).saturating_sub(waiter.ahead);
                    if here > now {
                        outlook.look_at = outlook.look_at.min(here);
                        if waiter.line == Line::Calls {
                            break;
                        }
                        proofs_wait = true;
                    }
                }
            }
        }
        outlook
    }

    /// When a waiter's turn comes if so many others go before it.
    fn comes_at(&self, waiter: &Waiter, before: u32, now: Duration) -> Duration {
        let of = |account: &Account| self.comes_in(account, waiter, before, now);
        waiter.accounts.keys().filter_map(|key| self.accounts.get(&key)).map(of).max().unwrap_or(now)
    }

    /// The same in one account.
    fn comes_in(&self, account: &Account, waiter: &Waiter, before: u32, now: Duration) -> Duration {
        account.free_at(waiter.caller, before, &self.limits, now).max(account.expected_to_open_at(now))
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
        let Outlook { look_at, .. } = self.look_ahead(account, of, now);
        let wakes_at = ready.min().unwrap_or(Duration::MAX).min(look_at).max(now + TICK);
        if let Some(account) = self.accounts.get_mut(&key) {
            account.queue.driver = Some(Driver { waiter: id, wakes_at });
        }
        wakes_at
    }
}
