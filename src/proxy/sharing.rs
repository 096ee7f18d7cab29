//! Who may get what one credential has read: what answers show of it, and the list that is asked for to know it.

use std::sync::Arc;
use std::time::Duration;

use http::Method;

use super::Proxy;
use super::fill::{Fill, Landing};
use super::judging::Grants;
use super::read::Reading;
use super::rules::Rules;
use crate::cache::flight::{Boarding, Flight, FlightKey};
use crate::cache::gate::Identity;
use crate::cache::items;
use crate::cache::key::CacheKey;
use crate::cache::stored::StoredResponse;
use crate::caller::credential::CredentialDigest;
use crate::classify::{Read, Target};
use crate::metrics::InvalidationCause;
use crate::organization::Organization;
use crate::organization::sharing::{Change, Shared, Shown};
use crate::purpose::Purpose;
use crate::resource::{Descriptor, LEAD_LABEL};
use crate::shield::budget::Class;
use crate::tick::Tick;

impl Rules {
    /// Who may get what a credential of this organization reads now.
    pub(super) fn shared_in(&self, organization: &Organization) -> Shared {
        if self.shares() { organization.sharing().shared(self.cache.list_fill) } else { Shared::Configured }
    }

    /// Whether credentials of this organization share what they read now.
    pub(super) fn shares_in(&self, organization: &Organization) -> bool {
        self.shares() && organization.sharing().admits_some(self.cache.list_fill)
    }

    /// Whether what a fill of `begun` brought may go to every credential of this organization.
    pub(super) fn may_share(&self, organization: &Organization, begun: Tick) -> bool {
        self.shares() && organization.sharing().admits(begun, self.cache.list_fill)
    }
}

impl Proxy {
    /// Notes what a sound body shows of who may see the labels of its organization, before anything else is done with it.
    pub(super) fn note_identity(&self, fill: &Fill, identity: Identity) {
        let organization = self.fence.organizations().get(identity.organization, self.clock.now());
        // A page that passed has an item, which would have shown it.
        let is_witness = matches!(fill.read.target, Target::List(_));
        let shown = Shown { grants: identity.grants, is_witness, begun: fill.begun };
        self.note_shown(&organization, shown, &fill.rules);
    }

    fn note_shown(&self, organization: &Organization, shown: Shown, rules: &Rules) {
        let ttl = rules.cache.lead_label_lists.ttl;
        match organization.sharing().note(shown, self.fence.sequence(), ttl, self.clock.now()) {
            Change::None => {}
            Change::Ended => {
                organization.lists().forget();
                let id = organization.id();
                self.store.remove_all(|key| key.organization == id && key.owner.is_none());
                self.metrics.invalidation(InvalidationCause::AccessGrants);
                tracing::warn!(
                    organization = %id,
                    "labels say who may see them: credentials of this organization share nothing"
                );
            }
            Change::Resumed => {
                organization.lists().forget();
                tracing::info!(
                    organization = %organization.id(),
                    "labels no longer say who may see them: credentials of this organization share again"
                );
            }
        }
    }

    /// Notes grants in any other body, a write's or an unsound one.
    pub(super) fn note_grants(&self, grants: Grants, caller: Option<&Arc<Organization>>, rules: &Rules) {
        let named = grants.named.map(|id| self.fence.organizations().get(id, self.clock.now()));
        if let Some(organization) = named.as_ref().or(caller) {
            let shown = Shown { grants: true, is_witness: false, begun: self.fence.sequence().current() };
            self.note_shown(organization, shown, rules);
        }
    }

    /// Whether a response that others wait for is still for everybody: sharing may have ended while they did.
    pub(super) fn is_shared(&self, response: &StoredResponse, rules: &Rules) -> bool {
        let organization = self.fence.organizations().peek(response.organization);
        organization.is_some_and(|organization| rules.may_share(&organization, response.begun))
    }

    /// Stores a response; one for everybody only as long as credentials of its organization share what they read.
    pub(super) fn keep(
        &self,
        key: CacheKey,
        response: Arc<StoredResponse>,
        useful_for: Duration,
        (organization, rules): (&Organization, &Rules),
    ) {
        let (begun, everybodys) = (response.begun, key.owner.is_none().then(|| key.clone()));
        if everybodys.is_none() && rules.shares() {
            organization.note_private_response();
        }
        self.store.insert(key, response, useful_for);
        // Sharing may have ended since it was asked about: what was to be taken away was looked for before this was there.
        if let Some(key) = everybodys
            && !rules.may_share(organization, begun)
        {
            self.store.remove(&key);
        }
    }

    /// Reads the list of an organization that is new here once, behind an answer of its, to know whether its labels are for
    /// everybody; where that fails, again behind a later answer.
    pub(super) fn ask_for_witness(self: &Arc<Self>, fill: &Fill, landing: &Landing) {
        let Landing::Checked { response, .. } = landing else { return };
        let asks = fill.storing && fill.proving && fill.rules.shares() && fill.rules.cache.list_fill;
        let Some(organization) = self.fence.organizations().peek(response.organization).filter(|_| asks)
        else {
            return;
        };
        let now = self.clock.now();
        let target = items::whole_list(fill.read.resource);
        if organization.sharing().is_witnessed()
            || self.is_draining()
            || self.fence.is_settling(&organization, &target, now)
            || self.shield.edge.is_blocked()
            || self.upstream.is_unreachable()
        {
            return;
        }
        let digest = fill.credential.digest();
        if !organization.sharing().asks_for_witness(digest, now) {
            return;
        }
        let key = witness_key(fill.read.resource, &organization, digest);
        let begin = || self.fence.sequence().advance();
        let boarding = self.flights.board(key, digest, |_| true, || None::<()>, begin);
        let Boarding::Leading(flight, ticket) = boarding else { return };
        organization.lists().note_list_fill(
            Some(digest),
            flight.begun,
            now.plus(fill.rules.cache.lead_labels.ttl),
        );
        let witness = Fill {
            credential: fill.credential.clone(),
            peer: fill.peer,
            route: self.digester.route(&Method::GET, fill.read.resource.collection),
            read: Read { resource: fill.read.resource, target, storable: true, head: false },
            class: Class::Background,
            rules: Arc::clone(&fill.rules),
            awaited: false,
            organization: Some(organization),
            storing: true,
            proving: true,
            purpose: Purpose::ListFill,
            begun: flight.begun,
            sent: now,
            attempt: None,
            trace: None,
        };
        self.launch(witness, ticket);
    }

    /// The list that is being read as a witness for an organization: whoever's token asks, what it brings will be for all,
    /// or it will be known that nothing is. It is one until it has landed: what it shows is known before what it brings is
    /// stored.
    pub(super) fn witness_under_way(&self, organization: &Organization) -> Option<Arc<Flight<Landing>>> {
        let asked = organization.sharing().asked_for_witness()?;
        self.flights.under_way(&witness_key(&LEAD_LABEL, organization, asked))
    }

    /// Whose a response is that this read brings, or finds: its credential's, or, where there is none, everybody's.
    pub(super) fn owner(reading: &Reading<'_>, organization: &Organization) -> Option<CredentialDigest> {
        (!reading.rules.shares_in(organization)).then(|| reading.credential.digest())
    }
}

/// Where nothing is shared yet, the list is its credential's own, as any other response.
fn witness_key(
    resource: &'static Descriptor,
    organization: &Organization,
    owner: CredentialDigest,
) -> FlightKey {
    FlightKey::Shared(CacheKey {
        resource: resource.name,
        organization: organization.id(),
        owner: Some(owner),
        target: items::whole_list(resource),
    })
}
