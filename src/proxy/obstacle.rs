//! What the shield would do with a call, foreseen for `/api/explain`: nothing is spent, and no turn is taken.

use std::time::Duration;

use super::Proxy;
use super::dispatch::Call;
use super::explanation::{Shield, millis};
use crate::clock::Moment;
use crate::error::ProxyError;
use crate::shield::RejectionReason;
use crate::shield::account::AccountKey;
use crate::shield::budget;

/// What stands in the way of a call.
pub(super) enum Obstacle {
    Latched,
    Error(ProxyError),
}

impl Proxy {
    /// The first that would hold a call, in the order in which they are asked.
    pub(super) fn obstacle(&self, call: &Call<'_>, now: Moment) -> Option<Obstacle> {
        if self.latched_for(call, now).is_some() {
            return Some(Obstacle::Latched);
        }
        let rejected = |reason: RejectionReason, retry_after| {
            Some(Obstacle::Error(reason.kind().error().retry_after(retry_after)))
        };
        if let Some(retry_after) = self.upstream.refuses() {
            return rejected(RejectionReason::Breaker, retry_after);
        }
        if let Err(turned) = self.shield.strangers.foresee(call.who(), call.peer, call.patience, now) {
            return rejected(turned.reason.into(), turned.retry_after);
        }
        let foreseen = self.shield.budget.foresee(&self.spending(call, now), now);
        foreseen.err().and_then(|no| rejected(no.reason.into(), no.retry_after))
    }

    pub(super) fn in_the_way(&self, call: &Call<'_>, now: Moment) -> Shield {
        let spending = self.spending(call, now);
        let account = spending.accounts.first;
        let (limits, usage) = (self.shield.budget.limits(), self.shield.budget.usage(account, now));
        Shield {
            account: match account {
                AccountKey::Organization(_) => "organization",
                AccountKey::Authorization(_) => "authorization",
                AccountKey::Everybody => "everybody",
            },
            left_of_second: limits.per_second.saturating_sub(usage.second),
            left_of_minute: limits.per_minute.saturating_sub(usage.minute),
            queued: usage.queued,
            wait_ms: self.shield.budget.foresee(&spending, now).ok().map(millis),
            closed_for_ms: usage.closed_for.map(millis),
            latched_for_ms: self.latched_for(call, now).map(millis),
            breaker_open: self.upstream.is_unreachable(),
            edge_blocked: self.shield.edge.is_blocked(),
        }
    }

    fn spending(&self, call: &Call<'_>, now: Moment) -> budget::Call {
        let stranger = self.shield.strangers.is_stranger(call.who(), now);
        budget::Call {
            accounts: self.accounts(call, stranger),
            caller: call.who(),
            class: call.class,
            patience: call.patience,
            ahead: Duration::ZERO,
        }
    }

    fn latched_for(&self, call: &Call<'_>, now: Moment) -> Option<Duration> {
        let latched = self.shield.latch.check(call.credential?.digest(), call.route, now)?;
        Some(latched.remaining)
    }
}
