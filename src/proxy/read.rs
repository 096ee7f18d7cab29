//! Label reads: [`plan`](super::plan) says what to do, this does it, until the read is answered.

use std::pin::pin;
use std::sync::Arc;

use http::request::Parts;

use super::Proxy;
use super::answer::Answer;
use super::exchange::Asked;
use super::plan::{Behind, Plan, Urgency, plan};
use super::reading::{Around, Found, Reading, Request};
use crate::cache::Reader;
use crate::cache::decide::{Decision, decide};
use crate::cache::render::render;
use crate::cache::stored::StoredResponse;
use crate::caller::standing::Standing;
use crate::classify::Read;
use crate::clock::Moment;
use crate::error::{ErrorKind, ProxyError};
use crate::fetch::{Delivery, Fallback, Got, Ground, Part, Wait};
use crate::outcome::{BypassReason, CacheStatus, Outcome, StaleReason};
use crate::race::{First, race};

/// What a step came to.
enum Step {
    Done(Answer),
    /// The edge turns our own reads away: the caller's own request may fare better.
    Pass,
    /// Something changed: look again.
    Again,
}

/// How a read came by what answers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Obtained {
    /// Its own token fetched it.
    Led {
        /// Whether it is in the store now.
        stored: bool,
    },
    /// Another read's fetch did for it.
    Joined,
}

/// What a plan was made of, and what it needs to be carried out.
#[derive(Clone, Copy)]
struct Seen<'a> {
    standing: &'a Standing,
    stored: Option<&'a Arc<StoredResponse>>,
    now: Moment,
}

impl Proxy {
    /// Answers a label read; nothing if it is to be passed through.
    pub(super) async fn read(
        self: &Arc<Self>,
        head: &Parts,
        read: &Read,
        asked: &Asked,
    ) -> Result<Option<Answer>, ProxyError> {
        let credential = asked.caller.as_ref().credential().ok_or(ErrorKind::Internal.error())?;
        let mut reading = self.reading(Request::of(head, read, credential, asked));
        let mut now = asked.arrived_at;
        loop {
            let standing = self.bindings.standing(credential, read.resource, &asked.rules.proof, now);
            let look_up = self.look_up(&reading, standing.served());
            let view = reading.view(&standing, &look_up, now);
            let around = Around { proxy: self, reading: &reading, standing: &standing, now };
            let plan = plan(&view, &around);
            let seen = Seen { standing: &standing, stored: look_up.stored.as_ref(), now };
            match self.carry_out(plan, &mut reading, seen).await? {
                Step::Done(answer) => {
                    asked
                        .ledger
                        .note_organization(standing.organization().map(|organization| organization.id()));
                    if let (Some(organization), Some(_)) = (standing.organization(), answer.outcome.avoided())
                    {
                        organization.note_avoided();
                    }
                    return Ok(Some(answer));
                }
                Step::Pass => return Ok(None),
                Step::Again => now = self.clock.now(),
            }
        }
    }

    async fn carry_out(
        self: &Arc<Self>,
        plan: Plan,
        reading: &mut Reading<'_>,
        seen: Seen<'_>,
    ) -> Result<Step, ProxyError> {
        match (plan, seen.stored) {
            (Plan::Serve(servable, behind), Some(stored)) => {
                self.go_on_behind(behind, reading, seen);
                Ok(Step::Done(Answer::hit(reading.head, stored, servable)))
            }
            (Plan::Stale(servable, reason, behind), Some(stored)) => {
                self.go_on_behind(behind, reading, seen);
                Ok(Step::Done(Answer::stale(reading.head, stored, servable, reason)))
            }
            (Plan::RefetchLimited(servable), Some(stored)) => {
                Ok(Step::Done(Answer::refetch_limited(reading.head, stored, servable)))
            }
            (Plan::WaitForProof(Urgency::Patient), _) => Box::pin(self.ask_for_proof(reading, seen)).await,
            (Plan::WaitForProof(Urgency::Brief) | Plan::Fetch(Ground::ToProve, Urgency::Brief), _) => {
                Box::pin(self.ask_briefly(reading, seen)).await
            }
            (Plan::Pass, _) => Ok(Step::Pass),
            (Plan::WaitForList | Plan::Fetch(..), _) => {
                // What a list is to bring is missing.
                let missing = Ground::Missing(Fallback::Nothing);
                let ground = if let Plan::Fetch(ground, _) = plan { ground } else { missing };
                Box::pin(self.fetch(ground, reading, seen)).await
            }
            (Plan::OnlyIfCached, _) => Err(ErrorKind::OnlyIfCached.error()),
            // Nothing that is not stored is planned to be served.
            (Plan::Serve(..) | Plan::Stale(..) | Plan::RefetchLimited(_), None) => {
                Err(ErrorKind::Internal.error())
            }
        }
    }

    /// What goes on behind an answer from the store.
    fn go_on_behind(self: &Arc<Self>, behind: Behind, reading: &Reading<'_>, seen: Seen<'_>) {
        let (Some(organization), Some(stored)) = (seen.standing.organization(), seen.stored) else { return };
        match behind {
            Behind::Nothing => {}
            Behind::Prove => self.fetcher.prove_behind(&reading.asker, organization, seen.now),
            Behind::Refresh => {
                self.fetcher.refresh_behind(&reading.asker, organization, stored, seen.now);
            }
        }
    }

    /// Fetches on this ground, and falls back where that fails and something is stored.
    async fn fetch(
        self: &Arc<Self>,
        ground: Ground,
        reading: &mut Reading<'_>,
        seen: Seen<'_>,
    ) -> Result<Step, ProxyError> {
        let organization = seen.standing.organization();
        let now = self.clock.now();
        if let (Ground::Missing(Fallback::Nothing), Some(organization)) = (ground, organization)
            && !reading.asker.waits.has(Wait::List)
            && self.fetcher.wait_for_list(&reading.asker, organization, now).await
        {
            reading.asker.waits.add(Wait::List);
            return Ok(Step::Again);
        }
        // Asked in earnest, now that something follows from it: what a plan was told may be over.
        let shield = self.origin.shield();
        if let (Ground::Younger, Some(organization)) = (ground, organization)
            && !shield.refetches.take(self.origin.account_of(organization), now)
        {
            return Ok(Step::Again);
        }
        let Reader { credential, read, .. } = reading.asker.reader;
        let wording = || self.fetcher.wording(credential, read, organization, now);
        if shield.edge.is_blocked() && !shield.edge.may_fetch(wording(), now) {
            return Ok(Step::Pass);
        }
        let wanted = self.fetcher.wanted(&reading.asker, organization, ground, now);
        let mut asker = reading.asker;
        let found = || self.found(ground, reading, organization);
        let fetched = self.fetcher.fetch(&mut asker, &wanted, found).await;
        reading.asker = asker;
        let (delivery, part) = match fetched {
            Ok(Got::Found(Found::Proof)) => return Ok(Step::Again),
            // As if this read had joined the fetch that stored it.
            Ok(Got::Found(Found::Response(response))) => {
                (Delivery::Response { response, stored: false }, Part::Joined)
            }
            Ok(Got::Fetched(delivery, part)) => (delivery, part),
            Err(error) if ground.fallback() == Fallback::Stored => return self.fall_back(reading, error),
            Err(error) => return Err(error),
        };
        if let Delivery::Shared(response) = delivery {
            return Ok(self.shared(&response, reading));
        }
        Ok(delivered(delivery, part, ground, reading))
    }

    /// What a read does with what another replica fetched, which may be of any age: it serves as if it had been stored here, or
    /// the API is asked.
    fn shared(&self, response: &Arc<StoredResponse>, reading: &mut Reading<'_>) -> Step {
        let (lifetimes, now) = (self.lifetimes(reading), self.clock.now());
        match decide(&reading.wishes, Some(response), &lifetimes, now) {
            Decision::Serve { stored: servable, .. } => {
                Step::Done(Answer::shared(reading.head, response, servable))
            }
            _ => {
                reading.asker.ask_upstream(self.cache.fence().sequence().current());
                Step::Again
            }
        }
    }

    /// What is stored in place of a fetch that failed. Everything is asked anew: during the wait the credential may have
    /// been refused, the organization written to, and what was stored has aged.
    fn fall_back(&self, reading: &Reading<'_>, error: ProxyError) -> Result<Step, ProxyError> {
        let Some(reason) = StaleReason::of_failure(error.kind()) else { return Err(error) };
        let now = self.clock.now();
        let Reader { credential, rules, read } = reading.asker.reader;
        let organization = match self.bindings.standing(credential, read.resource, &rules.proof, now) {
            Standing::Proven { organization, .. } => organization,
            Standing::Lapsed { organization, outage: Some(outage) }
                if outage.confirmed || self.origin.cannot_be_asked(&organization, now) =>
            {
                organization
            }
            Standing::Lapsed { .. } | Standing::Unknown => return Err(error),
        };
        let look_up = self.look_up(reading, Some(&organization));
        let decision = look_up.decide(&reading.wishes, now);
        let Some(stored) = look_up.stored else { return Err(error) };
        Ok(Step::Done(match decision {
            Decision::Serve { stored: servable, .. } => Answer::hit(reading.head, &stored, servable),
            Decision::Refetch(servable) => Answer::refetch_limited(reading.head, &stored, servable),
            Decision::Revalidate(servable) | Decision::Fetch { fallback: Some(servable) } => {
                Answer::stale(reading.head, &stored, servable, reason)
            }
            Decision::Fetch { fallback: None } | Decision::Refuse => return Err(error),
        }))
    }

    /// Waits for the proof that another read asks for, or asks for one.
    async fn ask_for_proof(
        self: &Arc<Self>,
        reading: &mut Reading<'_>,
        seen: Seen<'_>,
    ) -> Result<Step, ProxyError> {
        // Asked once more: what goes on behind a read in doubt may have begun an attempt since.
        if !reading.asker.waits.has(Wait::Proof) && self.fetcher.would_wait_for_attempt(&reading.asker) {
            reading.asker.waits.add(Wait::Proof);
            self.fetcher.wait_for_attempt(&reading.asker).await;
            return Ok(Step::Again);
        }
        self.fetch(Ground::ToProve, reading, seen).await
    }

    /// Asks for a proof, and not for long: an old one would do if the API could not be asked.
    async fn ask_briefly(
        self: &Arc<Self>,
        reading: &mut Reading<'_>,
        seen: Seen<'_>,
    ) -> Result<Step, ProxyError> {
        let Some(organization) = seen.standing.organization() else { return Ok(Step::Again) };
        if reading.asker.reader.read.head {
            // The answer to a HEAD proves nothing.
            self.fetcher.prove_behind(&reading.asker, organization, seen.now);
        }
        let Reader { credential, rules, read } = reading.asker.reader;
        let asker = reading.asker;
        // Late is asked for after the first poll of the read, with which the attempt may have begun.
        let first = {
            let late = pin!(self.fetcher.attempt_is_late(&asker));
            race(pin!(self.ask_for_proof(reading, seen)), late).await
        };
        let asked = match first {
            First::One(asked) => asked,
            First::Other(()) => {
                // The attempt goes on. Whatever ended during the wait, the proof or the stored response, is seen anew.
                reading.asker.waits.add(Wait::OwnProof);
                return Ok(Step::Again);
            }
        };
        let now = self.clock.now();
        match self.bindings.standing(credential, read.resource, &rules.proof, now) {
            Standing::Lapsed { outage: Some(outage), .. }
                if outage.confirmed || self.origin.cannot_be_asked(organization, now) =>
            {
                Ok(Step::Again)
            }
            _ => asked,
        }
    }
}

impl Reading<'_> {
    /// What `Cache-Status` says of what was fetched on this ground.
    pub(super) fn cache_status(&self, ground: Ground, obtained: Obtained) -> CacheStatus {
        match (ground, obtained) {
            _ if !self.asker.reader.read.storable => CacheStatus::Uncached(BypassReason::Search),
            (Ground::ToProve, _) => CacheStatus::Proof,
            (Ground::Younger, _) => CacheStatus::Request,
            (Ground::Missing(_), Obtained::Led { stored }) => CacheStatus::Miss { stored },
            (Ground::Missing(_), Obtained::Joined) => CacheStatus::Collapsed,
        }
    }
}

/// What a read does with what it was given.
fn delivered(delivery: Delivery, part: Part, ground: Ground, reading: &Reading<'_>) -> Step {
    let (response, stored) = match delivery {
        Delivery::Response { response, stored } => (render(reading.head, &response, None), stored),
        Delivery::Whole(answer) => (answer.response(&reading.head.method), false),
        Delivery::Streamed(response) => (response, false),
        Delivery::Remembered(answer) => return Step::Done(Answer::remembered(&answer, &reading.head.method)),
        Delivery::Blocked => return Step::Pass,
        Delivery::Shared(_) | Delivery::Again => return Step::Again,
    };
    let (outcome, obtained) = match part {
        Part::Led => (Outcome::Miss, Obtained::Led { stored }),
        Part::Joined => (Outcome::Collapsed, Obtained::Joined),
    };
    let outcome = if reading.asker.reader.read.storable { outcome } else { Outcome::Bypass };
    Step::Done(Answer { response, outcome, cache_status: Some(reading.cache_status(ground, obtained)) })
}
