//! Reads that nobody waits for: renewed proofs, refreshed responses.
//!
//! Where the organization's whole list is known to fit one page they are that one list read: it proves its credential and
//! makes every label of the organization young again.

use std::sync::Arc;

use super::asker::{Asker, Fallback, Ground, Wanted};
use super::flight::{FlightKey, Join, Storing};
use super::task::Fetch;
use super::{BRIEF_MAX_WAIT, Fetcher};
use crate::cache::items;
use crate::cache::stored::StoredResponse;
use crate::caller::attempts::Attempt;
use crate::caller::standing::BackgroundRead;
use crate::classify::{Read, Target};
use crate::clock::Moment;
use crate::organization::Organization;
use crate::purpose::Purpose;
use crate::shield::budget::Class;
use crate::tick::Tick;

impl Fetcher {
    /// Renews the proof, unless an attempt is under way. The answer is stored, too.
    pub fn prove_behind(self: &Arc<Self>, asker: &Asker<'_>, organization: &Arc<Organization>, now: Moment) {
        let resource = asker.reader.read.resource;
        if !self.bindings.may_ask_behind(asker.reader.credential, resource, BackgroundRead::Proof, now) {
            return;
        }
        let Some(attempt) = self.attempts.begin(asker.digest(), resource) else { return };
        let target = self.target_behind(asker, organization, None, now);
        let storing = Storing::of(asker.reader.read);
        let read = Read { target: target.clone(), ..asker.reader.read.clone() };
        let wording = self.wording(asker.reader.credential, &read, Some(organization), now);
        // Last: where fetches are stopped, asking takes the one trial.
        if !self.origin.shield().edge.may_fetch(wording, now) {
            return;
        }
        let wanted = Wanted {
            key: asker.own_key(&target, storing),
            after: self.cache.fence().sequence().current(),
            ..behind(asker, organization, target, Purpose::Proof, Class::Proof)
        };
        if let Join::Leading(_, publisher) = self.join(asker, &wanted, || None::<()>) {
            let fetch = Fetch { attempt: Some(attempt), ..self.fetch_of(asker, &wanted) };
            self.launch(fetch, publisher);
        }
    }

    /// Fetches again what is about to become stale or has become so, if there is budget to spare and nobody does already.
    pub fn refresh_behind(
        self: &Arc<Self>,
        asker: &Asker<'_>,
        organization: &Arc<Organization>,
        stored: &StoredResponse,
        now: Moment,
    ) {
        let (shield, resource) = (self.origin.shield(), asker.reader.read.resource);
        if self.cache.is_closed()
            || !self.bindings.may_ask_behind(asker.reader.credential, resource, BackgroundRead::Refresh, now)
            || !shield.budget.spare(self.origin.account_of(organization), now)
            || shield.edge.is_blocked()
        {
            return;
        }
        let target = self.target_behind(asker, organization, Some(stored.begun), now);
        let wanted = behind(asker, organization, target, Purpose::Refresh, Class::Background);
        self.launch_behind(asker, &wanted);
    }

    /// Whether another read of this credential is asking for its proof, in a flight that this one would not share.
    #[must_use]
    pub fn would_wait_for_attempt(&self, asker: &Asker<'_>) -> bool {
        let own_key = asker.own_key(&asker.reader.read.target, asker.storing);
        !self.flights.is_under_way(&own_key) && self.attempt_of(asker).is_some()
    }

    /// Waits for the end of another read's attempt, if one is under way; for a moment.
    pub async fn wait_for_attempt(&self, asker: &Asker<'_>) {
        let Some(attempt) = self.attempt_of(asker) else { return };
        let now = self.clock.now();
        // Its turn may be long in coming: who would not wait for a call of its own does not wait for this one either.
        let max_wait = asker.max_wait.saturating_sub(now.since(asker.arrived_at));
        if attempt.clone().sent_by(&self.clock, now.plus(BRIEF_MAX_WAIT.min(max_wait))).await.is_ok() {
            let _ = self.clock.deadline(now.plus(BRIEF_MAX_WAIT), attempt.ended()).await;
        }
    }

    /// Waits until a credential's attempt has been on its way for longer than a read waits for it. As long as it waits for
    /// our own budget it is not late: that is no outage.
    pub async fn attempt_is_late(&self, asker: &Asker<'_>) {
        if let Some(attempt) = self.attempt_of(asker)
            && let Some(sent) = attempt.sent().await
        {
            self.clock.sleep_until(sent.plus(BRIEF_MAX_WAIT)).await;
        } else {
            std::future::pending::<()>().await;
        }
    }

    /// The attempt under way that would prove a read's credential for its resource.
    fn attempt_of(&self, asker: &Asker<'_>) -> Option<Attempt> {
        self.attempts.under_way(asker.digest(), asker.reader.read.resource)
    }

    /// What a read behind everybody's back reads: the whole list where that is one page and takes its items, which it does
    /// not while a write settles. `begun` is when what it is to renew was read.
    fn target_behind(
        &self,
        asker: &Asker<'_>,
        organization: &Organization,
        begun: Option<Tick>,
        now: Moment,
    ) -> Target {
        let (read, rules) = (asker.reader.read, asker.reader.rules);
        let list = items::whole_list(read.resource);
        let covers = matches!(read.target, Target::Item(_)) || read.target == list;
        let shared = rules.cache.list_fill && rules.shares();
        let fits = organization.lists(read.resource).fit_one_page(asker.reader.owner(organization), begun);
        let brings = fits && !self.cache.fence().is_settling(organization, &list, now);
        if covers && shared && brings { list } else { read.target.clone() }
    }
}

/// A fetch that nobody waits for.
pub(super) fn behind<'o>(
    asker: &Asker<'_>,
    organization: &'o Arc<Organization>,
    target: Target,
    purpose: Purpose,
    class: Class,
) -> Wanted<'o> {
    Wanted {
        key: FlightKey::Shared(asker.reader.key(organization, &target)),
        organization: Some(organization),
        target,
        after: Tick::default(),
        storing: Storing::of(asker.reader.read),
        purpose,
        class,
        ground: Ground::Missing(Fallback::Nothing),
    }
}
