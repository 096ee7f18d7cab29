//! Purge: an operator says that stored responses must go.

use uuid::Uuid;

use super::Proxy;
use crate::classify::Target;
use crate::metrics::InvalidationCause;
use crate::organization::OrganizationName;

/// What a purge is to reach; nothing given is everything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Purge {
    /// This organization alone.
    pub organization: Option<OrganizationName>,
    /// The item with this id alone, of whichever resource, and every list, for a list may hold it.
    pub label: Option<Uuid>,
}

/// What a purge took away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Purged {
    /// Stored responses.
    pub entries: u64,
    /// Their bytes, keys and overhead included.
    pub bytes: u64,
    /// Proofs of credentials, which must be earned again.
    pub proofs: u64,
}

impl Proxy {
    /// Takes stored responses away, and proofs with them where an organization or everything is named.
    ///
    /// A purge is an invalidation: fetches under way are not stored. With a label, lists of other organizations go too; they come
    /// back with the next read, and telling them apart is not worth a second fence.
    pub fn purge(&self, what: Purge) -> Purged {
        let (removed, proofs) = match (what.organization, what.label) {
            (_, Some(label)) => {
                self.cache.fence().invalidate_everywhere(Some(label), None);
                let concerned = |target: &Target| match target {
                    Target::Item(id) => *id == label,
                    Target::List(_) => true,
                };
                (self.cache.remove_targets(concerned), 0)
            }
            (Some(name), None) => {
                self.cache.fence().invalidate_named(name);
                (self.cache.remove_of(Some(name)), self.end_proofs(Some(name)))
            }
            (None, None) => {
                self.cache.fence().invalidate_all();
                (self.cache.remove_of(None), self.end_proofs(None))
            }
        };
        self.metrics.invalidation(InvalidationCause::Purge);
        let (entries, bytes) = removed;
        tracing::info!(entries, size_bytes = bytes, proofs, "purged");
        Purged { entries, bytes, proofs }
    }

    fn end_proofs(&self, organization: Option<OrganizationName>) -> u64 {
        self.bindings.end_proofs(organization, self.cache.fence().sequence().advance())
    }
}
