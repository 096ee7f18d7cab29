//! [`Abandoned`]: a write whose client leaves while it is under way.

use std::sync::Arc;

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
    reach: Reach,
    /// What it reaches of all others, where it may be theirs.
    everywhere: Option<Reach>,
    answered: bool,
}

impl<'a> Abandoned<'a> {
    /// Of every organization, where nobody knows which is meant, as much as its path names: anybody can leave with a key that the
    /// API does not know, and must not be able to empty the cache of others by it. What its path leaves open goes when its
    /// answer, or its loss, is known.
    pub(super) const fn new(
        proxy: &'a Proxy,
        organization: Option<&'a Arc<Organization>>,
        reach: Reach,
        everywhere: Option<Reach>,
    ) -> Self {
        Self { proxy, organization, reach, everywhere, answered: false }
    }

    /// Its answer, or its loss, is known, and has been seen to; or it cannot come to anything.
    pub(super) const fn note_answered(&mut self) {
        self.answered = true;
    }

    pub(super) fn invalidate(&self) {
        if self.answered {
            return;
        }
        let Self { organization, reach, everywhere, .. } = *self;
        if let Some(fleet) = &self.proxy.fleet {
            // Until the answer comes nobody has told of this write. What others have stored before this is not for its client.
            let of = |organization| Notice::of_write(Some(organization), reach, Told::Known);
            let elsewhere = everywhere.map(|reach| Notice::everywhere(reach, Told::Known));
            organization.map(of).into_iter().chain(elsewhere).for_each(|notice| fleet.tell(notice));
        }
        let fence = self.proxy.cache.fence();
        if let Some(organization) = organization {
            fence.invalidate_settled(organization, Extent::Organization);
        }
        if let Some(reach) = everywhere {
            fence.invalidate_everywhere(reach, None);
        }
        self.proxy.metrics.invalidation(InvalidationCause::UnknownWrite);
    }
}

impl Drop for Abandoned<'_> {
    fn drop(&mut self) {
        self.invalidate();
    }
}
