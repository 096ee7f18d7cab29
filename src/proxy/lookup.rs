//! What is stored for a read: keys, the look-up, and the rules of each kind of target.

use std::sync::Arc;

use super::Proxy;
use super::read::Reading;
use crate::cache::flight::FlightKey;
use crate::cache::key::CacheKey;
use crate::cache::stored::StoredResponse;
use crate::classify::Target;
use crate::organization::Organization;

impl Proxy {
    /// What is stored for this read and may be served to this organization: nothing from before a write.
    pub(super) fn look_up(
        &self,
        reading: &Reading<'_>,
        organization: &Organization,
    ) -> Option<Arc<StoredResponse>> {
        let begun = self.tracing.as_ref().map(|_| self.clock.now());
        let stored = self.look_up_by(reading, organization, |key| self.store.get(key));
        if let Some(begun) = begun {
            self.trace_step("look-up", reading.head.extensions.get(), begun);
        }
        stored
    }

    /// The same by another way into the store.
    pub(super) fn look_up_by(
        &self,
        reading: &Reading<'_>,
        organization: &Organization,
        get: impl Fn(&CacheKey) -> Option<Arc<StoredResponse>>,
    ) -> Option<Arc<StoredResponse>> {
        if !reading.read.storable {
            return None;
        }
        let admitted = |stored: &Arc<StoredResponse>| {
            self.fence.admits(organization, &reading.read.target, stored.begun)
        };
        let mut key = self.key(reading, organization, &reading.read.target);
        let is_own = key.owner.is_some();
        // Asked once it is at hand: an answer that ends all sharing meanwhile is not told before this is known.
        let may_have = |stored: &Arc<StoredResponse>| {
            admitted(stored) && (is_own || reading.rules.may_share(organization, stored.begun))
        };
        let stored = get(&key).filter(may_have);
        if stored.is_some() || key.owner.is_some() || !organization.has_private_responses() {
            return stored;
        }
        key.owner = Some(reading.credential.digest());
        get(&key).filter(admitted)
    }

    /// The key of a target for this read's caller.
    pub(super) fn key(
        &self,
        reading: &Reading<'_>,
        organization: &Organization,
        target: &Target,
    ) -> CacheKey {
        CacheKey {
            resource: reading.read.resource.name,
            organization: organization.id(),
            owner: Self::owner(reading, organization),
            target: target.clone(),
        }
    }

    /// The key of a flight that this read's credential shares with nobody.
    pub(super) fn own_key(reading: &Reading<'_>, target: &Target, storing: bool) -> FlightKey {
        FlightKey::Own {
            credential: reading.credential.digest(),
            resource: reading.read.resource.name,
            target: target.clone(),
            storing,
        }
    }
}
