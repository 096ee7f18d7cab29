//! Label reads: identify, look up, decide. What cannot be answered from the store flies (`flying`).

use std::sync::Arc;
use std::time::Duration;

use http::request::Parts;

use super::Proxy;
use super::answer::{Answer, render};
use super::fill::Fill;
use super::flying::Wanted;
use crate::cache::decide::{Decision, decide};
use crate::cache::flight::{Boarding, FlightKey};
use crate::cache::key::CacheKey;
use crate::cache::stored::StoredResponse;
use crate::caller::bindings::{Outage, Standing};
use crate::caller::credential::Credential;
use crate::classify::Read;
use crate::clock::Moment;
use crate::config::Share;
use crate::error::{ErrorKind, ProxyError};
use crate::fence::Tick;
use crate::organization::Organization;
use crate::outcome::Outcome;
use crate::semantics::directives::RequestDirectives;
use crate::upstream::purpose::Purpose;

/// How long a read waits for another read's first proof, or for its own attempt while an old proof would do.
const PATIENCE: Duration = Duration::from_secs(1);
/// Times that a read joins other credentials' flights: at first, and for the one take-over (R7).
const SHARED_ROUNDS: u8 = 2;

/// A label read under way.
pub(super) struct Reading<'a> {
    pub(super) head: &'a Parts,
    pub(super) read: Read,
    pub(super) credential: Credential,
    wishes: RequestDirectives,
    /// Fills begun after this are younger than the request.
    arrived: Tick,
    pub(super) deadline: Moment,
    /// It has waited for another read's attempt.
    has_waited: bool,
    /// It has waited for its own attempt as long as a read that could be answered may.
    patience_is_spent: bool,
    pub(super) rounds: u8,
}

impl Reading<'_> {
    /// Where the client asks for a response as young as its request, only fills begun after it may be joined.
    fn oldest_to_join(&self) -> Tick {
        let wants_youngest = self.wishes.no_cache || self.wishes.max_age == Some(Duration::ZERO);
        if wants_youngest { self.arrived } else { Tick::default() }
    }
}

/// What a step came to.
pub(super) enum Step {
    Done(Answer),
    /// Something changed: ask for the credential's standing again.
    Again,
}

impl Proxy {
    /// Answers a label read.
    pub(super) async fn read(self: &Arc<Self>, head: &Parts, read: Read) -> Result<Answer, ProxyError> {
        let credential = self.digester.credential(&head.headers).ok_or(ErrorKind::Internal.error())?;
        let mut reading = Reading {
            head,
            read,
            credential,
            wishes: RequestDirectives::parse(&head.headers),
            arrived: self.fence.sequence().current(),
            deadline: self.clock.now().plus(self.timeouts.fill_timeout),
            has_waited: false,
            patience_is_spent: false,
            rounds: 0,
        };
        loop {
            let now = self.clock.now();
            let step = match self.bindings.standing(&reading.credential, now) {
                Standing::Proven { organization, renew } => {
                    self.read_proven(&mut reading, &organization, renew, now).await?
                }
                Standing::Lapsed { organization, outage: Some(outage) } => {
                    Box::pin(self.read_in_doubt(&mut reading, &organization, outage, now)).await?
                }
                Standing::Lapsed { organization, outage: None } => {
                    Box::pin(self.read_unproven(&mut reading, Some(&organization))).await?
                }
                Standing::Unknown => Box::pin(self.read_unproven(&mut reading, None)).await?,
            };
            if let Step::Done(answer) = step {
                return Ok(answer);
            }
        }
    }

    async fn read_proven(
        self: &Arc<Self>,
        reading: &mut Reading<'_>,
        organization: &Arc<Organization>,
        renew: bool,
        now: Moment,
    ) -> Result<Step, ProxyError> {
        let stored = self.look_up(reading, organization);
        let decision = decide(&reading.wishes, stored.as_deref(), self.ttl(&reading.read.target), now);
        let refetch = match (decision, stored) {
            (Decision::Serve { age, ttl }, Some(stored)) => {
                if renew {
                    self.prove_behind(reading, organization, now);
                }
                return Ok(Step::Done(Answer::hit(reading.head, &stored, age, ttl)));
            }
            (Decision::Refuse, _) => return Err(ErrorKind::OnlyIfCached.error()),
            (decision, _) => decision == Decision::Refetch,
        };
        Box::pin(self.fetch_proven(reading, organization, refetch, now)).await
    }

    /// What is stored for this read and may be served to this organization: nothing from before a write.
    fn look_up(&self, reading: &Reading<'_>, organization: &Organization) -> Option<Arc<StoredResponse>> {
        if !reading.read.storable {
            return None;
        }
        let admitted = |stored: &Arc<StoredResponse>| {
            self.fence.admits(organization, &reading.read.target, stored.begun)
        };
        let mut key = self.key(reading, organization);
        let stored = self.store.get(&key).filter(admitted);
        if stored.is_some() || key.owner.is_some() || !organization.has_private_responses() {
            return stored;
        }
        key.owner = Some(reading.credential.digest());
        self.store.get(&key).filter(admitted)
    }

    fn key(&self, reading: &Reading<'_>, organization: &Organization) -> CacheKey {
        CacheKey {
            resource: reading.read.resource.name,
            organization: organization.id(),
            owner: (self.cache.share == Share::Credential).then(|| reading.credential.digest()),
            target: reading.read.target.clone(),
        }
    }

    fn own_key(reading: &Reading<'_>, storing: bool) -> FlightKey {
        FlightKey::Own {
            credential: reading.credential.digest(),
            resource: reading.read.resource.name,
            target: reading.read.target.clone(),
            storing,
        }
    }

    /// Nothing that may be served is stored: join the organization's flight, or lead it.
    async fn fetch_proven(
        self: &Arc<Self>,
        reading: &mut Reading<'_>,
        organization: &Arc<Organization>,
        refetch: bool,
        now: Moment,
    ) -> Result<Step, ProxyError> {
        let storing = reading.read.storable && !reading.wishes.no_store;
        let key = self.key(reading, organization);
        // An own flight may have proved the credential and be about to store: following it saves a second call.
        let own_key = Self::own_key(reading, storing);
        let shared = storing
            && reading.rounds < SHARED_ROUNDS
            && self.flights.is_collapsible(&key, now)
            && !self.flights.is_under_way(&own_key);
        let wanted = Wanted {
            key: if shared { FlightKey::Shared(key) } else { own_key },
            organization: Some(organization),
            after: if refetch { reading.arrived } else { reading.oldest_to_join() },
            storing,
            purpose: Purpose::Fill,
            proven: true,
            refetch,
        };
        let landed = || {
            let stored = self.look_up(reading, organization)?;
            let wishes = RequestDirectives { no_cache: false, ..reading.wishes };
            let decision = decide(&wishes, Some(&stored), self.ttl(&reading.read.target), self.clock.now());
            let serves = matches!(decision, Decision::Serve { .. });
            (serves && stored.begun > wanted.after).then_some(stored)
        };
        match self.board(reading, &wanted, landed) {
            Boarding::Landed(stored) => Ok(Step::Done(Answer {
                response: render(reading.head, &stored),
                outcome: Outcome::Collapsed,
                cache_status: wanted.cache_status(reading, false, true),
            })),
            Boarding::Following(flight) => self.fly(reading, &wanted, &flight, false).await,
            Boarding::Leading(flight, ticket) => {
                self.launch(self.fill_of(reading, &wanted, &flight), ticket);
                self.fly(reading, &wanted, &flight, true).await
            }
        }
    }

    /// The proof is old, but would do if the upstream could not be asked: ask, yet not for long.
    async fn read_in_doubt(
        self: &Arc<Self>,
        reading: &mut Reading<'_>,
        organization: &Arc<Organization>,
        outage: Outage,
        now: Moment,
    ) -> Result<Step, ProxyError> {
        let stored = self.look_up(reading, organization);
        let decision = decide(&reading.wishes, stored.as_deref(), self.ttl(&reading.read.target), now);
        let (Decision::Serve { age, ttl }, Some(stored)) = (decision, stored) else {
            return self.read_unproven(reading, Some(organization)).await;
        };
        if outage.confirmed || reading.patience_is_spent {
            if outage.attempt_due {
                self.prove_behind(reading, organization, now);
            }
            return Ok(Step::Done(Answer::hit(reading.head, &stored, age, ttl)));
        }
        let begun =
            self.attempts.under_way(reading.credential.digest()).map_or(now, |attempt| attempt.begun());
        let asked = self.read_unproven(reading, Some(organization));
        let Ok(asked) = self.clock.deadline(begun.plus(PATIENCE), asked).await else {
            // The attempt goes on. Whatever ended during the wait, the proof or the stored response, is seen anew.
            reading.patience_is_spent = true;
            return Ok(Step::Again);
        };
        match self.bindings.standing(&reading.credential, self.clock.now()) {
            Standing::Lapsed { outage: Some(Outage { confirmed: true, .. }), .. } => Ok(Step::Again),
            _ => asked,
        }
    }

    /// No proof: upstream with its own token, sharing with no other credential.
    async fn read_unproven(
        self: &Arc<Self>,
        reading: &mut Reading<'_>,
        organization: Option<&Arc<Organization>>,
    ) -> Result<Step, ProxyError> {
        if reading.wishes.only_if_cached {
            return Err(ErrorKind::OnlyIfCached.error());
        }
        let storing = reading.read.storable && !reading.wishes.no_store;
        let wanted = Wanted {
            key: Self::own_key(reading, storing),
            organization,
            after: reading.oldest_to_join(),
            storing,
            purpose: Purpose::Fill,
            proven: false,
            refetch: false,
        };
        if !self.flights.is_under_way(&wanted.key)
            && !reading.has_waited
            && let Some(attempt) = self.attempts.under_way(reading.credential.digest())
        {
            reading.has_waited = true;
            let until = self.clock.now().plus(PATIENCE);
            let _ = self.clock.deadline(until, attempt.ended()).await;
            return Ok(Step::Again);
        }
        let proven_meanwhile = || {
            let standing = self.bindings.standing(&reading.credential, self.clock.now());
            matches!(standing, Standing::Proven { .. }).then_some(())
        };
        match self.board(reading, &wanted, proven_meanwhile) {
            Boarding::Landed(()) => Ok(Step::Again),
            Boarding::Following(flight) => self.fly(reading, &wanted, &flight, false).await,
            Boarding::Leading(flight, ticket) => {
                let mut fill = self.fill_of(reading, &wanted, &flight);
                if fill.proving {
                    fill.attempt = self.attempts.begin(reading.credential.digest(), fill.sent);
                }
                self.launch(fill, ticket);
                self.fly(reading, &wanted, &flight, true).await
            }
        }
    }

    /// Renews the proof in the background, unless an attempt is under way. The answer is stored, too.
    fn prove_behind(self: &Arc<Self>, reading: &Reading<'_>, organization: &Arc<Organization>, now: Moment) {
        let Some(attempt) = self.attempts.begin(reading.credential.digest(), now) else { return };
        let wanted = Wanted {
            key: Self::own_key(reading, reading.read.storable),
            organization: Some(organization),
            after: self.fence.sequence().current(),
            storing: reading.read.storable,
            purpose: Purpose::Proof,
            proven: true,
            refetch: false,
        };
        if let Boarding::Leading(flight, ticket) = self.board(reading, &wanted, || None::<()>) {
            let fill = Fill { attempt: Some(attempt), ..self.fill_of(reading, &wanted, &flight) };
            self.launch(fill, ticket);
        }
    }
}
