//! Several replicas' budgets over one store, on a clock that the test moves: the store is the model that the scripts are held
//! against.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::{Arc, Mutex};

use tokio::sync::mpsc::UnboundedReceiver;

use super::fairness::{Offer, Sent, assert_limits_kept, p99};
use super::*;
use crate::fleet::account::model::{Asked, Model};
use crate::shield::booking::{Book, Spacing, Urgency};

const TIMEOUT: Duration = ms(50);
/// What the store's clock says when the test begins, in microseconds.
const EPOCH: u64 = 1_764_306_000_000_000;
const KEY: u64 = 1;

/// A store that answers after a while, and the replicas that ask it.
pub(super) struct Fleet {
    pub(super) replicas: Vec<Replica>,
    pub(super) model: Model,
    hand: ManualClock,
    pub(super) clock: Clock,
    /// What the store's clock is ahead of the test's.
    ahead: i64,
    /// How long the way to the store and back takes.
    pub(super) round_trip: Duration,
    pub(super) is_reachable: bool,
    /// Until when the first replica's answers stall.
    pub(super) stalled_until: Duration,
    answers: BinaryHeap<Reverse<Due>>,
    sent: Vec<Arc<Mutex<Vec<Sent>>>>,
}

pub(super) struct Replica {
    pub(super) world: World,
    pub(super) orders: UnboundedReceiver<Order>,
}

/// An answer on its way.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Due {
    at: Duration,
    number: u64,
    queue: u128,
    replica: usize,
    answer: Option<[u64; 5]>,
}

/// What a replica is asked for: so many calls a second by each of so many callers.
#[derive(Clone, Copy)]
pub(super) struct Load {
    callers: usize,
    per_second: f64,
}

impl Fleet {
    pub(super) fn new(replicas: u32) -> Self {
        let (clock, hand) = Clock::manual();
        let count = NonZeroU32::new(replicas).unwrap();
        let rules = ShieldRules { burst: Burst::Half, ..rules() };
        let replica = |_| {
            let budget = Budget::new(&rules, clock.clone());
            let orders = budget.connect_store(TIMEOUT, &rules);
            budget.set_link(Link::Linked, Some(count));
            tokio::spawn(budget.hand_out());
            let (clock, hand) = (clock.clone(), hand.clone());
            Replica { world: World { budget, clock, hand, digester: Digester::default() }, orders }
        };
        Self {
            replicas: (0..replicas).map(replica).collect(),
            model: Model::default(),
            hand,
            ahead: 0,
            round_trip: ms(1),
            is_reachable: true,
            stalled_until: Duration::ZERO,
            answers: BinaryHeap::new(),
            sent: (0..replicas).map(|_| Arc::default()).collect(),
            clock: clock.clone(),
        }
    }

    fn now(&self) -> Duration {
        self.clock.now().uptime()
    }

    /// What the store's clock says.
    pub(super) fn store_now(&self) -> u64 {
        let micros = EPOCH + u64::try_from(self.now().as_micros()).unwrap();
        micros.checked_add_signed(self.ahead).unwrap()
    }

    /// Carries what is asked and answered, until nothing more comes of it at this moment.
    pub(super) async fn carry(&mut self) {
        loop {
            let mut moved = false;
            for replica in 0..self.replicas.len() {
                while let Ok(order) = self.replicas[replica].orders.try_recv() {
                    moved = true;
                    self.take(replica, &order);
                }
            }
            while self.answers.peek().is_some_and(|Reverse(due)| due.at <= self.now()) {
                let Reverse(due) = self.answers.pop().unwrap();
                moved = true;
                let ticket = Ticket { queue: organization(due.queue), number: due.number };
                let answer = due.answer.map(crate::fleet::account::answer_of).ok_or(Unanswered);
                self.replicas[due.replica].world.budget.booked(ticket, answer);
            }
            quiet().await;
            if !moved {
                return;
            }
        }
    }

    fn take(&mut self, replica: usize, order: &Order) {
        let now = self.store_now();
        match *order {
            Order::Book(book) => {
                let answer = self.is_reachable.then(|| self.model.book(&asked(&book), now));
                let queue = if book.ticket.queue == organization(2) { 2 } else { 1 };
                let takes = if self.is_reachable { self.round_trip } else { TIMEOUT };
                let stalls = replica == 0 && self.stalled_until > self.now() + TIMEOUT;
                let (takes, answer) = if stalls { (TIMEOUT, None) } else { (takes, answer) };
                // Whoever carries it waits no longer; what was booked is lost.
                let (takes, answer) = if takes > book.within { (book.within, None) } else { (takes, answer) };
                let at = self.now() + takes;
                let at = if replica == 0 && !stalls { at.max(self.stalled_until) } else { at };
                self.answers.push(Reverse(Due { at, number: book.ticket.number, queue, replica, answer }));
            }
            Order::Spent { account, calls, .. } if !self.is_reachable => {
                self.replicas[replica].world.budget.untold(account, calls);
            }
            _ if !self.is_reachable => {}
            Order::Hold { account, lasts } => {
                self.model.hold(number_of(account), u64::try_from(lasts.as_micros()).unwrap(), now);
            }
            Order::Probed { account, probe, fate } => self.model.probed(number_of(account), probe, fate),
            Order::Refused { moment, limits, .. } => {
                self.model.refused(
                    &Asked { per_second: limits.per_second.get().into(), ..of_limits() },
                    moment,
                    now,
                );
            }
            Order::Spent { account, calls, .. } => {
                self.model.spent(number_of(account), calls.into(), 5400, now)
            }
        }
    }

    pub(super) async fn advance(&mut self, by: Duration) {
        self.hand.advance(by);
        quiet().await;
        self.carry().await;
    }

    /// Offers loads for a while, in steps of a millisecond; something may happen before each.
    pub(super) async fn run(
        &mut self,
        loads: &[Load],
        length: Duration,
        mut before: impl FnMut(&mut Self, Duration),
    ) {
        let mut due: Vec<(usize, Offer, Duration)> = Vec::new();
        for (replica, load) in loads.iter().enumerate() {
            for caller in 0..load.callers {
                let offer = Offer::new(caller, load.per_second, 2 * WINDOW);
                let phase = offer.every * u32::try_from(caller * 7 + replica * 3).unwrap() / 31;
                due.push((replica, offer, phase));
            }
        }
        let begun = self.now();
        while self.now() - begun < length {
            let passed = self.now() - begun;
            before(self, passed);
            for (replica, offer, due) in &mut due {
                while *due <= passed {
                    *due += offer.every;
                    self.replicas[*replica].world.offer(organization(1), offer, &self.sent[*replica]);
                }
            }
            quiet().await;
            self.carry().await;
            self.advance(ms(1)).await;
        }
    }

    /// Everything that was sent, in order.
    pub(super) fn all_sent(&self) -> Vec<Sent> {
        let mut all: Vec<Sent> = self.sent.iter().flat_map(|sent| sent.lock().unwrap().clone()).collect();
        all.sort_by_key(|sent| sent.at);
        all
    }

    fn sent_by(&self, replica: usize) -> Vec<Sent> {
        self.sent[replica].lock().unwrap().clone()
    }
}

/// What the store calls an account.
fn number_of(account: AccountKey) -> u64 {
    match account {
        _ if account == organization(1) => KEY,
        _ if account == organization(2) => 2,
        _ => 3,
    }
}

fn of_limits() -> Asked<'static> {
    Asked {
        accounts: &[KEY],
        timeout: 50_000,
        patience: 0,
        not_before: 0,
        background: false,
        paced: false,
        probe: 0,
        per_second: 90,
        per_minute: 5400,
    }
}

fn asked(book: &Book) -> Asked<'static> {
    let accounts: &[u64] = match (book.first, book.second) {
        (_, Some(_)) => &[KEY, 2],
        (first, None) if first == organization(2) => &[2],
        _ => &[KEY],
    };
    Asked {
        accounts,
        patience: u64::try_from(book.patience.as_micros()).unwrap(),
        background: book.urgency == Urgency::Background,
        paced: book.spacing == Spacing::Even,
        probe: book.ticket.number,
        per_second: book.limits.per_second.get().into(),
        per_minute: book.limits.per_minute.get().into(),
        ..of_limits()
    }
}

pub(super) const BUSY: Load = Load { callers: 4, per_second: 42.0 };
const LESS: Load = Load { callers: 4, per_second: 24.5 };
const QUIET: Load = Load { callers: 2, per_second: 2.0 };

#[tokio::test]
async fn three_replicas_at_three_times_the_load_keep_the_limits_use_them_and_hold_nobody_up() {
    let mut alone = Fleet::new(3);
    alone.run(&[Load { callers: 0, ..BUSY }, Load { callers: 0, ..LESS }, QUIET], MINUTE, |_, _| {}).await;
    let mut fleet = Fleet::new(3);
    fleet.run(&[BUSY, LESS, QUIET], 3 * MINUTE, |_, _| {}).await;
    let all = fleet.all_sent();
    assert_limits_kept(&all);
    let (without, with) = (p99(&alone.sent_by(2), |_| true), p99(&fleet.sent_by(2), |_| true));
    let shares: Vec<usize> = (0..3).map(|replica| fleet.sent_by(replica).len()).collect();
    println!("{} of {} used, {shares:?}, p99 {with:?} against {without:?}", all.len(), 3 * 5400);
    assert!(all.len() * 100 >= 3 * 5400 * 92, "{} of {} used", all.len(), 3 * 5400);
    assert!(with <= without * 2 + ms(50), "{with:?} against {without:?}");
    assert!(shares[2] >= 2 * 2 * 180 * 99 / 100, "{shares:?}");
}

/// What is sent from the share while the store is away is entered when it is back.
#[tokio::test]
async fn a_store_that_is_lost_leaves_each_its_share_and_nobody_waits_longer_for_it_than_its_timeout() {
    let mut fleet = Fleet::new(3);
    let lost = 20..40;
    fleet
        .run(&[BUSY, BUSY, QUIET], MINUTE, |fleet, passed| {
            fleet.is_reachable = !lost.contains(&passed.as_secs());
        })
        .await;
    assert_limits_kept(&fleet.all_sent());
    let of = |replica: usize, seconds: std::ops::Range<u64>| {
        fleet.sent_by(replica).iter().filter(|sent| seconds.contains(&sent.at.as_secs())).count()
    };
    for busy in [0, 1] {
        let used = of(busy, 22..38);
        assert!((25 * 16..=30 * 17).contains(&used), "{used} from the share of 30 a second");
    }
    let quiet = of(2, 22..38);
    assert!(quiet >= 2 * 2 * 16 * 98 / 100, "{quiet}");
    let after = of(0, 42..58) + of(1, 42..58) + of(2, 42..58);
    assert!(after >= 80 * 16, "{after} when it is back");
}

/// No lease: nothing is asked, and what comes back loses nobody.
#[tokio::test]
async fn who_is_alone_asks_nothing_and_who_waits_is_not_lost_by_the_change() {
    let mut fleet = Fleet::new(3);
    let three = NonZeroU32::new(3).unwrap();
    fleet
        .run(&[BUSY, BUSY, QUIET], 10 * SECOND, |fleet, passed| {
            let link = if (3..6).contains(&passed.as_secs()) { Link::Alone } else { Link::Linked };
            for replica in &fleet.replicas {
                replica.world.budget.set_link(link, Some(three));
            }
        })
        .await;
    assert_limits_kept(&fleet.all_sent());
    for _ in 0..3000 {
        fleet.advance(ms(1)).await;
    }
    for replica in &fleet.replicas {
        assert_eq!(replica.world.budget.queued(), 0, "everybody was told");
    }
}

#[tokio::test]
async fn an_account_that_is_evicted_or_whose_clock_is_set_back_goes_on() {
    for fault in ["evicted", "set back"] {
        let mut fleet = Fleet::new(3);
        fleet
            .run(&[BUSY, BUSY, QUIET], 12 * SECOND, |fleet, passed| {
                if passed == ms(4000) {
                    match fault {
                        "evicted" => fleet.model.evict(KEY),
                        _ => fleet.ahead = -3_600_000_000,
                    }
                }
            })
            .await;
        let moments: Vec<Duration> = fleet.all_sent().iter().map(|sent| sent.at).collect();
        let (before, after): (Vec<Duration>, Vec<Duration>) = moments.iter().partition(|at| at.as_secs() < 4);
        assert!(densest(&before, SECOND) <= 90 && densest(&after, SECOND) <= 90, "{fault}");
        let most = if fault == "evicted" { 180 } else { 90 };
        assert!(densest(&moments, SECOND) <= most, "{fault}: {}", densest(&moments, SECOND));
        assert!(after.len() >= 7 * 80, "{fault}: {} in eight seconds", after.len());
    }
}

#[tokio::test]
async fn a_429_that_one_replica_sees_holds_all_back_and_one_probe_goes_for_all() {
    let mut fleet = Fleet::new(3);
    fleet.run(&[QUIET, QUIET, QUIET], ms(3000), |_, _| {}).await;
    let before = fleet.all_sent().len();
    let until = fleet.clock.now().plus(ms(5000));
    fleet.replicas[0].world.budget.close_until(organization(1), until);
    fleet.carry().await;
    fleet.run(&[QUIET, QUIET, QUIET], ms(4990), |_, _| {}).await;
    assert_eq!(fleet.all_sent().len(), before, "all know by their first question");
    // A probe that is dropped without a word passes the next call on to find out, wherever that comes from.
    let mut waiting = Vec::new();
    for replica in &fleet.replicas {
        let call = call(organization(1), replica.world.caller(1), 2 * WINDOW);
        waiting.push(replica.world.wait(call).await);
    }
    for _ in 0..300 {
        fleet.advance(ms(1)).await;
    }
    let ended: Vec<usize> = (0..3).filter(|replica| waiting[*replica].is_finished()).collect();
    assert_eq!(ended.len(), 1, "one probe for all");
    let probe = waiting.remove(ended[0]).await.unwrap().unwrap().probe.expect("it finds out");
    probe.passed();
    for _ in 0..600 {
        fleet.advance(ms(1)).await;
    }
    for other in waiting {
        assert!(other.await.unwrap().unwrap().probe.is_none());
    }
}
