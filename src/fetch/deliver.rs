//! What a read gets from a fetch: joining a flight or leading one, and what it may have of the result.

use std::sync::Arc;
use std::time::Duration;

use http::{Response, StatusCode};

use super::Fetcher;
use super::asker::{Asker, Fallback, Ground, Wanted};
use super::flight::{Crashed, Flight, FlightKey, Join, Leader, Storing};
use super::result::{Fetched, OwnAnswer};
use super::spared::Asks;
use super::task::{Fetch, Use, Waited};
use crate::body::Body;
use crate::cache::Reader;
use crate::cache::stored::StoredResponse;
use crate::caller::credential::CredentialDigest;
use crate::classify::Read;
use crate::clock::Elapsed;
use crate::error::{ErrorKind, ProxyError};
use crate::organization::Organization;
use crate::origin::whole::WholeAnswer;
use crate::shield::budget::Class;
use crate::shield::refusals::Unauthorized;
use crate::shield::share::Urgency;

/// Times that a read joins flights at all, before it flies alone.
const JOINED_ROUNDS: u8 = 4;
/// What a read is told at least that has to come again: its wait ended before its fetch was sent.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// How much longer the one who leads waits to be told by its fetch, which knows better when to come again. Without an end a
/// flight that others join, each more patient than the last, would hold it for as long as they come.
const TOLD_WITHIN: Duration = Duration::from_millis(50);

/// What a read may have of a result.
#[derive(Debug)]
pub enum Delivery {
    /// A response that passed every check.
    Response {
        /// The response.
        response: Arc<StoredResponse>,
        /// Whether it was stored.
        stored: bool,
    },
    /// A response that another replica fetched, and that passed every check here. It may be of any age.
    Shared(Arc<StoredResponse>),
    /// The upstream's answer, for this read alone.
    Whole(Arc<WholeAnswer>),
    /// The upstream's answer, too large to keep.
    Streamed(Response<Body>),
    /// The 401 that is remembered for it.
    Remembered(Arc<Unauthorized>),
    /// The edge turns our own reads away: the caller's own request may fare better.
    Blocked,
    /// Nothing; something may have changed, so that its standing is to be asked for again.
    Again,
}

/// What became of a read that wanted something.
#[derive(Debug)]
pub enum Got<S> {
    /// What was wanted was there by now.
    Found(S),
    /// A fetch came to its end.
    Fetched(Delivery, Part),
}

/// A read's part in a flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Its own token fetched.
    Led,
    /// Another read's fetch did for it.
    Joined,
}

impl Fetcher {
    /// Joins the fetch that is wanted, or begins one; nothing of both if `found` finds that it is there by now.
    ///
    /// # Errors
    ///
    /// What the read is told in place of an answer.
    pub async fn fetch<S>(
        self: &Arc<Self>,
        asker: &mut Asker<'_>,
        wanted: &Wanted<'_>,
        found: impl FnOnce() -> Option<S>,
    ) -> Result<Got<S>, ProxyError> {
        let (delivery, part) = match self.join(asker, wanted, found) {
            Join::Found(found) => return Ok(Got::Found(found)),
            Join::Joined(flight) => (self.wait(asker, wanted, &flight, Part::Joined).await?, Part::Joined),
            Join::Leading(flight, publisher) => {
                // First: a queued fetch that nobody waits for is given up.
                let waiter = flight.wait_until(asker.arrived_at.plus(asker.max_wait));
                self.launch(self.begun_by(asker, wanted), publisher);
                let delivery = self.wait(asker, wanted, &flight, Part::Led).await;
                drop(waiter);
                (delivery?, Part::Led)
            }
        };
        Ok(Got::Fetched(delivery, part))
    }

    /// Joins the flight that is wanted, or begins one.
    pub(super) fn join<S>(
        &self,
        asker: &Asker<'_>,
        wanted: &Wanted<'_>,
        found: impl FnOnce() -> Option<S>,
    ) -> Join<Fetched, S> {
        let joinable = |flight: &Flight<Fetched>| self.may_join(asker, wanted, flight);
        let begin = || self.cache.fence().sequence().advance();
        let leader = Leader { credential: asker.digest(), urgency: asker.urgency() };
        self.flights.join(wanted.key.clone(), leader, joinable, found, begin)
    }

    /// Whether a fetch is under way that a read may share.
    #[must_use]
    pub fn would_join(&self, asker: &Asker<'_>, wanted: &Wanted<'_>) -> bool {
        let flight = self.flights.under_way(&wanted.key);
        flight.is_some_and(|flight| self.may_join(asker, wanted, &flight))
    }

    fn may_join(&self, asker: &Asker<'_>, wanted: &Wanted<'_>, flight: &Flight<Fetched>) -> bool {
        let fence = self.cache.fence();
        let unwritten = match wanted.organization {
            Some(organization) => fence.admits(organization, &wanted.target, flight.begun),
            None => fence.nothing_invalidated_since(flight.begun),
        };
        // What waits for what others leave may wait for long: who takes turns does not wait behind it.
        let is_left_behind =
            flight.leader.urgency == Urgency::Spare && asker.urgency() == Urgency::Turns && !flight.is_sent();
        unwritten
            && !self.cache.is_purged_since(asker.reader.read.resource, flight.begun)
            && flight.begun > wanted.after
            && asker.rounds < JOINED_ROUNDS
            && !is_left_behind
    }

    /// The fetch of a read that leads its flight and waits for it.
    fn begun_by(&self, asker: &Asker<'_>, wanted: &Wanted<'_>) -> Fetch {
        let payer = asker.ledger.payer();
        let mut fetch = Fetch { waited: Waited::For, payer, ..self.fetch_of(asker, wanted) };
        if wanted.ground == Ground::ToProve && fetch.use_of.proves() {
            fetch.attempt = self.attempts.begin(asker.digest(), asker.reader.read.resource);
        }
        if fetch.attempt.is_some() {
            // Every hit of this credential waits for it.
            fetch.class = Class::Proof;
        }
        fetch
    }

    /// The fetch that a flight of this read carries.
    pub(super) fn fetch_of(&self, asker: &Asker<'_>, wanted: &Wanted<'_>) -> Fetch {
        let read = asker.reader.read;
        // The client of a HEAD sees no body: its answer proves nothing, even though a GET fetches it (R2).
        let proves = wanted.ground != Ground::ToProve || !read.head;
        Fetch {
            credential: asker.reader.credential.detached(),
            read: Read { target: wanted.target.clone(), ..read.clone() },
            organization: wanted.organization.cloned(),
            rules: Arc::clone(asker.reader.rules),
            peer: asker.peer,
            class: wanted.class,
            purpose: wanted.purpose,
            waited: Waited::Behind,
            asks: Asks::of(wanted),
            store_waited: asker.store_waited,
            use_of: match (proves, wanted.storing) {
                (false, _) => Use::Nothing,
                (true, Storing::Forbidden) => Use::Proof,
                (true, Storing::Allowed) => Use::ProofAndStore,
            },
            attempt: None,
            payer: asker.ledger.behind(),
            trace: asker.trace.cloned(),
        }
    }

    /// Waits for a flight: for its fetch to be sent as long as the caller is ready to, then until this read's own deadline;
    /// and takes what may be had of the result.
    async fn wait(
        &self,
        asker: &mut Asker<'_>,
        wanted: &Wanted<'_>,
        flight: &Flight<Fetched>,
        part: Part,
    ) -> Result<Delivery, ProxyError> {
        let max_wait = asker.arrived_at.plus(asker.max_wait);
        let _waiter = flight.wait_until(max_wait);
        let joined = self.clock.now();
        let mut waited = Duration::ZERO;
        if !flight.is_sent() {
            let until = if part == Part::Led { max_wait.plus(TOLD_WITHIN) } else { max_wait };
            if flight.sent_by(&self.clock, until).await.is_err() {
                return Err(ErrorKind::OverBudget.error().retry_after(RETRY_AFTER));
            }
            waited = self.clock.now().since(joined);
        }
        let deadline = asker.arrived_at.plus(waited).plus(asker.reader.rules.timeouts.fill_timeout);
        let ended = flight.result(&self.clock, deadline).await;
        if part == Part::Joined
            && let (Some(tracing), Some(parent)) = (&self.tracing, asker.trace)
        {
            tracing.record_follow(parent, flight.trace.get(), joined);
        }
        let result = match ended {
            Ok(Ok(result)) => result,
            Ok(Err(Crashed)) => return Err(ErrorKind::Internal.error().because("the fetch panicked")),
            Err(Elapsed) => return Err(ErrorKind::UpstreamTimeout.error()),
        };
        asker.rounds = asker.rounds.saturating_add(1);
        if let Fetched::Proven(waited) = result {
            asker.store_waited += waited;
        }
        self.deliver(asker, wanted, flight, part, result)
    }

    /// What a read may have of a result.
    fn deliver(
        &self,
        asker: &Asker<'_>,
        wanted: &Wanted<'_>,
        flight: &Flight<Fetched>,
        part: Part,
        result: Fetched,
    ) -> Result<Delivery, ProxyError> {
        let own = flight.leader.credential == asker.digest();
        let has_fallback = wanted.ground.fallback() == Fallback::Stored;
        // A read that came after a refusal may have joined what its credential was granted before.
        let Reader { credential, read, .. } = asker.reader;
        let late = || self.bindings.is_refused_since(credential, read.resource, flight.begun);
        if own && part == Part::Joined && result.is_grant() && late() {
            return Ok(Delivery::Again);
        }
        match result {
            Fetched::Checked { response, stored, owner } => {
                // R1 holds at the moment of delivery: who waited may have been refused meanwhile.
                let may_have = own || (owner.is_none() && self.may_have(asker, &response, None));
                Ok(if may_have { Delivery::Response { response, stored } } else { Delivery::Again })
            }
            Fetched::Shared { response, owner } => {
                // The store grants nothing: whoever gets it is proven, be it the one who asked.
                let is_its = owner.is_none_or(|owner| owner == asker.digest());
                let may_have = is_its && self.may_have(asker, &response, owner);
                Ok(if may_have { Delivery::Shared(response) } else { Delivery::Again })
            }
            Fetched::Proven(_) => Ok(Delivery::Again),
            Fetched::Own(_) | Fetched::Remembered(_) if !own => Ok(Delivery::Again),
            Fetched::Own(OwnAnswer::Whole(answer)) => Ok(Delivery::Whole(answer)),
            Fetched::Own(OwnAnswer::Streamed(answer)) => {
                Ok(answer.take().map_or(Delivery::Again, Delivery::Streamed))
            }
            Fetched::Own(OwnAnswer::MixedUp) => Err(ErrorKind::MixedUpAnswer.error()),
            Fetched::Remembered(answer) => Ok(Delivery::Remembered(answer)),
            Fetched::Blocked(_) if own => Ok(Delivery::Blocked),
            // A 403 speaks of the one who asked: the others ask for themselves (R7).
            Fetched::Blocked(_) if !has_fallback => Ok(Delivery::Again),
            Fetched::Blocked(_) => Err(ErrorKind::UpstreamFailed.error()),
            Fetched::Upstream(answer) if own && !has_fallback => Ok(Delivery::Whole(answer)),
            Fetched::Upstream(answer) => Err(self.shared_failure(&answer, wanted.organization)),
            // A local 429 is never shared: who has time left asks for itself.
            Fetched::Held(..)
                if part == Part::Joined && self.clock.now().since(asker.arrived_at) < asker.max_wait =>
            {
                Ok(Delivery::Again)
            }
            Fetched::Held(kind, retry_after) | Fetched::Failed(kind, Some(retry_after)) => {
                Err(kind.error().retry_after(retry_after))
            }
            Fetched::Failed(kind, None) => Err(kind.error()),
        }
    }

    /// Whether a read may have what another credential fetched.
    fn may_have(
        &self,
        asker: &Asker<'_>,
        response: &StoredResponse,
        owner: Option<CredentialDigest>,
    ) -> bool {
        let Reader { credential, read, rules } = asker.reader;
        (owner.is_some() || self.cache.is_shared(read.resource, response, rules))
            && self.bindings.is_proven_for(
                credential,
                read.resource,
                response.organization,
                &rules.proof,
                self.clock.now(),
            )
    }

    /// The error that those of another credential get in place of the upstream's own words to the leader.
    fn shared_failure(&self, answer: &WholeAnswer, organization: Option<&Arc<Organization>>) -> ProxyError {
        if answer.status() != StatusCode::TOO_MANY_REQUESTS {
            return ErrorKind::UpstreamFailed.error();
        }
        // What the upstream asked for, in whatever form, has closed the account for as long as will be heeded.
        let now = self.clock.now();
        let closed_for = |organization: &Arc<Organization>| {
            self.origin.shield().budget.closed_for(self.origin.account_of(organization), now)
        };
        let wait = organization.map_or(RETRY_AFTER, closed_for);
        ErrorKind::UpstreamLimited.error().retry_after(wait.max(RETRY_AFTER))
    }

    /// Begins a fetch that nobody waits for, unless one is under way that does for it.
    pub(super) fn launch_behind(
        self: &Arc<Self>,
        asker: &Asker<'_>,
        wanted: &Wanted<'_>,
    ) -> Option<Arc<Flight<Fetched>>> {
        match self.join(asker, wanted, || None::<()>) {
            Join::Leading(flight, publisher) => {
                self.launch(self.fetch_of(asker, wanted), publisher);
                Some(flight)
            }
            Join::Joined(_) | Join::Found(()) => None,
        }
    }

    /// Begins a fetch that nobody waits for, in a flight of this key, unless one is under way.
    pub(super) fn launch_alone(
        self: &Arc<Self>,
        key: FlightKey,
        fetch: impl FnOnce() -> Fetch,
        credential: CredentialDigest,
    ) -> Option<Arc<Flight<Fetched>>> {
        let begin = || self.cache.fence().sequence().advance();
        match self.flights.join(key, credential, |_| true, || None::<()>, begin) {
            Join::Leading(flight, publisher) => {
                self.launch(fetch(), publisher);
                Some(flight)
            }
            Join::Joined(_) | Join::Found(()) => None,
        }
    }
}

#[cfg(test)]
mod tests;
