//! What to do about a read, given what is stored and what the client asks (RFC 9111 §4.2, §5.2.1). Pure.

use std::time::Duration;

use super::stored::StoredResponse;
use crate::clock::Moment;
use crate::semantics::directives::RequestDirectives;

/// The verdict on a read of a proven credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Answer from the stored response.
    Serve {
        /// Its age.
        age: Duration,
        /// Freshness lifetime minus age, in whole seconds.
        ttl: i64,
    },
    /// Fetch: nothing that may be served is stored.
    Fetch,
    /// Fetch although a fresh response is stored: the client asked for a younger one.
    Refetch,
    /// Answer 504: the client asked for a stored response alone.
    Refuse,
}

/// Decides about a read.
#[must_use]
pub fn decide(
    wishes: &RequestDirectives,
    stored: Option<&StoredResponse>,
    ttl: Duration,
    now: Moment,
) -> Decision {
    let fetch = |otherwise| if wishes.only_if_cached { Decision::Refuse } else { otherwise };
    let Some(stored) = stored else {
        return fetch(Decision::Fetch);
    };
    let (age, lifetime) = (stored.age(now), stored.freshness_lifetime(ttl));
    if age >= lifetime {
        return fetch(Decision::Fetch);
    }
    let too_old = wishes.max_age.is_some_and(|limit| age > limit);
    let too_short = wishes.min_fresh.is_some_and(|least| lifetime - age < least);
    if wishes.no_cache || too_old || too_short {
        return fetch(Decision::Refetch);
    }
    Decision::Serve { age, ttl: whole_seconds(lifetime - age) }
}

fn whole_seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
#[path = "decide/tests.rs"]
mod tests;
