//! [`Snapshot`]: counters and latencies at one moment; the difference of two is what went on between them.

use super::series::{Buckets, quantile};
use super::{Metrics, Totals};
use crate::closed_enum::closed_enum;
use crate::outcome::{Outcome, StatusClass};

closed_enum! {
    /// Whose latencies are told apart.
    pub enum Pace {
        /// Answers from memory.
        Hit = "hit",
        /// Label reads that waited for the upstream.
        Miss = "miss",
    }
}

/// Everything that a step of the history is made of.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Sums since the start.
    pub totals: Totals,
    /// 5xx answers of our own and of the upstream.
    pub errors: u64,
    paces: [Buckets; Pace::ALL.len()],
}

impl Metrics {
    /// The counters as they are now.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let mut paces = [Buckets::default(); Pace::ALL.len()];
        let mut errors = 0;
        for (index, histogram) in self.requests.occurred() {
            let status = StatusClass::ALL[index % StatusClass::ALL.len()];
            let outcome = Outcome::ALL[index / StatusClass::ALL.len() % Outcome::ALL.len()];
            let pace = match outcome {
                Outcome::Hit => Some(Pace::Hit),
                Outcome::Miss | Outcome::Collapsed => Some(Pace::Miss),
                _ => None,
            };
            if let Some(pace) = pace {
                paces[pace.index()].add(histogram);
            }
            if status == StatusClass::ServerError {
                errors += histogram.count();
            }
        }
        Snapshot { totals: self.totals(), errors, paces }
    }
}

impl Snapshot {
    /// The latency below which a part `q` of the answers of this pace came since `earlier`, in milliseconds; nothing if
    /// there was none.
    #[must_use]
    pub fn latency_ms(&self, earlier: &Self, pace: Pace, q: f64) -> Option<f64> {
        quantile(&self.paces[pace.index()].since(&earlier.paces[pace.index()]), q)
            .map(|seconds| seconds * 1e3)
    }
}
