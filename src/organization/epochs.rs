//! [`Epochs`]: from when on what was fetched of an organization counts: all of it, its lists, each of its items.
//!
//! A hit asks here, so that nothing is locked and nothing looked for: two ticks are loaded and compared. Items have no table of
//! their own, which would have to be bounded and to forget: each has a place among [`PLACES`], by its id, and what is
//! invalidated of a place counts for all items that share it. So nothing is ever forgotten, and what it costs is that one
//! write in [`PLACES`] also shuts out a given other item.

use std::sync::OnceLock;
use std::sync::atomic::Ordering;

use uuid::Uuid;

use crate::lock::{AtomicU64, Mutex};
use crate::resource::Target;
use crate::tick::{Sequence, Tick};

/// What of an organization a write has changed, and so shuts out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// All of it.
    Organization,
    /// The item with this id, and every list: any may hold it, or lack it now.
    Item(Uuid),
}

/// Places of items: 2 KiB for an organization of which an item was written.
const PLACES: usize = 256;

/// From when on what was fetched of an organization counts. No tick of it ever goes back.
#[derive(Debug, Default)]
pub(super) struct Epochs {
    /// Of all of it.
    organization: AtomicU64,
    /// Of its lists, beyond that.
    lists: AtomicU64,
    /// Of its items, beyond that; none before one was invalidated by itself.
    items: OnceLock<Box<[AtomicU64]>>,
    /// The latest of all invalidations, whatever their extent.
    latest: AtomicU64,
    /// Invalidations follow each other, so that a writer can tell whether anything but its own came since it began.
    invalidating: Mutex<()>,
    /// The latest invalidation that one of this replica's own writes has made once more, in its place among those of the
    /// fleet, and the one before it.
    again: Mutex<(Tick, Tick)>,
}

impl Epochs {
    /// Nothing from before this counts.
    pub(super) fn after(tick: Tick) -> Self {
        Self { organization: AtomicU64::new(tick.0), latest: AtomicU64::new(tick.0), ..Self::default() }
    }

    /// That of the whole organization: nothing of it from before this counts.
    pub(super) fn of_all(&self) -> Tick {
        load(&self.organization)
    }

    /// That of its lists.
    pub(super) fn of_lists(&self) -> Tick {
        self.of_all().max(load(&self.lists))
    }

    /// Whether what was fetched of a target at `begun` counts.
    pub(super) fn admit(&self, target: &Target, begun: Tick) -> bool {
        begun >= self.of_all()
            && match target {
                Target::List(_) => begun >= load(&self.lists),
                Target::Item(id) => begun >= self.of_item(*id),
            }
    }

    /// Invalidates so much; the tick of that, and of the latest invalidation before it that concerns anything of it.
    pub(super) fn invalidate(&self, extent: Extent, sequence: &Sequence) -> (Tick, Tick) {
        let _invalidating = self.invalidating.lock();
        let before = self.latest_of(extent);
        let tick = sequence.advance();
        match extent {
            Extent::Organization => raise(&self.organization, tick),
            Extent::Item(id) => {
                raise(&self.lists, tick);
                raise(&self.places()[place_of(id)], tick);
            }
        }
        raise(&self.latest, tick);
        (tick, before)
    }

    /// Invalidates all from before a tick that was taken for all organizations.
    pub(super) fn invalidate_to(&self, tick: Tick) {
        raise(&self.organization, tick);
        raise(&self.latest, tick);
    }

    /// Notes that a write of this replica has invalidated once more, and after which invalidation.
    pub(super) fn note_again(&self, tick: Tick, before: Tick) {
        *self.again.lock() = (tick, before);
    }

    /// The latest invalidation that concerns anything of this extent, if it is that of a write at `own`, or of the same write
    /// once more with nothing between the two.
    pub(super) fn latest_by(&self, own: Tick, extent: Extent) -> Option<Tick> {
        let (latest, (again, before)) = (self.latest_of(extent), *self.again.lock());
        (latest == own || (latest == again && before == own)).then_some(latest)
    }

    fn latest_of(&self, extent: Extent) -> Tick {
        match extent {
            Extent::Organization => load(&self.latest),
            Extent::Item(id) => self.of_all().max(self.of_item(id)),
        }
    }

    fn of_item(&self, id: Uuid) -> Tick {
        self.items.get().map_or_else(Tick::default, |places| load(&places[place_of(id)]))
    }

    fn places(&self) -> &[AtomicU64] {
        self.items.get_or_init(|| (0..PLACES).map(|_| AtomicU64::default()).collect())
    }
}

/// Where an item stands among [`PLACES`]: one byte of a product of all of its bits (Fibonacci hashing), for some of an id's
/// are often the same. Only the upstream's ids stand anywhere, each in its own organization: nobody can choose to meet another.
fn place_of(id: Uuid) -> usize {
    let (high, low) = id.as_u64_pair();
    usize::from((high ^ low).wrapping_mul(0x9E37_79B9_7F4A_7C15).to_be_bytes()[0])
}

fn load(tick: &AtomicU64) -> Tick {
    Tick(tick.load(Ordering::SeqCst))
}

fn raise(epoch: &AtomicU64, to: Tick) {
    epoch.fetch_max(to.0, Ordering::SeqCst);
}

#[cfg(test)]
#[path = "epochs/tests.rs"]
mod tests;
