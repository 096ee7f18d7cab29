//! [`Lists`]: what is known of an organization's whole list, and what list reads can do for single reads.
//!
//! Where credentials share what they read, what one learns of the list holds for all; where they do not, each has its
//! own: two keys may see different labels. `owner` says whose, as in a cache key: nobody's is everybody's.

use std::num::NonZeroUsize;
use std::time::Duration;

use lru::LruCache;
use uuid::Uuid;

use crate::bounded::bounded;
use crate::caller::credential::CredentialDigest;
use crate::clock::Moment;
use crate::lock::Mutex;
use crate::tick::Tick;

/// How long after a list fill that failed the next one may begin.
const FAILED_LIST_FILL: Duration = Duration::from_secs(5);
/// Credentials whose own lists are told apart in one organization; who leaves the table learns anew.
const OWNERS: NonZeroUsize = NonZeroUsize::new(256).expect("not zero");

/// What is known of an organization's lists.
#[derive(Debug)]
pub struct Lists(Mutex<Known>);

#[derive(Debug)]
struct Known {
    shared: List,
    own: LruCache<CredentialDigest, List>,
    shapes: Shapes,
}

/// What is known of a whole list, as somebody sees it.
#[derive(Clone, Copy, Debug, Default)]
struct List {
    /// The first item of the present round that was missed, and when.
    missed: Option<(Uuid, Moment)>,
    /// The latest list fill, and when the next one may begin.
    filled: Option<(Tick, Moment)>,
    /// Whether one page of the largest size held all of it.
    fits_one_page: bool,
    /// The latest such page.
    paged: Tick,
}

/// What a page of the largest size held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Page {
    /// The whole list.
    Whole,
    /// Its beginning.
    First,
}

/// What the members of labels look like.
#[derive(Clone, Copy, Debug, Default)]
struct Shapes {
    /// The member names that single reads show, as a hash.
    item: Option<u64>,
    /// The same of list items.
    list: Option<u64>,
    /// Items of a list look unlike single reads: the one cannot stand for the other.
    unlike: bool,
}

impl Default for Lists {
    fn default() -> Self {
        let known = Known { shared: List::default(), own: bounded(OWNERS), shapes: Shapes::default() };
        Self(Mutex::new(known))
    }
}

impl Lists {
    /// Notes that `item` was missed by a proven credential; whether it is the second distinct one within `lifetime`, so
    /// that reading the whole list is cheaper than going on one by one. Never twice for one lifetime and epoch: what a
    /// list did not bring, the next one will not either.
    pub fn is_second_miss(
        &self,
        owner: Option<CredentialDigest>,
        item: Uuid,
        invalidated: Tick,
        lifetime: Duration,
        now: Moment,
    ) -> bool {
        let mut known = self.0.lock();
        let list = known.list_mut(owner);
        let second = list.would_be_second_miss(item, invalidated, lifetime, now);
        if list.missed.is_none_or(|(_, when)| now.since(when) >= lifetime) {
            list.missed = Some((item, now));
        }
        second
    }

    /// What [`Self::is_second_miss`] would say, without noting a miss.
    #[must_use]
    pub fn would_be_second_miss(
        &self,
        owner: Option<CredentialDigest>,
        item: Uuid,
        invalidated: Tick,
        lifetime: Duration,
        now: Moment,
    ) -> bool {
        self.0.lock().list(owner).would_be_second_miss(item, invalidated, lifetime, now)
    }

    /// Notes that a list fill began: what it does not bring, another one before `next` will not either.
    pub fn note_list_fill(&self, owner: Option<CredentialDigest>, begun: Tick, next: Moment) {
        self.0.lock().list_mut(owner).filled = Some((begun, next));
    }

    /// Notes that the list fill of `begun` brought nothing, for no fault of the list. Whether it was for everybody or for
    /// its credential alone may have changed meanwhile.
    pub fn note_failed_list_fill(&self, credential: CredentialDigest, begun: Tick, now: Moment) {
        let mut known = self.0.lock();
        let Known { shared, own, .. } = &mut *known;
        for list in [Some(shared), own.peek_mut(&credential)].into_iter().flatten() {
            if list.filled.is_some_and(|(latest, _)| latest == begun) {
                list.filled = Some((begun, now.plus(FAILED_LIST_FILL)));
            }
        }
    }

    /// Whether items of lists may stand for single reads.
    #[must_use]
    pub fn stand_for_items(&self) -> bool {
        !self.0.lock().shapes.unlike
    }

    /// Whether one page of the largest size is known to hold the whole list, and is likely to bring what was last read at
    /// `begun`: a page that was read since and did not will not the next time either.
    #[must_use]
    pub fn fit_one_page(&self, owner: Option<CredentialDigest>, begun: Option<Tick>) -> bool {
        let known = self.0.lock();
        let list = known.list(owner);
        list.fits_one_page && !known.shapes.unlike && begun.is_none_or(|begun| begun >= list.paged)
    }

    /// Notes a page of the largest size that was read at `begun`.
    pub fn note_page(&self, owner: Option<CredentialDigest>, page: Page, begun: Tick) {
        let mut known = self.0.lock();
        let list = known.list_mut(owner);
        if begun >= list.paged {
            (list.fits_one_page, list.paged) = (page == Page::Whole, begun);
        }
    }

    /// Notes the member names that a single read shows. Returns whether they are found unlike those of list items just
    /// now: what lists filled must go then.
    pub fn note_item_shape(&self, shape: u64) -> bool {
        let shapes = &mut self.0.lock().shapes;
        shapes.item = Some(shape);
        shapes.compare()
    }

    /// Notes the member names that an item of a list shows. Returns as [`Self::note_item_shape`] does.
    pub fn note_list_shape(&self, shape: u64) -> bool {
        let shapes = &mut self.0.lock().shapes;
        shapes.list = Some(shape);
        shapes.compare()
    }

    /// Forgets everything: who sees what, and what labels look like, has changed.
    pub fn forget(&self) {
        let mut known = self.0.lock();
        (known.shared, known.shapes) = (List::default(), Shapes::default());
        known.own.clear();
    }
}

impl Known {
    fn list(&self, owner: Option<CredentialDigest>) -> List {
        match owner {
            None => self.shared,
            Some(owner) => self.own.peek(&owner).copied().unwrap_or_default(),
        }
    }

    fn list_mut(&mut self, owner: Option<CredentialDigest>) -> &mut List {
        match owner {
            None => &mut self.shared,
            Some(owner) => self.own.get_or_insert_mut(owner, List::default),
        }
    }
}

impl List {
    fn would_be_second_miss(&self, item: Uuid, invalidated: Tick, lifetime: Duration, now: Moment) -> bool {
        let filled = self.filled.is_some_and(|(begun, next)| begun >= invalidated && !now.reached(next));
        let missed = self.missed.filter(|(_, when)| now.since(*when) < lifetime);
        missed.is_some_and(|(first, _)| first != item) && !filled
    }
}

impl Shapes {
    fn compare(&mut self) -> bool {
        let differ = self.item.zip(self.list).is_some_and(|(item, list)| item != list);
        let found_now = differ && !self.unlike;
        self.unlike |= differ;
        found_now
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue};

    use super::*;
    use crate::caller::credential::Digester;

    #[test]
    fn what_credentials_know_of_lists_for_themselves_is_bounded() {
        let (lists, digester) = (Lists::default(), Digester::default());
        for number in 0..OWNERS.get() + 10 {
            let value = HeaderValue::try_from(format!("Bearer {number}")).unwrap();
            let fields = HeaderMap::from_iter([(http::header::AUTHORIZATION, value)]);
            let owner = digester.credential(&fields).unwrap().digest();
            lists.0.lock().list_mut(Some(owner)).fits_one_page = true;
        }
        assert_eq!(lists.0.lock().own.len(), OWNERS.get());
        lists.forget();
        assert_eq!(lists.0.lock().own.len(), 0);
    }
}
