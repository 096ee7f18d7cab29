//! [`Event`]: what happened, and the [`Log`] of it: of all a hash, and on demand every line.

use std::cell::RefCell;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::rc::Rc;
use std::time::Duration;

use super::store::Fault;
use super::truth::{Party, What};
use super::upstream::{Fate, Sent};

/// What happened, by the places of those to whom it did.
#[derive(Clone, Debug, Hash)]
pub(super) enum Event {
    Asks { client: usize, replica: usize, party: Party, what: What },
    Hears { client: usize, status: u16, cached: String, body: String },
    HearsNothing { client: usize },
    Leaves { client: usize },
    Call { number: usize, replica: usize, party: Party, what: What },
    Acts { number: usize, fate: Fate, status: u16 },
    Answers { number: usize, sent: Sent },
    Slip { one: usize, other: usize },
    Passes { time: Duration },
    Jumps { by: Duration, ahead: bool },
    Revoked { token: usize, is_now: bool },
    Moved { token: usize, to: usize },
    Restricted { organization: usize, is_now: bool },
    Purge { organization: Option<usize>, label: Option<usize>, of_resource: bool, replica: usize },
    Purged,
    Refuses,
    Listens,
    Restart { replica: usize },
    Store { fault: Fault },
    StoreHeals,
}

/// The events as text, for whoever reads them.
pub(super) type Lines = Rc<RefCell<Vec<String>>>;

/// All events in their order.
pub(super) struct Log {
    hasher: DefaultHasher,
    /// Only where somebody is to read them: they outlive a run that breaks.
    lines: Option<Lines>,
}

impl Log {
    pub(super) fn new(lines: Option<Lines>) -> Self {
        Self { hasher: DefaultHasher::new(), lines }
    }

    pub(super) fn note(&mut self, at: u64, uptime: Duration, what: &Event) {
        what.hash(&mut self.hasher);
        if let Some(lines) = &self.lines {
            lines.borrow_mut().push(format!("{at:>6} {uptime:>10.3?} {what:?}"));
        }
    }

    pub(super) fn hash(&self) -> u64 {
        self.hasher.finish()
    }
}
