//! What a read gets from a flight: joining or leading one, and taking what may be had of its landing.

use std::sync::Arc;

use super::Proxy;
use super::answer::{Answer, render};
use super::fill::{Fill, Landing, OwnAnswer, shared_failure};
use super::read::{Reading, Step};
use crate::cache::flight::{Boarding, Crashed, Flight, FlightKey};
use crate::clock::Elapsed;
use crate::error::{ErrorKind, ProxyError};
use crate::fence::Tick;
use crate::organization::Organization;
use crate::outcome::{BypassReason, CacheStatus, Outcome};
use crate::upstream::purpose::Purpose;

/// Times that a read joins flights at all, before it flies alone.
const JOINED_ROUNDS: u8 = 4;

/// What a flight is asked for.
pub(super) struct Wanted<'a> {
    pub(super) key: FlightKey,
    pub(super) organization: Option<&'a Arc<Organization>>,
    /// Only fills begun after this may be joined.
    pub(super) after: Tick,
    pub(super) storing: bool,
    pub(super) purpose: Purpose,
    /// Whether the answer is fetched by right of a proof, or to get one.
    pub(super) proven: bool,
    /// Whether the client asked for a younger response than the stored one.
    pub(super) refetch: bool,
}

impl Proxy {
    /// Joins the flight that is wanted, or begins one.
    pub(super) fn board<S>(
        &self,
        reading: &Reading<'_>,
        wanted: &Wanted<'_>,
        landed: impl FnOnce() -> Option<S>,
    ) -> Boarding<Landing, S> {
        let joinable = |flight: &Flight<Landing>| {
            let unwritten = match wanted.organization {
                Some(organization) => self.fence.admits(organization, &reading.read.target, flight.begun),
                None => self.fence.nothing_raised_since(flight.begun),
            };
            unwritten && flight.begun > wanted.after && reading.rounds < JOINED_ROUNDS
        };
        let begin = || self.fence.sequence().advance();
        self.flights.board(wanted.key.clone(), reading.credential.digest(), joinable, landed, begin)
    }

    /// The fill that a flight of this read carries.
    pub(super) fn fill_of(
        &self,
        reading: &Reading<'_>,
        wanted: &Wanted<'_>,
        flight: &Flight<Landing>,
    ) -> Fill {
        Fill {
            credential: reading.credential.clone(),
            read: reading.read.clone(),
            organization: wanted.organization.cloned(),
            storing: wanted.storing,
            // The client of a HEAD sees no body: its answer proves nothing, even though a GET fills it (R2).
            proving: wanted.proven || !reading.read.head,
            purpose: wanted.purpose,
            begun: flight.begun,
            sent: self.clock.now(),
            attempt: None,
        }
    }

    /// Waits for a flight, until this read's own deadline, and takes what may be had of its landing.
    pub(super) async fn fly(
        &self,
        reading: &mut Reading<'_>,
        wanted: &Wanted<'_>,
        flight: &Flight<Landing>,
        leading: bool,
    ) -> Result<Step, ProxyError> {
        let landing = match flight.landing(&self.clock, reading.deadline).await {
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
                        && self.bindings.is_proven_for(
                            &reading.credential,
                            response.organization,
                            self.clock.now(),
                        ));
                if !may_have {
                    return Ok(Step::Again);
                }
                (render(reading.head, &response), stored)
            }
            Landing::Own(_) if !own => return Ok(Step::Again),
            Landing::Own(OwnAnswer::Whole(answer)) => (answer.response(&reading.head.method), false),
            Landing::Own(OwnAnswer::Streamed(answer)) => match answer.take() {
                Some(response) => (response, false),
                None => return Ok(Step::Again),
            },
            Landing::Own(OwnAnswer::MixedUp) => return Err(ErrorKind::MixedUpAnswer.error()),
            Landing::Upstream(answer) if own => (answer.response(&reading.head.method), false),
            Landing::Upstream(answer) => return Err(shared_failure(&answer)),
            Landing::Failed(kind) => return Err(kind.error()),
        };
        Ok(Step::Done(Answer {
            response,
            outcome: wanted.outcome(reading, leading),
            cache_status: wanted.cache_status(reading, leading, stored),
        }))
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
