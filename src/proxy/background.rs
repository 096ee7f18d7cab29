//! Reads that nobody waits for: renewed proofs, refreshed responses, list fills.
//!
//! Where the organization's whole list is known to fit one page they are all that one list read: it proves its
//! credential and makes every label of the organization young again.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Proxy;
use super::fill::{Fill, Landing};
use super::flying::Wanted;
use super::read::Reading;
use crate::cache::flight::{Boarding, Flight, FlightKey};
use crate::cache::items;
use crate::cache::stored::StoredResponse;
use crate::classify::Target;
use crate::clock::Moment;
use crate::organization::Organization;
use crate::purpose::Purpose;
use crate::shield::budget::Class;
use crate::tick::Tick;
use uuid::Uuid;

impl Proxy {
    /// Renews the proof, unless an attempt is under way. The answer is stored, too.
    pub(super) fn prove_behind(
        self: &Arc<Self>,
        reading: &Reading<'_>,
        organization: &Arc<Organization>,
        now: Moment,
    ) {
        if !self.bindings.may_ask_behind(&reading.credential, true, now) {
            return;
        }
        let Some(attempt) = self.attempts.begin(reading.credential.digest()) else { return };
        // Last: where fills are stopped, asking takes the one trial.
        if !self.shield.edge.may_fill(now) {
            return;
        }
        let target = self.background_target(reading, organization, None, now);
        let wanted = Wanted {
            key: Self::own_key(reading, &target, reading.read.storable),
            after: self.fence.sequence().current(),
            ..self.unwaited(reading, organization, target, (Purpose::Proof, Class::Proof))
        };
        if let Boarding::Leading(flight, ticket) = self.board(reading, &wanted, || None::<()>) {
            let fill = Fill { attempt: Some(attempt), ..self.fill_of(reading, &wanted, &flight) };
            self.launch(fill, ticket);
        }
    }

    /// Fetches again what is about to become stale or has become so, if there is budget to spare and nobody does already.
    pub(super) fn refresh_behind(
        self: &Arc<Self>,
        reading: &Reading<'_>,
        organization: &Arc<Organization>,
        stored: &StoredResponse,
        now: Moment,
    ) {
        if self.draining.load(Ordering::SeqCst)
            || !self.bindings.may_ask_behind(&reading.credential, false, now)
            || !self.shield.budget.spare(self.account_of(organization), now)
            || self.shield.edge.is_blocked()
        {
            return;
        }
        let target = self.background_target(reading, organization, Some(stored.begun), now);
        let wanted = self.unwaited(reading, organization, target, (Purpose::Refresh, Class::Background));
        self.launch_unwaited(reading, &wanted);
    }

    /// The list fill that is under way for an organization, or that the miss of `item` begins.
    pub(super) fn list_fill(
        self: &Arc<Self>,
        reading: &Reading<'_>,
        organization: &Arc<Organization>,
        item: Uuid,
        now: Moment,
    ) -> Option<Arc<Flight<Landing>>> {
        let list = items::whole_list(reading.read.resource);
        // Interactive: the reads that missed wait for it, and it stands for many calls.
        let wanted = self.unwaited(reading, organization, list, (Purpose::ListFill, Class::Interactive));
        if let Some(flight) = self.flights.under_way(&wanted.key) {
            return Some(flight);
        }
        if let Some(witness) = self.witness_under_way(organization) {
            return Some(witness);
        }
        let lifetime = reading.rules.of(&reading.read.target).ttl;
        let owner = Self::owner(reading, organization);
        if !organization.lists().is_second_miss(owner, item, organization.raised(), (lifetime, now)) {
            return None;
        }
        let flight = self.launch_unwaited(reading, &wanted)?;
        organization.lists().note_list_fill(owner, flight.begun, now.plus(lifetime));
        Some(flight)
    }

    /// Whether a miss of `item` would wait for a list fill, its own or one under way.
    pub(super) fn would_wait_for_list(
        &self,
        reading: &Reading<'_>,
        organization: &Arc<Organization>,
        item: Uuid,
        now: Moment,
    ) -> bool {
        let list = items::whole_list(reading.read.resource);
        let lifetime = reading.rules.of(&reading.read.target).ttl;
        self.takes_list_fills(reading, organization, now)
            && (self.flights.is_under_way(&FlightKey::Shared(self.key(reading, organization, &list)))
                || self.witness_under_way(organization).is_some()
                || organization.lists().would_be_second_miss(
                    Self::owner(reading, organization),
                    item,
                    organization.raised(),
                    (lifetime, now),
                ))
    }

    /// Whether items of this read's organization may be filled from lists now.
    pub(super) fn takes_list_fills(
        &self,
        reading: &Reading<'_>,
        organization: &Organization,
        now: Moment,
    ) -> bool {
        reading.rules.cache.list_fill
            && reading.rules.shares()
            && reading.read.storable
            && !reading.wishes.no_store
            && organization.lists().stand_for_items()
            && !self.fence.is_settling(organization, &items::whole_list(reading.read.resource), now)
            && !self.shield.edge.is_blocked()
            && !self.upstream.is_unreachable()
    }

    /// What a background read reads: the whole list where that is one page and takes its items, which it does not while a
    /// write settles. `begun` is when what it is to renew was read.
    fn background_target(
        &self,
        reading: &Reading<'_>,
        organization: &Organization,
        begun: Option<Tick>,
        now: Moment,
    ) -> Target {
        let list = items::whole_list(reading.read.resource);
        let covers = matches!(reading.read.target, Target::Item(_)) || reading.read.target == list;
        let shared = reading.rules.cache.list_fill && reading.rules.shares();
        let fits = organization.lists().fit_one_page(Self::owner(reading, organization), begun);
        let brings = fits && !self.fence.is_settling(organization, &list, now);
        if covers && shared && brings { list } else { reading.read.target.clone() }
    }

    fn unwaited<'a>(
        &self,
        reading: &Reading<'_>,
        organization: &'a Arc<Organization>,
        target: Target,
        (purpose, class): (Purpose, Class),
    ) -> Wanted<'a> {
        Wanted {
            key: FlightKey::Shared(self.key(reading, organization, &target)),
            organization: Some(organization),
            target,
            after: Tick::default(),
            storing: reading.read.storable,
            purpose,
            class,
            proven: true,
            refetch: false,
            has_fallback: false,
        }
    }

    fn launch_unwaited(
        self: &Arc<Self>,
        reading: &Reading<'_>,
        wanted: &Wanted<'_>,
    ) -> Option<Arc<Flight<Landing>>> {
        match self.board(reading, wanted, || None::<()>) {
            Boarding::Leading(flight, ticket) => {
                self.launch(self.fill_of(reading, wanted, &flight), ticket);
                Some(flight)
            }
            Boarding::Following(_) | Boarding::Landed(()) => None,
        }
    }
}
