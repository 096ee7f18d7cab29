//! The fence: what a write shuts out, in the process-wide order of fetches, writes and refusals.
//!
//! Every fetch takes a [`Tick`] before it is sent. A raise takes one once a write's answer or loss is known. What was
//! begun before the raise is never served or stored after it, whichever way the answers overtake each other. The
//! argument needs no lock: a stored response carries the tick of its fetch and is judged at each look-up.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use lru::LruCache;
use uuid::Uuid;

use crate::bounded::bounded;
use crate::classify::Target;
use crate::clock::Moment;
use crate::lock::Mutex;
use crate::organization::{Organization, Organizations};
use crate::tick::{Sequence, Tick};

/// How long after a write, whose fate is known, a fetch may still read what was before it.
const SETTLE_KNOWN: Duration = Duration::from_secs(5);
/// The same after a write whose fate is unknown.
const SETTLE_UNKNOWN: Duration = Duration::from_secs(60);
/// Ids raised for every organization that are told apart; an older one counts for all ids.
const RAISED_IDS: NonZeroUsize = NonZeroUsize::new(1024).expect("not zero");

/// Whether it is known what became of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The upstream said that it was done.
    Known,
    /// It may have been done, or may yet be.
    Unknown,
}

impl Fate {
    const fn settles_after(self) -> Duration {
        match self {
            Self::Known => SETTLE_KNOWN,
            Self::Unknown => SETTLE_UNKNOWN,
        }
    }
}

/// What writes shut out.
#[derive(Debug)]
pub struct Fence {
    sequence: Arc<Sequence>,
    organizations: Organizations,
    /// Last raise of any kind: the bound for flights whose organization is not known.
    latest: AtomicU64,
    lists: Mutex<Raise>,
    lists_raised: AtomicU64,
    ids: Mutex<RaisedIds>,
    /// Last raise of any id, so that the table is not asked for what is younger than all in it.
    ids_raised: AtomicU64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Raise {
    tick: Tick,
    settles: Option<Moment>,
}

#[derive(Debug)]
struct RaisedIds {
    table: LruCache<Uuid, Raise>,
    /// Raise of every id that is not in the table.
    others: Raise,
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
            lists_raised: AtomicU64::default(),
            ids: Mutex::new(RaisedIds { table: bounded(RAISED_IDS), others: Raise::default() }),
            ids_raised: AtomicU64::default(),
        }
    }

    /// The order of fetches, writes and refusals.
    #[must_use]
    pub const fn sequence(&self) -> &Arc<Sequence> {
        &self.sequence
    }

    /// The organizations that can be raised.
    #[must_use]
    pub const fn organizations(&self) -> &Organizations {
        &self.organizations
    }

    /// Raises an organization because of a write. Returns the tick of the raise and that of the one before it.
    pub fn raise(&self, organization: &Organization, fate: Fate, now: Moment) -> (Tick, Tick) {
        organization.settle_until(now.plus(fate.settles_after()));
        self.raise_purged(organization)
    }

    /// Raises an organization because of a purge: nothing was written, so nothing has to settle.
    pub fn raise_purged(&self, organization: &Organization) -> (Tick, Tick) {
        let (tick, before) = organization.raise(&self.sequence);
        self.latest.fetch_max(tick.0, Ordering::SeqCst);
        (tick, before)
    }

    /// Raises every organization: an operator purged everything.
    pub fn raise_all(&self) {
        let tick = self.sequence.advance();
        self.organizations.raise_all(tick);
        self.latest.fetch_max(tick.0, Ordering::SeqCst);
    }

    /// Raises all lists, and the item if there is one, of every organization: a write by a credential whose
    /// organization nobody knows.
    pub fn raise_everywhere(&self, item: Option<Uuid>, settles: Option<(Fate, Moment)>) {
        let settles = settles.map(|(fate, now)| now.plus(fate.settles_after()));
        // The tick is taken under the lock: who asks under it sees every raise before its own tick.
        let mut ids = self.ids.lock();
        let tick = self.sequence.advance();
        let raise = Raise { tick, settles };
        if let Some(id) = item {
            ids.insert(id, raise);
            self.ids_raised.fetch_max(tick.0, Ordering::SeqCst);
        }
        drop(ids);
        self.lists.lock().merge(raise);
        self.lists_raised.fetch_max(tick.0, Ordering::SeqCst);
        self.latest.fetch_max(tick.0, Ordering::SeqCst);
    }

    /// Whether a fetch that began at `begun` may still be stored, joined or served.
    #[must_use]
    pub fn admits(&self, organization: &Organization, target: &Target, begun: Tick) -> bool {
        begun >= organization.raised()
            && match target {
                Target::List(_) => begun.0 >= self.lists_raised.load(Ordering::SeqCst),
                Target::Item(id) => {
                    begun.0 >= self.ids_raised.load(Ordering::SeqCst)
                        || begun >= self.ids.lock().raise_of(*id).tick
                }
            }
    }

    /// Whether the item was not raised everywhere since `begun`. Asked after a tick was taken, it knows of every such raise
    /// before that tick.
    #[must_use]
    pub fn nothing_raised_everywhere_since(&self, item: Uuid, begun: Tick) -> bool {
        self.ids.lock().raise_of(item).tick <= begun
    }

    /// Whether nothing at all was raised since `begun`: for a flight whose organization is not known.
    #[must_use]
    pub fn nothing_raised_since(&self, begun: Tick) -> bool {
        begun.0 >= self.latest.load(Ordering::SeqCst)
    }

    /// Whether a fetch sent at `sent` may have met the vendor's own replication lag.
    #[must_use]
    pub fn is_settling(&self, organization: &Organization, target: &Target, sent: Moment) -> bool {
        let everywhere = match target {
            Target::List(_) => self.lists.lock().settles,
            Target::Item(id) => self.ids.lock().raise_of(*id).settles,
        };
        [organization.settles(), everywhere].into_iter().flatten().any(|until| !sent.reached(until))
    }
}

impl Raise {
    /// Both raises in one: the later of each part.
    fn merge(&mut self, other: Self) {
        self.tick = self.tick.max(other.tick);
        self.settles = match (self.settles, other.settles) {
            (Some(mine), Some(its)) => Some(mine.latest(its)),
            (mine, its) => mine.or(its),
        };
    }
}

impl RaisedIds {
    fn insert(&mut self, id: Uuid, mut raise: Raise) {
        if let Some(earlier) = self.table.get(&id) {
            raise.merge(*earlier);
        }
        if let Some((evicted_id, evicted)) = self.table.push(id, raise)
            && evicted_id != id
        {
            self.others.merge(evicted);
        }
    }

    fn raise_of(&self, id: Uuid) -> Raise {
        let mut raise = self.others;
        if let Some(own) = self.table.peek(&id) {
            raise.merge(*own);
        }
        raise
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::classify::ListQuery;
    use crate::clock::Clock;
    use crate::organization::OrganizationId;

    fn item(number: u128) -> Target {
        Target::Item(Uuid::from_u128(number))
    }

    fn list() -> Target {
        Target::List(ListQuery::default())
    }

    fn organization(fence: &Fence, number: u128) -> Arc<Organization> {
        let (clock, _) = Clock::manual();
        fence.organizations().get(OrganizationId(Uuid::from_u128(number)), clock.now())
    }

    #[test]
    fn a_raise_shuts_out_what_began_before_it_and_admits_what_began_after() {
        let fence = Fence::default();
        let (clock, _) = Clock::manual();
        let (a, b) = (organization(&fence, 1), organization(&fence, 2));
        let before = fence.sequence().advance();
        fence.raise(&a, Fate::Known, clock.now());
        let after = fence.sequence().advance();
        assert!(!fence.admits(&a, &item(1), before));
        assert!(!fence.admits(&a, &list(), before));
        assert!(fence.admits(&a, &item(1), after));
        assert!(fence.admits(&b, &item(1), before), "another organization is untouched");
        assert!(!fence.nothing_raised_since(before));
        assert!(fence.nothing_raised_since(after));
    }

    #[test]
    fn a_write_of_unknown_organization_raises_that_id_and_lists_everywhere() {
        let fence = Fence::default();
        let a = organization(&fence, 1);
        let before = fence.sequence().advance();
        fence.raise_everywhere(Some(Uuid::from_u128(7)), None);
        assert!(!fence.admits(&a, &item(7), before));
        assert!(!fence.admits(&a, &list(), before));
        assert!(fence.admits(&a, &item(8), before));
    }

    #[test]
    fn an_id_that_left_the_table_still_counts_as_raised() {
        let fence = Fence::default();
        let a = organization(&fence, 1);
        let before = fence.sequence().advance();
        for number in 0..=RAISED_IDS.get() as u128 {
            fence.raise_everywhere(Some(Uuid::from_u128(number)), None);
        }
        assert!(!fence.admits(&a, &item(0), before), "evicted, yet not forgotten");
    }

    #[test]
    fn fills_after_a_write_settle_for_5_s_or_60_s() {
        let fence = Fence::default();
        let (clock, hand) = Clock::manual();
        let a = organization(&fence, 1);
        fence.raise(&a, Fate::Known, clock.now());
        hand.advance(Duration::from_millis(4_999));
        assert!(fence.is_settling(&a, &item(1), clock.now()));
        hand.advance(Duration::from_millis(1));
        assert!(!fence.is_settling(&a, &item(1), clock.now()));

        fence.raise(&a, Fate::Unknown, clock.now());
        fence.raise(&a, Fate::Known, clock.now());
        hand.advance(Duration::from_secs(59));
        assert!(fence.is_settling(&a, &list(), clock.now()), "a later known write does not shorten it");
        hand.advance(Duration::from_secs(1));
        assert!(!fence.is_settling(&a, &list(), clock.now()));
    }

    #[test]
    fn a_wall_clock_that_jumped_does_not_shorten_what_the_next_write_settles() {
        for item_alone in [false, true] {
            let fence = Fence::default();
            let (clock, hand) = Clock::manual();
            let a = organization(&fence, 1);
            let write = |fate| match item_alone {
                false => {
                    fence.raise(&a, fate, clock.now());
                }
                true => fence.raise_everywhere(Some(Uuid::from_u128(1)), Some((fate, clock.now()))),
            };
            write(Fate::Unknown);
            // A suspended machine wakes: the monotonic clock has stood still.
            hand.jump_wall_ahead(Duration::from_secs(600));
            write(Fate::Known);
            assert!(fence.is_settling(&a, &item(1), clock.now()), "{item_alone}");
            hand.advance(Duration::from_secs(5));
            assert!(!fence.is_settling(&a, &item(1), clock.now()), "{item_alone}");
        }
    }
}
