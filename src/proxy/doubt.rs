//! Label reads by credentials without a fresh proof: asked upstream with their own token, or, where an old proof would do
//! while the upstream cannot be asked, for a moment.

use std::sync::Arc;

use super::Proxy;
use super::answer::Answer;
use super::flying::Wanted;
use super::read::{PATIENCE, Reading, Step};
use crate::cache::decide::{Decision, decide};
use crate::cache::flight::Boarding;
use crate::caller::credential::CredentialDigest;
use crate::caller::standing::{Outage, Standing};
use crate::clock::Moment;
use crate::error::{ErrorKind, ProxyError};
use crate::organization::Organization;
use crate::outcome::StaleReason;
use crate::purpose::Purpose;
use crate::shield::budget::Class;

impl Proxy {
    /// The proof is old, but would do if the upstream could not be asked: ask, yet not for long.
    pub(super) async fn read_in_doubt(
        self: &Arc<Self>,
        reading: &mut Reading<'_>,
        organization: &Arc<Organization>,
        outage: Outage,
        now: Moment,
    ) -> Result<Step, ProxyError> {
        let stored = self.look_up(reading, organization);
        let decision =
            decide(&reading.wishes, stored.as_deref(), reading.rules.of(&reading.read.target), now);
        let unreachable = outage.confirmed || self.cannot_be_asked(organization, now);
        let (stored, servable, reason) = match (decision, stored) {
            (Decision::Serve { stored: servable, .. }, Some(stored)) => (stored, servable, None),
            (Decision::Revalidate(servable) | Decision::Fetch { fallback: Some(servable) }, Some(stored)) => {
                (stored, servable, Some(StaleReason::Error))
            }
            _ => return self.read_unproven(reading, Some(organization)).await,
        };
        let answer = |head| {
            Ok(Step::Done(match reason {
                None => Answer::hit(head, &stored, servable),
                Some(reason) => Answer::stale(head, &stored, servable, reason),
            }))
        };
        if unreachable || reading.patience_is_spent {
            if outage.attempt_due {
                self.prove_behind(reading, organization, now);
            }
            return answer(reading.head);
        }
        if reading.read.head {
            // The answer to a HEAD proves nothing.
            self.prove_behind(reading, organization, now);
        }
        let credential = reading.credential.digest();
        let asked = self.read_unproven(reading, Some(organization));
        let asked = tokio::select! {
            biased;
            asked = asked => asked,
            // Asked for after the first poll of the read, with which the attempt may have begun.
            () = self.attempt_is_late(credential) => {
                // The attempt goes on. Whatever ended during the wait, the proof or the stored response, is seen anew.
                reading.patience_is_spent = true;
                return Ok(Step::Again);
            }
        };
        let now = self.clock.now();
        match self.bindings.standing(&reading.credential, &reading.rules.proof, now) {
            Standing::Lapsed { outage: Some(outage), .. }
                if outage.confirmed || self.cannot_be_asked(organization, now) =>
            {
                Ok(Step::Again)
            }
            _ => asked,
        }
    }

    /// Waits until a credential's attempt has been on its way for longer than a read waits for it. As long as it waits for
    /// our own budget it is not late: that is no outage.
    async fn attempt_is_late(&self, credential: CredentialDigest) {
        if let Some(attempt) = self.attempts.under_way(credential)
            && let Some(sent) = attempt.sent().await
        {
            self.clock.sleep_until(sent.plus(PATIENCE)).await;
        } else {
            std::future::pending::<()>().await;
        }
    }

    /// Whether the breaker or the organization's gate is closed now. A short budget of our own is no outage.
    pub(super) fn cannot_be_asked(&self, organization: &Organization, now: Moment) -> bool {
        self.upstream.is_unreachable() || self.shield.budget.is_closed(self.account_of(organization), now)
    }

    /// The flight that a read without a proof asks for: its own credential's.
    pub(super) fn wanted_unproven<'o>(
        reading: &Reading<'_>,
        organization: Option<&'o Arc<Organization>>,
    ) -> Wanted<'o> {
        let storing = reading.read.storable && !reading.wishes.no_store;
        Wanted {
            key: Self::own_key(reading, &reading.read.target, storing),
            organization,
            target: reading.read.target.clone(),
            after: reading.oldest_to_join(),
            storing,
            purpose: Purpose::Fill,
            class: Class::Interactive,
            proven: false,
            refetch: false,
            has_fallback: false,
        }
    }

    /// No proof: upstream with its own token, sharing with no other credential.
    pub(super) async fn read_unproven(
        self: &Arc<Self>,
        reading: &mut Reading<'_>,
        organization: Option<&Arc<Organization>>,
    ) -> Result<Step, ProxyError> {
        if reading.wishes.only_if_cached {
            return Err(ErrorKind::OnlyIfCached.error());
        }
        let wanted = Self::wanted_unproven(reading, organization);
        if !self.flights.is_under_way(&wanted.key)
            && !reading.has_waited
            && let Some(attempt) = self.attempts.under_way(reading.credential.digest())
        {
            reading.has_waited = true;
            let now = self.clock.now();
            // Its turn may be long in coming: who would not wait for a call of its own does not wait for this one either.
            let patience = reading.patience.saturating_sub(now.since(reading.arrived_at));
            if attempt.clone().sent_by(&self.clock, now.plus(PATIENCE.min(patience))).await.is_ok() {
                let _ = self.clock.deadline(now.plus(PATIENCE), attempt.ended()).await;
            }
            return Ok(Step::Again);
        }
        if !self.shield.edge.may_fill(self.clock.now()) {
            return Ok(Step::PassThrough);
        }
        let proven_meanwhile = || {
            let standing =
                self.bindings.standing(&reading.credential, &reading.rules.proof, self.clock.now());
            matches!(standing, Standing::Proven { .. }).then_some(())
        };
        match self.board(reading, &wanted, proven_meanwhile) {
            Boarding::Landed(()) => Ok(Step::Again),
            Boarding::Following(flight) => self.fly(reading, &wanted, &flight, false).await,
            Boarding::Leading(flight, ticket) => {
                let mut fill = self.fill_of(reading, &wanted, &flight);
                if fill.proving {
                    fill.attempt = self.attempts.begin(reading.credential.digest());
                }
                if fill.attempt.is_some() {
                    // Every hit of this credential waits for it.
                    fill.class = Class::Proof;
                }
                self.fly_leading(reading, &wanted, &flight, (fill, ticket)).await
            }
        }
    }
}
