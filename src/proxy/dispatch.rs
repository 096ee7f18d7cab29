//! Before a call leaves and when its answer's head is here: everything that may hold it up, in one order.
//!
//! Latch, breaker, strangers, then a connection and the turn in the budget, in this order: a call that has its turn is
//! written at once. What waits for its turn holds no connection until that is near. What an answer says of the upstream's
//! limit and of the key is noted before anything of it is used.

use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, Response, StatusCode};

use super::Proxy;
use crate::caller::credential::{AuthorizationDigest, Credential, CredentialDigest, RouteDigest};
use crate::clock::Moment;
use crate::error::{ErrorKind, ProxyError};
use crate::metrics::RetryResult;
use crate::organization::OrganizationId;
use crate::received::Received;
use crate::shield::RejectionReason;
use crate::shield::account::{AccountKey, Accounts};
use crate::shield::budget::{self, Admission, Class, Turned};
use crate::shield::latch::{Latched, Unauthorized};
use crate::shield::retry_after;
use crate::shield::strangers::Pass;
use crate::shield::who::Who;
use crate::upstream::calls::{Ready, Unanswered};
use crate::upstream::connections::UpstreamClient;
use crate::upstream::outgoing::{Outgoing, Owner};
use crate::upstream::permits::{Permit, Permits};
use crate::upstream::purpose::Purpose;

/// How often a call is sent again that the upstream certainly did not process. More than once, since a connection that goes
/// away takes all with it that was put on it, and its successor may be as short-lived.
const RESENDS: usize = 4;

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
    pub(super) purpose: Purpose,
}

/// Where a call gets its connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lane<'a> {
    pub(super) client: &'a UpstreamClient,
    /// Whose permits it needs, where connections are counted.
    pub(super) permits: Option<(&'a Permits, AccountKey)>,
}

/// A connection, and the permit to hold it where one is needed.
type Connection = (Ready, Option<Permit>);

/// Why a call did not go.
#[derive(Debug)]
pub(super) enum Held {
    /// The vendor refused this credential on this route a moment ago.
    Latched(Arc<Unauthorized>),
    /// It may not go now.
    Rejected(ProxyError),
    /// It could not be connected.
    Failed(ProxyError),
}

/// Why a call did not go, before anybody counted it.
#[derive(Debug)]
enum Stopped {
    Latched(Arc<Unauthorized>),
    Rejected(RejectionReason, ProxyError),
    Failed(ProxyError),
}

/// A call that goes now, on the connection that it has in hand.
#[derive(Debug)]
pub(super) struct Departure {
    pub(super) going: Going,
    pub(super) ready: Ready,
    pub(super) permit: Option<Permit>,
}

/// What has to be told of the answer to a call that goes. Dropped without an answer, it gives its places up.
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
    /// Lets a call go, or says why not. `connects` is told if it waits for a connection alone.
    pub(super) async fn admit(
        &self,
        call: &Call<'_>,
        lane: Lane<'_>,
        connects: impl FnOnce(),
    ) -> Result<Departure, Held> {
        match self.let_go(call, lane, connects).await {
            Ok(departure) => {
                self.note_going(call, &departure.going);
                Ok(departure)
            }
            Err(stopped) => Err(self.note_stopped(stopped)),
        }
    }

    async fn let_go(
        &self,
        call: &Call<'_>,
        lane: Lane<'_>,
        connects: impl FnOnce(),
    ) -> Result<Departure, Stopped> {
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
        let pass = self.shield.strangers.admit(call.who(), call.peer, call.patience);
        let pass = pass.await.map_err(|turned| rejected(turned.reason.into(), turned.retry_after))?;
        let accounts = self.accounts(call, pass.is_strangers());
        let patience = call.patience.saturating_sub(self.clock.now().since(now));
        let asked = budget::Call {
            accounts,
            caller: call.who(),
            class: call.class,
            patience,
            ahead: self.upstream.connects_ahead(),
        };
        let open = self.open_connection(call, lane);
        // In a box that is made when it is needed: few calls connect, and every one would keep the room for it.
        let connect = async { Box::pin(self.connect(call, lane, patience)).await };
        let admitted = self.shield.budget.admit(asked, open, connect, connects).await;
        let (admission, (mut ready, permit)) = admitted.map_err(|turned| match turned {
            Turned::Rejected(no) => rejected(no.reason.into(), no.retry_after),
            Turned::Unconnected(stopped) => stopped,
        })?;
        // It may have opened since.
        if let Err(retry_after) = self.upstream.pass(&mut ready) {
            self.shield.budget.give_back(admission);
            return Err(rejected(RejectionReason::Breaker, retry_after));
        }
        let (credential, route, sent) =
            (call.credential.map(Credential::digest), call.route, self.clock.now());
        let going = Going { accounts, credential, route, sent, pass, admission };
        Ok(Departure { going, ready, permit })
    }

    /// A connection that a call could use now.
    fn open_connection(&self, call: &Call<'_>, lane: Lane<'_>) -> Option<Connection> {
        let permit = match lane.permits {
            None => None,
            Some((permits, account)) => Some(permits.try_take(account)?),
        };
        self.upstream.ready_now(lane.client, call.owner()).map(|ready| (ready, permit))
    }

    /// A connection, when the call's turn is near: permit first, which bounds how many are open.
    async fn connect(
        &self,
        call: &Call<'_>,
        lane: Lane<'_>,
        patience: Duration,
    ) -> Result<Connection, Stopped> {
        let permit = match lane.permits {
            None => None,
            Some((permits, account)) => {
                let taken = permits.take(account, patience).await;
                Some(taken.map_err(|error| Stopped::Rejected(RejectionReason::Connections, error))?)
            }
        };
        let ready = self.upstream.ready(lane.client, call.owner(), call.purpose).await;
        Ok((ready.map_err(Stopped::Failed)?, permit))
    }

    /// Sends a call that goes, and once more on another connection, if need be more than once, while it is certain that the
    /// upstream did not process it; a read also if its connection had been closed under it.
    pub(super) async fn send(
        &self,
        call: &Call<'_>,
        lane: Lane<'_>,
        departure: Departure,
        outgoing: Outgoing,
        give_up: impl Future<Output = ()>,
    ) -> Result<(Gone, Response<Received>, Option<Permit>), ProxyError> {
        let Departure { mut going, mut ready, mut permit } = departure;
        let (mut outgoing, mut give_up) = (outgoing, pin!(give_up));
        for left in (0..=RESENDS).rev() {
            let sending = self.upstream.send(ready, outgoing, call.purpose, give_up.as_mut());
            let Unanswered { error, again, unprocessed } = match sending.await {
                Ok(answer) => {
                    return Ok((self.note_head(going, answer.status(), answer.headers()), answer, permit));
                }
                Err(unanswered) => unanswered,
            };
            let Some(again) = again.filter(|_| left > 0) else { return Err(error) };
            tracing::debug!(error = %error.kind(), cause = error.causes(), "sent again on another connection");
            // What the upstream did not process is not counted there: the slot is for the moment at which it goes again.
            // Whatever else the call held, the gate's probe and a stranger's place above all, it would wait for itself.
            match unprocessed {
                true => self.call_off(going),
                false => drop(going),
            }
            drop(permit);
            let resending = Box::pin(self.admit(call, lane, || {}));
            let admitted = tokio::select! {
                biased;
                admitted = resending => admitted,
                () = give_up.as_mut() => return Err(ErrorKind::UpstreamTimeout.error()),
            };
            let Ok(departure) = admitted else { return Err(error) };
            Departure { going, ready, permit } = departure;
            outgoing = again;
        }
        Err(ErrorKind::Internal.error())
    }

    /// Counts a call that goes.
    fn note_going(&self, call: &Call<'_>, going: &Going) {
        self.metrics.shield_wait(going.admission.waited);
        if call.organization.is_none() {
            self.shield.note_unbound();
        }
    }

    /// Counts a call that was turned away.
    fn note_stopped(&self, stopped: Stopped) -> Held {
        match stopped {
            Stopped::Latched(answer) => Held::Latched(answer),
            Stopped::Rejected(reason, error) => {
                self.metrics.shield_rejection(reason);
                Held::Rejected(error)
            }
            Stopped::Failed(error) => Held::Failed(error),
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
    pub(super) async fn second_try(&self, call: &Call<'_>, lane: Lane<'_>) -> Option<Departure> {
        if !self.shield.retries.take(self.clock.now()) {
            self.metrics.retry(RetryResult::Refused);
            return None;
        }
        match Box::pin(self.admit(&Call { patience: Duration::ZERO, ..*call }, lane, || {})).await {
            Ok(departure) => Some(departure),
            Err(Held::Failed(_)) => {
                self.note_retry(None);
                None
            }
            Err(Held::Latched(_) | Held::Rejected(_)) => {
                self.metrics.retry(RetryResult::Refused);
                None
            }
        }
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
        let own = || AccountKey::of(None, call.authorization);
        let Some(acting) = call.credential.filter(|credential| credential.workspace().is_some()) else {
            return Accounts::one(self.shield.account(AccountKey::of(call.organization, call.authorization)));
        };
        let key = self
            .bindings
            .organization_of_key(acting)
            .map_or_else(own, |organization| AccountKey::Organization(organization.id()));
        let bound = call.organization.map(AccountKey::Organization);
        let named = acting.workspace().filter(|_| !stranger).map(AccountKey::Organization);
        let (first, second) = (self.shield.account(bound.or(named).unwrap_or(key)), self.shield.account(key));
        if first == second { Accounts::one(first) } else { Accounts::acting(first, second) }
    }
}

impl Call<'_> {
    pub(super) fn who(&self) -> Who {
        Who::new(self.credential.map(Credential::digest), self.authorization)
    }

    /// Whose an HTTP/1.1 connection is that carries it.
    fn owner(&self) -> Owner {
        self.credential.map(Credential::digest)
    }
}
