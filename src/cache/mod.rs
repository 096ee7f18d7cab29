//! The cache: keys, stored responses, what may be stored, what may be served.
//!
//! [`Cache`] is what is stored and the fence that everything stored is judged by; both are asked together, always.

pub mod decide;
pub mod gate;
pub mod items;
pub mod key;
mod lookup;
mod purge;
mod purged;
pub mod render;
mod scan;
mod sharing;
pub mod store;
pub mod stored;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use uuid::Uuid;

use self::key::CacheKey;
pub use self::lookup::Reader;
pub use self::purge::{Purge, Purged};
use self::purged::PurgedResources;
pub use self::sharing::Grants;
use self::store::Store;
use self::stored::StoredResponse;
use crate::caller::credential::Credential;
use crate::classify::Target;
use crate::clock::{Clock, Moment};
use crate::fence::Fence;
use crate::metrics::{InvalidationCause, Metrics};
use crate::organization::{Organization, OrganizationName};
use crate::resource::Descriptor;

/// Stored responses, and what may be served of them; one per process.
#[derive(Debug)]
pub struct Cache {
    store: Store,
    fence: Arc<Fence>,
    is_closed: AtomicBool,
    purged: PurgedResources,
    clock: Clock,
    metrics: Arc<Metrics>,
}

impl Cache {
    /// An empty cache of at most `max_bytes`, whose order of writes is `fence`'s.
    #[must_use]
    pub fn new(max_bytes: u64, fence: Arc<Fence>, clock: Clock, metrics: Arc<Metrics>) -> Self {
        let store = Store::new(max_bytes, Arc::clone(&metrics));
        let (is_closed, purged) = (AtomicBool::new(false), PurgedResources::default());
        Self { store, fence, is_closed, purged, clock, metrics }
    }

    /// What writes shut out.
    #[must_use]
    pub fn fence(&self) -> &Fence {
        &self.fence
    }

    /// From now on nothing is stored, not even what is under way.
    pub fn close(&self) {
        self.is_closed.store(true, Ordering::SeqCst);
    }

    /// Whether nothing is stored any more.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::SeqCst)
    }

    /// How many responses are stored, and their bytes.
    #[must_use]
    pub fn size(&self) -> (u64, u64) {
        self.store.size()
    }

    /// Lets go of what has expired or is idle.
    pub fn tidy(&self) {
        self.store.tidy();
        self.fence.organizations().forget_idle(self.fence.sequence(), self.clock.now());
    }

    /// Takes away what is stored of something that is gone: what everybody may have, and what this credential alone may.
    /// Whether there was any.
    pub fn evict(&self, key: CacheKey, credential: &Credential) -> bool {
        let shared = self.store.remove(&key);
        let own = self.store.remove(&key.owned_by(credential.digest()));
        self.metrics.invalidation(InvalidationCause::NotFound);
        shared || own
    }

    /// Whether what is stored under a key may be served and is from later than `sent`: an answer that a cache on the way has had
    /// since before that is no news, whenever it was asked for.
    #[must_use]
    pub fn has_younger(&self, key: &CacheKey, organization: &Organization, sent: Moment) -> bool {
        self.admitted(key, organization).is_some_and(|stored| stored.sent().uptime() > sent.uptime())
    }

    /// The same, or from that very moment: then it is what another replica has as well.
    #[must_use]
    pub fn has_as_young(&self, key: &CacheKey, organization: &Organization, sent: Moment) -> bool {
        self.admitted(key, organization).is_some_and(|stored| stored.sent().uptime() >= sent.uptime())
    }

    fn admitted(&self, key: &CacheKey, organization: &Organization) -> Option<Arc<StoredResponse>> {
        self.store.get(key).filter(|stored| self.fence.admits(organization, &key.target(), stored.begun))
    }

    /// Takes away what is stored of an item that is gone, as another replica has told: what everybody may have. What is one
    /// credential's own is not found without it, and lives until its lifetime ends or that credential asks.
    pub fn evict_item(&self, resource: &'static Descriptor, organization: &Organization, item: Uuid) {
        self.store.remove(&CacheKey::new(resource, organization, None, Target::Item(item)));
        self.metrics.invalidation(InvalidationCause::NotFound);
    }

    /// Takes away what is stored under the keys of this organization, or of any.
    pub fn remove_of(&self, organization: Option<OrganizationName>) -> (u64, u64) {
        self.store.remove_all(|key| organization.is_none_or(|name| key.organization().name() == name))
    }

    /// Takes away what is stored of these targets, whosever they are.
    pub fn remove_targets(&self, chosen: impl Fn(&Target) -> bool) -> (u64, u64) {
        self.store.remove_all(|key| chosen(&key.target()))
    }
}
