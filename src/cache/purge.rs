//! Purge: what an operator says must go, here or at another replica.

use uuid::Uuid;

use super::Cache;
use crate::caller::bindings::Bindings;
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

/// What a purge took away here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Purged {
    /// Stored responses.
    pub entries: u64,
    /// Their bytes, keys and overhead included.
    pub bytes: u64,
    /// Proofs of credentials, which must be earned again.
    pub proofs: u64,
}

impl Cache {
    /// Takes stored responses away, and proofs with them where an organization or everything is named.
    ///
    /// A purge is an invalidation: fetches under way are not stored. With a label, lists of other organizations go too; they come
    /// back with the next read, and telling them apart is not worth a second fence.
    pub fn purge(&self, what: Purge, bindings: &Bindings) -> Purged {
        let end_proofs = |name| bindings.end_proofs(name, self.fence.sequence().advance());
        let (removed, proofs) = match (what.organization, what.label) {
            (_, Some(label)) => {
                self.fence.invalidate_everywhere(Some(label), None);
                let concerned = |target: &Target| match target {
                    Target::Item(id) => *id == label,
                    Target::List(_) => true,
                };
                (self.remove_targets(concerned), 0)
            }
            (Some(name), None) => {
                self.fence.invalidate_named(name);
                (self.remove_of(Some(name)), end_proofs(Some(name)))
            }
            (None, None) => {
                self.fence.invalidate_all();
                (self.remove_of(None), end_proofs(None))
            }
        };
        self.metrics.invalidation(InvalidationCause::Purge);
        let (entries, bytes) = removed;
        tracing::info!(entries, size_bytes = bytes, proofs, "purged");
        Purged { entries, bytes, proofs }
    }
}
