//! [`PurgedResources`]: when an operator last purged a whole resource.

use crate::lock::Mutex;
use crate::resource::Descriptor;
use crate::tick::Tick;

/// When each resource was last purged by itself.
#[derive(Debug, Default)]
pub(super) struct PurgedResources(Mutex<Vec<(&'static Descriptor, Tick)>>);

impl PurgedResources {
    pub(super) fn note(&self, resource: &'static Descriptor, tick: Tick) {
        let mut purged = self.0.lock();
        purged.retain(|(known, _)| *known != resource);
        purged.push((resource, tick));
    }

    pub(super) fn is_since(&self, resource: &'static Descriptor, begun: Tick) -> bool {
        self.0.lock().iter().any(|(known, tick)| *known == resource && *tick > begun)
    }
}
