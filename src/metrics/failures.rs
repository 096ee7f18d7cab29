//! [`Failures`]: errors of our own by kind, with their latest moment. The dashboard shows them, and a series has their number:
//! an alert that pages tells the proxy's own faults from the API's by it.

use std::cmp::Reverse;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::encoding::{EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

use crate::error::ErrorKind;
use crate::outcome::StatusClass;

/// How often one kind of error occurred, and when last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What it was.
    pub kind: ErrorKind,
    /// Since the start.
    pub count: u64,
    /// Unix time of the latest, in seconds.
    pub latest: u64,
}

/// A count for each kind, all of them from the start: a rate begins at zero. Clones count together.
#[derive(Clone, Debug)]
pub(super) struct Failures(Arc<[Noted]>);

#[derive(Debug, Default)]
struct Noted {
    count: AtomicU64,
    latest: AtomicU64,
}

impl Default for Failures {
    fn default() -> Self {
        Self(ErrorKind::ALL.iter().map(|_| Noted::default()).collect())
    }
}

impl Failures {
    pub(super) fn note(&self, kind: ErrorKind, at: Duration) {
        let noted = &self.0[kind.index()];
        noted.count.fetch_add(1, Ordering::Relaxed);
        noted.latest.fetch_max(at.as_secs(), Ordering::Relaxed);
    }

    pub(super) fn latest(&self) -> Vec<Failure> {
        let read = |(kind, noted): (&ErrorKind, &Noted)| Failure {
            kind: *kind,
            count: noted.count.load(Ordering::Relaxed),
            latest: noted.latest.load(Ordering::Relaxed),
        };
        let mut failures: Vec<Failure> =
            ErrorKind::ALL.iter().zip(&*self.0).map(read).filter(|failure| failure.count > 0).collect();
        failures.sort_by_key(|failure| Reverse((failure.latest, failure.count)));
        failures
    }
}

impl EncodeMetric for Failures {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        ErrorKind::ALL.iter().zip(&*self.0).try_for_each(|(kind, noted)| {
            let status = StatusClass::of(kind.status());
            let labels = [("error", kind.as_str()), ("status", status.as_str())];
            let mut series = encoder.encode_family(&labels)?;
            series.encode_counter::<NoLabelSet, _, u64>(&noted.count.load(Ordering::Relaxed), None)
        })
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Counter
    }
}
