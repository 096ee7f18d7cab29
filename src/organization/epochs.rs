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
    /// Made by the first write: most organizations are read and not written.
    written: OnceLock<Box<Written>>,
}

/// What only an organization needs that was written.
#[derive(Debug, Default)]
struct Written {
    /// Epoch of its lists, beyond its own.
    lists: AtomicU64,
    /// The latest of all invalidations by writes, whatever their extent.
    latest: AtomicU64,
    /// Epochs of its items, beyond its own; none before one was invalidated by itself.
    items: OnceLock<Box<[AtomicU64]>>,
    /// Invalidations follow each other, so that a writer can tell whether anything but its own came since it began.
    invalidating: Mutex<()>,
    /// The latest invalidation that one of this replica's own writes has made once more, in its place among those of the
    /// fleet, and the one before it.
    again: Mutex<(Tick, Tick)>,
}

impl Epochs {
    /// Nothing from before this counts.
    pub(super) fn after(tick: Tick) -> Self {
        Self { organization: AtomicU64::new(tick.0), ..Self::default() }
    }

    /// That of the whole organization: nothing of it from before this counts.
    pub(super) fn of_all(&self) -> Tick {
        load(&self.organization)
    }

    /// That of its lists.
    pub(super) fn of_lists(&self) -> Tick {
        self.of_all().max(self.beyond(|written| load(&written.lists)))
    }

    /// Whether what was fetched of a target at `begun` counts.
    pub(super) fn admit(&self, target: &Target, begun: Tick) -> bool {
        begun >= self.of_all()
            && match target {
                Target::List(_) => begun >= self.beyond(|written| load(&written.lists)),
                Target::Item(id) => begun >= self.of_item(*id),
            }
    }

    /// Invalidates so much; the tick of that, and of the latest invalidation before it that concerns anything of it.
    pub(super) fn invalidate(&self, extent: Extent, sequence: &Sequence) -> (Tick, Tick) {
        let written = self.written();
        let _invalidating = written.invalidating.lock();
        let before = self.latest_of(extent);
        let tick = sequence.advance();
        match extent {
            Extent::Organization => raise(&self.organization, tick),
            Extent::Item(id) => {
                raise(&written.lists, tick);
                raise(&written.places()[place_of(id)], tick);
            }
        }
        raise(&written.latest, tick);
        (tick, before)
    }

    /// Invalidates all from before a tick that was taken for all organizations.
    pub(super) fn invalidate_to(&self, tick: Tick) {
        raise(&self.organization, tick);
    }

    /// Notes that a write of this replica has invalidated once more, and after which invalidation.
    pub(super) fn note_again(&self, tick: Tick, before: Tick) {
        *self.written().again.lock() = (tick, before);
    }

    /// The latest invalidation that concerns anything of this extent, if it is that of a write at `own`, or of the same write
    /// once more with nothing between the two.
    pub(super) fn latest_by(&self, own: Tick, extent: Extent) -> Option<Tick> {
        let latest = self.latest_of(extent);
        let (again, before) =
            self.written.get().map_or_else(Default::default, |written| *written.again.lock());
        (latest == own || (latest == again && before == own)).then_some(latest)
    }

    fn latest_of(&self, extent: Extent) -> Tick {
        match extent {
            Extent::Organization => self.of_all().max(self.beyond(|written| load(&written.latest))),
            Extent::Item(id) => self.of_all().max(self.of_item(id)),
        }
    }

    fn of_item(&self, id: Uuid) -> Tick {
        self.beyond(|written| {
            written.items.get().map_or_else(Tick::default, |places| load(&places[place_of(id)]))
        })
    }

    /// What writes have made of something; nothing where there were none.
    fn beyond(&self, tick: impl FnOnce(&Written) -> Tick) -> Tick {
        self.written.get().map_or_else(Tick::default, |written| tick(written))
    }

    fn written(&self) -> &Written {
        self.written.get_or_init(Box::default)
    }
}

impl Written {
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
