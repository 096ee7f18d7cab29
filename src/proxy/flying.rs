//! What a read gets from a flight: joining or leading one, and taking what may be had of its landing.

use std::sync::Arc;
use std::time::Duration;

use http::{Method, StatusCode};

use super::Proxy;
use super::answer::Answer;
use super::fill::{Fill, Landing, OwnAnswer};
use super::read::{Reading, Step};
use super::whole::WholeAnswer;
use crate::cache::flight::{Boarding, Crashed, Flight, FlightKey, Ticket};
use crate::cache::render::render;
use crate::classify::{Read, Target};
use crate::clock::Elapsed;
use crate::error::{ErrorKind, ProxyError};
use crate::organization::Organization;
use crate::outcome::{BypassReason, CacheStatus, Outcome};
use crate::purpose::Purpose;
use crate::shield::budget::Class;
use crate::tick::Tick;

/// Times that a read joins flights at all, before it flies alone.
const JOINED_ROUNDS: u8 = 4;
/// What a read is told at least that has to come again: its patience ended before its flight departed.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// How much longer the one who leads waits to be told by its fill, which knows better when to come again. Without an end a
/// flight that others join, each more patient than the last, would hold it for as long as they come.
const TOLD_WITHIN: Duration = Duration::from_millis(50);

/// What a flight is asked for.
pub(super) struct Wanted<'a> {
    pub(super) key: FlightKey,
    pub(super) organization: Option<&'a Arc<Organization>>,
    pub(super) target: Target,
    /// Only fills begun after this may be joined.
    pub(super) after: Tick,
    pub(super) storing: bool,
    pub(super) purpose: Purpose,
    /// How urgent its call is.
    pub(super) class: Class,
    /// Whether the answer is fetched by right of a proof, or to get one.
    pub(super) proven: bool,
    /// Whether the client asked for a younger response than the stored one.
    pub(super) refetch: bool,
    /// Whether something stored would do if the upstream fails.
    pub(super) has_fallback: bool,
}

impl Proxy {
    /// Joins the flight that is wanted, or begins one.
    pub(super) fn board<S>(
        &self,
        reading: &Reading<'_>,
        wanted: &Wanted<'_>,
        landed: impl FnOnce() -> Option<S>,
    ) -> Boarding<Landing, S> {
        let joinable = |flight: &Flight<Landing>| self.may_join(reading, wanted, flight);
        let begin = || self.fence.sequence().advance();
        self.flights.board(wanted.key.clone(), reading.credential.digest(), joinable, landed, begin)
    }

    /// Whether a read may share a flight that is under way.
    pub(super) fn may_join(
        &self,
        reading: &Reading<'_>,
        wanted: &Wanted<'_>,
        flight: &Flight<Landing>,
    ) -> bool {
        let unwritten = match wanted.organization {
            Some(organization) => self.fence.admits(organization, &wanted.target, flight.begun),
            None => self.fence.nothing_raised_since(flight.begun),
        };
        unwritten && flight.begun > wanted.after && reading.rounds < JOINED_ROUNDS
    }

    /// The fill that a flight of this read carries.
    pub(super) fn fill_of(
        &self,
        reading: &Reading<'_>,
        wanted: &Wanted<'_>,
        flight: &Flight<Landing>,
    ) -> Fill {
        Fill {
            credential: reading.credential.detached(),
            read: Read { target: wanted.target.clone(), ..reading.read.clone() },
            peer: reading.peer,
            route: self.digester.route(&Method::GET, reading.read.resource.collection),
            class: wanted.class,
            rules: Arc::clone(&reading.rules),
            awaited: false,
            organization: wanted.organization.cloned(),
            storing: wanted.storing,
            // The client of a HEAD sees no body: its answer proves nothing, even though a GET fills it (R2).
            proving: wanted.proven || !reading.read.head,
            purpose: wanted.purpose,
            begun: flight.begun,
            sent: self.clock.now(),
            attempt: None,
            trace: reading.head.extensions.get().cloned(),
        }
    }

    /// Begins the fill of a flight that this read leads, and flies with it. The seat is taken first: a queued fill without
    /// anybody who waits is given up.
    pub(super) async fn fly_leading(
        self: &Arc<Self>,
        reading: &mut Reading<'_>,
        wanted: &Wanted<'_>,
        flight: &Flight<Landing>,
        (fill, ticket): (Fill, Ticket<Landing>),
    ) -> Result<Step, ProxyError> {
        let seat = flight.board(reading.arrived_at.plus(reading.patience));
        self.launch(Fill { awaited: true, ..fill }, ticket);
        let flown = self.fly(reading, wanted, flight, true).await;
        drop(seat);
        flown
    }

    /// Waits for a flight: for its departure as long as the caller is ready to, then until this read's own deadline; and
    /// takes what may be had of its landing.
    pub(super) async fn fly(
        &self,
        reading: &mut Reading<'_>,
        wanted: &Wanted<'_>,
        flight: &Flight<Landing>,
        leading: bool,
    ) -> Result<Step, ProxyError> {
        let patience = reading.arrived_at.plus(reading.patience);
        let _seat = flight.board(patience);
        let boarded = self.clock.now();
        let mut waited = Duration::ZERO;
        if !flight.has_departed() {
            let until = if leading { patience.plus(TOLD_WITHIN) } else { patience };
            if flight.departed(&self.clock, until).await.is_err() {
                return Err(ErrorKind::OverBudget.error().retry_after(RETRY_AFTER));
            }
            waited = self.clock.now().since(boarded);
        }
        let deadline = reading.arrived_at.plus(waited).plus(reading.rules.timeouts.fill_timeout);
        let landed = flight.landing(&self.clock, deadline).await;
        if !leading {
            self.trace_follow(reading, flight, boarded);
        }
        let landing = match landed {
            Ok(Ok(landing)) => landing,
            Ok(Err(Crashed)) => return Err(ErrorKind::Internal.error().because("the fill panicked")),
            Err(Elapsed) => return Err(ErrorKind::UpstreamTimeout.error()),
        };
        reading.rounds = reading.rounds.saturating_add(1);
        let own = flight.leader == reading.credential.digest();
        // A read that came after a refusal may have joined what its credential was granted before.
        let late = || self.bindings.is_refused_since(&reading.credential, flight.begun);
        if own && !leading && landing.is_grant() && late() {
            return Ok(Step::Again);
        }
        let (response, stored) = match landing {
            Landing::Checked { response, stored, owner } => {
                // R1 holds at the moment of delivery: who waited may have been refused meanwhile.
                let may_have = own
                    || (owner.is_none()
                        && self.is_shared(&response, &reading.rules)
                        && self.bindings.is_proven_for(
                            &reading.credential,
                            response.organization,
                            &reading.rules.proof,
                            self.clock.now(),
                        ));
                if !may_have {
                    return Ok(Step::Again);
                }
                (render(reading.head, &response, None), stored)
            }
            Landing::Own(_) if !own => return Ok(Step::Again),
            Landing::Own(OwnAnswer::Whole(answer)) => (answer.response(&reading.head.method), false),
            Landing::Own(OwnAnswer::Streamed(answer)) => match answer.take() {
                Some(response) => (response, false),
                None => return Ok(Step::Again),
            },
            Landing::Own(OwnAnswer::MixedUp) => return Err(ErrorKind::MixedUpAnswer.error()),
            Landing::Latched(answer) if own => {
                return Ok(Step::Done(Answer::latched(&answer, &reading.head.method)));
            }
            Landing::Latched(_) => return Ok(Step::Again),
            Landing::Blocked(_) if own => return Ok(Step::PassThrough),
            Landing::Upstream(answer) if own && !wanted.has_fallback => {
                (answer.response(&reading.head.method), false)
            }
            // A 403 speaks of the one who asked: the others ask for themselves (R7).
            Landing::Blocked(_) if !wanted.has_fallback => return Ok(Step::Again),
            Landing::Upstream(answer) | Landing::Blocked(answer) => {
                return Err(self.shared_failure(&answer, wanted));
            }
            // A local 429 is never shared: who has patience left asks for itself.
            Landing::Held(..)
                if !leading && self.clock.now().since(reading.arrived_at) < reading.patience =>
            {
                return Ok(Step::Again);
            }
            Landing::Held(kind, retry_after) => return Err(kind.error().retry_after(retry_after)),
            Landing::Failed(kind, None) => return Err(kind.error()),
            Landing::Failed(kind, Some(retry_after)) => return Err(kind.error().retry_after(retry_after)),
        };
        Ok(Step::Done(Answer {
            response,
            outcome: wanted.outcome(reading, leading),
            cache_status: Some(wanted.cache_status(reading, leading, stored)),
        }))
    }

    /// The error that followers of another credential get in place of the upstream's own words to the leader.
    fn shared_failure(&self, answer: &WholeAnswer, wanted: &Wanted<'_>) -> ProxyError {
        if answer.status() != StatusCode::TOO_MANY_REQUESTS {
            return ErrorKind::UpstreamFailed.error();
        }
        // What the upstream asked for, in whatever form, has closed the gate for as long as will be heeded.
        let now = self.clock.now();
        let closed_for = |organization| self.shield.budget.closed_for(self.account_of(organization), now);
        let wait = wanted.organization.map_or(RETRY_AFTER, |organization| closed_for(organization));
        ErrorKind::UpstreamLimited.error().retry_after(wait.max(RETRY_AFTER))
    }
}

impl Wanted<'_> {
    fn outcome(&self, reading: &Reading<'_>, leading: bool) -> Outcome {
        match (reading.read.storable, leading) {
            (false, _) => Outcome::Bypass,
            (true, true) => Outcome::Miss,
            (true, false) => Outcome::Collapsed,
        }
    }

    pub(super) fn cache_status(&self, reading: &Reading<'_>, leading: bool, stored: bool) -> CacheStatus {
        if !reading.read.storable {
            CacheStatus::Uncached(BypassReason::Search)
        } else if !self.proven {
            CacheStatus::Proof
        } else if self.refetch {
            CacheStatus::Request
        } else if leading {
            CacheStatus::Miss { stored }
        } else {
            CacheStatus::Collapsed
        }
    }
}
