//! What to do about a read, given what is stored and what the client asks (RFC 9111 §4.2, §5.2.1; RFC 5861). Pure.

use std::time::Duration;

use super::stored::StoredResponse;
use crate::clock::Moment;
use crate::config::CachedResource;
use crate::semantics::directives::{MaxStale, RequestDirectives};

/// A stored response is refreshed ahead in this part of its lifetime's end.
const LAST_PART: u32 = 10;

/// A stored response that may be served, as it stands now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Servable {
    /// Time since its fetch was sent.
    pub age: Duration,
    /// Freshness lifetime minus age, in whole seconds; zero or negative when stale.
    pub ttl: i64,
}

/// The verdict on a read of a proven credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Answer from the fresh stored response.
    Serve {
        /// What is served.
        stored: Servable,
        /// Whether its lifetime is nearly over: refresh it in the background.
        ageing: bool,
    },
    /// Answer from the stale stored response and refresh it in the background.
    Revalidate(Servable),
    /// Fetch: nothing fresh is stored.
    Fetch {
        /// What may be served if the fetch fails.
        fallback: Option<Servable>,
    },
    /// Fetch although a fresh response is stored: the client asked for a younger one.
    Refetch(Servable),
    /// Answer 504: the client asked for a stored response alone.
    Refuse,
}

/// Decides about a read.
#[must_use]
pub fn decide(
    wishes: &RequestDirectives,
    stored: Option<&StoredResponse>,
    rules: &CachedResource,
    now: Moment,
) -> Decision {
    let fetch = |otherwise| if wishes.only_if_cached { Decision::Refuse } else { otherwise };
    let Some(stored) = stored else {
        return fetch(Decision::Fetch { fallback: None });
    };
    let (age, lifetime) = (stored.age(now), stored.freshness_lifetime(rules.ttl));
    if age >= lifetime {
        let staleness = age - lifetime;
        let servable = Servable { age, ttl: whole_seconds(staleness).saturating_neg() };
        let within = |window| may_be_stale(wishes, stored, age, staleness, window);
        if within(rules.stale_while_revalidate) {
            return Decision::Revalidate(servable);
        }
        return fetch(Decision::Fetch { fallback: within(rules.stale_if_error).then_some(servable) });
    }
    let servable = Servable { age, ttl: whole_seconds(lifetime - age) };
    let too_old = wishes.max_age.is_some_and(|limit| age > limit);
    let too_short = wishes.min_fresh.is_some_and(|least| lifetime - age < least);
    if wishes.no_cache || too_old || too_short {
        return fetch(Decision::Refetch(servable));
    }
    Decision::Serve { stored: servable, ageing: age >= lifetime - lifetime / LAST_PART }
}

/// Whether a stale response may be served within a window. The client can narrow it, never widen it; what was read while
/// a write settled has no window at all.
fn may_be_stale(
    wishes: &RequestDirectives,
    stored: &StoredResponse,
    age: Duration,
    staleness: Duration,
    window: Duration,
) -> bool {
    let narrowed = match wishes.max_stale {
        Some(MaxStale::Within(limit)) => window.min(limit),
        Some(MaxStale::Any) | None => window,
    };
    let too_old = wishes.max_age.is_some_and(|limit| age > limit);
    staleness < narrowed && !stored.settling && !wishes.no_cache && !too_old && wishes.min_fresh.is_none()
}

fn whole_seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
#[path = "decide/tests.rs"]
mod tests;
