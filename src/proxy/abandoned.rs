//! [`Abandoned`]: a write whose client leaves while it is under way.

use std::sync::Arc;

use uuid::Uuid;

use super::Proxy;
use crate::fence::Reach;
use crate::fleet::notice::{Notice, Told};
use crate::metrics::InvalidationCause;
use crate::organization::{Extent, Organization};

/// Invalidates when the client leaves while its write is under way: it may read its own write through another connection
/// before the answer is here. Nothing has to settle on that account, for the answer, or its loss, invalidates again.
pub(super) struct Abandoned<'a> {
    proxy: &'a Proxy,
    /// Of the writer.
    organization: Option<&'a Arc<Organization>>,
    /// What its path names.
    item: Option<Uuid>,
    answered: bool,
}

impl<'a> Abandoned<'a> {
    pub(super) const fn new(
        proxy: &'a Proxy,
        organization: Option<&'a Arc<Organization>>,
        item: Option<Uuid>,
    ) -> Self {
        Self { proxy, organization, item, answered: false }
    }

    /// Its answer, or its loss, is known, and has been seen to; or it cannot come to anything.
    pub(super) const fn note_answered(&mut self) {
        self.answered = true;
    }

    pub(super) fn invalidate(&self) {
        if self.answered {
            return;
        }
        if let Some(fleet) = &self.proxy.fleet {
            // Until the answer comes nobody has told of this write. What others have stored before this is not for its client.
            fleet.tell(Notice::of_write(self.organization, self.reach(), Told::Known));
        }
        let fence = self.proxy.cache.fence();
        match self.organization {
            Some(organization) => {
                fence.invalidate_settled(organization, Extent::Organization);
            }
            None => fence.invalidate_everywhere(self.reach(), None),
        }
        self.proxy.metrics.invalidation(InvalidationCause::UnknownWrite);
    }

    /// As much of every organization, where nobody knows which is meant, as its path names: anybody can leave with a key that
    /// the API does not know, and must not be able to empty the cache of others by it. What its path leaves open goes when
    /// its answer, or its loss, is known.
    fn reach(&self) -> Reach {
        self.item.map_or(Reach::Lists, Reach::Item)
    }
}

impl Drop for Abandoned<'_> {
    fn drop(&mut self) {
        self.invalidate();
    }
}
