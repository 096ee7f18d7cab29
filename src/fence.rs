//! The fence: what a write shuts out, in the process-wide order of fetches, writes and refusals.
//!
//! Every fetch takes a [`Tick`] before it is sent. An invalidation takes one once a write's answer or loss is known. What was
//! begun before the invalidation is never served or stored after it, whichever way the answers overtake each other. The
//! argument needs no lock: a stored response carries the tick of its fetch and is judged at each look-up.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use lru::LruCache;
use uuid::Uuid;

use crate::bounded::bounded;
use crate::classify::Target;
use crate::clock::Moment;
use crate::lock::{AtomicU64, Mutex};
use crate::organization::{Extent, Organization, OrganizationName, Organizations};
use crate::tick::{Sequence, Tick};

/// How long after a write, whose fate is known, a fetch may still read what was before it.
const SETTLE_KNOWN: Duration = Duration::from_secs(5);
/// The same after a write whose fate is unknown.
const SETTLE_UNKNOWN: Duration = Duration::from_secs(60);
/// Ids invalidated for every organization that are told apart; an older one counts for all ids.
const INVALIDATED_IDS: NonZeroUsize = NonZeroUsize::new(1024).expect("not zero");

/// Whether it is known what became of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The upstream said that it was done.
    Known,
    /// It may have been done, or may yet be.
    Unknown,
}

impl Fate {
    /// For how long after it a fetch may still read what was before the write.
    #[must_use]
    pub const fn settles_after(self) -> Duration {
        match self {
            Self::Known => SETTLE_KNOWN,
            Self::Unknown => SETTLE_UNKNOWN,
        }
    }
}

/// How much of every organization a write may have changed whose organization nobody knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Lists: it made an item.
    Lists,
    /// This item, and lists.
    Item(Uuid),
    /// Anything: its path does not say.
    Everything,
}

/// What writes shut out.
#[derive(Debug)]
pub struct Fence {
    sequence: Arc<Sequence>,
    organizations: Organizations,
    /// Last invalidation of any kind: the bound for flights whose organization is not known.
    latest: AtomicU64,
    lists: Mutex<Invalidation>,
    lists_invalidated: AtomicU64,
    ids: Mutex<InvalidatedIds>,
    /// Last invalidation of any id, so that the table is not asked for what is younger than all in it.
    ids_invalidated: AtomicU64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Invalidation {
    tick: Tick,
    settles: Option<Moment>,
}

#[derive(Debug)]
struct InvalidatedIds {
    table: LruCache<Uuid, Invalidation>,
    /// Invalidation of every id that is not in the table.
    others: Invalidation,
}

impl Default for Fence {
    fn default() -> Self {
        Self::of(Organizations::default())
    }
}

impl Fence {
    /// That of these organizations.
    #[must_use]
    pub fn of(organizations: Organizations) -> Self {
        Self {
            sequence: Arc::default(),
            organizations,
            latest: AtomicU64::default(),
            lists: Mutex::default(),
            lists_invalidated: AtomicU64::default(),
            ids: Mutex::new(InvalidatedIds {
                table: bounded(INVALIDATED_IDS),
                others: Invalidation::default(),
            }),
            ids_invalidated: AtomicU64::default(),
        }
    }

    /// The order of fetches, writes and refusals.
    #[must_use]
    pub const fn sequence(&self) -> &Arc<Sequence> {
        &self.sequence
    }

    /// The organizations that can be invalidated.
    #[must_use]
    pub const fn organizations(&self) -> &Organizations {
        &self.organizations
    }

    /// Invalidates what a write has changed of an organization. Returns the tick of the invalidation and that of the one before
    /// it that concerned any of that.
    pub fn invalidate(
        &self,
        organization: &Organization,
        extent: Extent,
        fate: Fate,
        now: Moment,
    ) -> (Tick, Tick) {
        self.invalidate_settling(organization, extent, now.plus(fate.settles_after()))
    }

    /// Invalidates the organization that an operator names.
    pub fn invalidate_named(&self, name: OrganizationName) {
        let tick = self.organizations.invalidate_named(name, &self.sequence);
        self.latest.fetch_max(tick.0, Ordering::SeqCst);
    }

    /// Invalidates so much of an organization although nothing was written, so that nothing has to settle.
    pub fn invalidate_settled(&self, organization: &Organization, extent: Extent) -> (Tick, Tick) {
        let (tick, before) = organization.invalidate(extent, &self.sequence);
        self.latest.fetch_max(tick.0, Ordering::SeqCst);
        (tick, before)
    }

    /// Invalidates what a write has changed that another process may have told of, late: it settles until then, be that over.
    /// A cache on the way may bring yet what it has had since before. Returns as [`Self::invalidate`] does.
    pub fn invalidate_settling(
        &self,
        organization: &Organization,
        extent: Extent,
        until: Moment,
    ) -> (Tick, Tick) {
        organization.settle_until(extent, until);
        self.invalidate_settled(organization, extent)
    }

    /// Invalidates everything because nobody knows what was written; all of it settles until then, be that over.
    pub fn invalidate_all_settling(&self, until: Option<Moment>) {
        let until = Invalidation { tick: Tick::default(), settles: until };
        self.ids.lock().others.merge(until);
        self.lists.lock().merge(until);
        self.invalidate_all();
    }

    /// Invalidates every organization: an operator purged everything.
    pub fn invalidate_all(&self) {
        let tick = self.sequence.advance();
        self.organizations.invalidate_all(tick);
        self.latest.fetch_max(tick.0, Ordering::SeqCst);
    }

    /// Invalidates this much of every organization: a write by a credential whose organization nobody knows. It settles until
    /// then, be that over, where a time is given.
    pub fn invalidate_everywhere(&self, reach: Reach, settles: Option<Moment>) {
        let item = match reach {
            Reach::Lists => None,
            Reach::Item(id) => Some(id),
            Reach::Everything => return self.invalidate_all_settling(settles),
        };
        // The tick is taken under the lock: who asks under it sees every invalidation before its own tick.
        let mut ids = self.ids.lock();
        let tick = self.sequence.advance();
        let invalidation = Invalidation { tick, settles };
        if let Some(id) = item {
            ids.insert(id, invalidation);
            self.ids_invalidated.fetch_max(tick.0, Ordering::SeqCst);
        }
        drop(ids);
        self.lists.lock().merge(invalidation);
        self.lists_invalidated.fetch_max(tick.0, Ordering::SeqCst);
        self.latest.fetch_max(tick.0, Ordering::SeqCst);
    }

    /// Whether a fetch that began at `begun` may still be stored, joined or served.
    #[must_use]
    pub fn admits(&self, organization: &Organization, target: &Target, begun: Tick) -> bool {
        organization.admits(target, begun)
            && match target {
                Target::List(_) => begun.0 >= self.lists_invalidated.load(Ordering::SeqCst),
                Target::Item(id) => {
                    begun.0 >= self.ids_invalidated.load(Ordering::SeqCst)
                        || begun >= self.ids.lock().invalidation_of(*id).tick
                }
            }
    }

    /// Whether the item was not invalidated everywhere since `begun`. Asked after a tick was taken, it knows of every such
    /// invalidation
    /// before that tick.
    #[must_use]
    pub fn nothing_invalidated_everywhere_since(&self, item: Uuid, begun: Tick) -> bool {
        self.ids.lock().invalidation_of(item).tick <= begun
    }

    /// Whether nothing at all was invalidated since `begun`: for a flight whose organization is not known.
    #[must_use]
    pub fn nothing_invalidated_since(&self, begun: Tick) -> bool {
        begun.0 >= self.latest.load(Ordering::SeqCst)
    }

    /// Whether a fetch sent at `sent` may have met the vendor's own replication lag.
    #[must_use]
    pub fn is_settling(&self, organization: &Organization, target: &Target, sent: Moment) -> bool {
        let everywhere = match target {
            Target::List(_) => self.lists.lock().settles,
            Target::Item(id) => self.ids.lock().invalidation_of(*id).settles,
        };
        organization.is_settling(target, sent) || everywhere.is_some_and(|until| !sent.surely_reached(until))
    }
}

impl Invalidation {
    /// Both invalidations in one: the later of each part.
    fn merge(&mut self, other: Self) {
        self.tick = self.tick.max(other.tick);
        self.settles = match (self.settles, other.settles) {
            (Some(mine), Some(its)) => Some(mine.latest(its)),
            (mine, its) => mine.or(its),
        };
    }
}

impl InvalidatedIds {
    fn insert(&mut self, id: Uuid, mut invalidation: Invalidation) {
        if let Some(earlier) = self.table.get(&id) {
            invalidation.merge(*earlier);
        }
        if let Some((evicted_id, evicted)) = self.table.push(id, invalidation)
            && evicted_id != id
        {
            self.others.merge(evicted);
        }
    }

    fn invalidation_of(&self, id: Uuid) -> Invalidation {
        let mut invalidation = self.others;
        if let Some(own) = self.table.peek(&id) {
            invalidation.merge(*own);
        }
        invalidation
    }
}

#[cfg(test)]
mod interleaved;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::classify::ListQuery;
    use crate::clock::Clock;
    use crate::organization::OrganizationId;

    const ALL: Extent = Extent::Organization;
    const ONE: Extent = Extent::Item(Uuid::from_u128(1));

    fn item(number: u128) -> Target {
        Target::Item(Uuid::from_u128(number))
    }

    fn list() -> Target {
        Target::List(ListQuery::default())
    }

    fn organization(fence: &Fence, number: u128) -> Arc<Organization> {
        let (clock, _) = Clock::manual();
        fence.organizations().get(OrganizationId::example(number), clock.now())
    }

    #[test]
    fn a_raise_shuts_out_what_began_before_it_and_admits_what_began_after() {
        let fence = Fence::default();
        let (clock, _) = Clock::manual();
        let (a, b) = (organization(&fence, 1), organization(&fence, 2));
        let before = fence.sequence().advance();
        fence.invalidate(&a, ALL, Fate::Known, clock.now());
        let after = fence.sequence().advance();
        assert!(!fence.admits(&a, &item(1), before));
        assert!(!fence.admits(&a, &list(), before));
        assert!(fence.admits(&a, &item(1), after));
        assert!(fence.admits(&b, &item(1), before), "another organization is untouched");
        assert!(!fence.nothing_invalidated_since(before));
        assert!(fence.nothing_invalidated_since(after));
    }

    #[test]
    fn a_write_of_unknown_organization_raises_that_id_and_lists_everywhere() {
        let fence = Fence::default();
        let a = organization(&fence, 1);
        let before = fence.sequence().advance();
        fence.invalidate_everywhere(Reach::Item(Uuid::from_u128(7)), None);
        assert!(!fence.admits(&a, &item(7), before));
        assert!(!fence.admits(&a, &list(), before));
        assert!(fence.admits(&a, &item(8), before));
    }

    #[test]
    fn whether_an_item_was_raised_everywhere_is_told_for_it_alone_and_of_what_came_later_alone() {
        let fence = Fence::default();
        let raised = Uuid::from_u128(7);
        let before = fence.sequence().advance();
        fence.invalidate_everywhere(Reach::Item(raised), None);
        let after = fence.sequence().advance();
        let nothing_since = |id, begun| fence.nothing_invalidated_everywhere_since(id, begun);
        assert!(!nothing_since(raised, before));
        assert!(nothing_since(raised, after));
        assert!(nothing_since(Uuid::from_u128(8), before));
    }

    #[test]
    fn an_organization_that_an_operator_names_is_raised_and_no_other_known_one() {
        let fence = Fence::default();
        let (a, b) = (organization(&fence, 1), organization(&fence, 2));
        let before = fence.sequence().advance();
        fence.invalidate_named(a.id().name());
        let after = fence.sequence().advance();
        assert_eq!([before, after].map(|begun| fence.admits(&a, &item(1), begun)), [false, true]);
        assert!(fence.admits(&b, &item(1), before));
        assert_eq!([before, after].map(|begun| fence.nothing_invalidated_since(begun)), [false, true]);
    }

    #[test]
    fn an_id_that_left_the_table_still_counts_as_raised() {
        let fence = Fence::default();
        let a = organization(&fence, 1);
        let before = fence.sequence().advance();
        for number in 0..=INVALIDATED_IDS.get() as u128 {
            fence.invalidate_everywhere(Reach::Item(Uuid::from_u128(number)), None);
        }
        assert!(!fence.admits(&a, &item(0), before), "evicted, yet not forgotten");
    }

    #[test]
    fn fills_after_a_write_settle_for_5_s_or_60_s() {
        let fence = Fence::default();
        let (clock, hand) = Clock::manual();
        let a = organization(&fence, 1);
        fence.invalidate(&a, ALL, Fate::Known, clock.now());
        hand.advance(Duration::from_millis(4_999));
        assert!(fence.is_settling(&a, &item(1), clock.now()));
        hand.advance(Duration::from_millis(1));
        assert!(!fence.is_settling(&a, &item(1), clock.now()));

        fence.invalidate(&a, ALL, Fate::Unknown, clock.now());
        fence.invalidate(&a, ALL, Fate::Known, clock.now());
        hand.advance(Duration::from_secs(59));
        assert!(fence.is_settling(&a, &list(), clock.now()), "a later known write does not shorten it");
        hand.advance(Duration::from_secs(1));
        assert!(!fence.is_settling(&a, &list(), clock.now()));
    }

    #[test]
    fn a_wall_clock_that_is_set_ahead_settles_nothing() {
        let fence = Fence::default();
        let (clock, hand) = Clock::manual();
        let a = organization(&fence, 1);
        fence.invalidate(&a, ALL, Fate::Known, clock.now());
        hand.jump_wall_ahead(Duration::from_secs(3600));
        assert!(fence.is_settling(&a, &item(1), clock.now()) && fence.is_settling(&a, &list(), clock.now()));
        fence.invalidate_all_settling(Some(clock.now().plus(SETTLE_KNOWN)));
        hand.jump_wall_ahead(Duration::from_secs(3600));
        let other = organization(&fence, 2);
        assert!(fence.is_settling(&other, &list(), clock.now()), "what was invalidated everywhere, too");
        hand.advance(SETTLE_KNOWN);
        assert!(!fence.is_settling(&other, &list(), clock.now()));
    }

    #[test]
    fn what_was_written_alone_settles_with_every_list_and_nothing_else_does() {
        let fence = Fence::default();
        let (clock, hand) = Clock::manual();
        let a = organization(&fence, 1);
        let written = clock.now();
        fence.invalidate(&a, ONE, Fate::Known, clock.now());
        hand.advance(Duration::from_secs(3));
        fence.invalidate(&a, Extent::Item(Uuid::from_u128(2)), Fate::Known, clock.now());
        let settling = |number, moment| fence.is_settling(&a, &item(number), moment);
        assert!(settling(1, clock.now()) && settling(2, clock.now()) && !settling(3, clock.now()));
        hand.advance(Duration::from_secs(2));
        assert!(!settling(1, clock.now()) && settling(2, clock.now()));
        assert!(fence.is_settling(&a, &list(), clock.now()), "a list has all of them");
        assert!(settling(1, written), "an answer that was asked for then may come yet");
        hand.advance(Duration::from_secs(3));
        assert!(!settling(2, clock.now()) && !fence.is_settling(&a, &list(), clock.now()));
    }

    #[test]
    fn where_more_items_settle_than_are_told_apart_all_do() {
        let fence = Fence::default();
        let (clock, hand) = Clock::manual();
        let a = organization(&fence, 1);
        let unwritten = item(u128::MAX);
        for number in 0..64 {
            fence.invalidate(&a, Extent::Item(Uuid::from_u128(number)), Fate::Known, clock.now());
            assert!(!fence.is_settling(&a, &unwritten, clock.now()), "{number}");
        }
        fence.invalidate(&a, Extent::Item(Uuid::from_u128(64)), Fate::Known, clock.now());
        for number in 0..=64 {
            assert!(fence.is_settling(&a, &item(number), clock.now()), "{number}");
        }
        assert!(fence.is_settling(&a, &unwritten, clock.now()));
        hand.advance(Duration::from_secs(5));
        assert!(!fence.is_settling(&a, &unwritten, clock.now()));
    }

    #[test]
    fn a_flight_of_no_known_organization_is_older_than_a_write_of_any_extent() {
        let fence = Fence::default();
        let (clock, _) = Clock::manual();
        let a = organization(&fence, 1);
        for extent in [ONE, ALL] {
            let before = fence.sequence().advance();
            fence.invalidate(&a, extent, Fate::Known, clock.now());
            assert!(!fence.nothing_invalidated_since(before), "{extent:?}");
        }
    }

    #[test]
    fn a_wall_clock_that_jumped_does_not_shorten_what_the_next_write_settles() {
        for (row, extent) in [Some(ALL), Some(ONE), None].into_iter().enumerate() {
            let fence = Fence::default();
            let (clock, hand) = Clock::manual();
            let a = organization(&fence, 1);
            let write = |fate| match extent {
                Some(extent) => {
                    fence.invalidate(&a, extent, fate, clock.now());
                }
                None => fence.invalidate_everywhere(
                    Reach::Item(Uuid::from_u128(1)),
                    Some(clock.now().plus(fate.settles_after())),
                ),
            };
            write(Fate::Unknown);
            // A suspended machine wakes: the monotonic clock has stood still, and the first write settles for the rest of its time.
            hand.jump_wall_ahead(Duration::from_secs(600));
            write(Fate::Known);
            hand.advance(Duration::from_secs(59));
            assert!(fence.is_settling(&a, &item(1), clock.now()), "{row}");
            hand.advance(Duration::from_secs(1));
            assert!(!fence.is_settling(&a, &item(1), clock.now()), "{row}");
        }
    }
}
