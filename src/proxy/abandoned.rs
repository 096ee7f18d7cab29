//! [`Abandoned`]: a write whose client leaves while it is under way.

use super::Proxy;
use super::write::Write;
use crate::fence::Reach;
use crate::fleet::notice::{Notice, Told};
use crate::metrics::InvalidationCause;
use crate::organization::Extent;

/// Invalidates when the client leaves while its write is under way: it may read its own write through another connection
/// before the answer is here. Nothing has to settle on that account, for the answer, or its loss, invalidates again.
pub(super) struct Abandoned<'a> {
    proxy: &'a Proxy,
    write: &'a Write,
    answered: bool,
}

impl<'a> Abandoned<'a> {
    pub(super) const fn new(proxy: &'a Proxy, write: &'a Write) -> Self {
        Self { proxy, write, answered: false }
    }

    /// Its answer, or its loss, is known, and has been seen to; or it cannot come to anything.
    pub(super) const fn note_answered(&mut self) {
        self.answered = true;
    }

    pub(super) fn invalidate(&self) {
        if self.answered {
            return;
        }
        let organization = self.write.organization.as_ref();
        let is_anybodys = organization.is_none() || self.write.may_be_anothers();
        let everywhere = is_anybodys.then(|| self.reach());
        if let Some(fleet) = &self.proxy.fleet {
            // Until the answer comes nobody has told of this write. What others have stored before this is not for its client.
            let of = |organization| Notice::of_write(Some(organization), self.reach(), Told::Known);
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

    /// As much of every organization, where nobody knows which is meant, as its path names: anybody can leave with a key that
    /// the API does not know, and must not be able to empty the cache of others by it. What its path leaves open goes when
    /// its answer, or its loss, is known.
    fn reach(&self) -> Reach {
        self.write.subject.item.map_or(Reach::Lists, Reach::Item)
    }
}

impl Drop for Abandoned<'_> {
    fn drop(&mut self) {
        self.invalidate();
    }
}
