//! [`Failures`]: errors of our own by kind, with their latest moment, for the dashboard. No series: the log has each of them.

use std::cmp::Reverse;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::error::ErrorKind;

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

#[derive(Debug)]
pub(super) struct Failures(Box<[Noted]>);

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
            ErrorKind::ALL.iter().zip(&self.0).map(read).filter(|failure| failure.count > 0).collect();
        failures.sort_by_key(|failure| Reverse((failure.latest, failure.count)));
        failures
    }
}
