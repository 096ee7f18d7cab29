//! [`Explanation`]: what would happen to a request and why, as an operator reads it.
//!
//! Made of closed words, ages and ids that the proxy itself chose. Of a credential it has the name of its key where callers are
//! told apart, and else nothing, not even its digest; and of the request no more than the target that it was read as.

use std::time::Duration;

use serde::{Serialize, Serializer};

use crate::cache::stored::StoredResponse;
use crate::clock::Moment;
use crate::closed_enum::closed_enum;
use crate::config::CachedResource;
use crate::error::{ErrorKind, ProxyError};
use crate::organization::sharing::Shared;
use crate::origin::Foreseen;
use crate::outcome::CacheStatus;
use crate::resource::{Descriptor, Sentences};
use crate::shield::account::AccountKey;

closed_enum! {
    /// What would happen: the `decision` of an explanation.
    pub enum Conclusion {
        /// The guard turns it away.
        Refuse = "refuse",
        /// Answered from a fresh stored response.
        Hit = "hit",
        /// Answered from a stale stored response.
        Stale = "stale",
        /// Answered from the stored response although a younger one was asked for.
        RefillLimited = "refill_limited",
        /// 504: only a stored response was asked for.
        OnlyIfCached = "only_if_cached",
        /// Fetched, by right of a proof.
        Fetch = "fetch",
        /// Waits for the list that brings it along with others.
        FetchList = "fetch_list",
        /// Fetched although something fresh is stored.
        Refetch = "refetch",
        /// Answered by a flight that is under way.
        Join = "join",
        /// Sent upstream with its own token, to be proven by the answer.
        Prove = "prove",
        /// Waits for the first proof of its credential.
        WaitForProof = "wait_for_proof",
        /// A label write: sent on, and answered after the invalidation.
        Write = "write",
        /// Sent on as it is.
        PassThrough = "pass_through",
        /// Answered with the 401 that is remembered.
        Latched = "latched",
        /// 429 of ours.
        Limited = "limited",
        /// 503 of ours.
        Unreachable = "unreachable",
    }
}

impl Conclusion {
    /// The reason in a sentence, in the words of the resource that it is about.
    const fn why(self, of: &Sentences) -> &'static str {
        match self {
            Self::Refuse => "The guard turns it away: nothing is sent.",
            Self::Hit => "A fresh response is stored, and the credential may have it.",
            Self::Stale => {
                "The stored response is stale and inside its window: it is answered while a fetch runs, or in place of one."
            }
            Self::RefillLimited => {
                "The client asks for a younger response, and the refetches of its organization are used up for now."
            }
            Self::OnlyIfCached => {
                "The client asks for a stored response alone, and there is none that it may have."
            }
            Self::Fetch => "The credential is proven, and nothing that may be served is stored.",
            Self::FetchList => of.fetched_by_list,
            Self::Refetch => {
                "The client asks for a younger response than the stored one: only a fetch begun after the request will do."
            }
            Self::Join => "A fetch that this read may share is under way.",
            Self::Prove => {
                "The credential has no proof that is young enough: the API is asked with its own token."
            }
            Self::WaitForProof => "Another read of this credential is asking for its proof: this one waits.",
            Self::Write => of.written,
            Self::PassThrough => "It is sent on as it is, and nothing of it is stored.",
            Self::Latched => "The API answered this credential 401 on this route a moment ago: said again.",
            Self::Limited => "Its turn would not come in time: 429 at once.",
            Self::Unreachable => "The API cannot be reached: failed at once.",
        }
    }
}

closed_enum! {
    /// What is known of a credential's proof, and what would be done about it.
    pub enum Proof {
        /// No organization is known: the API is asked.
        Unbound = "unbound",
        /// Young: nothing is done.
        Fresh = "fresh",
        /// Past three quarters of its age: renewed behind the answer.
        Renewing = "renewing",
        /// Too old: the API is asked. For a second at most where the old one would do if it cannot be.
        Lapsed = "lapsed",
        /// Too old, but the upstream cannot be asked: it still does.
        Outage = "outage",
    }
}

/// What would happen to a request.
#[derive(Debug, Serialize)]
pub struct Explanation {
    #[serde(serialize_with = "word")]
    pub(super) decision: Conclusion,
    why: &'static str,
    /// What is said of the resource that it is about.
    #[serde(skip)]
    sentences: &'static Sentences,
    /// The member that `Cache-Status` would have, if the upstream answers what it usually does.
    pub(super) cache_status: Option<String>,
    /// An answer of ours.
    pub(super) error: Option<Refused>,
    /// What kind of request it is; nothing where the guard refuses it.
    pub(super) class: Option<&'static str>,
    /// Why a label read may not be cached.
    pub(super) bypass: Option<&'static str>,
    pub(super) credential: Option<Known>,
    /// The organization that the credential is bound to.
    pub(super) organization: Option<String>,
    pub(super) key: Option<Key>,
    pub(super) stored: Option<Stored>,
    /// Whether a fetch that it may share is under way.
    pub(super) flight_under_way: bool,
    /// `leased` or `alone`: whether the other replicas are known to have told all that they had to; nothing without a fleet.
    pub(super) fleet: Option<&'static str>,
    pub(super) shield: Option<Shield>,
}

/// An answer of ours: kind, status, sentence.
#[derive(Debug, Serialize)]
pub(super) struct Refused {
    #[serde(serialize_with = "word")]
    kind: ErrorKind,
    status: u16,
    message: &'static str,
    retry_after_ms: Option<u64>,
}

/// What is known of the credential.
#[derive(Debug, Serialize)]
pub(super) struct Known {
    /// Whether the fields make one credential.
    pub(super) well_formed: bool,
    /// The name of its key in log and status, where callers are told apart.
    pub(super) name: Option<String>,
    #[serde(serialize_with = "word")]
    pub(super) proof: Proof,
    pub(super) proof_age_seconds: Option<u64>,
    /// Whether the API has answered it lately; unverified callers are let in a few at a time.
    pub(super) stranger: bool,
}

/// What a stored response would be found by.
#[derive(Debug, Serialize)]
pub(super) struct Key {
    pub(super) resource: &'static str,
    pub(super) organization: String,
    /// Whether it belongs to the credential alone.
    pub(super) own: bool,
    /// Who may get what is read under it, and why not more.
    #[serde(serialize_with = "word")]
    pub(super) shared: Shared,
    /// Path and query as the upstream gets them.
    pub(super) target: String,
}

/// What is stored under the key.
#[derive(Debug, Serialize)]
pub(super) struct Stored {
    pub(super) age_seconds: u64,
    /// Freshness lifetime left; zero or negative when stale.
    pub(super) fresh_for_seconds: i64,
    /// What is left of the windows behind it, before the client narrows them.
    pub(super) stale_while_revalidate_left_seconds: u64,
    pub(super) stale_if_error_left_seconds: u64,
    /// Whether it was read while a write settled.
    pub(super) settling: bool,
}

/// What may hold its call up.
#[derive(Debug, Serialize)]
pub(super) struct Shield {
    /// Whose windows it spends from.
    pub(super) account: &'static str,
    pub(super) left_of_second: u32,
    pub(super) left_of_minute: u32,
    pub(super) queued: usize,
    /// How long a call would wait for its turn; nothing where it would not get one.
    pub(super) wait_ms: Option<u64>,
    /// How long the API's own 429 still holds.
    pub(super) closed_for_ms: Option<u64>,
    /// How long a 401 is still remembered for it.
    pub(super) latched_for_ms: Option<u64>,
    pub(super) breaker_open: bool,
    pub(super) edge_blocked: bool,
}

impl Stored {
    /// What a stored response is under these lifetimes.
    pub(super) fn of(stored: &StoredResponse, rules: &CachedResource, now: Moment) -> Self {
        let (age, lifetime) = (stored.age(now), stored.freshness_lifetime(rules.ttl));
        let seconds = |duration: Duration| i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
        let left = |window: Duration| (lifetime + window).saturating_sub(age).min(window).as_secs();
        Self {
            age_seconds: age.as_secs(),
            fresh_for_seconds: seconds(lifetime.saturating_sub(age)) - seconds(age.saturating_sub(lifetime)),
            stale_while_revalidate_left_seconds: left(rules.stale_while_revalidate),
            stale_if_error_left_seconds: left(rules.stale_if_error),
            settling: stored.settling,
        }
    }
}

impl From<Foreseen> for Shield {
    fn from(foreseen: Foreseen) -> Self {
        Self {
            account: match foreseen.account {
                AccountKey::Organization(_) => "organization",
                AccountKey::Authorization(_) => "authorization",
                AccountKey::Everybody => "everybody",
            },
            left_of_second: foreseen.left_of_second,
            left_of_minute: foreseen.left_of_minute,
            queued: foreseen.queued,
            wait_ms: foreseen.wait.map(millis),
            closed_for_ms: foreseen.closed_for.map(millis),
            latched_for_ms: foreseen.remembered_for.map(millis),
            breaker_open: foreseen.breaker_open,
            edge_blocked: foreseen.edge_blocked,
        }
    }
}

impl Explanation {
    /// Nothing is known but what would happen, and in whose words to tell it.
    pub(super) const fn new(decision: Conclusion, resource: &'static Descriptor) -> Self {
        Self {
            decision,
            why: decision.why(&resource.sentences),
            sentences: &resource.sentences,
            cache_status: None,
            error: None,
            class: None,
            bypass: None,
            credential: None,
            organization: None,
            key: None,
            stored: None,
            flight_under_way: false,
            fleet: None,
            shield: None,
        }
    }

    /// Something else would happen.
    pub(super) fn conclude(&mut self, decision: Conclusion, cache_status: Option<CacheStatus>) {
        (self.decision, self.why, self.error) = (decision, decision.why(self.sentences), None);
        self.cache_status = cache_status.map(text);
    }

    /// The error of ours that it would be answered with.
    pub(super) fn failure(&self) -> Option<ErrorKind> {
        self.error.as_ref().map(|refused| refused.kind)
    }

    /// It would be answered with this error of ours.
    pub(super) fn fail(&mut self, decision: Conclusion, error: &ProxyError) {
        self.conclude(decision, None);
        self.error = Some(Refused {
            kind: error.kind(),
            status: error.kind().status().as_u16(),
            message: error.message(),
            retry_after_ms: error.wait().map(millis),
        });
    }
}

/// Whole milliseconds, rounded up: a wait that is left is never nothing.
pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

/// Behind the proxy's name, which every value begins with.
fn text(status: CacheStatus) -> String {
    let value = status.value();
    let text = value.to_str().unwrap_or_default();
    text.strip_prefix("instantly-proxy; ").unwrap_or(text).to_owned()
}

fn word<W: std::fmt::Display, S: Serializer>(word: &W, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(word)
}
