//! Bookings of the [`Table`]: who needs a moment, when it is asked for, and what else the store is told. `answers` has what
//! its answers do.
//!
//! With a store an account takes from what all replicas may send, and each call has a moment of the store's. A queue has one
//! question or one moment at a time, so that replicas take turns; the moment goes to whoever heads the queue when it comes,
//! and the order in the queue stays what it is. Where the store does not answer in time, and while this replica is alone,
//! calls take from the share of this replica by the account's own windows, which count everything that is sent here.

use std::num::NonZeroU32;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;

use super::account::{AccountKey, Accounts};
use super::booked::{Asked, Granted};
use super::booking::{Book, Both, Order, Spacing, Ticket, Urgency};
use super::forecast::TICK;
use super::limits::{Limits, ShieldRules};
use super::queue::{Line, WaiterId};
use super::table::Table;
use super::waiter::Waiter;
use super::window::Minute;

/// Whether this replica may ask the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// It has a lease.
    Linked,
    /// It has none: nothing is asked.
    Alone,
}

/// How the table asks.
#[derive(Debug)]
pub(super) struct Bookings {
    orders: UnboundedSender<Order>,
    pub(super) timeout: Duration,
    link: Link,
    /// Nothing as long as none was seen.
    replicas: Option<NonZeroU32>,
    rules: ShieldRules,
}

impl Bookings {
    pub(super) fn new(orders: UnboundedSender<Order>, timeout: Duration, rules: ShieldRules) -> Self {
        Self { orders, timeout, link: Link::Alone, replicas: None, rules }
    }

    /// What all replicas together may send for an account.
    const fn whole(&self) -> Both {
        Both { per_second: self.rules.requests_per_second, per_minute: self.rules.requests_per_minute }
    }

    /// What this one may send when it does not ask.
    fn share(&self) -> Limits {
        Limits::new(&ShieldRules { replicas: self.replicas.unwrap_or(self.rules.replicas), ..self.rules })
    }

    fn order(&self, order: Order) {
        // Whoever carried them is gone when the process ends.
        self.orders.send(order).ok();
    }
}

impl Table {
    /// From now on there is a store, which is not asked yet.
    pub(super) fn connect_store(&mut self, bookings: Bookings) {
        // Probes are told apart by these numbers in the whole fleet.
        self.last_id = self.last_id.max(fastrand::u64(..1 << 48));
        self.limits = bookings.share();
        self.bookings = Some(bookings);
        for account in self.accounts.values_mut() {
            account.booking.alone.get_or_insert_default();
        }
    }

    /// Other rules: with a store the share is of the replicas that were seen.
    pub(super) fn share_of(&mut self, rules: &ShieldRules) -> Limits {
        match &mut self.bookings {
            None => Limits::new(rules),
            Some(bookings) => {
                bookings.rules = *rules;
                bookings.share()
            }
        }
    }

    /// This replica may ask now, or may not any more, and is one of so many. Nobody who waits is lost.
    pub(super) fn set_link(&mut self, link: Link, replicas: Option<NonZeroU32>, now: Duration) {
        let Some(bookings) = &mut self.bookings else { return };
        let changed = std::mem::replace(&mut bookings.link, link) != link;
        bookings.replicas = replicas;
        self.limits = bookings.share();
        if !changed {
            return;
        }
        for account in self.accounts.values_mut() {
            account.booking.forget();
        }
        for key in self.accounts.keys().copied().collect::<Vec<_>>() {
            self.tell_share(key, now);
            self.dispatch(key, now);
            self.turn_late_away(key, now);
        }
    }

    /// Whether all replicas share an account. Those whose calls are on everybody's because they have none of their own are
    /// different ones at each replica.
    fn is_common(&self, key: AccountKey) -> bool {
        match key {
            AccountKey::Organization(_) | AccountKey::Authorization(_) => true,
            AccountKey::Everybody => self.single_workspace,
        }
    }

    /// Whether the store knows an account, and may be told of it.
    fn is_told(&self, key: AccountKey) -> bool {
        self.bookings.as_ref().is_some_and(|bookings| bookings.link == Link::Linked) && self.is_common(key)
    }

    /// Whether calls of an account need a moment of the store's.
    pub(super) fn books(&self, key: AccountKey, now: Duration) -> bool {
        self.is_told(key) && self.accounts.get(&key).is_none_or(|account| account.booking.share_until <= now)
    }

    /// Whether a call of these accounts needs one.
    pub(super) fn needs_booking(&self, accounts: Accounts, now: Duration) -> bool {
        // Without a store this is all that it costs.
        self.bookings.is_some() && accounts.keys().any(|key| self.books(key, now))
    }

    /// When the moment comes that is booked for calls of these accounts, where they need one: never as long as there is none.
    pub(super) fn booked_at(&self, accounts: Accounts, now: Duration) -> Option<Duration> {
        if !self.needs_booking(accounts, now) {
            return None;
        }
        let account = self.accounts.get(&accounts.first);
        let granted = account.and_then(|account| account.booking.moment_for(accounts, now));
        Some(granted.map_or(Duration::MAX, |granted| granted.at))
    }

    /// Takes the moment that is booked.
    pub(super) fn take_booking(&mut self, accounts: Accounts, now: Duration) -> Option<Granted> {
        if !self.needs_booking(accounts, now) {
            return None;
        }
        let booking = &mut self.accounts.get_mut(&accounts.first)?.booking;
        let granted = booking.moment_for(accounts, now)?;
        booking.granted = None;
        Some(granted)
    }

    /// Whether a queue's question is under way.
    pub(super) fn is_asking(&self, queue: AccountKey) -> bool {
        self.accounts.get(&queue).is_some_and(|account| account.booking.asked.is_some())
    }

    /// Asks for a moment, if somebody could use it and none is booked or asked for.
    pub(super) fn ask(&mut self, queue: AccountKey, now: Duration) {
        let Some(bookings) = self.bookings.as_ref().filter(|bookings| bookings.link == Link::Linked) else {
            return;
        };
        let Some(account) = self.accounts.get(&queue).filter(|account| !account.queue.is_empty()) else {
            return;
        };
        let booking = &account.booking;
        let granted = booking.granted.is_some_and(|granted| now <= granted.until);
        if granted || booking.asked.is_some() || booking.ask_at > now {
            return;
        }
        let Some((line, head)) = self.would_have_it(queue, now) else { return };
        let accounts = head.accounts;
        let is_open = |key| self.accounts.get(&key).is_none_or(|account| account.opens_at() <= now);
        if !self.needs_booking(accounts, now) || !accounts.keys().all(is_open) {
            return;
        }
        let deadlines = account.queue.waiters().filter_map(|id| self.waiters.get(&id));
        let deadlines = deadlines.filter(|waiter| waiter.accounts == accounts).map(|waiter| waiter.deadline);
        let patience = deadlines.max().unwrap_or(now).saturating_sub(now);
        let urgency = if line == Line::Background { Urgency::Background } else { Urgency::Waits };
        let spacing = if account.is_contended(now) { Spacing::Even } else { Spacing::Free };
        let mut paying = accounts.keys().filter(|key| self.books(*key, now));
        let (Some(first), second) = (paying.next(), paying.next()) else { return };
        let timeout = bookings.timeout;
        self.last_id += 1;
        let number = self.last_id;
        let ticket = Ticket { queue, number };
        let limits = bookings.whole();
        bookings.order(Order::Book(Book { ticket, first, second, limits, patience, urgency, spacing }));
        if let Some(account) = self.accounts.get_mut(&queue) {
            let asked = Asked { number, at: now, accounts, urgency };
            account.booking.asked = Some(asked);
            self.agenda.bring_forward(queue, asked.lost_at(timeout));
        }
    }

    /// Who would have a moment that comes now. Where calls have to wait, it is asked for before anybody is connected.
    fn would_have_it(&self, queue: AccountKey, now: Duration) -> Option<(Line, &Waiter)> {
        let account = self.accounts.get(&queue)?;
        let first = |is_ready: &dyn Fn(WaiterId) -> bool| {
            Line::ALL.into_iter().find_map(|line| {
                let heads = account.queue.heads(line, is_ready);
                let (_, id) = heads.min_by_key(|(caller, _)| account.second.of(*caller))?;
                Some((line, self.waiters.get(&id)?))
            })
        };
        let connected = first(&|id| self.is_connected(id));
        connected.or_else(|| if account.booking.is_short(now) { first(&|_| true) } else { None })
    }

    /// When a queue has to be looked at because of its bookings.
    pub(super) fn look_at_booking(&self, queue: AccountKey, now: Duration) -> Duration {
        let Some(account) = self.accounts.get(&queue).filter(|_| self.bookings.is_some()) else {
            return Duration::MAX;
        };
        let booking = &account.booking;
        if booking.share_until > now {
            return booking.share_until;
        }
        if let Some((asked, bookings)) = booking.asked.as_ref().zip(self.bookings.as_ref()) {
            return asked.lost_at(bookings.timeout);
        }
        match booking.granted {
            // Behind the last moment at which it may be used.
            Some(granted) if now <= granted.until => granted.until.saturating_add(TICK),
            _ if !self.books(queue, now) => Duration::MAX,
            _ => {
                let at = booking.ask_at.max(account.opens_at());
                if at > now { at } else { Duration::MAX }
            }
        }
    }

    /// Tells the store what was spent from the share.
    ///
    /// There it counts from now, since nobody knows by the store's clock when it was sent. A minute of it would take from the
    /// minute to come what all shares together did not have too much of in the last one: where a minute's limit is no less
    /// than sixty seconds', only the last second's calls can exceed anything.
    pub(super) fn tell_share(&mut self, key: AccountKey, now: Duration) {
        let Some(both) = self.bookings.as_ref().map(Bookings::whole) else { return };
        if both.per_minute.get() >= both.per_second.get().saturating_mul(60) {
            self.tell_spent(key, |spent| spent.recent(now));
        } else {
            self.tell_spent(key, |spent| spent.used(now));
        }
    }

    /// Tells the store of calls that were sent without a booking for this account.
    pub(super) fn tell_spent(&mut self, key: AccountKey, counted: impl FnOnce(&Minute) -> u32) {
        if !self.is_told(key) {
            return;
        }
        let Some(account) = self.accounts.get_mut(&key) else { return };
        let calls = counted(&std::mem::take(&mut account.booking.unbooked));
        if calls > 0
            && let Some(bookings) = &self.bookings
        {
            bookings.order(Order::Spent { account: key, calls, limits: bookings.whole() });
        }
    }

    /// Tells the store something of an account that it knows.
    pub(super) fn tell_store(&self, key: AccountKey, order: impl FnOnce(Both) -> Order) {
        if let Some(bookings) = self.bookings.as_ref().filter(|_| self.is_told(key)) {
            bookings.order(order(bookings.whole()));
        }
    }
}
