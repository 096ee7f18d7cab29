//! Before a call goes: everything that may hold it up, in one order.
//!
//! Remembered refusal, breaker, unverified callers, then a connection and the turn in the budget: a call that has its turn
//! is written at once. What waits for its turn holds no connection until that is near.

use std::sync::Arc;
use std::time::Duration;

use super::Origin;
use super::call::{Call, Lane, Retries};
use crate::clock::Moment;
use crate::config::Mode;
use crate::error::{ErrorKind, ProxyError};
use crate::metrics::RetryResult;
use crate::reason::RejectionReason;
use crate::shield::account::{AccountKey, Accounts};
use crate::shield::budget::{self, Admission, Turned};
use crate::shield::refusals::{RememberedRefusal, Unauthorized};
use crate::shield::share::Observed;
use crate::shield::unverified::{self, Pass};
use crate::upstream::calls::Ready;
use crate::upstream::connections::UpstreamClient;
use crate::upstream::permits::Permit;

/// A connection, and the permit to hold it where one is needed.
type Connection = (Ready, Option<Permit>);

/// Why a call does not go.
#[derive(Debug)]
pub enum NotAdmitted {
    /// The vendor refused this credential on this route a moment ago.
    Remembered(Arc<Unauthorized>),
    /// It may not go now.
    Rejected(ProxyError),
    /// It could not be connected, and is not tried again.
    Unconnected(ProxyError),
}

/// The same, before anybody counted it.
#[derive(Debug)]
enum Stopped {
    Remembered(Arc<Unauthorized>),
    Rejected(RejectionReason, ProxyError),
    Unconnected(ProxyError),
}

/// The right to send a call now.
#[derive(Debug)]
#[must_use = "its slot is spent"]
pub struct Turn(pub(super) Result<Admitted, ProxyError>);

/// A call that goes now, on the connection that it has in hand. Dropped without an answer, it gives its places up.
#[derive(Debug)]
pub(super) struct Admitted {
    /// In a box: the call is handed on several times before it goes.
    pub(super) places: Box<Places>,
    pub(super) ready: Ready,
}

/// What a call that goes holds until the head of its answer.
#[derive(Debug)]
pub(super) struct Places {
    pub(super) accounts: Accounts,
    pub(super) at: Moment,
    pub(super) pass: Pass,
    pub(super) admission: Admission,
    /// For its connection, where those are counted.
    pub(super) permit: Option<Permit>,
}

impl Origin {
    /// Lets a call go, or says why not. `connects` is told if it waits for a connection alone.
    ///
    /// A read that could not be connected has a turn nevertheless: [`send`](Self::send) tries it once more.
    ///
    /// # Errors
    ///
    /// Why it does not go.
    pub async fn admit(&self, call: &Call<'_>, connects: impl FnOnce()) -> Result<Turn, NotAdmitted> {
        let turn = match self.admitted(call, connects).await {
            Ok(admitted) => Turn(Ok(admitted)),
            Err(NotAdmitted::Unconnected(error)) if call.retries != Retries::Never => Turn(Err(error)),
            Err(not) => return Err(not),
        };
        self.trace_wait(call.trace, call.asked_at);
        Ok(turn)
    }

    /// Takes back what a call spent that does not go after all.
    pub fn call_off(&self, turn: Turn) {
        if let Ok(admitted) = turn.0 {
            self.shield.budget.give_back(admitted.places.admission);
        }
    }

    /// Lets a call go, and counts what became of that.
    pub(super) async fn admitted(
        &self,
        call: &Call<'_>,
        connects: impl FnOnce(),
    ) -> Result<Admitted, NotAdmitted> {
        match self.let_go(call, connects).await {
            Ok(admitted) => {
                let admission = &admitted.places.admission;
                self.metrics.shield_wait(admission.waited);
                call.payer.waited(admission.waited);
                call.payer.observed(admission.observed, call.max_wait);
                if call.organization.is_none() {
                    self.shield.note_unbound();
                }
                Ok(admitted)
            }
            Err(Stopped::Remembered(answer)) => Err(NotAdmitted::Remembered(answer)),
            Err(Stopped::Rejected(reason, error)) => {
                self.metrics.shield_rejection(reason);
                Err(NotAdmitted::Rejected(error))
            }
            Err(Stopped::Unconnected(error)) => Err(NotAdmitted::Unconnected(error)),
        }
    }

    /// A turn for a failed call to be tried again: within a tenth of what was offered, and without waiting.
    pub(super) async fn second_turn(&self, call: &Call<'_>) -> Option<Admitted> {
        if !self.shield.retries.take(self.clock.now()) {
            self.metrics.retry(RetryResult::Refused);
            return None;
        }
        let result = match Box::pin(self.admitted(&Call { max_wait: Duration::ZERO, ..*call }, || {})).await {
            Ok(admitted) => return Some(admitted),
            Err(NotAdmitted::Unconnected(_)) => RetryResult::Failed,
            Err(NotAdmitted::Remembered(_) | NotAdmitted::Rejected(_)) => RetryResult::Refused,
        };
        self.metrics.retry(result);
        None
    }

    async fn let_go(&self, call: &Call<'_>, connects: impl FnOnce()) -> Result<Admitted, Stopped> {
        let now = self.clock.now();
        if let Some(RememberedRefusal { answer, .. }) = self.remembered(call, now) {
            return Err(Stopped::Remembered(answer));
        }
        let rejected = |reason: RejectionReason, retry_after| {
            Stopped::Rejected(
                reason,
                reason.kind().error().for_reason(reason.as_str()).retry_after(retry_after),
            )
        };
        // Before the queue: who would be refused behind it must not wait, and a call that is not sent costs no slot.
        if let Some(retry_after) = self.upstream.refuses() {
            return Err(rejected(RejectionReason::Breaker, retry_after));
        }
        let unverified = &self.shield.unverified;
        let (pass, observed) = match self.shield.mode() {
            Mode::Observe => self.observe(call, now),
            Mode::Enforce => match unverified.admit(call.caller.into(), call.peer, call.max_wait).await {
                Ok(pass) => (pass, None),
                Err(turned) => return Err(rejected(turned.reason.into(), turned.retry_after)),
            },
        };
        let admitted = self.clock.now();
        let accounts = self.accounts(call, admitted);
        let max_wait = call.max_wait.saturating_sub(admitted.since(now));
        let asked = budget::Call {
            accounts,
            caller: call.who(),
            share: call.payer.share(),
            class: call.class,
            max_wait,
            store_waited: call.store_waited,
            ahead: self.upstream.connects_ahead(),
        };
        let open = self.open_connection(call);
        // In a box that is made when it is needed: few calls connect, and every one would keep the room for it.
        let connect = async { Box::pin(self.connect(call, max_wait)).await };
        let admitted = self.shield.budget.admit(asked, open, connect, connects).await;
        let (mut admission, (mut ready, permit)) = admitted.map_err(|turned| match turned {
            Turned::Rejected(no) => rejected(no.reason.into(), no.retry_after),
            Turned::Unconnected(stopped) => stopped,
        })?;
        // One call is held up once: by what comes first.
        admission.observed = observed.or(admission.observed);
        // It may have opened since.
        if let Err(retry_after) = self.upstream.pass(&mut ready) {
            self.shield.budget.give_back(admission);
            return Err(rejected(RejectionReason::Breaker, retry_after));
        }
        let places = Box::new(Places { accounts, at: self.clock.now(), pass, admission, permit });
        Ok(Admitted { places, ready })
    }

    /// Lets a call by what enforced limits would ask before its turn, and says what they would have done.
    fn observe(&self, call: &Call<'_>, now: Moment) -> (Pass, Option<Observed>) {
        const REFUSED: Observed = Observed::Refused(Duration::MAX);
        let (door, caller) = (&self.shield.unverified, call.caller.into());
        if self.refused_lately(call, now).is_some() {
            return (door.admit_beside(caller), Some(REFUSED));
        }
        let (pass, verdict) = door.admit_observed(caller, call.peer);
        let verdict = verdict.err().map(|turned| match turned.reason {
            unverified::Reason::Slots => Observed::Waits(Duration::ZERO),
            unverified::Reason::Refusals => REFUSED,
        });
        (pass, verdict)
    }

    /// A connection that a call could use now.
    fn open_connection(&self, call: &Call<'_>) -> Option<Connection> {
        match call.lane {
            Lane::Labels => {
                let client = self.label_client();
                Some((self.upstream.ready_now(&client, call.owner())?, None))
            }
            Lane::PassThrough(client) => {
                let permit = self.permits.try_take(call.permits())?;
                Some((self.upstream.ready_now(client, call.owner())?, Some(permit)))
            }
        }
    }

    /// A connection, when the call's turn is near: permit first, which bounds how many are open.
    async fn connect(&self, call: &Call<'_>, max_wait: Duration) -> Result<Connection, Stopped> {
        match call.lane {
            Lane::Labels => Ok((self.connected(call, &self.label_client()).await?, None)),
            Lane::PassThrough(client) => {
                let permit = self.permits.take(call.permits(), max_wait).await;
                let permit =
                    permit.map_err(|error| Stopped::Rejected(RejectionReason::Connections, error))?;
                Ok((self.connected(call, client).await?, Some(permit)))
            }
        }
    }

    async fn connected(&self, call: &Call<'_>, client: &UpstreamClient) -> Result<Ready, Stopped> {
        let ready = self.upstream.ready(client, call.owner(), call.purpose).await;
        ready.map_err(|error| {
            // What the breaker stops is no call.
            if error.kind() != ErrorKind::Unreachable {
                call.payer.called(Duration::ZERO);
            }
            Stopped::Unconnected(error)
        })
    }

    /// The 401 that is said again to a call: none where limits are observed alone.
    #[must_use]
    pub fn remembered(&self, call: &Call<'_>, now: Moment) -> Option<RememberedRefusal> {
        if self.shield.mode() == Mode::Observe { None } else { self.refused_lately(call, now) }
    }

    fn refused_lately(&self, call: &Call<'_>, now: Moment) -> Option<RememberedRefusal> {
        self.shield.refusals.check(call.digest()?, call.route, now)
    }

    /// Who pays: the organization; with `x-as-workspace` the key's own account, too. Who names a workspace is not believed
    /// before the API has done something for that very credential: anybody could spend that workspace's budget, or have a 429 of
    /// its own hold it.
    pub(super) fn accounts(&self, call: &Call<'_>, now: Moment) -> Accounts {
        let bound = call.organization.map(|id| AccountKey::Organization(id.name()));
        let Some(acting) = call.credential().filter(|credential| credential.workspace().is_some()) else {
            return Accounts::one(self.shield.account(bound.unwrap_or_else(|| call.own_account())));
        };
        let key = self.bindings.organization_of_key(acting).map_or_else(
            || call.own_account(),
            |organization| AccountKey::Organization(organization.id().name()),
        );
        let named = acting
            .workspace()
            .filter(|_| self.shield.unverified.is_accepted(call.caller.into(), now))
            .map(AccountKey::Organization);
        let (first, second) = (self.shield.account(bound.or(named).unwrap_or(key)), self.shield.account(key));
        if first == second { Accounts::one(first) } else { Accounts::acting(first, second) }
    }
}
