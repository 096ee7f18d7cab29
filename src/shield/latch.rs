//! [`Latch`]: a credential that was answered 401 on a route is not asked about again for a moment.
//!
//! A loop with a dead key costs the vendor a call in ten seconds instead of hundreds a second. Per credential and route:
//! a key that lacks one scope notices nothing on its other routes. What is latched is the vendor's own answer, and it
//! ends nobody's proof.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderValue;
use lru::LruCache;

use crate::bounded::bounded;
use crate::caller::credential::{CredentialDigest, RouteDigest};
use crate::clock::Moment;

/// The first 401 is remembered so long.
const FIRST: Duration = Duration::from_secs(1);
/// Repeated ones at most so long.
const LONGEST: Duration = Duration::from_secs(10);
/// Largest body that is kept; the vendor's is a sentence.
const MAX_BODY: usize = 4096;
/// Credentials and routes that are remembered.
const LATCHES: NonZeroUsize = NonZeroUsize::new(4096).expect("not zero");
/// What a latched answer says where the vendor's own words could not be kept, in the vendor's shape and words.
const STAND_IN: &[u8] =
    br#"{"statusCode":401,"error":"Unauthorized","message":"Invalid authorization header or API key"}"#;

/// The body of a 401, to be sent again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unauthorized {
    /// Its bytes, at most 4 KiB.
    pub body: Bytes,
    /// Its media type, if it has one.
    pub content_type: Option<HeaderValue>,
}

/// A 401 that holds at the moment.
#[derive(Clone, Debug)]
pub struct Latched {
    /// What the vendor said.
    pub answer: Arc<Unauthorized>,
    /// How much longer it holds.
    pub remaining: Duration,
}

/// Every 401 that is remembered; one per process.
#[derive(Debug)]
pub struct Latch(Mutex<LruCache<Key, Entry>>);

type Key = (CredentialDigest, RouteDigest);

#[derive(Debug)]
struct Entry {
    arrived: Moment,
    lasts: Duration,
    answer: Arc<Unauthorized>,
}

impl Unauthorized {
    /// The answer with this body, of which a copy is kept; one that is over 4 KiB is replaced by a sentence of our own.
    #[must_use]
    pub fn new(content_type: Option<&HeaderValue>, body: &[u8]) -> Self {
        if body.len() > MAX_BODY {
            return Self::default();
        }
        Self { body: Bytes::copy_from_slice(body), content_type: content_type.cloned() }
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

impl Default for Latch {
    fn default() -> Self {
        Self(Mutex::new(bounded(LATCHES)))
    }
}

impl Latch {
    /// The 401 that this credential gets on this route at `now` without a call.
    #[must_use]
    pub fn check(&self, credential: CredentialDigest, route: RouteDigest, now: Moment) -> Option<Latched> {
        self.lock().promote(&(credential, route));
        self.peek(credential, route, now)
    }

    /// The same, without counting as a use.
    #[must_use]
    pub fn peek(&self, credential: CredentialDigest, route: RouteDigest, now: Moment) -> Option<Latched> {
        let entries = self.lock();
        let entry = entries.peek(&(credential, route))?;
        let remaining = entry.remaining(now);
        (!remaining.is_zero()).then(|| Latched { answer: Arc::clone(&entry.answer), remaining })
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
        match entries.get_mut(&(credential, route)) {
            // Calls that were under way together are refused together: that is one refusal.
            Some(entry) if sent.uptime() <= entry.arrived.uptime() => entry.answer = answer,
            Some(entry) => {
                let lasts = (entry.lasts * 2).min(LONGEST);
                *entry = Entry { arrived: now, lasts, answer };
            }
            None => {
                entries.put((credential, route), Entry { arrived: now, lasts: FIRST, answer });
            }
        }
    }

    /// Notes any other answer of the upstream: this credential is let through on this route.
    pub fn on_other_answer(&self, credential: CredentialDigest, route: RouteDigest) {
        self.lock().pop(&(credential, route));
    }

    /// How many hold at `now`.
    #[must_use]
    pub fn count(&self, now: Moment) -> usize {
        self.lock().iter().filter(|(_, entry)| !entry.remaining(now).is_zero()).count()
    }

    fn lock(&self) -> MutexGuard<'_, LruCache<Key, Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    fn remaining(&self, now: Moment) -> Duration {
        self.lasts.saturating_sub(now.since(self.arrived))
    }
}

#[cfg(test)]
#[path = "latch/tests.rs"]
mod tests;
