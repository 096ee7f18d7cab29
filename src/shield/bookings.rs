//! Bookings of the [`Table`]: when a moment is asked for, and what the answer does.
//!
//! With a store an account takes from what all replicas may send, and each call has a moment of the store's. A queue has one
//! question or one moment at a time, so that replicas take turns; the moment goes to whoever heads the queue when it comes,
//! and the order in the queue stays what it is. Where the store does not answer in time, and while this replica is alone,
//! calls take from the share of this replica by the account's own windows, which count everything that is sent here.

use std::num::NonZeroU32;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;

use super::account::{AccountKey, Accounts, Hold};
use super::booked::{Asked, Granted};
use super::booking::{Answer, Book, Both, Order, Spacing, Ticket, Unanswered, Urgency};
use super::call::{Reason, Rejection};
use super::forecast::TICK;
use super::limits::{Limits, ShieldRules};
use super::queue::{Line, WaiterId};
use super::table::Table;
use super::waiter::Waiter;
use super::window::WINDOW;

/// For how long calls take from the share after the store did not answer: the next one would wait as long for nothing.
const SHARE_FOR: Duration = Duration::from_secs(1);
/// A moment further ahead is not booked. Who has the patience asks again so long before it.
const ASK_AHEAD: Duration = Duration::from_secs(2);

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
    timeout: Duration,
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
            self.tell_spent(key, now);
            self.dispatch(key, now);
            self.turn_late_away(key, now);
        }
    }

    /// Whether all replicas share an account. One of a caller whose organization is not known is this replica's own: what
    /// it spends is told when the organization is known.
    fn is_common(&self, key: AccountKey) -> bool {
        match key {
            AccountKey::Organization(_) => true,
            AccountKey::Authorization(_) => false,
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
        self.last_id += 1;
        let number = self.last_id;
        let ticket = Ticket { queue, number };
        let limits = bookings.whole();
        bookings.order(Order::Book(Book { ticket, first, second, limits, patience, urgency, spacing }));
        if let Some(account) = self.accounts.get_mut(&queue) {
            account.booking.asked = Some(Asked { number, at: now, accounts, urgency });
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
        match booking.granted {
            // Behind the last moment at which it may be used.
            Some(granted) if now <= granted.until => granted.until.saturating_add(TICK),
            _ if booking.asked.is_some() || !self.books(queue, now) => Duration::MAX,
            _ => {
                let at = booking.ask_at.max(account.opens_at());
                if at > now { at } else { Duration::MAX }
            }
        }
    }

    /// The store's answer to a question.
    pub(super) fn answered(&mut self, ticket: Ticket, answer: Result<Answer, Unanswered>, now: Duration) {
        let Some(timeout) = self.bookings.as_ref().map(|bookings| bookings.timeout) else { return };
        let Some(account) = self.accounts.get_mut(&ticket.queue) else { return };
        let Some(asked) = account.booking.asked.filter(|asked| asked.number == ticket.number) else { return };
        account.booking.asked = None;
        // Later than that it is of no use to whoever waits, and the send would be later than the store counts with.
        let in_time = now <= asked.at.saturating_add(timeout);
        match answer.ok().filter(|_| in_time) {
            Some(Answer::Booked { wait, moment, is_probe, allowed }) => {
                let (number, accounts, at) = (asked.number, asked.accounts, now.saturating_add(wait));
                let until = asked.at.saturating_add(wait).saturating_add(timeout);
                account.booking.on_booked(Granted { number, accounts, at, until, moment }, wait, WINDOW);
                if !wait.is_zero() {
                    account.contend(now);
                }
                account.beside.learn(allowed, now);
                self.note_gate(accounts, is_probe, now);
                accounts.keys().for_each(|key| self.tell_spent(key, now));
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
    fn turn_late_away(&mut self, queue: AccountKey, now: Duration) {
        let Some(timeout) = self.bookings.as_ref().map(|bookings| bookings.timeout) else { return };
        let Some(account) = self.accounts.get(&queue) else { return };
        let in_turn = !account.booking.is_short(now) && account.opens_at() <= now;
        let late: Vec<WaiterId> = account.queue.waiters().filter(|id| self.is_late(*id, now)).collect();
        let Some(first) = late.first().and_then(|id| self.waiters.get(id)) else { return };
        if in_turn && self.needs_booking(first.accounts, now) {
            let deadlines = late.iter().filter_map(|id| self.waiters.get(id)).map(|waiter| waiter.deadline);
            if deadlines.min().is_none_or(|deadline| now <= deadline.saturating_add(timeout)) {
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

    /// Tells the store what was spent without it.
    pub(super) fn tell_spent(&mut self, key: AccountKey, now: Duration) {
        if !self.is_told(key) {
            return;
        }
        let Some(account) = self.accounts.get_mut(&key) else { return };
        let calls = std::mem::take(&mut account.booking.unbooked).used(now);
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
