//! Bookings of the [`Table`]: who needs a moment, when it is asked for, and what else the store is told. `answers` has what
//! its answers do.
//!
//! With a store an account takes from what all replicas may send, and each call has a moment of the store's. A queue has one
//! question or one moment at a time, so that replicas take turns; the moment goes to whoever heads the queue when it comes,
//! and the order in the queue stays what it is. Where the store does not answer in time, and while this replica is alone,
//! calls take from the share of this replica by the account's own windows, which count everything that is sent here.

use std::num::NonZeroU32;
use std::time::Duration;

use super::account::{AccountKey, Accounts};
use super::booked::{Apart, Asked, Granted, Paying};
use super::booking::{Book, Both, Order, ProbeFate, Spacing, Ticket, Urgency};
use super::forecast::TICK;
use super::limits::{Limits, ShieldRules};
use super::orders::{Bookings, Link};
use super::queue::{Line, WaiterId};
use super::table::Table;
use super::waiter::Waiter;
use super::window::Minute;

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
            if link == Link::Linked {
                let lost =
                    self.accounts.get_mut(&key).map(|account| std::mem::take(&mut account.booking.lost));
                lost.into_iter().flatten().for_each(|probe| self.lose_probe(probe, Accounts::one(key)));
            }
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
        if granted || booking.asked.is_some() || booking.ask_at > now || account.opens_at() > now {
            return;
        }
        let Some((line, head)) = self.would_have_it(queue, now) else { return };
        let accounts = head.accounts;
        let deadlines = account.queue.waiters().filter_map(|id| self.waiters.get(&id));
        let deadlines = deadlines.filter(|waiter| waiter.accounts == accounts).map(|waiter| waiter.deadline);
        let patience = deadlines.max().unwrap_or(now).saturating_sub(now);
        let urgency = match line {
            Line::Background | Line::Spare => Urgency::Background,
            Line::Proofs | Line::Calls => Urgency::Waits,
        };
        let spacing = if account.is_contended(now) { Spacing::Even } else { Spacing::Free };
        let mut paying = accounts.keys().filter(|key| self.books(*key, now));
        let (Some(first), second) = (paying.next(), paying.next()) else { return };
        let paying = match (second, first == accounts.first) {
            (Some(_), _) => Paying::All,
            (None, true) => Paying::First,
            (None, false) => Paying::Second,
        };
        let timeout = bookings.timeout;
        let within = timeout.saturating_sub(head.store_waited);
        self.last_id += 1;
        let number = self.last_id;
        let ticket = Ticket { queue, number };
        let limits = bookings.whole();
        let book = Book { ticket, first, second, limits, within, patience, urgency, spacing };
        bookings.order(Order::Book(book));
        if let Some(account) = self.accounts.get_mut(&queue) {
            let asked = Asked { number, at: now, accounts, paying, urgency };
            account.booking.asked = Some(asked);
            self.agenda.bring_forward(queue, asked.lost_at(timeout));
        }
    }

    /// Who would have a moment that comes now. Where calls have to wait, it is asked for before anybody is connected. Who
    /// could not have it because of its other account is passed over: that concerns nobody else.
    fn would_have_it(&self, queue: AccountKey, now: Duration) -> Option<(Line, &Waiter)> {
        let account = self.accounts.get(&queue)?;
        // Where nobody has another account, one look is enough for all.
        let all_can = self.acting.is_empty().then(|| self.asks_at(Accounts::one(queue), now) <= now);
        let can = |id: &WaiterId| {
            let asks =
                || self.waiters.get(id).is_some_and(|waiter| self.asks_at(waiter.accounts, now) <= now);
            all_can.unwrap_or_else(asks)
                && self.waiters.get(id).is_some_and(|waiter| self.share_lets_go(waiter, now))
        };
        if all_can == Some(false) {
            return None;
        }
        let first = |is_ready: &dyn Fn(WaiterId) -> bool| {
            Line::ALL.into_iter().find_map(|line| {
                let heads = account.queue.heads(line, |id| is_ready(id) && can(&id));
                let (_, id) = heads.min_by_key(|(caller, _)| self.had(account, *caller).rank(0))?;
                Some((line, self.waiters.get(&id)?))
            })
        };
        let short = account.booking.is_short(now);
        let waits = |id: WaiterId| {
            short || self.waiters.get(&id).is_some_and(|waiter| self.apart_until(waiter.accounts) > now)
        };
        first(&|id| self.is_connected(id)).or_else(|| first(&waits))
    }

    /// From when on a moment may be asked for calls of these accounts; never where they need none.
    pub(super) fn asks_at(&self, accounts: Accounts, now: Duration) -> Duration {
        let all = || accounts.keys().filter_map(|key| self.accounts.get(&key));
        if !self.needs_booking(accounts, now) {
            let share = all().map(|account| account.booking.share_until).filter(|until| *until > now);
            return share.min().unwrap_or(Duration::MAX);
        }
        let opens_at = all().map(|account| account.opens_at()).max().unwrap_or_default();
        let queue = self.accounts.get(&accounts.first);
        queue.map_or(opens_at, |account| account.booking.asks_at(accounts).max(opens_at))
    }

    /// Until when nothing is to be had for two accounts together, as the store said.
    pub(super) fn apart_until(&self, accounts: Accounts) -> Duration {
        self.apart(accounts).map_or(Duration::ZERO, |apart| apart.until)
    }

    /// What the store said of two accounts together.
    pub(super) fn apart(&self, accounts: Accounts) -> Option<&Apart> {
        accounts.second?;
        self.accounts.get(&accounts.first)?.booking.apart(accounts)
    }

    /// When a queue has to be looked at because of its bookings.
    pub(super) fn look_at_booking(&self, queue: AccountKey, now: Duration) -> Duration {
        let Some((account, bookings)) = self.accounts.get(&queue).zip(self.bookings.as_ref()) else {
            return Duration::MAX;
        };
        let booking = &account.booking;
        let next = match (booking.asked, booking.granted) {
            (Some(asked), _) => asked.lost_at(bookings.timeout),
            // Behind the last moment at which it may be used.
            (None, Some(granted)) if now <= granted.until => granted.until.saturating_add(TICK),
            (None, _) => {
                let acting = self.acting.iter().filter_map(|id| self.waiters.get(id));
                let acting = acting.map(|waiter| waiter.accounts).filter(|accounts| accounts.first == queue);
                let asks = std::iter::once(Accounts::one(queue)).chain(acting);
                let asks = asks.map(|accounts| self.asks_at(accounts, now)).filter(|at| *at > now);
                asks.min().unwrap_or(Duration::MAX)
            }
        };
        if booking.share_until > now { next.min(booking.share_until) } else { next }
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

    /// The store was not told of calls that were sent without a booking: it will be.
    pub(super) fn untold(&mut self, account: AccountKey, calls: u32, now: Duration) {
        let key = self.named(account);
        let Some(account) = self.accounts.get_mut(&key) else { return };
        account.booking.unbooked.take_more(calls, now);
    }

    /// A booking that was to find out whether a hold is over is given up: the next call is. Without word of it all
    /// others would wait for this one, for ten seconds.
    pub(super) fn lose_probe(&mut self, probe: u64, accounts: Accounts) {
        for account in accounts.keys() {
            let fate = ProbeFate::Lost;
            if self.is_told(account) {
                self.tell_store(account, |_| Order::Probed { account, probe, fate });
            } else if let Some(account) = self.accounts.get_mut(&account) {
                account.booking.lost.push(probe);
            }
        }
    }

    /// Tells the store what it must hear of an account that it knows: whoever carries it keeps it while this replica is alone.
    pub(super) fn tell_sooner_or_later(&self, key: AccountKey, order: Order) {
        if let Some(bookings) = self.bookings.as_ref().filter(|_| self.is_common(key)) {
            bookings.order(order);
        }
    }

    /// Tells the store something of an account that it knows.
    pub(super) fn tell_store(&self, key: AccountKey, order: impl FnOnce(Both) -> Order) {
        if let Some(bookings) = self.bookings.as_ref().filter(|_| self.is_told(key)) {
            bookings.order(order(bookings.whole()));
        }
    }
}
