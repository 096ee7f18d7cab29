//! [`Settling`]: until when a fetch may still bring what was before a write, for the vendor's own replication lag.
//!
//! Asked for each answer that is stored, never for a hit.

use std::sync::OnceLock;

use uuid::Uuid;

use super::Extent;
use crate::clock::Moment;
use crate::lock::Mutex;
use crate::resource::Target;

/// Items that settle by themselves and are told apart; where there are more, the whole organization settles with the one
/// that was written first.
const ITEMS: usize = 64;

/// What of an organization settles, and until when. No time of it is ever shortened. Of most nothing is written here.
#[derive(Debug, Default)]
pub(super) struct Settling(OnceLock<Box<Mutex<Windows>>>);

#[derive(Debug, Default)]
struct Windows {
    all: Option<Moment>,
    lists: Option<Moment>,
    /// In the order in which they were written. None is dropped when it is over: an answer that was asked for in that time
    /// may come yet.
    items: Vec<(Uuid, Moment)>,
}

impl Settling {
    /// So much settles until then.
    pub(super) fn extend(&self, extent: Extent, until: Moment) {
        let Windows { all, lists, items } = &mut *self.0.get_or_init(Box::default).lock();
        let Extent::Item(id) = extent else { return merge(all, until) };
        merge(lists, until);
        let mut own = Some(until);
        if let Some(place) = items.iter().position(|(known, _)| *known == id) {
            merge(&mut own, items.remove(place).1);
        } else if items.len() == ITEMS {
            merge(all, items.remove(0).1);
        }
        items.extend(own.map(|until| (id, until)));
    }

    /// Whether what was sent for at `sent` may be from before a write.
    pub(super) fn is_open(&self, target: &Target, sent: Moment) -> bool {
        let Some(windows) = self.0.get() else { return false };
        let windows = windows.lock();
        let own = match target {
            Target::List(_) => windows.lists,
            Target::Item(id) => windows.items.iter().find(|(known, _)| known == id).map(|(_, until)| *until),
        };
        [windows.all, own].into_iter().flatten().any(|until| !sent.surely_reached(until))
    }
}

/// The later of both.
fn merge(window: &mut Option<Moment>, until: Moment) {
    *window = Some(window.map_or(until, |earlier| earlier.latest(until)));
}
