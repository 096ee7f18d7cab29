//! [`Ledger`]: who sends a request, and what its calls come to, for its line in the log. [`Payer`]: the part of it that is handed
//! along with a call.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http::Method;
use uuid::Uuid;

use super::figures::Figure;
use super::identity::Identity;
use crate::config::Mode;
use crate::error::{ErrorKind, ProxyError};
use crate::organization::OrganizationId;
use crate::shield::budget::Observed;
use crate::shield::share::Share;

/// Who pays for a call.
#[derive(Clone, Debug, Default)]
pub struct Payer {
    /// Who asks; nobody where callers are not told apart.
    pub identity: Option<Arc<Identity>>,
    /// What the request's calls come to; nothing behind everybody's back.
    pub tally: Option<Arc<Tally>>,
}

/// Who sends a request, and what its calls come to. A request without a call makes none of what calls need.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    identity: Option<Arc<Identity>>,
    organization: OnceLock<Uuid>,
    tally: OnceLock<Arc<Tally>>,
}

impl Ledger {
    /// Of a request of this identity.
    #[must_use]
    pub const fn new(identity: Option<Arc<Identity>>) -> Self {
        Self { identity, organization: OnceLock::new(), tally: OnceLock::new() }
    }

    /// Who sends it; nobody where callers are not told apart.
    #[must_use]
    pub const fn identity(&self) -> Option<&Arc<Identity>> {
        self.identity.as_ref()
    }

    /// Refuses what the limits of who sends it forbid, or counts it where they are observed alone.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::CallerDenied`], for its method or its path.
    pub fn check(&self, method: &Method, path: &str, mode: Mode) -> Result<(), ProxyError> {
        let Some(identity) = &self.identity else { return Ok(()) };
        let Some(denied) = identity.denies(method, path) else { return Ok(()) };
        let holds = identity.is_enforced() && mode == Mode::Enforce;
        let figure = if holds { Figure::Denied } else { Figure::WouldRefuse };
        for row in [&identity.caller, &identity.credential] {
            row.counters.add(figure, 1);
        }
        if holds { Err(ErrorKind::CallerDenied.error().for_reason(denied.as_str())) } else { Ok(()) }
    }

    /// Notes the organization of its credential, where callers are told apart.
    pub fn note_organization(&self, organization: Option<OrganizationId>) {
        if let (Some(_), Some(organization)) = (&self.identity, organization) {
            // The first is the one that it was answered for.
            let _ = self.organization.set(organization.name().0);
        }
    }

    /// The organization of its credential, if it was known.
    #[must_use]
    pub fn organization(&self) -> Option<Uuid> {
        self.organization.get().copied()
    }

    /// Pays for a call that the request waits for.
    #[must_use]
    pub fn payer(&self) -> Payer {
        let tally = self.tally.get_or_init(Arc::default);
        Payer { identity: self.identity.clone(), tally: Some(Arc::clone(tally)) }
    }

    /// Pays for what goes on behind its answer.
    #[must_use]
    pub fn behind(&self) -> Payer {
        Payer { identity: self.identity.clone(), tally: None }
    }

    /// What its calls came to so far.
    #[must_use]
    pub fn spent(&self) -> Spent {
        self.tally.get().map(|tally| tally.spent()).unwrap_or_default()
    }
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
    /// How its caller takes turns.
    #[must_use]
    pub fn share(&self) -> Share {
        self.identity.as_ref().map(|identity| identity.share()).unwrap_or_default()
    }

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

    /// Notes what limits that are observed alone would have made of a call that could wait so long.
    pub fn observed(&self, observed: Option<Observed>, max_wait: Duration) {
        match observed {
            None => {}
            Some(Observed::Waits(wait)) if wait <= max_wait => self.count(Figure::WouldWait, 1),
            Some(Observed::Refused(wait)) if wait <= max_wait => self.count(Figure::WouldWait, 1),
            Some(Observed::Waits(_) | Observed::Refused(_)) => self.count(Figure::WouldRefuse, 1),
        }
    }
}
