//! [`Budget`]: asked before every upstream call, whatever it is for; says go, wait, or come back later.
//!
//! No organization's calls exceed its windows, nobody waits longer than it agreed to, and no caller holds up another by
//! more than its turn. A call that will not get its turn in time is told at once, and when to come again. A wait ends
//! with its future: dropped at any point it leaves no trace, a slot that it was handed included. What is done with an
//! answer is the caller's: it reports an upstream 429 with [`Budget::close_until`].
//!
//! A turn is given to a call that has its connection and can be written at once. A call without one connects when its turn
//! is near; what waits further behind holds nothing.
//!
//! One short lock guards the table and is never held across an await. Waiters have a timer each for their own deadline. What
//! comes free in time is handed out by one task, [`Budget::hand_out`]; a call that goes at once has nothing to do with it.

use std::future::Future;
use std::num::NonZeroU32;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::account::{AccountKey, Accounts};
use super::beside::Part;
use super::booking::{Answer, Order, Ticket, Unanswered};
pub use super::call::{Call, Class, Reason, Rejection, Turned};
use super::limits::{Limits, ShieldRules};
use super::orders::Bookings;
pub use super::orders::Link;
use super::place::Place;
use super::probe::Probe;
pub use super::share::Observed;
use super::shared::Shared;
use super::slot::Slot;
use super::table::{Entry, Table};
use super::usage::{Snapshot, Usage, UsedRatio};
use super::waiter::Readiness;
use crate::clock::{Clock, Moment};
use crate::config::Mode;
use crate::lock::MutexGuard;

/// A slot was spent for the call: send it now.
#[derive(Debug)]
#[must_use = "the slot is spent"]
pub struct Admission {
    /// How long it waited.
    pub waited: Duration,
    /// Set where the account had been closed: the others wait for what becomes of this call.
    pub probe: Option<Probe>,
    /// What limits that are observed alone would have made of it.
    pub observed: Option<Observed>,
    slot: Slot,
}

/// The upstream calls of all organizations: a cheap handle.
#[derive(Clone, Debug)]
pub struct Budget(Arc<Shared>);

/// A handle that does not keep it.
#[derive(Clone, Debug)]
pub struct WeakBudget(Weak<Shared>);

impl WeakBudget {
    /// The budget, as long as somebody has it.
    #[must_use]
    pub fn upgrade(&self) -> Option<Budget> {
        self.0.upgrade().map(Budget)
    }
}

impl Budget {
    /// A handle for who carries its orders: it does not keep the budget.
    #[must_use]
    pub fn downgrade(&self) -> WeakBudget {
        WeakBudget(Arc::downgrade(&self.0))
    }

    /// An unspent budget.
    #[must_use]
    pub fn new(rules: &ShieldRules, clock: Clock) -> Self {
        Self(Arc::new(Shared::new(rules, clock)))
    }

    /// Hands turns out at the moments at which they come, as long as there is this budget. One task of the process runs it.
    pub fn hand_out(&self) -> impl Future<Output = ()> + Send + use<> {
        let (shared, clock, wake) =
            (Arc::downgrade(&self.0), self.0.clock().clone(), self.lock().agenda.wake());
        async move {
            loop {
                let Some(shared) = shared.upgrade() else { return };
                let now = shared.now();
                let until = shared.lock().work_off(now);
                drop(shared);
                tokio::select! {
                    biased;
                    () = wake.notified() => {}
                    () = clock.sleep_until_uptime(until) => {}
                }
            }
        }
    }

    /// From now on these rules; what was spent stays spent, who waits stays.
    pub fn set_rules(&self, rules: &ShieldRules) {
        let now = self.now();
        self.lock().set_rules(rules, now);
    }

    /// Spends a slot for a call that has its connection, at once or when its turn comes: it is to be written at once. A slot
    /// that is spent before its call can be written would let more calls into some second than its limit.
    ///
    /// `open` is a connection that the call could use now, if there is one. Without one, and where its turn is far, it
    /// `connect`s when its turn is near; if it has none when its turn comes, the turn is the next one's. `connects` is told
    /// once if it is connecting alone that the call waits for.
    ///
    /// # Errors
    ///
    /// A [`Rejection`]: at once if the wait would not fit, else when its longest wait is over or its account is closed; or the
    /// failure to connect.
    pub async fn admit<C, E>(
        &self,
        call: Call,
        open: Option<C>,
        connect: impl Future<Output = Result<C, E>>,
        connects: impl FnOnce(),
    ) -> Result<(Admission, C), Turned<E>> {
        if call.class == Class::Background {
            return self.admit_background(call, open, connect, connects).await;
        }
        if self.mode() == Mode::Observe {
            return self.admit_observed(call, open, connect, connects).await;
        }
        let arrived = self.now();
        let readiness = if open.is_some() { Readiness::Connected } else { Readiness::Far };
        let entry = self.lock().enter(&call, readiness, arrived);
        match entry {
            Entry::Granted(slot) => {
                let connection = open.expect("only a call with a connection is granted its turn at once");
                Ok((self.admission(slot, Duration::ZERO), connection))
            }
            Entry::Refused(rejection) => Err(Turned::Rejected(rejection)),
            Entry::Waiting(waiting) => {
                let free = waiting.free;
                if free {
                    connects();
                }
                let turn = Place::new(Arc::clone(&self.0), waiting).turn(open, connect).await?;
                // Where its turn had come before it was connected, it has not waited for it.
                let since = if free { turn.connected.unwrap_or(arrived) } else { arrived };
                let slot = self.in_time(&call, turn.slot).map_err(Turned::Rejected)?;
                Ok((self.admission(slot, self.since(since)), turn.connection))
            }
        }
    }

    /// Lets a call go at once, whatever limits say, and notes what they would have done.
    async fn admit_observed<C, E>(
        &self,
        call: Call,
        open: Option<C>,
        connect: impl Future<Output = Result<C, E>>,
        connects: impl FnOnce(),
    ) -> Result<(Admission, C), Turned<E>> {
        let connection = match open {
            Some(open) => open,
            None => {
                connects();
                connect.await.map_err(Turned::Unconnected)?
            }
        };
        let now = self.now();
        let slot = self.lock().enter_observed(&call, now);
        Ok((self.admission(slot, Duration::ZERO), connection))
    }

    /// Whether limits hold, or are counted alone.
    #[must_use]
    pub fn mode(&self) -> Mode {
        self.0.mode()
    }

    /// From now on limits hold, or are counted alone. Who waits goes in its turn all the same.
    pub fn set_mode(&self, mode: Mode) {
        self.0.set_mode(mode);
    }

    /// Background work goes now or not at all, but for the time that connecting takes.
    async fn admit_background<C, E>(
        &self,
        call: Call,
        open: Option<C>,
        connect: impl Future<Output = Result<C, E>>,
        connects: impl FnOnce(),
    ) -> Result<(Admission, C), Turned<E>> {
        let connection = match open {
            Some(open) => open,
            None => {
                let now = self.now();
                self.lock().spare_for(&call, now).map_err(Turned::Rejected)?;
                connects();
                connect.await.map_err(Turned::Unconnected)?
            }
        };
        let arrived = self.now();
        let entry = self.lock().enter_background(&call, arrived);
        match entry {
            Entry::Granted(slot) => Ok((self.admission(slot, Duration::ZERO), connection)),
            Entry::Refused(rejection) => Err(Turned::Rejected(rejection)),
            Entry::Waiting(waiting) => {
                let place = Place::new(Arc::clone(&self.0), waiting);
                let turn = place.turn(Some(connection), std::future::pending()).await?;
                let slot = self.in_time(&call, turn.slot).map_err(Turned::Rejected)?;
                Ok((self.admission(slot, self.since(arrived)), turn.connection))
            }
        }
    }

    /// Takes back the slot of a call that was not sent: whoever waits may have it.
    pub fn give_back(&self, admission: Admission) {
        let now = self.now();
        self.lock().give_back(&admission.slot, now);
    }

    /// Whether background work would be admitted now.
    #[must_use]
    pub fn spare(&self, key: AccountKey, now: Moment) -> bool {
        let mut table = self.lock();
        let accounts = table.settle(Accounts::one(key), now.uptime());
        table.has_spare(accounts, now.uptime())
    }

    /// Whether a call that somebody waits for would have to wait itself now.
    #[must_use]
    pub fn is_short(&self, key: AccountKey, now: Moment) -> bool {
        let mut table = self.lock();
        let accounts = table.settle(Accounts::one(key), now.uptime());
        accounts.keys().any(|key| table.is_short(key, now.uptime()))
    }

    /// Whether the upstream limits this account now.
    #[must_use]
    pub fn is_closed(&self, key: AccountKey, now: Moment) -> bool {
        !self.closed_for(key, now).is_zero()
    }

    /// For how much longer the upstream limits this account; zero where it does not.
    #[must_use]
    pub fn closed_for(&self, key: AccountKey, now: Moment) -> Duration {
        let table = self.lock();
        table
            .accounts
            .get(&key)
            .map_or(Duration::ZERO, |account| account.opens_at().saturating_sub(now.uptime()))
    }

    /// The upstream limits this account: nothing is sent for it before `until`, then one probe, then the rest. Whoever
    /// cannot wait for that is told at once. Never shortens an earlier time.
    pub fn close_until(&self, key: AccountKey, until: Moment) {
        let now = self.now();
        self.lock().close_until(key, until.uptime(), now);
    }

    /// The upstream refused a call over its limit. An account that was not full is lowered: others spend from the same limit.
    pub fn limited(&self, admission: &Admission, now: Moment) {
        self.lock().limited(&admission.slot, now.uptime());
    }

    /// From now on there is a store that all replicas share: what is to be asked of it and told comes out here. Until
    /// [`Self::set_link`] says that it may be asked, calls take from this replica's share. An answer that is later than
    /// `timeout` is none.
    pub fn connect_store(&self, timeout: Duration, rules: &ShieldRules) -> UnboundedReceiver<Order> {
        let (orders, receiver) = unbounded_channel();
        self.lock().connect_store(Bookings::new(orders, timeout, *rules));
        receiver
    }

    /// Whether the store may be asked, and how many replicas share the limits: `shield.replicas` if none was seen. A change loses nobody who waits.
    pub fn set_link(&self, link: Link, replicas: Option<NonZeroU32>) {
        let now = self.now();
        self.lock().set_link(link, replicas, now);
    }

    /// What the store answered to an [`Order::Book`].
    pub fn booked(&self, ticket: Ticket, answer: Result<Answer, Unanswered>) {
        let now = self.now();
        self.lock().answered(ticket, answer, now);
    }

    /// The store could not be told of an [`Order::Spent`]: it is told again with what comes next.
    pub fn untold(&self, account: AccountKey, calls: u32) {
        let now = self.now();
        self.lock().untold(account, calls, now);
    }

    /// A caller's organization became known: what it spent and who waits for it moves to `to`.
    pub fn merge(&self, from: AccountKey, to: AccountKey) {
        let now = self.now();
        self.lock().merge(from, to, now);
    }

    /// Forgets accounts that have been idle for ten minutes; to be called every second or so.
    pub fn tidy(&self, now: Moment) {
        self.lock().tidy(now.uptime());
    }

    /// What the accounts show, the `top` busiest one by one.
    #[must_use]
    pub fn snapshot(&self, top: usize, now: Moment) -> Snapshot {
        self.lock().snapshot(top, now.uptime())
    }

    /// What one account shows; an unused one if it is not there.
    #[must_use]
    pub fn usage(&self, key: AccountKey, now: Moment) -> Usage {
        self.lock().usage_of(key, now.uptime())
    }

    /// What each account may send.
    #[must_use]
    pub fn limits(&self) -> Limits {
        self.lock().limits
    }

    /// How long `call` would wait if it came now. Asking spends nothing and takes no place.
    ///
    /// # Errors
    ///
    /// The [`Rejection`] that it would get at once.
    pub fn foresee(&self, call: &Call, now: Moment) -> Result<Duration, Rejection> {
        self.lock().foresee(call, now.uptime())
    }

    /// How many replicas were seen, by which caps are divided: one where there is no store.
    #[must_use]
    pub fn replicas_seen(&self) -> u32 {
        self.lock().replicas_seen().get()
    }

    /// What the fullest account has used.
    #[must_use]
    pub fn used_ratio(&self, now: Moment) -> UsedRatio {
        self.lock().used_ratio(now.uptime())
    }

    /// What the account that is lowered most may spend of its limits.
    #[must_use]
    pub fn least_allowed(&self, now: Moment) -> Part {
        self.lock().least_allowed(now.uptime())
    }

    /// How many calls wait, in all.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.lock().waiting()
    }

    /// How many accounts the upstream limits now, probes under way included.
    #[must_use]
    pub fn closed(&self, now: Moment) -> usize {
        self.lock().accounts.values().filter(|account| account.opens_at() > now.uptime()).count()
    }

    /// The slot of a call that goes now, unless its moment has passed since it was told: a process that was stopped meanwhile
    /// would send into a window that the store has given to others. Then it takes from the share, or does not go.
    fn in_time(&self, call: &Call, slot: Slot) -> Result<Slot, Rejection> {
        let Some(booked) = slot.booked else { return Ok(slot) };
        let now = self.now();
        if now <= booked.until {
            return Ok(slot);
        }
        self.lock().take_instead(call, &slot, now)
    }

    fn since(&self, earlier: Duration) -> Duration {
        self.now().saturating_sub(earlier)
    }

    fn admission(&self, slot: Slot, waited: Duration) -> Admission {
        let (accounts, id) = (slot.accounts, slot.probe);
        let probe = id.map(|id| Probe::new(Arc::clone(&self.0), id, accounts));
        let observed = slot.observed;
        Admission { waited, probe, observed, slot }
    }

    fn now(&self) -> Duration {
        self.0.now()
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.0.lock()
    }
}

#[cfg(test)]
mod tests;
