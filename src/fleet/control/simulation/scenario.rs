//! [`Scenario`]: how large a fleet is, what is asked of it, and what befalls it.

use std::time::Duration;

use super::super::rules::Rule;
use super::model::StoreRule;

/// A second, in the microseconds that a world counts.
pub(super) const SECOND: u64 = 1_000_000;

/// Which rule a world does without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LeftOut {
    Nothing,
    Replica(Rule),
    Store(StoreRule),
}

/// What happens in a world. Rates are means, by its own clock.
#[derive(Clone, Debug)]
pub(super) struct Scenario {
    pub(super) replicas: usize,
    pub(super) organizations: usize,
    pub(super) lease: Duration,
    /// Microseconds after which a call counts as not answered.
    pub(super) timeout: u64,
    pub(super) page: usize,
    pub(super) log: usize,
    /// Reads of one replica a second.
    pub(super) reads: u64,
    /// Writes of the fleet a second.
    pub(super) writes: u64,
    /// Of a thousand messages, how many are slow: up to the time-out.
    pub(super) slow: u32,
    /// Of a thousand rings at one replica, how many are lost, as many doubled, as many late by up to a lease.
    pub(super) bad_bells: u32,
    /// Faults a second, by weight.
    pub(super) faults: f64,
    pub(super) weights: &'static [(Fault, u32)],
    pub(super) left_out: LeftOut,
}

/// What befalls a fleet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The server loses all.
    Flush,
    /// It loses one key.
    Evict,
    /// It starts again from a file that is some time old.
    RestartFromOlder,
    /// Another takes over, which lacks the latest writes.
    Failover,
    /// It does nothing for a while.
    Freeze,
    /// Its clock is set.
    StoreClock,
    /// A replica is cut off from the server.
    Partition,
    /// A replica's process is stopped for a while.
    Stop,
    /// A replica's link is lost.
    LinkLoss,
    /// A replica's process is killed; another takes its place.
    Kill,
    /// A replica leaves; another takes its place.
    Leave,
    /// A replica's wall clock is set.
    WallClock,
    /// A replica's clocks run at another speed.
    Slew,
}

/// Everything.
const STORM: &[(Fault, u32)] = &[
    (Fault::Flush, 2),
    (Fault::Evict, 4),
    (Fault::RestartFromOlder, 3),
    (Fault::Failover, 3),
    (Fault::Freeze, 2),
    (Fault::StoreClock, 2),
    (Fault::Partition, 12),
    (Fault::Stop, 12),
    (Fault::LinkLoss, 10),
    (Fault::Kill, 6),
    (Fault::Leave, 6),
    (Fault::WallClock, 5),
    (Fault::Slew, 5),
];

/// A store that stays as it is, and replicas that do not.
const REPLICAS: &[(Fault, u32)] = &[
    (Fault::Partition, 12),
    (Fault::Stop, 20),
    (Fault::LinkLoss, 8),
    (Fault::Kill, 8),
    (Fault::Leave, 16),
    (Fault::WallClock, 6),
    (Fault::Slew, 8),
];

/// A store that forgets.
const STORE: &[(Fault, u32)] = &[
    (Fault::Flush, 4),
    (Fault::Evict, 8),
    (Fault::RestartFromOlder, 6),
    (Fault::Failover, 6),
    (Fault::StoreClock, 3),
    (Fault::Partition, 14),
    (Fault::Stop, 8),
    (Fault::Kill, 2),
];

/// Clocks and links.
const CLOCK: &[(Fault, u32)] =
    &[(Fault::Partition, 12), (Fault::Stop, 2), (Fault::WallClock, 20), (Fault::Slew, 6), (Fault::Kill, 1)];

/// The scenarios, each by what is worst in it.
pub(super) const STORMS: u64 = 0;
/// Replicas that are stopped, cut off, replaced.
pub(super) const AWAY: u64 = 1;
/// A store that loses what it had.
pub(super) const FORGETFUL: u64 = 2;
/// Bells that are lost.
pub(super) const DEAF: u64 = 3;
/// Many replicas.
pub(super) const MANY: u64 = 4;
/// Clocks that are set or run at different speeds.
pub(super) const CLOCKS: u64 = 5;
/// A log that is too short for who was away.
pub(super) const SHORT_LOG: u64 = 6;
/// Organizations of which little is heard.
pub(super) const QUIET: u64 = 7;
/// Few replicas.
pub(super) const FEW: u64 = 8;
/// How many there are.
pub(super) const SCENARIOS: u64 = 9;

impl Scenario {
    /// One of those that the simulation goes through, by its place among them.
    pub(super) fn nth(nth: u64) -> Self {
        let storm = Self {
            replicas: 12,
            organizations: 4,
            lease: Duration::from_millis(500),
            timeout: 50_000,
            page: 4,
            log: 24,
            reads: 200,
            writes: 20,
            slow: 10,
            bad_bells: 30,
            faults: 4.0,
            weights: STORM,
            left_out: LeftOut::Nothing,
        };
        match nth % SCENARIOS {
            STORMS => storm,
            AWAY => {
                Self { replicas: 6, weights: REPLICAS, faults: 10.0, timeout: 125_000, slow: 20, ..storm }
            }
            FORGETFUL => Self { replicas: 6, organizations: 12, weights: STORE, ..storm },
            DEAF => Self { replicas: 5, weights: REPLICAS, faults: 6.0, bad_bells: 200, ..storm },
            MANY => Self { replicas: 40, faults: 8.0, writes: 10, ..storm },
            CLOCKS => Self {
                replicas: 10,
                weights: CLOCK,
                faults: 20.0,
                timeout: 125_000,
                slow: 15,
                writes: 40,
                ..storm
            },
            SHORT_LOG => Self {
                replicas: 6,
                organizations: 16,
                weights: REPLICAS,
                faults: 6.0,
                log: 3,
                page: 2,
                ..storm
            },
            QUIET => Self {
                replicas: 8,
                organizations: 64,
                writes: 12,
                reads: 100,
                faults: 4.0,
                weights: REPLICAS,
                ..storm
            },
            _ => Self { replicas: 3, faults: 6.0, reads: 600, ..storm },
        }
    }

    /// As large as a fleet is meant to be.
    pub(super) fn thousand() -> Self {
        let storm = Self::nth(STORMS);
        Self { replicas: 1000, reads: 15, writes: 5, page: 500, log: 4096, ..storm }
    }
}
