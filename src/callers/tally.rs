//! [`Payer`]: who pays for a call, handed along with it. [`Tally`]: what one request's calls came to, for its line in the log.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::figures::Figure;
use super::identity::Identity;

/// Who pays for a call.
#[derive(Clone, Debug, Default)]
pub struct Payer {
    /// Who asks; nobody where callers are not told apart.
    pub identity: Option<Arc<Identity>>,
    /// What the request's calls come to; nothing behind everybody's back.
    pub tally: Option<Arc<Tally>>,
}

/// What one request's calls came to.
#[derive(Debug, Default)]
pub struct Tally {
    calls: AtomicU64,
    waited_micros: AtomicU64,
    upstream_micros: AtomicU64,
}

/// The same at its end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spent {
    /// Calls that were sent.
    pub calls: u64,
    /// How long they waited for their turns.
    pub waited: Duration,
    /// How long they took, from their sending to the heads of their answers.
    pub upstream: Duration,
}

impl Tally {
    /// What it came to.
    #[must_use]
    pub fn spent(&self) -> Spent {
        let micros = |sum: &AtomicU64| Duration::from_micros(sum.load(Ordering::Relaxed));
        Spent {
            calls: self.calls.load(Ordering::Relaxed),
            waited: micros(&self.waited_micros),
            upstream: micros(&self.upstream_micros),
        }
    }
}

impl Payer {
    /// The same payer, for what goes on behind the answer.
    #[must_use]
    pub fn behind(&self) -> Self {
        Self { identity: self.identity.clone(), tally: None }
    }

    /// Counts one figure of caller and credential.
    pub fn count(&self, figure: Figure, number: u64) {
        if let Some(identity) = &self.identity {
            identity.caller.counters.add(figure, number);
            identity.credential.counters.add(figure, number);
        }
    }

    /// Notes that a call waited for its turn.
    pub fn waited(&self, waited: Duration) {
        let micros = u64::try_from(waited.as_micros()).unwrap_or(u64::MAX);
        if micros > 0 {
            self.count(Figure::WaitedMicros, micros);
        }
        if let Some(tally) = &self.tally {
            tally.waited_micros.fetch_add(micros, Ordering::Relaxed);
        }
    }

    /// Notes that a call was sent and took so long until the head of its answer, or its failure.
    pub fn called(&self, took: Duration) {
        self.count(Figure::UpstreamCalls, 1);
        if let Some(tally) = &self.tally {
            let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
            tally.calls.fetch_add(1, Ordering::Relaxed);
            tally.upstream_micros.fetch_add(micros, Ordering::Relaxed);
        }
    }
}
