//! [`Attempts`]: the label reads that are under way to prove a credential, at most one noted per credential.
//!
//! A read of a credential without proof waits a moment for the attempt that another of its reads began; a background
//! proof is not begun while one is under way. An attempt ends when its guard is dropped, however its fill ended.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::credential::CredentialDigest;
use crate::clock::Moment;

/// Every attempt under way.
#[derive(Clone, Debug, Default)]
pub struct Attempts(Arc<Mutex<HashMap<CredentialDigest, Attempt>>>);

/// One attempt under way, as those who wait for it see it.
#[derive(Clone, Debug)]
pub struct Attempt {
    begun: Moment,
    ended: watch::Receiver<()>,
}

impl Attempt {
    /// When it began.
    #[must_use]
    pub const fn begun(&self) -> Moment {
        self.begun
    }

    /// Waits for its end.
    pub async fn ended(mut self) {
        // Nothing is ever sent: the only news is that the guard is gone.
        while self.ended.changed().await.is_ok() {}
    }
}

/// Holds an attempt open.
#[derive(Debug)]
pub struct AttemptGuard {
    attempts: Attempts,
    credential: CredentialDigest,
    _end: watch::Sender<()>,
}

impl Attempts {
    /// Notes an attempt, unless one of this credential is under way.
    #[must_use]
    pub fn begin(&self, credential: CredentialDigest, now: Moment) -> Option<AttemptGuard> {
        let mut under_way = self.lock();
        if under_way.contains_key(&credential) {
            return None;
        }
        let (end, ended) = watch::channel(());
        under_way.insert(credential, Attempt { begun: now, ended });
        drop(under_way);
        Some(AttemptGuard { attempts: self.clone(), credential, _end: end })
    }

    /// The attempt of this credential that is under way.
    #[must_use]
    pub fn under_way(&self, credential: CredentialDigest) -> Option<Attempt> {
        self.lock().get(&credential).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<CredentialDigest, Attempt>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for AttemptGuard {
    fn drop(&mut self) {
        self.attempts.lock().remove(&self.credential);
    }
}

#[cfg(test)]
mod tests {
    use super::super::credential::Digester;
    use super::*;
    use crate::clock::Clock;

    fn credential() -> CredentialDigest {
        let mut fields = http::HeaderMap::new();
        fields.insert("authorization", http::HeaderValue::from_static("Bearer a"));
        Digester::default().credential(&fields).unwrap().digest()
    }

    #[tokio::test]
    async fn one_attempt_a_credential_and_its_end_wakes_who_waits() {
        let (clock, _) = Clock::manual();
        let attempts = Attempts::default();
        let credential = credential();
        let guard = attempts.begin(credential, clock.now()).unwrap();
        assert!(attempts.begin(credential, clock.now()).is_none());
        let attempt = attempts.under_way(credential).unwrap();
        drop(guard);
        attempt.ended().await;
        assert!(attempts.under_way(credential).is_none());
        assert!(attempts.begin(credential, clock.now()).is_some());
    }
}
