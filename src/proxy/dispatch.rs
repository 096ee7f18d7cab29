//! Before a call leaves and when its answer's head is here: everything that may hold it up, in one order.
//!
//! Latch, breaker, strangers, budget, then the way out ([`Upstream::send`](crate::upstream::client::Upstream::send), where
//! the breaker hands out its probe). What an answer says of the upstream's limit and of the key is noted before anything of it is used.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, StatusCode};

use super::Proxy;
use crate::caller::credential::{AuthorizationDigest, Credential, CredentialDigest, RouteDigest};
use crate::clock::Moment;
use crate::error::ProxyError;
use crate::metrics::RetryResult;
use crate::organization::OrganizationId;
use crate::shield::RejectionReason;
use crate::shield::account::AccountKey;
use crate::shield::budget::{self, Accounts, Admission, CallerKey, Class};
use crate::shield::latch::{Latched, Unauthorized};
use crate::shield::retry_after;
use crate::shield::strangers::{Caller, Pass};

/// A call that wants to go upstream.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call<'a> {
    pub(super) credential: Option<&'a Credential>,
    pub(super) authorization: Option<AuthorizationDigest>,
    /// The organization that the credential is bound to.
    pub(super) organization: Option<OrganizationId>,
    pub(super) peer: IpAddr,
    pub(super) route: RouteDigest,
    pub(super) class: Class,
    /// How long it may wait for its turn.
    pub(super) patience: Duration,
}

/// Why a call did not go.
#[derive(Debug)]
pub(super) enum Held {
    /// The vendor refused this credential on this route a moment ago.
    Latched(Arc<Unauthorized>),
    /// It may not go now.
    Rejected(ProxyError),
}

/// Why a call did not go, before anybody counted it.
#[derive(Debug)]
pub(super) enum Stopped {
    Latched(Arc<Unauthorized>),
    Rejected(RejectionReason, ProxyError),
}

/// A call that may go now: what has to be told of its answer. Dropped without an answer, it gives its places up.
#[derive(Debug)]
pub(super) struct Going {
    accounts: Accounts,
    credential: Option<CredentialDigest>,
    route: RouteDigest,
    sent: Moment,
    pass: Pass,
    admission: Admission,
}

/// A call whose answer's head is here: a 401 still waits for its body, to be latched with it.
#[derive(Debug)]
pub(super) struct Gone {
    credential: Option<CredentialDigest>,
    route: RouteDigest,
    sent: Moment,
}

impl Proxy {
    /// Lets a call go, or says why not.
    pub(super) async fn admit(&self, call: &Call<'_>) -> Result<Going, Held> {
        match self.let_go(call).await {
            Ok(going) => {
                self.note_going(call, &going);
                Ok(going)
            }
            Err(stopped) => Err(self.note_stopped(stopped)),
        }
    }

    /// The same without counting it.
    pub(super) async fn let_go(&self, call: &Call<'_>) -> Result<Going, Stopped> {
        let now = self.clock.now();
        if let Some(Latched { answer, .. }) = self.latched(call.credential, call.route, now) {
            return Err(Stopped::Latched(answer));
        }
        let rejected = |reason: RejectionReason, retry_after| {
            Stopped::Rejected(reason, reason.kind().error().retry_after(retry_after))
        };
        // Before the queue: who would be refused behind it must not wait, and a call that is not sent costs no slot.
        if let Some(retry_after) = self.upstream.refuses() {
            return Err(rejected(RejectionReason::Breaker, retry_after));
        }
        let pass = self.shield.strangers.admit(call.caller(), call.peer, call.patience);
        let pass = pass.await.map_err(|turned| rejected(turned.reason.into(), turned.retry_after))?;
        let accounts = self.accounts(call, pass.is_strangers());
        let asked = budget::Call {
            accounts,
            caller: call.caller_key(),
            class: call.class,
            patience: call.patience.saturating_sub(self.clock.now().since(now)),
        };
        let admission = self.shield.budget.admit(asked).await;
        Ok(Going {
            accounts,
            credential: call.credential.map(Credential::digest),
            route: call.route,
            sent: self.clock.now(),
            pass,
            admission: admission.map_err(|no| rejected(no.reason.into(), no.retry_after))?,
        })
    }

    /// Counts a call that goes.
    pub(super) fn note_going(&self, call: &Call<'_>, going: &Going) {
        self.metrics.shield_wait(going.admission.waited);
        if call.organization.is_none() {
            self.shield.note_unbound();
        }
    }

    /// Counts a call that was turned away.
    pub(super) fn note_stopped(&self, stopped: Stopped) -> Held {
        match stopped {
            Stopped::Latched(answer) => Held::Latched(answer),
            Stopped::Rejected(reason, error) => {
                self.metrics.shield_rejection(reason);
                Held::Rejected(error)
            }
        }
    }

    /// Takes back what a call spent that does not go after all.
    pub(super) fn call_off(&self, going: Going) {
        self.shield.budget.give_back(going.admission);
    }

    /// The 401 that holds for a credential on a route.
    pub(super) fn latched(
        &self,
        credential: Option<&Credential>,
        route: RouteDigest,
        now: Moment,
    ) -> Option<Latched> {
        self.shield.latch.check(credential?.digest(), route, now)
    }

    /// Notes the head of an answer: whose call it was is no stranger, whether the upstream limits its organization.
    pub(super) fn note_head(&self, going: Going, status: StatusCode, fields: &HeaderMap) -> Gone {
        let Going { accounts, credential, route, sent, pass, admission } = going;
        pass.answered(status);
        if status == StatusCode::TOO_MANY_REQUESTS {
            let now = self.clock.now();
            let wait = retry_after::of(fields, now.unix());
            self.shield.limited(accounts, sent, wait, now);
        } else {
            self.shield.not_limited(accounts, sent);
            if let Some(probe) = admission.probe {
                probe.passed();
            }
        }
        if status != StatusCode::UNAUTHORIZED
            && let Some(credential) = credential
        {
            self.shield.latch.on_other_answer(credential, route);
        }
        Gone { credential, route, sent }
    }

    /// A place for a failed call to be tried again: within a tenth of what was offered, and without waiting.
    pub(super) async fn second_try(&self, call: &Call<'_>) -> Option<Going> {
        if !self.shield.retries.take(self.clock.now()) {
            self.metrics.retry(RetryResult::Refused);
            return None;
        }
        let going = self.admit(call).await.ok();
        if going.is_none() {
            self.metrics.retry(RetryResult::Refused);
        }
        going
    }

    /// Counts what became of a second try: the status of its answer, if there was one.
    pub(super) fn note_retry(&self, status: Option<StatusCode>) {
        let answered = status.is_some_and(|status| !status.is_server_error());
        self.metrics.retry(if answered { RetryResult::Answered } else { RetryResult::Failed });
    }

    /// Latches a 401 with the vendor's own body.
    pub(super) fn note_unauthorized(&self, gone: &Gone, answer: Unauthorized) {
        if let Some(credential) = gone.credential {
            self.shield.latch.on_unauthorized(credential, gone.route, gone.sent, answer, self.clock.now());
        }
    }

    /// Who pays: the organization; with `x-as-workspace` the key's own account, too. A stranger's word is not taken for
    /// the workspace that it names: garbage would spend the budget of others.
    pub(super) fn accounts(&self, call: &Call<'_>, stranger: bool) -> Accounts {
        let bound = call.organization.map(AccountKey::Organization);
        let own = || call.authorization.map_or(AccountKey::Everybody, AccountKey::Authorization);
        let Some(acting) = call.credential.filter(|credential| credential.workspace().is_some()) else {
            return Accounts::one(self.shield.account(bound.unwrap_or_else(own)));
        };
        let key = self
            .bindings
            .organization_of_key(acting)
            .map_or_else(own, |organization| AccountKey::Organization(organization.id()));
        let named = acting.workspace().filter(|_| !stranger).map(AccountKey::Organization);
        let (first, second) = (self.shield.account(bound.or(named).unwrap_or(key)), self.shield.account(key));
        if first == second { Accounts::one(first) } else { Accounts::acting(first, second) }
    }
}

impl Call<'_> {
    pub(super) fn caller(&self) -> Caller {
        match (self.credential, self.authorization) {
            (Some(credential), _) => Caller::Credential(credential.digest()),
            (None, Some(authorization)) => Caller::Authorization(authorization),
            (None, None) => Caller::Anonymous,
        }
    }

    pub(super) fn caller_key(&self) -> CallerKey {
        match (self.credential, self.authorization) {
            (Some(credential), _) => CallerKey::Credential(credential.digest()),
            (None, Some(authorization)) => CallerKey::Authorization(authorization),
            (None, None) => CallerKey::Anonymous,
        }
    }
}
