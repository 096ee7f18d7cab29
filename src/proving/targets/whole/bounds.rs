//! What an input may cost: the memory that is held when nothing goes on, and the CPU of what its bytes set going.
//!
//! The unit of CPU is a plain hit, and for a call that goes upstream a plain call that passes through, both of the same build in the
//! same world and measured once. Other work on the machine makes an input dearer, never cheaper: what costs too much runs again, and
//! the cheapest of its runs counts.

use std::time::Duration;

use crate::metrics::Metrics;

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

    fn allowed(&self, prices: &Prices) -> Duration {
        let Prices { hit, call } = *prices;
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
pub(super) fn assert_within(prices: &Prices, run: impl Fn() -> Bill) {
    let mut least = None::<Bill>;
    for _ in 0..=MORE_RUNS {
        let bill = run();
        if bill.spent <= bill.allowed(prices) {
            return;
        }
        least = Some(least.filter(|least| least.spent <= bill.spent).unwrap_or(bill));
    }
    let least = least.expect("it ran");
    panic!("{least:?} costs more than {:?}, by {prices:?}", least.allowed(prices));
}

/// Asserts that no more is held than an input may hold.
pub(super) fn assert_held(held: usize) {
    assert!(held <= MOST_HELD, "{held} bytes are held");
}

/// What the same build takes for one of each.
#[derive(Debug)]
pub(super) struct Prices {
    pub(super) hit: Duration,
    pub(super) call: Duration,
}
