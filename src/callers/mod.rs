//! Who calls: services behind one key, told apart, counted, and given their parts.
//!
//! [`Callers`] tells the [`Identity`] of a request once. Nothing of it is sent to the API, is in a cache key, or decides what
//! may be read. `rules` is what the configuration says, `table` the bounded number of rows that are counted, `figures` what is
//! counted, `history` the last minute and hour, `fingerprint` names for keys. How callers take turns is `shield`'s.

mod caller_key;
pub mod figures;
pub mod fingerprint;
mod history;
mod identity;
mod row;
mod rules;
mod table;
mod tally;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use self::caller_key::CallerKey;
use self::figures::Figures;
use self::fingerprint::Fingerprints;
pub use self::identity::{Claim, Evidence, Field, Identity, Ignored, Memo, Recent};
pub use self::row::{Refused, Row, Shown};
pub use self::rules::{CallerRules, Denied, Limit};
use self::table::Table;
pub use self::tally::{Ledger, Payer, Spent, Tally};
use crate::caller::credential::AuthorizationDigest;
use crate::lock::Mutex;

/// Callers that are counted one by one, and credentials.
pub const ROWS: usize = 1000;
/// Stands for those without a key, or with several.
const NO_KEY: &str = "~none";

/// Everybody who calls; one per process.
#[derive(Debug)]
pub struct Callers {
    callers: Table<CallerKey>,
    credentials: Table<Option<AuthorizationDigest>>,
    ignored: [AtomicU64; Ignored::ALL.len()],
    fingerprints: Mutex<Fingerprints>,
}

/// What is shown of all rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bill {
    /// Callers, and `other`.
    pub callers: Vec<Shown>,
    /// Credentials, and `other`.
    pub credentials: Vec<Shown>,
}

/// What metrics say of callers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallerSums {
    /// Of each name that the configuration lists.
    pub named: Vec<(Box<str>, Figures)>,
    /// Of all others together.
    pub others: Figures,
    /// What did not count of what requests said, by reason.
    pub ignored: Vec<(Ignored, u64)>,
}

impl Default for Callers {
    fn default() -> Self {
        Self {
            callers: Table::new(ROWS),
            credentials: Table::new(ROWS),
            ignored: std::array::from_fn(|_| AtomicU64::new(0)),
            fingerprints: Mutex::default(),
        }
    }
}

impl Callers {
    /// From now on these names are never given up, and keys are named so; names given before stay.
    pub fn set_rules(&self, rules: &CallerRules, fingerprints: Option<Fingerprints>, now: Duration) {
        if let Some(fingerprints) = fingerprints {
            *self.fingerprints.lock() = fingerprints;
        }
        let names = rules.names().map(|name| (CallerKey::Named(name.into()), name.to_owned()));
        self.callers.pin(names, history::step_of(now));
    }

    /// Who sends a request, at this uptime. A request like the last one of its connection costs no look-up.
    #[must_use]
    pub fn identify(
        &self,
        rules: &Arc<CallerRules>,
        memo: &Memo,
        evidence: &Evidence<'_>,
        now: Duration,
    ) -> Arc<Identity> {
        let second = now.as_secs();
        match memo.recall(rules, evidence) {
            Some(identity) => {
                self.callers.touch(&identity.caller, second);
                self.credentials.touch(&identity.credential, second);
                identity
            }
            None => {
                let identity = Arc::new(self.look_up(rules, evidence, now));
                memo.keep(&identity, evidence);
                identity
            }
        }
    }

    /// Counts a request of this identity, if what it said of its caller does not count.
    pub fn note_claim(&self, identity: &Identity) {
        if let Some(ignored) = identity.ignored {
            self.ignored[ignored.index()].fetch_add(1, Ordering::Relaxed);
        }
    }

    fn look_up(&self, rules: &Arc<CallerRules>, evidence: &Evidence<'_>, now: Duration) -> Identity {
        let (second, step) = (now.as_secs(), history::step_of(now));
        let name = || match evidence.key {
            // Not of the alphabet: no field and no certificate can name a caller so.
            Some((_, value)) => format!("~{}", self.fingerprints.lock().name(value)),
            None => NO_KEY.to_owned(),
        };
        let digest = evidence.key.map(|(digest, _)| digest);
        let credential = self.credentials.row(&digest, name, second, step);
        let (key, ignored) = identity::key_of(rules, evidence);
        let caller_name = || match &key {
            CallerKey::Named(name) => name.to_string(),
            CallerKey::Credential(_) => name(),
        };
        let caller = self.callers.row(&key, caller_name, second, step);
        Identity::new(caller, credential, rules, ignored)
    }

    /// The name of the key in an `Authorization` value.
    #[must_use]
    pub fn name_of_key(&self, authorization: &[u8]) -> String {
        self.fingerprints.lock().name(authorization)
    }

    /// What is counted of requests and calls that nobody is known to have made.
    #[must_use]
    pub fn unknown(&self) -> (&Arc<Row>, &Arc<Row>) {
        (self.callers.other(), self.credentials.other())
    }

    /// Notes what was counted, at this uptime; to be called every second or so.
    pub fn tidy(&self, now: Duration) {
        let step = history::step_of(now);
        self.callers.note(step);
        self.credentials.note(step);
    }

    /// Everything that is counted, at this uptime.
    #[must_use]
    pub fn bill(&self, now: Duration) -> Bill {
        let step = history::step_of(now);
        Bill { callers: self.callers.shown(step), credentials: self.credentials.shown(step) }
    }

    /// What metrics say.
    #[must_use]
    pub fn sums(&self) -> CallerSums {
        let (named, others) = self.callers.pinned();
        let count = |ignored: &Ignored| self.ignored[ignored.index()].load(Ordering::Relaxed);
        let ignored = Ignored::ALL.iter().map(|ignored| (*ignored, count(ignored))).collect();
        CallerSums { named, others, ignored }
    }
}

#[cfg(test)]
mod tests;
