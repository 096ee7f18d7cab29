//! [`Lists`]: what is known of an organization's whole list, and what list reads can do for single reads.
//!
//! Where credentials share what they read, what one learns of the list holds for all; where they do not, each has its
//! own: two keys may see different labels. `owner` says whose, as in a cache key: nobody's is everybody's.

use std::num::NonZeroU64;
use std::time::Duration;

use uuid::Uuid;

use crate::caller::credential::CredentialDigest;
use crate::clock::{Moment, ShortMoment};
use crate::lock::Mutex;
use crate::tick::Tick;

/// How long after a list fill that failed the next one may begin.
const FAILED_LIST_FILL: Duration = Duration::from_secs(5);
/// Credentials whose own lists are told apart in one organization; who leaves the table learns anew.
const OWNERS: usize = 256;

/// What is known of an organization's lists.
#[derive(Debug, Default)]
pub struct Lists(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    shared: List,
    /// By the latest use, the latest last. They are few, or none: in most organizations everybody shares.
    own: Vec<(CredentialDigest, List)>,
    shapes: Shapes,
}

/// What is known of a whole list, as somebody sees it.
#[derive(Clone, Copy, Debug, Default)]
struct List {
    /// The first item of the present round that was missed, and when.
    missed: Option<(Uuid, ShortMoment)>,
    /// The latest list fill, and when the next one may begin.
    filled: Option<(Tick, ShortMoment)>,
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
    item: Option<NonZeroU64>,
    /// The same of list items.
    list: Option<NonZeroU64>,
    /// Items of a list look unlike single reads: the one cannot stand for the other.
    unlike: bool,
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
        if list.missed.is_none_or(|(_, when)| now.since(when.moment()) >= lifetime) {
            list.missed = Some((item, now.into()));
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
        self.0.lock().list_mut(owner).filled = Some((begun, next.into()));
    }

    /// Notes that the list fill of `begun` brought nothing, for no fault of the list. Whether it was for everybody or for
    /// its credential alone may have changed meanwhile.
    pub fn note_failed_list_fill(&self, credential: CredentialDigest, begun: Tick, now: Moment) {
        let mut known = self.0.lock();
        let Known { shared, own, .. } = &mut *known;
        let own = own.iter_mut().filter(|(owner, _)| *owner == credential).map(|(_, list)| list);
        for list in std::iter::once(shared).chain(own) {
            if list.filled.is_some_and(|(latest, _)| latest == begun) {
                list.filled = Some((begun, now.plus(FAILED_LIST_FILL).into()));
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
        shapes.item = Some(NonZeroU64::MIN.saturating_add(shape));
        shapes.compare()
    }

    /// Notes the member names that an item of a list shows. Returns as [`Self::note_item_shape`] does.
    pub fn note_list_shape(&self, shape: u64) -> bool {
        let shapes = &mut self.0.lock().shapes;
        shapes.list = Some(NonZeroU64::MIN.saturating_add(shape));
        shapes.compare()
    }

    /// Forgets everything: who sees what, and what labels look like, has changed.
    pub fn forget(&self) {
        *self.0.lock() = Known::default();
    }
}

impl Known {
    fn list(&self, owner: Option<CredentialDigest>) -> List {
        let Some(owner) = owner else { return self.shared };
        self.own.iter().find(|(other, _)| *other == owner).map(|(_, list)| *list).unwrap_or_default()
    }

    fn list_mut(&mut self, owner: Option<CredentialDigest>) -> &mut List {
        let Some(owner) = owner else {
            // Where what one learns holds for all, nobody asks any more for what each learnt before.
            self.own = Vec::new();
            return &mut self.shared;
        };
        let known = match self.own.iter().position(|(other, _)| *other == owner) {
            Some(place) => self.own.remove(place),
            None => {
                if self.own.len() == OWNERS {
                    self.own.remove(0);
                }
                // By itself the first room is for four.
                self.own.reserve_exact(usize::from(self.own.is_empty()));
                (owner, List::default())
            }
        };
        &mut self.own.push_mut(known).1
    }
}

impl List {
    fn would_be_second_miss(&self, item: Uuid, invalidated: Tick, lifetime: Duration, now: Moment) -> bool {
        let filled =
            self.filled.is_some_and(|(begun, next)| begun >= invalidated && !now.reached(next.moment()));
        let missed = self.missed.filter(|(_, when)| now.since(when.moment()) < lifetime);
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
        let owner = |number| {
            let value = HeaderValue::try_from(format!("Bearer {number}")).unwrap();
            let fields = HeaderMap::from_iter([(http::header::AUTHORIZATION, value)]);
            Some(digester.credential(&fields).unwrap().digest())
        };
        let note = |number: usize| lists.note_page(owner(number), Page::Whole, Tick(number as u64));
        let knows = |number| lists.fit_one_page(owner(number), Some(Tick(number as u64)));
        (0..OWNERS).for_each(note);
        note(0);
        (OWNERS..OWNERS + 10).for_each(note);
        assert_eq!(lists.0.lock().own.len(), OWNERS);
        assert!(
            knows(0) && (11..OWNERS + 10).all(knows) && !(1..11).any(knows),
            "each its own, by latest use"
        );
        lists.forget();
        assert_eq!(lists.0.lock().own.capacity(), 0);
    }

    #[test]
    fn what_one_knew_of_lists_alone_is_told_apart_until_all_know_it() {
        let (lists, digester) = (Lists::default(), Digester::default());
        let owner = |token| {
            let fields =
                HeaderMap::from_iter([(http::header::AUTHORIZATION, HeaderValue::from_static(token))]);
            Some(digester.credential(&fields).unwrap().digest())
        };
        let (one, other) = (owner("Bearer one"), owner("Bearer other"));
        lists.note_page(one, Page::Whole, Tick(1));
        let fit = |owner| lists.fit_one_page(owner, None);
        assert_eq!([one, other, None].map(fit), [true, false, false]);
        lists.note_page(None, Page::Whole, Tick(2));
        assert_eq!(
            [one, other, None].map(fit),
            [false, false, true],
            "what all know says nothing of what one may see"
        );
        assert_eq!(lists.0.lock().own.capacity(), 0);
    }
}
