//! What is stored for a read: whose it would be, and the look-up.

use std::sync::Arc;

use super::Cache;
use super::key::CacheKey;
use super::stored::StoredResponse;
use crate::caller::credential::{Credential, CredentialDigest};
use crate::classify::{Read, Target};
use crate::organization::Organization;
use crate::resource::Descriptor;
use crate::rules::Rules;

/// A read, as the cache sees it.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    /// Who reads.
    pub credential: &'a Credential,
    /// What.
    pub read: &'a Read,
    /// Those of the request.
    pub rules: &'a Arc<Rules>,
}

impl Reader<'_> {
    /// Whose a response is that this read brings, or finds: its credential's, or, where there is none, everybody's.
    #[must_use]
    pub fn owner(&self, organization: &Organization) -> Option<CredentialDigest> {
        (!self.rules.shares_in(organization, self.read.resource)).then(|| self.credential.digest())
    }

    /// The key of a target of this read's resource.
    #[must_use]
    pub fn key(&self, organization: &Organization, target: &Target) -> CacheKey {
        CacheKey::new(self.read.resource, organization, self.owner(organization), target.clone())
    }
}

impl Cache {
    /// What is stored for a read and may be served to this organization: nothing from before a write.
    #[must_use]
    pub fn look_up(&self, reader: Reader<'_>, organization: &Organization) -> Option<Arc<StoredResponse>> {
        self.look_up_by(reader, organization, |key| self.store.get(key))
    }

    /// The same, without counting as a use.
    #[must_use]
    pub fn peek(&self, reader: Reader<'_>, organization: &Organization) -> Option<Arc<StoredResponse>> {
        self.look_up_by(reader, organization, |key| self.store.peek(key))
    }

    /// What is stored of a target for every credential of this organization, and may be served to them: nothing from before a
    /// write. Nothing where its credentials do not share.
    #[must_use]
    pub fn look_up_shared(
        &self,
        resource: &'static Descriptor,
        target: Target,
        rules: &Rules,
        organization: &Organization,
    ) -> Option<Arc<StoredResponse>> {
        if !rules.shares_in(organization, resource) {
            return None;
        }
        let key = CacheKey::new(resource, organization, None, target);
        // Asked once it is at hand: an answer that ends all sharing meanwhile is not told before this is known.
        self.store.get(&key).filter(|stored| {
            self.fence.admits(organization, &key.target(), stored.begun)
                && rules.may_share(organization, resource, stored.begun)
        })
    }

    fn look_up_by(
        &self,
        reader: Reader<'_>,
        organization: &Organization,
        get: impl Fn(&CacheKey) -> Option<Arc<StoredResponse>>,
    ) -> Option<Arc<StoredResponse>> {
        let Reader { credential, read, rules } = reader;
        if !read.storable {
            return None;
        }
        let admitted =
            |stored: &Arc<StoredResponse>| self.fence.admits(organization, &read.target, stored.begun);
        let key = reader.key(organization, &read.target);
        let is_own = key.owner().is_some();
        // Asked once it is at hand: an answer that ends all sharing meanwhile is not told before this is known.
        let may_have = |stored: &Arc<StoredResponse>| {
            admitted(stored) && (is_own || rules.may_share(organization, read.resource, stored.begun))
        };
        let stored = get(&key).filter(may_have);
        if stored.is_some() || is_own || !organization.has_private_responses() {
            return stored;
        }
        get(&key.owned_by(credential.digest())).filter(admitted)
    }
}
