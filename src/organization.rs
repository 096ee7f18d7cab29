//! Organizations: the unit of isolation, and what the proxy remembers of each.
//!
//! An organization is known from an upstream body alone, never from anything that a client sent. The table forgets
//! one that nobody is bound to and that was idle for [`IDLE`]; what is forgotten counts as raised at that moment, so
//! that nothing stored before it can come back.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use uuid::Uuid;

use crate::clock::Moment;
use crate::fence::{Sequence, Tick};

/// How long an organization without a binding is remembered.
pub const IDLE: Duration = Duration::from_secs(600);

/// How long after a list fill that failed the next one may begin.
const FAILED_LIST_FILL: Duration = Duration::from_secs(5);

/// The id that the upstream gives an organization (the vendor's word in URLs is workspace).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OrganizationId(pub Uuid);

impl fmt::Debug for OrganizationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Display for OrganizationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// What is remembered of one organization.
#[derive(Debug)]
pub struct Organization {
    id: OrganizationId,
    raised: AtomicU64,
    /// Raises follow each other, so that a writer can tell whether anything but its own came since it began.
    raising: Mutex<()>,
    settles: Mutex<Option<Moment>>,
    private: AtomicBool,
    /// Answers that needed no upstream call of their own.
    avoided: AtomicU64,
    list: Mutex<ListKnowledge>,
}

/// What is known of an organization's whole list.
#[derive(Clone, Copy, Debug, Default)]
struct ListKnowledge {
    /// The first item of the present round that was missed, and when.
    missed: Option<(Uuid, Moment)>,
    /// The latest list fill, and when the next one may begin.
    filled: Option<(Tick, Moment)>,
    /// Whether one page of the largest size held all of it.
    fits_one_page: bool,
    /// The latest such page.
    paged: Tick,
    /// The member names that single reads show, as a hash.
    item_shape: Option<u64>,
    /// The same of list items.
    list_shape: Option<u64>,
    /// Items of a list look unlike single reads: the one cannot stand for the other.
    unlike: bool,
}

impl Organization {
    fn new(id: OrganizationId, raised: Tick) -> Self {
        Self {
            id,
            raised: AtomicU64::new(raised.0),
            raising: Mutex::default(),
            settles: Mutex::new(None),
            private: AtomicBool::new(false),
            avoided: AtomicU64::new(0),
            list: Mutex::default(),
        }
    }

    /// Its id.
    #[must_use]
    pub const fn id(&self) -> OrganizationId {
        self.id
    }

    /// Its epoch: nothing whose fill began before this may be served or stored.
    #[must_use]
    pub fn raised(&self) -> Tick {
        Tick(self.raised.load(Ordering::SeqCst))
    }

    /// Moves the epoch to the next tick; returns it and the epoch before it.
    pub fn raise(&self, sequence: &Sequence) -> (Tick, Tick) {
        let _raising = lock(&self.raising);
        let tick = sequence.advance();
        (tick, Tick(self.raised.fetch_max(tick.0, Ordering::SeqCst)))
    }

    /// Moves the epoch on to a tick that was taken for all organizations; never back.
    pub fn raise_to(&self, tick: Tick) {
        self.raised.fetch_max(tick.0, Ordering::SeqCst);
    }

    /// Until when a fill may meet the vendor's own replication lag.
    #[must_use]
    pub fn settles(&self) -> Option<Moment> {
        *lock(&self.settles)
    }

    /// Extends the time in which fills are kept for a second only; never shortens it.
    pub fn settle_until(&self, until: Moment) {
        let mut settles = lock(&self.settles);
        *settles = Some(settles.map_or(until, |earlier| until.latest(earlier)));
    }

    /// Whether some stored response of this organization belongs to one credential alone.
    #[must_use]
    pub fn has_private_responses(&self) -> bool {
        self.private.load(Ordering::Relaxed)
    }

    /// Notes that a stored response belongs to one credential alone.
    pub fn note_private_response(&self) {
        self.private.store(true, Ordering::Relaxed);
    }

    /// Counts an answer that needed no upstream call of its own.
    pub fn note_avoided(&self) {
        self.avoided.fetch_add(1, Ordering::Relaxed);
    }

    /// How many such answers there were since it became known.
    #[must_use]
    pub fn avoided(&self) -> u64 {
        self.avoided.load(Ordering::Relaxed)
    }
}

/// What list reads can do for single reads.
impl Organization {
    /// Notes that `item` was missed by a proven credential; whether it is the second distinct one within `lifetime`, so
    /// that reading the whole list is cheaper than going on one by one. Never twice for one lifetime and epoch: what a
    /// list did not bring, the next one will not either.
    pub fn is_second_miss(&self, item: Uuid, lifetime: Duration, now: Moment) -> bool {
        let second = self.would_be_second_miss(item, lifetime, now);
        let mut list = lock(&self.list);
        if list.missed.is_none_or(|(_, when)| now.since(when) >= lifetime) {
            list.missed = Some((item, now));
        }
        second
    }

    /// What [`Self::is_second_miss`] would say, without noting a miss.
    #[must_use]
    pub fn would_be_second_miss(&self, item: Uuid, lifetime: Duration, now: Moment) -> bool {
        let list = lock(&self.list);
        let filled = list.filled.is_some_and(|(begun, next)| begun >= self.raised() && !now.reached(next));
        let missed = list.missed.filter(|(_, when)| now.since(*when) < lifetime);
        missed.is_some_and(|(first, _)| first != item) && !filled
    }

    /// Notes that a list fill began: what it does not bring, another one before `next` will not either.
    pub fn note_list_fill(&self, begun: Tick, next: Moment) {
        lock(&self.list).filled = Some((begun, next));
    }

    /// Notes that the list fill of `begun` brought nothing, for no fault of the list.
    pub fn note_failed_list_fill(&self, begun: Tick, now: Moment) {
        let mut list = lock(&self.list);
        if list.filled.is_some_and(|(latest, _)| latest == begun) {
            list.filled = Some((begun, now.plus(FAILED_LIST_FILL)));
        }
    }

    /// Whether items of lists may stand for single reads.
    #[must_use]
    pub fn takes_items_of_lists(&self) -> bool {
        !lock(&self.list).unlike
    }

    /// Whether one page of the largest size is known to hold the whole list, and is likely to bring what was last read at
    /// `begun`: a page that was read since and did not will not the next time either.
    #[must_use]
    pub fn fits_one_page(&self, begun: Option<Tick>) -> bool {
        let list = lock(&self.list);
        list.fits_one_page && !list.unlike && begun.is_none_or(|begun| begun >= list.paged)
    }

    /// Notes a page of the largest size that was read at `begun`: whether it held the whole list, for everybody.
    pub fn note_page(&self, whole: bool, begun: Tick) {
        let mut list = lock(&self.list);
        if begun >= list.paged {
            (list.fits_one_page, list.paged) = (whole, begun);
        }
    }

    /// Notes the member names that a single read shows. Returns whether they are found unlike those of list items just
    /// now: what lists filled must go then.
    pub fn note_item_shape(&self, shape: u64) -> bool {
        let mut list = lock(&self.list);
        list.item_shape = Some(shape);
        list.compare_shapes()
    }

    /// Notes the member names that an item of a list shows. Returns as [`Self::note_item_shape`] does.
    pub fn note_list_shape(&self, shape: u64) -> bool {
        let mut list = lock(&self.list);
        list.list_shape = Some(shape);
        list.compare_shapes()
    }
}

impl ListKnowledge {
    fn compare_shapes(&mut self) -> bool {
        let differ = self.item_shape.zip(self.list_shape).is_some_and(|(item, list)| item != list);
        let found_now = differ && !self.unlike;
        self.unlike |= differ;
        found_now
    }
}

/// Every organization that was seen of late.
#[derive(Debug, Default)]
pub struct Organizations(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    known: HashMap<OrganizationId, Seen>,
    /// Epoch of every organization that is not in the table.
    forgotten: Tick,
}

#[derive(Debug)]
struct Seen {
    organization: Arc<Organization>,
    last: Moment,
}

impl Organizations {
    /// The organization with this id; made if it is new.
    #[must_use]
    pub fn get(&self, id: OrganizationId, now: Moment) -> Arc<Organization> {
        let mut table = lock(&self.0);
        let forgotten = table.forgotten;
        let seen = table
            .known
            .entry(id)
            .or_insert_with(|| Seen { organization: Arc::new(Organization::new(id, forgotten)), last: now });
        seen.last = now;
        Arc::clone(&seen.organization)
    }

    /// The organization with this id, if it is known; asking does not keep it known.
    #[must_use]
    pub fn peek(&self, id: OrganizationId) -> Option<Arc<Organization>> {
        lock(&self.0).known.get(&id).map(|seen| Arc::clone(&seen.organization))
    }

    /// Raises every organization, known or not.
    pub fn raise_all(&self, to: Tick) {
        let mut table = lock(&self.0);
        table.forgotten = table.forgotten.max(to);
        for seen in table.known.values() {
            seen.organization.raise_to(to);
        }
    }

    /// Forgets what nobody holds and nobody asked for in the last [`IDLE`].
    pub fn forget_idle(&self, sequence: &Sequence, now: Moment) {
        let mut table = lock(&self.0);
        let before = table.known.len();
        table.known.retain(|_, seen| {
            // Nobody else can take a hold of it meanwhile: holds are given out under this lock or cloned from one.
            let held = Arc::strong_count(&seen.organization) > 1;
            if held {
                seen.last = now;
            }
            held || now.since(seen.last) < IDLE
        });
        if table.known.len() < before {
            table.forgotten = sequence.advance();
        }
    }

    /// Answers that needed no upstream call of their own, of all that are known.
    #[must_use]
    pub fn avoided(&self) -> u64 {
        lock(&self.0).known.values().map(|seen| seen.organization.avoided()).sum()
    }

    /// How many are known.
    #[must_use]
    pub fn len(&self) -> usize {
        lock(&self.0).known.len()
    }

    /// Whether none is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    #[test]
    fn a_forgotten_organization_counts_as_raised_when_it_was_forgotten() {
        let (clock, hand) = Clock::manual();
        let sequence = Sequence::default();
        let organizations = Organizations::default();
        let id = OrganizationId(Uuid::from_u128(1));
        drop(organizations.get(id, clock.now()));
        let begun = sequence.advance();
        hand.advance(IDLE);
        organizations.forget_idle(&sequence, clock.now());
        assert!(organizations.is_empty());
        assert!(organizations.get(id, clock.now()).raised() > begun);
    }

    #[test]
    fn an_organization_that_is_held_is_not_forgotten() {
        let (clock, hand) = Clock::manual();
        let sequence = Sequence::default();
        let organizations = Organizations::default();
        let held = organizations.get(OrganizationId(Uuid::from_u128(1)), clock.now());
        hand.advance(IDLE * 2);
        organizations.forget_idle(&sequence, clock.now());
        assert!(Arc::ptr_eq(&held, &organizations.get(held.id(), clock.now())));
    }
}
