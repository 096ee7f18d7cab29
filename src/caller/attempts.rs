//! [`Attempts`]: the reads that are under way to prove a credential, at most one noted per credential and resource.
//!
//! A read of a credential without proof waits a moment for the attempt that another of its reads began; a background
//! proof is not begun while one is under way. An attempt ends when its guard is dropped, however its fetch ended.

use std::collections::HashMap;
use std::sync::Arc;

use super::credential::CredentialDigest;
use crate::clock::{Clock, Elapsed, Moment};
use crate::lock::Mutex;
use crate::resource::Descriptor;
use crate::told::{self, Listener, Teller};

/// Every attempt under way.
#[derive(Clone, Debug, Default)]
pub struct Attempts(Arc<Mutex<HashMap<Attempted, Attempt>>>);

/// What an attempt is to prove: a credential, for a resource.
type Attempted = (CredentialDigest, &'static Descriptor);

/// How far an attempt is.
#[derive(Clone, Copy, Debug)]
enum Progress {
    /// Whether it may be sent at once is being found out.
    Begun,
    /// It waits for its turn.
    Queued,
    /// It is on its way.
    Sent(Moment),
}

/// One attempt under way, as those who wait for it see it.
#[derive(Clone, Debug)]
pub struct Attempt(Listener<Progress>);

impl Attempt {
    /// Waits until it is sent, and tells when that was; nothing if it ends without.
    pub async fn sent(self) -> Option<Moment> {
        let sent = |progress: &Progress| match progress {
            Progress::Sent(at) => Some(*at),
            Progress::Begun | Progress::Queued => None,
        };
        self.0.wait_for(sent).await.ok()
    }

    /// Waits until it is sent or ends; where it has to wait for its turn, until `deadline` at most.
    ///
    /// # Errors
    ///
    /// [`Elapsed`] at the deadline.
    pub async fn sent_by(self, clock: &Clock, deadline: Moment) -> Result<(), Elapsed> {
        // Fails when the guard is gone: it has ended.
        let _ = self.0.wait_for(|progress| (!matches!(progress, Progress::Begun)).then_some(())).await;
        clock.deadline(deadline, self.sent()).await.map(drop)
    }

    /// Waits for its end.
    pub async fn ended(self) {
        self.0.ended().await;
    }
}

/// Holds an attempt open.
#[derive(Debug)]
pub struct AttemptGuard {
    attempts: Attempts,
    attempted: Attempted,
    progress: Teller<Progress>,
}

impl AttemptGuard {
    /// Notes that it has to wait for its turn.
    pub fn note_queued(&self) {
        self.progress.tell(Progress::Queued);
    }

    /// Notes that it is sent now.
    pub fn note_sent(&self, now: Moment) {
        self.progress.tell(Progress::Sent(now));
    }
}

impl Attempts {
    /// Notes an attempt, unless one of this credential by this resource is under way.
    #[must_use]
    pub fn begin(&self, credential: CredentialDigest, resource: &'static Descriptor) -> Option<AttemptGuard> {
        let attempted = (credential, resource);
        let mut under_way = self.0.lock();
        if under_way.contains_key(&attempted) {
            return None;
        }
        let (progress, attempt) = told::channel(Progress::Begun);
        under_way.insert(attempted, Attempt(attempt));
        drop(under_way);
        Some(AttemptGuard { attempts: self.clone(), attempted, progress })
    }

    /// The attempt of this credential by this resource that is under way.
    #[must_use]
    pub fn under_way(&self, credential: CredentialDigest, resource: &'static Descriptor) -> Option<Attempt> {
        self.0.lock().get(&(credential, resource)).cloned()
    }
}

impl Drop for AttemptGuard {
    fn drop(&mut self) {
        self.attempts.0.lock().remove(&self.attempted);
    }
}

#[cfg(test)]
mod tests {
    use super::super::credential::Digester;
    use super::*;
    use crate::resource::LEAD_LABEL;

    fn credential() -> CredentialDigest {
        let mut fields = http::HeaderMap::new();
        fields.insert("authorization", http::HeaderValue::from_static("Bearer a"));
        Digester::default().credential(&fields).unwrap().digest()
    }

    #[tokio::test]
    async fn one_attempt_a_credential_and_its_end_wakes_who_waits() {
        let attempts = Attempts::default();
        let credential = credential();
        let guard = attempts.begin(credential, &LEAD_LABEL).unwrap();
        assert!(attempts.begin(credential, &LEAD_LABEL).is_none());
        let attempt = attempts.under_way(credential, &LEAD_LABEL).unwrap();
        let (clock, _) = Clock::manual();
        guard.note_sent(clock.now());
        assert_eq!(attempt.clone().sent().await, Some(clock.now()));
        drop(guard);
        attempt.ended().await;
        assert!(attempts.under_way(credential, &LEAD_LABEL).is_none());
        assert!(attempts.begin(credential, &LEAD_LABEL).is_some());
    }
}
