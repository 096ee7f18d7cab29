//! [`RememberedRefusals`]: a credential that was answered 401 on a route is not asked about again for a moment.
//!
//! A loop with a dead key costs the vendor a call in ten seconds instead of hundreds a second. Per credential and route:
//! a key that lacks one scope notices nothing on its other routes. What is remembered is the vendor's own answer, and it
//! ends nobody's proof.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderValue;
use lru::LruCache;

use crate::bounded::{bounded, sweep};
use crate::caller::credential::{CredentialDigest, RouteDigest};
use crate::clock::Moment;
use crate::lock::{Mutex, MutexGuard};
use crate::semantics::owned;

/// The first 401 is remembered so long.
const FIRST: Duration = Duration::from_secs(1);
/// Repeated ones at most so long.
const LONGEST: Duration = Duration::from_secs(10);
/// A 401 is forgotten so long after it arrived: one that comes later repeats nothing.
const REMEMBERED: Duration = Duration::from_secs(2 * LONGEST.as_secs());
/// Largest body that is kept; the vendor's is a sentence.
const MAX_BODY: usize = 1024;
/// Longest media type that is kept.
const MAX_MEDIA_TYPE: usize = 128;
/// Credentials and routes that are remembered.
const REMEMBERED_REFUSALS: NonZeroUsize = NonZeroUsize::new(4096).expect("not zero");
/// What a remembered refusal says where the vendor's own words could not be kept, in the vendor's shape and words.
const STAND_IN: &[u8] =
    br#"{"statusCode":401,"error":"Unauthorized","message":"Invalid authorization header or API key"}"#;

/// The body of a 401, to be sent again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unauthorized {
    /// Its bytes, at most 1 KiB.
    pub body: Bytes,
    /// Its media type, if it has one.
    pub content_type: Option<HeaderValue>,
}

/// A 401 that holds at the moment.
#[derive(Clone, Debug)]
pub struct RememberedRefusal {
    /// What the vendor said.
    pub answer: Arc<Unauthorized>,
    /// How much longer it holds.
    pub remaining: Duration,
}

/// Every 401 that is remembered; one per process.
#[derive(Debug)]
pub struct RememberedRefusals(Mutex<LruCache<Key, Entry>>);

type Key = (CredentialDigest, RouteDigest);

#[derive(Debug)]
struct Entry {
    arrived: Moment,
    lasts: Duration,
    answer: Arc<Unauthorized>,
}

impl Unauthorized {
    /// The answer with this body, of which copies are kept: a slice of either would hold the connection's whole read
    /// buffer. What is too large to keep is replaced by a sentence of our own.
    #[must_use]
    pub fn new(content_type: Option<&HeaderValue>, body: &[u8]) -> Self {
        if body.len() > MAX_BODY || content_type.is_some_and(|value| value.len() > MAX_MEDIA_TYPE) {
            return Self::default();
        }
        Self { body: owned::bytes(body), content_type: content_type.map(owned::value) }
    }
}

impl Default for Unauthorized {
    /// For a 401 whose body is not known: too large, encoded, or not read.
    fn default() -> Self {
        Self {
            body: Bytes::from_static(STAND_IN),
            content_type: Some(HeaderValue::from_static("application/json; charset=utf-8")),
        }
    }
}

impl Default for RememberedRefusals {
    fn default() -> Self {
        Self(Mutex::new(bounded(REMEMBERED_REFUSALS)))
    }
}

impl RememberedRefusals {
    /// The 401 that this credential gets on this route at `now` without a call. Asking moves nothing: the table stays in
    /// the order in which the 401s arrived.
    #[must_use]
    pub fn check(
        &self,
        credential: CredentialDigest,
        route: RouteDigest,
        now: Moment,
    ) -> Option<RememberedRefusal> {
        let entries = self.lock();
        let entry = entries.peek(&(credential, route))?;
        let remaining = entry.remaining(now);
        (!remaining.is_zero()).then(|| RememberedRefusal { answer: Arc::clone(&entry.answer), remaining })
    }

    /// Notes a 401 at `now` to a call that left at `sent`. It repeats the one before if it left after that had arrived.
    pub fn on_unauthorized(
        &self,
        credential: CredentialDigest,
        route: RouteDigest,
        sent: Moment,
        answer: Unauthorized,
        now: Moment,
    ) {
        let mut entries = self.lock();
        let answer = Arc::new(answer);
        let known = entries.peek_mut(&(credential, route)).filter(|entry| !entry.is_over(now));
        let lasts = match known {
            // Calls that were under way together are refused together: that is one refusal.
            Some(entry) if sent.uptime() <= entry.arrived.uptime() => {
                entry.answer = answer;
                return;
            }
            Some(entry) => (entry.lasts * 2).min(LONGEST),
            None => FIRST,
        };
        entries.put((credential, route), Entry { arrived: now, lasts, answer });
    }

    /// Notes any other answer of the upstream: this credential is let through on this route.
    pub fn on_other_answer(&self, credential: CredentialDigest, route: RouteDigest) {
        let mut entries = self.lock();
        // Nearly always there is none, and its place need not be looked for.
        if !entries.is_empty() {
            entries.pop(&(credential, route));
        }
    }

    /// Forgets what arrived too long ago to matter.
    pub fn tidy(&self, now: Moment) {
        sweep(&mut self.lock(), |entry| entry.is_over(now));
    }

    /// How many hold at `now`.
    #[must_use]
    pub fn count(&self, now: Moment) -> usize {
        self.lock().iter().filter(|(_, entry)| !entry.remaining(now).is_zero()).count()
    }

    fn lock(&self) -> MutexGuard<'_, LruCache<Key, Entry>> {
        self.0.lock()
    }
}

impl Entry {
    fn remaining(&self, now: Moment) -> Duration {
        self.lasts.saturating_sub(now.since(self.arrived))
    }

    fn is_over(&self, now: Moment) -> bool {
        now.since(self.arrived) >= REMEMBERED
    }
}

#[cfg(test)]
#[path = "refusals/tests.rs"]
mod tests;
