//! Who may get what one credential has read: what answers show of it, and what ends with it.

use std::sync::Arc;
use std::time::Duration;

use super::Cache;
use super::gate::{self, Identity};
use super::key::CacheKey;
use super::stored::StoredResponse;
use crate::classify::{Read, Target};
use crate::clock::Moment;
use crate::metrics::InvalidationCause;
use crate::organization::sharing::{Change, Shown};
use crate::organization::{Organization, OrganizationId};
use crate::resource::Descriptor;
use crate::rules::Rules;
use crate::tick::Tick;

/// A body says who may see what is in it: that concerns the organization that it names, or else its caller's.
#[derive(Clone, Copy, Debug)]
pub struct Grants {
    resource: &'static Descriptor,
    named: Option<OrganizationId>,
}

impl Grants {
    /// Those that a body shows, whatever else is wrong with it.
    #[must_use]
    pub fn in_body(resource: &'static Descriptor, body: &[u8]) -> Option<Self> {
        gate::shows_grants(resource, body)
            .then(|| Self { resource, named: gate::organization_of(resource, body) })
    }

    /// The same, of a body whose id may be anything's.
    #[must_use]
    pub const fn of_its_caller(self) -> Self {
        Self { named: None, ..self }
    }
}

impl Cache {
    /// Notes what a sound body, the answer to `read` in a fetch of `begun`, shows of who may see the items of its
    /// organization, before anything else is done with it; `sent` is when that was true. The organization whose sharing that
    /// ended, or may have to end elsewhere: other replicas are to be told.
    #[must_use]
    pub fn note_identity(
        &self,
        read: &Read,
        identity: Identity,
        begun: Tick,
        sent: Moment,
        rules: &Rules,
    ) -> Option<OrganizationId> {
        let organizations = self.fence.organizations();
        let organization = organizations.get(identity.organization, self.clock.now());
        // A page that passed has an item, which would have shown it.
        let is_witness = matches!(read.target, Target::List(_)) && !organizations.doubts(begun, sent);
        let shown = Shown { grants: identity.grants, is_witness, begun, sent };
        let told = self.note_shown(read.resource, &organization, shown, rules);
        // What lists have shown may have been forgotten since this was asked, and that was before this was noted.
        if is_witness && organizations.doubts(begun, sent) {
            organization.sharing(read.resource).doubt();
        }
        told
    }

    fn note_shown(
        &self,
        resource: &'static Descriptor,
        organization: &Organization,
        shown: Shown,
        rules: &Rules,
    ) -> Option<OrganizationId> {
        let items = resource.sentences.items;
        let ttl = rules.of_lists(resource).ttl;
        match organization.note_shown(resource, shown, self.fence.sequence(), ttl, self.clock.now()) {
            Change::None => None,
            Change::Repeated => Some(organization.id()),
            Change::Ended => {
                self.end_sharing(organization);
                tracing::warn!(
                    organization = %organization.id(),
                    "{items} say who may see them: credentials of this organization share nothing"
                );
                Some(organization.id())
            }
            Change::Resumed => {
                organization.lists(resource).forget();
                tracing::info!(
                    organization = %organization.id(),
                    "{items} no longer say who may see them: credentials of this organization share again"
                );
                None
            }
        }
    }

    /// Takes away what was for everybody, once it is for nobody any more.
    fn end_sharing(&self, organization: &Organization) {
        organization.forget_lists();
        let id = organization.id();
        self.store.remove_all(|key| key.organization() == id && key.owner().is_none());
        self.metrics.invalidation(InvalidationCause::AccessGrants);
    }

    /// Notes grants in any other body, a write's or an unsound one. Returns as [`Self::note_identity`] does.
    #[must_use]
    pub fn note_grants(
        &self,
        grants: Grants,
        caller: Option<&Arc<Organization>>,
        rules: &Rules,
    ) -> Option<OrganizationId> {
        let named = grants.named.map(|id| self.fence.organizations().get(id, self.clock.now()));
        let organization = named.as_ref().or(caller)?;
        self.note_shown(grants.resource, organization, self.grants_now(), rules)
    }

    /// Notes that another replica was shown grants in this organization.
    pub fn note_told_grants(&self, resource: &'static Descriptor, organization: &Organization) {
        let (shown, sequence) = (self.grants_now(), self.fence.sequence());
        // How long nothing is shared counts from here; for grants it is not asked.
        let change = organization.note_shown(resource, shown, sequence, Duration::ZERO, self.clock.now());
        if change == Change::Ended {
            self.end_sharing(organization);
        }
    }

    fn grants_now(&self) -> Shown {
        let (begun, sent) = (self.fence.sequence().current(), self.clock.now());
        Shown { grants: true, is_witness: false, begun, sent }
    }

    /// Whether a response that others wait for is still for everybody: sharing may have ended while they did.
    #[must_use]
    pub fn is_shared(&self, resource: &'static Descriptor, response: &StoredResponse, rules: &Rules) -> bool {
        let organization = self.fence.organizations().peek(response.organization);
        organization.is_some_and(|organization| rules.may_share(&organization, resource, response.begun))
    }

    /// Stores a response; one for everybody only as long as credentials of its organization share what they read.
    pub fn keep(
        &self,
        key: CacheKey,
        response: Arc<StoredResponse>,
        useful_for: Duration,
        organization: &Organization,
        rules: &Rules,
    ) {
        let (begun, everybodys, kept) = (response.begun, key.owner().is_none(), key.clone());
        if !everybodys && rules.shares() {
            organization.note_private_response();
        }
        let has_gone = || {
            self.is_purged_since(kept.resource(), begun)
                || (everybodys && !rules.may_share(organization, kept.resource(), begun))
        };
        if has_gone() {
            return;
        }
        self.store.insert(key, response, useful_for);
        // What was to be taken away may have been looked for before this was there.
        if has_gone() {
            self.store.remove(&kept);
        }
    }
}
