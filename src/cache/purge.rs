//! Purge: what an operator says must go, here or at another replica.

use uuid::Uuid;

use super::Cache;
use crate::caller::bindings::Bindings;
use crate::classify::Target;
use crate::fence::Reach;
use crate::metrics::InvalidationCause;
use crate::organization::OrganizationName;
use crate::resource::Descriptor;
use crate::tick::Tick;

/// What a purge is to reach; nothing given is everything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Purge {
    /// This organization alone.
    pub organization: Option<OrganizationName>,
    /// The item with this id alone, of whichever resource, and every list, for a list may hold it.
    pub label: Option<Uuid>,
    /// Of this resource alone. Proofs are left as they are: nothing is said of who may read.
    pub resource: Option<&'static Descriptor>,
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
            _ if what.resource.is_some() => (self.purge_of_resource(what), 0),
            (_, Some(label)) => {
                self.fence.invalidate_everywhere(Reach::Item(label), None);
                (self.remove_targets(|target| concerns(target, label)), 0)
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

    /// What is fetched of the resource at this moment is not stored, whichever organization's it is: to tell them apart is not
    /// worth more.
    fn purge_of_resource(&self, what: Purge) -> (u64, u64) {
        let Some(resource) = what.resource else { return (0, 0) };
        self.purged.note(resource, self.fence.sequence().advance());
        self.store.remove_all(|key| {
            key.resource() == resource
                && what.organization.is_none_or(|name| key.organization().name() == name)
                && what.label.is_none_or(|label| concerns(&key.target(), label))
        })
    }

    /// Whether an operator has purged a resource since `begun`.
    #[must_use]
    pub fn is_purged_since(&self, resource: &'static Descriptor, begun: Tick) -> bool {
        self.purged.is_since(resource, begun)
    }
}

/// Whether an item is what this is, or may be in it.
fn concerns(target: &Target, item: Uuid) -> bool {
    match target {
        Target::Item(id) => *id == item,
        Target::List(_) => true,
    }
}
