//! [`Carrier`]: carries what the budget asks to the store, and brings the answers back.
//!
//! The budget is a state machine without sockets. Every question is a task of its own, since a replica has one an account at a
//! time and each has its own deadline; what is only told is not waited for. Without a lease nothing is carried: the budget
//! is told so, and its calls take from the share.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedReceiver;

use super::script::{self, BOOK};
use super::unsaid::{Unsaid, Word};
use crate::clock::{Clock, Moment};
use crate::fleet::Fleet;
use crate::fleet::names::{AccountName, Names};
use crate::fleet::store::{Data, Reply, Script};
use crate::metrics::Operation;
use crate::shield::account::AccountKey;
use crate::shield::beside::Part;
use crate::shield::booking::{Answer, Book, Order, ProbeFate, Unanswered};
use crate::shield::budget::{Link, WeakBudget};

/// How often the lease is looked at while nothing is asked and no change of it is told.
const LOOKS_EVERY: Duration = Duration::from_millis(50);

/// Whether two accounts can be booked by one script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slots {
    /// All keys lie on one server.
    One,
    /// In a Cluster each account has its own.
    Many,
}

/// What the task needs.
#[derive(Debug)]
pub struct Carrier {
    /// Whose lease and names count.
    pub fleet: Arc<Fleet>,
    /// The connections to the store.
    pub data: Arc<Data>,
    /// Who asks.
    pub budget: WeakBudget,
    /// The process's time.
    pub clock: Clock,
    /// How long a question may take.
    pub timeout: Duration,
    /// Where accounts lie.
    pub slots: Slots,
    /// What the store is yet to hear: nothing at first.
    pub unsaid: Unsaid,
}

impl Carrier {
    /// Runs until the budget is gone.
    pub async fn carry(self, mut orders: UnboundedReceiver<Order>) {
        let carrier = Arc::new(self);
        let mut said_again = carrier.clock.now();
        loop {
            // Whether the store may be asked, and how many share the limit where it may not.
            let (has_lease, replicas) = carrier.fleet.share();
            if let Some(budget) = carrier.budget.upgrade() {
                budget.set_link(if has_lease { Link::Linked } else { Link::Alone }, replicas);
            }
            let now = carrier.clock.now();
            if now.since(said_again) >= LOOKS_EVERY {
                said_again = now;
                carrier.say_again();
            }
            let order = tokio::select! {
                biased;
                order = orders.recv() => order,
                // Between a new lease and the next look a replica would spend its share beside what the others book.
                () = carrier.fleet.changed() => continue,
                () = carrier.clock.sleep(LOOKS_EVERY) => continue,
            };
            let Some(order) = order else { return };
            match order {
                Order::Book(book) if carrier.is_linked() => {
                    let carrier = Arc::clone(&carrier);
                    tokio::spawn(async move {
                        let answer = carrier.book(&book).await.ok_or(Unanswered);
                        carrier.answer(&book, answer);
                    });
                }
                Order::Book(book) => carrier.answer(&book, Err(Unanswered)),
                told => match Word::of(&told, carrier.clock.now()) {
                    Some(word) => carrier.say(word),
                    None if carrier.is_linked() => {
                        let carrier = Arc::clone(&carrier);
                        tokio::spawn(async move {
                            if carrier.tell(&told).await.is_none() {
                                carrier.untold(&told);
                            }
                        });
                    }
                    // Who is alone tells what it spent when it is back.
                    None => carrier.untold(&told),
                },
            }
        }
    }

    /// Says what must be heard; it is kept while nobody hears it.
    fn say(self: &Arc<Self>, word: Word) {
        let carrier = Arc::clone(self);
        tokio::spawn(async move {
            let Some(order) = word.order(carrier.clock.now()) else { return };
            if !carrier.is_linked() || carrier.tell(&order).await.is_none() {
                carrier.unsaid.keep(word, carrier.clock.now());
            }
        });
    }

    fn say_again(self: &Arc<Self>) {
        if self.is_linked() {
            let words = self.unsaid.take();
            words.into_iter().for_each(|word| self.say(word));
        }
    }

    fn answer(&self, book: &Book, answer: Result<Answer, Unanswered>) {
        if let Some(budget) = self.budget.upgrade() {
            budget.booked(book.ticket, answer);
        }
    }

    /// What was spent is not lost with the word of it.
    fn untold(&self, order: &Order) {
        if let (Order::Spent { account, calls, .. }, Some(budget)) = (order, self.budget.upgrade()) {
            budget.untold(*account, *calls);
        }
    }

    fn is_linked(&self) -> bool {
        self.fleet.has_lease(self.clock.now())
    }

    /// Books a moment, by one deadline for all that it takes.
    async fn book(&self, book: &Book) -> Option<Answer> {
        let deadline = self.clock.now().plus(book.within.min(self.timeout));
        let first = self.keys(book.first);
        let Some(second) = book.second else {
            return self.ask(book, &[first], Duration::ZERO, deadline).await;
        };
        match self.slots {
            Slots::One => self.ask(book, &[first, self.keys(second)], Duration::ZERO, deadline).await,
            Slots::Many => self.book_apart(book, second, deadline).await,
        }
    }

    /// Books two accounts that lie on two nodes: the second, then the first not before that. Where the first one's moment is
    /// too far behind, the second's slot is given up, and it is asked once more for a moment beside the first one's.
    async fn book_apart(&self, book: &Book, other: AccountKey, deadline: Moment) -> Option<Answer> {
        let (first, second) = (self.keys(book.first), self.keys(other));
        let mut not_before = Duration::ZERO;
        for _ in 0..2 {
            let beside = self.ask(book, std::slice::from_ref(&second), not_before, deadline).await?;
            let Answer::Booked { wait: earliest, is_probe: probes, .. } = beside else { return Some(beside) };
            let answer = self.ask(book, std::slice::from_ref(&first), earliest, deadline).await?;
            let Answer::Booked { wait, moment, is_probe, allowed } = answer else {
                if probes {
                    self.lose_probe(book, other).await;
                }
                return Some(answer);
            };
            if wait.saturating_sub(earliest) <= self.timeout {
                return Some(Answer::Booked { wait, moment, is_probe: is_probe || probes, allowed });
            }
            // Before they are asked again, or this question would be held by its own probe.
            if probes {
                self.lose_probe(book, other).await;
            }
            if is_probe {
                self.lose_probe(book, book.first).await;
            }
            not_before = wait;
        }
        Some(Answer::NotBefore { wait: not_before, allowed: Part::WHOLE })
    }

    /// What was booked for an account is given up: if it was to find out whether a hold is over, the next call is.
    async fn lose_probe(&self, book: &Book, account: AccountKey) {
        let lost = Order::Probed { account, probe: book.ticket.number, fate: ProbeFate::Lost };
        let now = self.clock.now();
        if self.tell(&lost).await.is_none()
            && let Some(word) = Word::of(&lost, now)
        {
            self.unsaid.keep(word, now);
        }
    }

    async fn ask(
        &self,
        book: &Book,
        accounts: &[Keys],
        not_before: Duration,
        deadline: Moment,
    ) -> Option<Answer> {
        let args = script::book(book, self.timeout, not_before, accounts.len());
        let keys: Vec<&[u8]> = accounts.iter().flat_map(Keys::both).collect();
        let reply = self.call(Operation::Book, &BOOK, &keys, &args, deadline).await?;
        let reply: [Reply; 5] = reply.exactly().ok()?;
        let mut numbers = [0; 5];
        for (number, reply) in numbers.iter_mut().zip(&reply) {
            *number = reply.count().ok()?;
        }
        script::answer(numbers)
    }

    /// Tells the store something; if that fails, it does not know.
    async fn tell(&self, order: &Order) -> Option<()> {
        let told = script::told(order, self.timeout)?;
        let keys = self.keys(told.account);
        let both = keys.both();
        let keys = match told.needs {
            script::Needs::Moments => &both[..1],
            script::Needs::Gate => &both[1..],
            script::Needs::Both => &both[..],
        };
        let deadline = self.clock.now().plus(self.timeout);
        self.call(Operation::Account, told.script, keys, &told.args, deadline).await.map(drop)
    }

    async fn call(
        &self,
        operation: Operation,
        script: &Script,
        keys: &[&[u8]],
        args: &[String],
        deadline: Moment,
    ) -> Option<Reply> {
        let args: Vec<&[u8]> = args.iter().map(String::as_bytes).collect();
        match self.data.call(operation, script, keys, &args, deadline).await {
            Ok(reply) => Some(reply),
            Err(error) => {
                // Counted where the call is made; a line for each would fill the log.
                tracing::debug!(error = %error, "the store did not answer for an account");
                None
            }
        }
    }

    fn keys(&self, account: AccountKey) -> Keys {
        Keys::of(self.fleet.names(), account)
    }
}

/// What an account is called.
#[derive(Debug)]
struct Keys {
    moments: Vec<u8>,
    gate: Vec<u8>,
}

impl Keys {
    fn of(names: &Names, account: AccountKey) -> Self {
        let name = match account {
            AccountKey::Organization(organization) => AccountName::Organization(organization),
            AccountKey::Everybody => AccountName::Everybody,
            AccountKey::Authorization(authorization) => AccountName::Authorization(authorization),
        };
        Self { moments: names.account(name), gate: names.beside_account(name, "gate") }
    }

    fn both(&self) -> [&[u8]; 2] {
        [&self.moments, &self.gate]
    }
}
