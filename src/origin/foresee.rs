//! What would become of a call, foreseen: nothing is spent, and no turn is taken.

use std::time::Duration;

use super::Origin;
use super::call::Call;
use crate::clock::Moment;
use crate::config::Mode;
use crate::error::ProxyError;
use crate::reason::RejectionReason;
use crate::shield::account::AccountKey;
use crate::shield::budget;

/// What stands in the way of a call.
#[derive(Debug)]
pub enum Obstacle {
    /// A 401 is remembered for it.
    Remembered,
    /// It would not go.
    Error(ProxyError),
}

/// What may hold a call up, as it stands now.
#[derive(Clone, Copy, Debug)]
pub struct Foreseen {
    /// Whose windows it spends from.
    pub account: AccountKey,
    /// What is left of the windows.
    pub left_of_second: u32,
    /// What is left of the windows.
    pub left_of_minute: u32,
    /// Calls of the account that wait.
    pub queued: usize,
    /// How long it would wait for its turn; nothing where it would not get one.
    pub wait: Option<Duration>,
    /// How long the API's own 429 still holds.
    pub closed_for: Option<Duration>,
    /// How long a 401 is still remembered for it.
    pub remembered_for: Option<Duration>,
    /// Whether the API cannot be reached.
    pub breaker_open: bool,
    /// Whether the edge turns our own reads away.
    pub edge_blocked: bool,
    /// Whether the API has not answered its caller lately.
    pub is_unverified: bool,
}

impl Origin {
    /// The first that would hold a call, in the order in which they are asked.
    #[must_use]
    pub fn obstacle(&self, call: &Call<'_>, now: Moment) -> Option<Obstacle> {
        if self.remembered(call, now).is_some() {
            return Some(Obstacle::Remembered);
        }
        let rejected = |reason: RejectionReason, retry_after| {
            Some(Obstacle::Error(reason.kind().error().retry_after(retry_after)))
        };
        if let Some(retry_after) = self.upstream.refuses() {
            return rejected(RejectionReason::Breaker, retry_after);
        }
        if self.shield.mode() == Mode::Observe {
            // The rest is counted, and holds nobody up.
            return None;
        }
        let strangers = &self.shield.unverified;
        if let Err(turned) = strangers.foresee(call.caller.into(), call.peer, call.max_wait, now) {
            return rejected(turned.reason.into(), turned.retry_after);
        }
        let foreseen = self.shield.budget.foresee(&self.spending(call, now), now);
        foreseen.err().and_then(|no| rejected(no.reason.into(), no.retry_after))
    }

    /// What may hold a call up.
    #[must_use]
    pub fn foresee(&self, call: &Call<'_>, now: Moment) -> Foreseen {
        let spending = self.spending(call, now);
        let account = spending.accounts.first;
        let (limits, usage) = (self.shield.budget.limits(), self.shield.budget.usage(account, now));
        Foreseen {
            account,
            left_of_second: limits.per_second.saturating_sub(usage.second),
            left_of_minute: limits.per_minute.saturating_sub(usage.minute),
            queued: usage.queued,
            wait: self.shield.budget.foresee(&spending, now).ok(),
            closed_for: usage.closed_for,
            remembered_for: self.remembered(call, now).map(|refusal| refusal.remaining),
            breaker_open: self.upstream.is_unreachable(),
            edge_blocked: self.shield.edge.is_blocked(),
            is_unverified: self.shield.unverified.is_unverified(call.caller.into(), now),
        }
    }

    fn spending(&self, call: &Call<'_>, now: Moment) -> budget::Call {
        budget::Call {
            accounts: self.accounts(call, now),
            caller: call.who(),
            share: call.payer.share(),
            class: call.class,
            max_wait: call.max_wait,
            store_waited: call.store_waited,
            ahead: Duration::ZERO,
        }
    }
}
