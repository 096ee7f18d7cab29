//! What an input may cost: the memory that is held when nothing goes on, and the CPU of what its bytes set going.
//!
//! The unit of CPU is a plain hit, and for a call that goes upstream a plain call that passes through, both of the same build in the
//! same world and measured once. Other work on the machine makes an input dearer, never cheaper: what costs too much runs again, and
//! the cheapest of its runs counts.

use std::sync::OnceLock;
use std::time::Duration;

use super::honest::{PATH, TOKEN};
use super::{Input, STEP, Stage};
use crate::metrics::Metrics;
use crate::proving::wire::{End, Message};

/// Tells what this process holds and what this thread has cost. Whoever fuzzes has one; a test that replays seeds has none.
#[derive(Clone, Copy, Debug)]
pub struct Gauge {
    /// Bytes that are allocated now.
    pub held: fn() -> usize,
    /// The CPU time of this thread.
    pub spent: fn() -> Duration,
}

/// What an input holds at most, in bytes.
const MOST_HELD: usize = 256 * 1024;
/// What a connection may cost beyond its answers, in plain hits.
const HITS_OF_A_CONNECTION: u32 = 50;
/// An input that costs too much is given so many more runs.
const MORE_RUNS: usize = 4;
/// So many of each kind in a world tell what one costs, and the cheapest of so many worlds counts: fewer than a second's budget.
const MEASURED: u32 = 50;
const WORLDS: usize = 9;

/// What was begun and answered for the CPU that was spent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bill {
    pub(super) spent: Duration,
    pub(super) connections: u32,
    answered: u32,
    called: u32,
}

impl Bill {
    pub(super) const NOTHING: Self = Self { spent: Duration::ZERO, connections: 0, answered: 0, called: 0 };

    /// Takes in what has been counted since `before`.
    pub(super) fn count(&mut self, before: (u32, u32), metrics: &Metrics) {
        let (answered, called) = counted(metrics);
        self.answered += answered - before.0;
        self.called += called - before.1;
    }

    fn allowed(&self) -> Duration {
        let Prices { hit, call } = *prices();
        hit * (HITS_OF_A_CONNECTION * self.connections.max(1) + self.answered) + call * self.called
    }
}

/// Requests that were answered, and calls that went upstream.
pub(super) fn counted(metrics: &Metrics) -> (u32, u32) {
    let totals = metrics.totals();
    let sum = |counts: u64| u32::try_from(counts).expect("an input is short");
    (
        sum(totals.requests.iter().map(|(_, count)| count).sum()),
        sum(totals.upstream.iter().map(|(_, count)| count).sum()),
    )
}

/// Runs an input, and asserts that it costs no more than it may.
pub(super) fn run_within(input: &Input<'_>, gauge: Gauge) {
    PRICES.get_or_init(|| measure(gauge));
    let mut least = None::<Bill>;
    for _ in 0..=MORE_RUNS {
        let bill = input.run(Some(gauge));
        if bill.spent <= bill.allowed() {
            return;
        }
        least = Some(least.filter(|least| least.spent <= bill.spent).unwrap_or(bill));
    }
    let least = least.expect("it ran");
    panic!("{least:?} costs more than {:?}, by {:?}", least.allowed(), prices());
}

/// Asserts that no more is held than an input may hold.
pub(super) fn assert_held(held: usize) {
    assert!(held <= MOST_HELD, "{held} bytes are held");
}

#[derive(Debug)]
struct Prices {
    hit: Duration,
    call: Duration,
}

static PRICES: OnceLock<Prices> = OnceLock::new();

fn prices() -> &'static Prices {
    PRICES.get().expect("measured before the first input")
}

fn measure(gauge: Gauge) -> Prices {
    let in_world = |path| super::in_world(false, Some(gauge), async |stage| stage.price_of(path).await);
    let price = |path| (0..WORLDS).map(|_| in_world(path)).min().unwrap_or_default();
    Prices { hit: price(PATH), call: price("/api/v2/campaigns") }
}

impl Stage {
    /// What an honest request for a path costs, of so many on one connection.
    async fn price_of(&mut self, path: &str) -> Duration {
        self.read_honestly().await;
        self.bill = Bill::NOTHING;
        let mut client = End::new(self.world.connect());
        for _ in 0..MEASURED {
            client
                .send(format!("GET {path} HTTP/1.1\r\nhost: a\r\nauthorization: {TOKEN}\r\n\r\n").as_bytes());
            client.turn();
            // The bytes that came are the proxy's to pay for, and then those of the upstream's answer.
            for _ in 0..3 {
                self.settle_counted().await;
            }
            client.turn();
            assert!(Message::take(&mut client.received).is_some(), "an honest request is answered at once");
            // So that no call waits for its turn.
            self.pass(STEP).await;
        }
        self.bill.spent / MEASURED
    }
}
