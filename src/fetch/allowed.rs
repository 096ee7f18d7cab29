//! What the upstream allows of what it answered, and for how long that is of use.

use std::time::Duration;

use http::response::Parts;

use crate::config::{CachedResource, UpstreamDirectives};
use crate::semantics::response_directives::{StorageRule, storage_rule};

/// What the upstream's directives allow, where they are respected.
#[derive(Clone, Copy, Debug)]
pub(super) enum Allowed {
    /// To be stored, and for how long at most.
    Stored(Option<Duration>),
    /// Not to be stored.
    Nothing,
}

impl Allowed {
    pub(super) fn by(head: &Parts, rules: &CachedResource) -> Self {
        if rules.upstream_directives == UpstreamDirectives::Ignore {
            return Self::Stored(None);
        }
        match storage_rule(&head.headers, rules.ttl) {
            StorageRule::Forbid(reason) => {
                tracing::debug!(reason = %reason, "the upstream forbids storing");
                Self::Nothing
            }
            StorageRule::Lifetime(limit) => Self::Stored(Some(limit)),
        }
    }

    /// For how long at most, where it may be stored at all.
    pub(super) const fn limit(&self) -> Option<Duration> {
        match self {
            Self::Stored(limit) => *limit,
            Self::Nothing => None,
        }
    }

    pub(super) const fn is_nothing(&self) -> bool {
        matches!(self, Self::Nothing)
    }
}

/// How long a stored response can be served at all.
pub(super) fn useful_for(rules: &CachedResource) -> Duration {
    rules.ttl + rules.stale_while_revalidate.max(rules.stale_if_error)
}
