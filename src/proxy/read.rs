//! Label reads: identify, look up, decide. What cannot be answered from the store flies (`flying`).

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::request::Parts;

use super::Proxy;
use super::answer::Answer;
use super::exchange::Asked;
use super::flying::Wanted;
use super::rules::Rules;
use crate::cache::decide::{Decision, decide};
use crate::cache::flight::{Boarding, FlightKey};
use crate::cache::render::render;
use crate::cache::stored::StoredResponse;
use crate::caller::credential::Credential;
use crate::caller::standing::Standing;
use crate::classify::{Read, Target};
use crate::clock::Moment;
use crate::error::{ErrorKind, ProxyError};
use crate::organization::Organization;
use crate::outcome::{Outcome, StaleReason};
use crate::purpose::Purpose;
use crate::semantics::directives::RequestDirectives;
use crate::shield::budget::Class;
use crate::tick::Tick;

/// How long a read waits for another read's first proof, for a list fill, or for its own attempt while an old proof
/// would do.
pub(super) const PATIENCE: Duration = Duration::from_secs(1);
/// Times that a read joins other credentials' flights: at first, and for the one take-over (R7).
const SHARED_ROUNDS: u8 = 2;

/// A label read under way.
pub(super) struct Reading<'a> {
    pub(super) head: &'a Parts,
    pub(super) read: Read,
    pub(super) credential: Credential,
    pub(super) peer: IpAddr,
    pub(super) wishes: RequestDirectives,
    /// Fills begun after this are younger than the request.
    arrived: Tick,
    pub(super) arrived_at: Moment,
    /// How long it may wait for its turn to be sent.
    pub(super) patience: Duration,
    pub(super) rules: Arc<Rules>,
    /// It has waited for another read's attempt.
    pub(super) has_waited: bool,
    /// It has waited for its own attempt as long as a read that could be answered may.
    pub(super) patience_is_spent: bool,
    has_waited_for_list: bool,
    pub(super) rounds: u8,
}

/// What a step came to.
pub(super) enum Step {
    Done(Answer),
    /// The edge turns fills away: the caller's own request may fare better.
    PassThrough,
    /// Something changed: ask for the credential's standing again.
    Again,
}

impl Reading<'_> {
    /// Where the client asks for a response as young as its request, only fills begun after it may be joined.
    pub(super) fn oldest_to_join(&self) -> Tick {
        let wants_youngest = self.wishes.no_cache || self.wishes.max_age == Some(Duration::ZERO);
        if wants_youngest { self.arrived } else { Tick::default() }
    }
}

impl Proxy {
    /// Answers a label read; nothing if it is to be passed through.
    pub(super) async fn read(
        self: &Arc<Self>,
        head: &Parts,
        read: Read,
        asked: &Asked,
    ) -> Result<Option<Answer>, ProxyError> {
        let rules = Arc::clone(&asked.rules);
        let mut reading = self.reading(head, read, (asked.peer, asked.arrived_at), asked.patience, rules)?;
        let mut now = asked.arrived_at;
        loop {
            let standing = self.bindings.standing(&reading.credential, &reading.rules.proof, now);
            let step = match &standing {
                Standing::Proven { organization, renew } => {
                    self.read_proven(&mut reading, organization, *renew, now).await?
                }
                Standing::Lapsed { organization, outage: Some(outage) } => {
                    Box::pin(self.read_in_doubt(&mut reading, organization, *outage, now)).await?
                }
                Standing::Lapsed { organization, outage: None } => {
                    Box::pin(self.read_unproven(&mut reading, Some(organization))).await?
                }
                Standing::Unknown => Box::pin(self.read_unproven(&mut reading, None)).await?,
            };
            match step {
                Step::Done(answer) => {
                    if let Some(organization) = standing.organization()
                        && answer.outcome.avoided().is_some()
                    {
                        organization.note_avoided();
                    }
                    return Ok(Some(answer));
                }
                Step::PassThrough => return Ok(None),
                Step::Again => now = self.clock.now(),
            }
        }
    }

    /// A label read as it arrives.
    pub(super) fn reading<'a>(
        &self,
        head: &'a Parts,
        read: Read,
        (peer, arrived_at): (IpAddr, Moment),
        patience: Duration,
        rules: Arc<Rules>,
    ) -> Result<Reading<'a>, ProxyError> {
        let credential = self.digester.credential(&head.headers).ok_or(ErrorKind::Internal.error())?;
        Ok(Reading {
            head,
            credential,
            peer,
            read,
            wishes: RequestDirectives::parse(&head.headers),
            arrived: self.fence.sequence().current(),
            arrived_at,
            patience,
            rules,
            has_waited: false,
            has_waited_for_list: false,
            patience_is_spent: false,
            rounds: 0,
        })
    }

    async fn read_proven(
        self: &Arc<Self>,
        reading: &mut Reading<'_>,
        organization: &Arc<Organization>,
        renew: bool,
        now: Moment,
    ) -> Result<Step, ProxyError> {
        let stored = self.look_up(reading, organization);
        let decision =
            decide(&reading.wishes, stored.as_deref(), reading.rules.of(&reading.read.target), now);
        // A proof reads the label, too, and goes ahead where a refresh is left for later.
        let go_on_behind = |stored: &StoredResponse| {
            if renew {
                self.prove_behind(reading, organization, now);
            } else {
                self.refresh_behind(reading, organization, stored, now);
            }
        };
        let (refetch, has_fallback) = match (decision, stored) {
            (Decision::Serve { stored: servable, ageing }, Some(stored)) => {
                if renew || ageing {
                    go_on_behind(&stored);
                }
                return Ok(Step::Done(Answer::hit(reading.head, &stored, servable)));
            }
            (Decision::Revalidate(servable), Some(stored)) => {
                go_on_behind(&stored);
                let reason = StaleReason::Revalidating;
                return Ok(Step::Done(Answer::stale(reading.head, &stored, servable, reason)));
            }
            (Decision::Refetch(servable), Some(stored)) => {
                let account = self.account_of(organization);
                if !self.shield.refetches.take(account, now) {
                    return Ok(Step::Done(Answer::refetch_limited(reading.head, &stored, servable)));
                }
                (true, true)
            }
            (Decision::Refuse, _) => return Err(ErrorKind::OnlyIfCached.error()),
            (Decision::Fetch { fallback: Some(servable) }, Some(stored)) => {
                if let Some(reason) = self.why_not_ask(reading, organization, now) {
                    // In the background one of them finds out when the upstream may be asked again.
                    go_on_behind(&stored);
                    return Ok(Step::Done(Answer::stale(reading.head, &stored, servable, reason)));
                }
                (false, true)
            }
            (_, _) => (false, false),
        };
        Box::pin(self.fetch_proven(reading, organization, refetch, has_fallback)).await
    }

    /// Nothing that may be served at once is stored: fetch, or fall back where that is hopeless or fails.
    async fn fetch_proven(
        self: &Arc<Self>,
        reading: &mut Reading<'_>,
        organization: &Arc<Organization>,
        refetch: bool,
        has_fallback: bool,
    ) -> Result<Step, ProxyError> {
        let now = self.clock.now();
        if !has_fallback && self.wait_for_list_fill(reading, organization, now).await {
            return Ok(Step::Again);
        }
        if !self.shield.edge.may_fill(now) {
            return Ok(Step::PassThrough);
        }
        match self.fly_proven(reading, organization, refetch, has_fallback, now).await {
            Err(error) if has_fallback => self.fall_back(reading, error),
            flown => flown,
        }
    }

    /// Why a fetch would fail, as far as it is known before.
    pub(super) fn why_not_ask(
        &self,
        reading: &Reading<'_>,
        organization: &Organization,
        now: Moment,
    ) -> Option<StaleReason> {
        if self.upstream.is_unreachable() {
            return Some(StaleReason::Error);
        }
        if self.shield.budget.is_short(self.account_of(organization), now) {
            return Some(StaleReason::Limit);
        }
        let failed = self.bindings.outage(&reading.credential, now).is_some_and(|outage| outage.confirmed);
        failed.then_some(StaleReason::Error)
    }

    /// What is stored in place of a fetch that failed. Everything is asked anew: during the wait the credential may have
    /// been refused, the organization raised, and what was stored has aged.
    fn fall_back(&self, reading: &Reading<'_>, error: ProxyError) -> Result<Step, ProxyError> {
        let Some(reason) = StaleReason::of_failure(error.kind()) else { return Err(error) };
        let now = self.clock.now();
        let organization = match self.bindings.standing(&reading.credential, &reading.rules.proof, now) {
            Standing::Proven { organization, .. } => organization,
            Standing::Lapsed { organization, outage: Some(outage) }
                if outage.confirmed || self.cannot_be_asked(&organization, now) =>
            {
                organization
            }
            Standing::Lapsed { .. } | Standing::Unknown => return Err(error),
        };
        let Some(stored) = self.look_up(reading, &organization) else { return Err(error) };
        let decision = decide(&reading.wishes, Some(&stored), reading.rules.of(&reading.read.target), now);
        Ok(Step::Done(match decision {
            Decision::Serve { stored: servable, .. } => Answer::hit(reading.head, &stored, servable),
            Decision::Refetch(servable) => Answer::refetch_limited(reading.head, &stored, servable),
            Decision::Revalidate(servable) | Decision::Fetch { fallback: Some(servable) } => {
                Answer::stale(reading.head, &stored, servable, reason)
            }
            Decision::Fetch { fallback: None } | Decision::Refuse => return Err(error),
        }))
    }

    async fn fly_proven(
        self: &Arc<Self>,
        reading: &mut Reading<'_>,
        organization: &Arc<Organization>,
        refetch: bool,
        has_fallback: bool,
        now: Moment,
    ) -> Result<Step, ProxyError> {
        let wanted = self.wanted_proven(reading, organization, refetch, now);
        let wanted = Wanted { has_fallback, ..wanted };
        let landed = || self.landed_meanwhile(reading, organization, wanted.after);
        match self.board(reading, &wanted, landed) {
            Boarding::Landed(stored) => Ok(Step::Done(Answer {
                response: render(reading.head, &stored, None),
                outcome: Outcome::Collapsed,
                cache_status: Some(wanted.cache_status(reading, false, true)),
            })),
            Boarding::Following(flight) => self.fly(reading, &wanted, &flight, false).await,
            Boarding::Leading(flight, ticket) => {
                let fill = self.fill_of(reading, &wanted, &flight);
                self.fly_leading(reading, &wanted, &flight, (fill, ticket)).await
            }
        }
    }

    /// The flight that a proven read asks for.
    pub(super) fn wanted_proven<'o>(
        &self,
        reading: &Reading<'_>,
        organization: &'o Arc<Organization>,
        refetch: bool,
        now: Moment,
    ) -> Wanted<'o> {
        let storing = reading.read.storable && !reading.wishes.no_store;
        let key = self.key(reading, organization, &reading.read.target);
        // An own flight may have proved the credential and be about to store: following it saves a second call.
        let own_key = Self::own_key(reading, &reading.read.target, storing);
        let shared = storing
            && reading.rounds < SHARED_ROUNDS
            && self.flights.is_collapsible(&key, now)
            && !self.flights.is_under_way(&own_key);
        Wanted {
            key: if shared { FlightKey::Shared(key) } else { own_key },
            organization: Some(organization),
            target: reading.read.target.clone(),
            after: if refetch { reading.arrived } else { reading.oldest_to_join() },
            storing,
            purpose: Purpose::Fill,
            class: Class::Interactive,
            proven: true,
            refetch,
            has_fallback: false,
        }
    }

    /// What another flight has stored since this read missed it.
    fn landed_meanwhile(
        &self,
        reading: &Reading<'_>,
        organization: &Organization,
        after: Tick,
    ) -> Option<Arc<StoredResponse>> {
        let stored = self.look_up(reading, organization)?;
        let wishes = RequestDirectives { no_cache: false, ..reading.wishes };
        let decision =
            decide(&wishes, Some(&stored), reading.rules.of(&reading.read.target), self.clock.now());
        (matches!(decision, Decision::Serve { .. }) && stored.begun > after).then_some(stored)
    }

    /// When a second distinct label is missed, one list read brings the rest: begins it, and waits a moment for one that
    /// is under way. Whether it waited.
    async fn wait_for_list_fill(
        self: &Arc<Self>,
        reading: &mut Reading<'_>,
        organization: &Arc<Organization>,
        now: Moment,
    ) -> bool {
        let Target::Item(item) = reading.read.target else { return false };
        if reading.has_waited_for_list || !self.takes_list_fills(reading, organization, now) {
            return false;
        }
        let Some(flight) = self.list_fill(reading, organization, item, now) else { return false };
        reading.has_waited_for_list = true;
        // Its turn may be long in coming: who would not wait for a call of its own does not wait for this one either.
        if flight.departed(&self.clock, now.plus(PATIENCE.min(reading.patience))).await.is_ok() {
            let _ = flight.landing(&self.clock, now.plus(PATIENCE)).await;
        }
        true
    }
}
