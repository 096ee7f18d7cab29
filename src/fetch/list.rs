//! Lists that are read for their items, and to know whether the labels of an organization are for everybody.

use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use super::asker::Asker;
use super::behind::behind;
use super::flight::{Flight, FlightKey, Storing};
use super::result::Fetched;
use super::spared::Asks;
use super::task::{Fetch, Use, Waited};
use super::{BRIEF_MAX_WAIT, Fetcher};
use crate::cache::items;
use crate::cache::key::CacheKey;
use crate::caller::credential::CredentialDigest;
use crate::classify::{Read, Target};
use crate::clock::Moment;
use crate::organization::Organization;
use crate::purpose::Purpose;
use crate::resource::Descriptor;
use crate::shield::budget::Class;

impl Fetcher {
    /// When a second distinct label is missed, one list read brings the rest: begins it, and waits a moment for one that is
    /// under way. Whether it waited.
    pub async fn wait_for_list(
        self: &Arc<Self>,
        asker: &Asker<'_>,
        organization: &Arc<Organization>,
        now: Moment,
    ) -> bool {
        let Target::Item(item) = asker.reader.read.target else { return false };
        if !self.takes_lists(asker, organization, now) {
            return false;
        }
        let Some(flight) = self.list(asker, organization, item, now) else { return false };
        // Its turn may be long in coming: who would not wait for a call of its own does not wait for this one either.
        if flight.sent_by(&self.clock, now.plus(BRIEF_MAX_WAIT.min(asker.max_wait))).await.is_ok() {
            let _ = flight.result(&self.clock, now.plus(BRIEF_MAX_WAIT)).await;
        }
        true
    }

    /// Whether a miss would wait for a list, its own or one under way.
    #[must_use]
    pub fn would_wait_for_list(
        &self,
        asker: &Asker<'_>,
        organization: &Arc<Organization>,
        now: Moment,
    ) -> bool {
        let Target::Item(item) = asker.reader.read.target else { return false };
        let resource = asker.reader.read.resource;
        let key = FlightKey::Shared(asker.reader.key(organization, &items::whole_list(resource)));
        let lifetime = asker.reader.rules.of_items(resource).ttl;
        self.takes_lists(asker, organization, now)
            && (self.flights.is_under_way(&key)
                || self.witness_under_way(resource, organization).is_some()
                || organization.lists(resource).would_be_second_miss(
                    asker.reader.owner(organization),
                    item,
                    organization.lists_invalidated(),
                    lifetime,
                    now,
                ))
    }

    /// The list that is under way for an organization, or that the miss of `item` begins.
    fn list(
        self: &Arc<Self>,
        asker: &Asker<'_>,
        organization: &Arc<Organization>,
        item: Uuid,
        now: Moment,
    ) -> Option<Arc<Flight<Fetched>>> {
        let resource = asker.reader.read.resource;
        // Interactive: the reads that missed wait for it, and it stands for many calls.
        let list = items::whole_list(resource);
        let wanted = behind(asker, organization, list, Purpose::ListFill, Class::Interactive);
        if let Some(flight) = self.flights.under_way(&wanted.key) {
            return Some(flight);
        }
        if let Some(witness) = self.witness_under_way(resource, organization) {
            return Some(witness);
        }
        let lifetime = asker.reader.rules.of_items(resource).ttl;
        let owner = asker.reader.owner(organization);
        if !organization.lists(resource).is_second_miss(
            owner,
            item,
            organization.lists_invalidated(),
            lifetime,
            now,
        ) {
            return None;
        }
        let flight = self.launch_behind(asker, &wanted)?;
        organization.lists(resource).note_list_fill(owner, flight.begun, now.plus(lifetime));
        Some(flight)
    }

    /// Whether items of this read's organization may be filled from lists now.
    fn takes_lists(&self, asker: &Asker<'_>, organization: &Organization, now: Moment) -> bool {
        let (read, rules) = (asker.reader.read, asker.reader.rules);
        let list = items::whole_list(read.resource);
        rules.cache.list_fill
            && rules.shares()
            && asker.storing == Storing::Allowed
            && organization.lists(read.resource).stand_for_items()
            && !self.cache.fence().is_settling(organization, &list, now)
            && !self.origin.shield().edge.is_blocked()
            && !self.origin.upstream().is_unreachable()
    }

    /// Reads the list of an organization that is new here once, behind an answer of its, to know whether its labels are for
    /// everybody; where that fails, again behind a later answer.
    pub(super) fn ask_for_witness(self: &Arc<Self>, fetch: &Fetch, result: &Fetched) {
        let (Fetched::Checked { response, .. } | Fetched::Shared { response, .. }) = result else { return };
        let asks = fetch.use_of.stores() && fetch.rules.shares() && fetch.rules.cache.list_fill;
        let known = self.cache.fence().organizations().peek(response.organization);
        let Some(organization) = known.filter(|_| asks) else { return };
        let (now, resource) = (self.clock.now(), fetch.read.resource);
        let target = items::whole_list(resource);
        if organization.sharing(resource).is_witnessed()
            || self.cache.is_closed()
            || self.cache.fence().is_settling(&organization, &target, now)
            || self.origin.shield().edge.is_blocked()
            || self.origin.upstream().is_unreachable()
        {
            return;
        }
        let digest = fetch.credential.digest();
        let key = witness_key(resource, &organization, digest);
        // One that has been answered may still be landing: what is not asked must not put off what will be.
        if self.flights.under_way(&key).is_some()
            || !organization.sharing(resource).asks_for_witness(digest, now)
        {
            return;
        }
        let witness = || Fetch {
            credential: fetch.credential.clone(),
            read: Read { resource, target, storable: true, head: false },
            organization: Some(Arc::clone(&organization)),
            rules: Arc::clone(&fetch.rules),
            peer: fetch.peer,
            class: Class::Background,
            purpose: Purpose::ListFill,
            waited: Waited::Behind,
            use_of: Use::ProofAndStore,
            asks: Asks::Entry,
            store_waited: Duration::ZERO,
            attempt: None,
            payer: fetch.payer.behind(),
            trace: None,
        };
        if let Some(flight) = self.launch_alone(key, witness, digest) {
            let next = now.plus(fetch.rules.of_items(resource).ttl);
            organization.lists(resource).note_list_fill(Some(digest), flight.begun, next);
        }
    }

    /// The list that is being read as a witness for an organization: whoever's token asks, what it brings will be for all,
    /// or it will be known that nothing is. It is one until it has ended: what it shows is known before what it brings is
    /// stored.
    fn witness_under_way(
        &self,
        resource: &'static Descriptor,
        organization: &Organization,
    ) -> Option<Arc<Flight<Fetched>>> {
        let asked = organization.sharing(resource).asked_for_witness()?;
        self.flights.under_way(&witness_key(resource, organization, asked))
    }
}

/// Where nothing is shared yet, the list is its credential's own, as any other response.
fn witness_key(
    resource: &'static Descriptor,
    organization: &Organization,
    owner: CredentialDigest,
) -> FlightKey {
    FlightKey::Shared(CacheKey::new(resource, organization, Some(owner), items::whole_list(resource)))
}
