//! [`Row`]: one caller, or one credential, as it is counted.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::figures::{Counters, Figures};
use super::history::History;
use crate::lock::Mutex;

/// One caller, or one credential.
#[derive(Debug)]
pub struct Row {
    /// Tells who it is of from all others, whether it has had another row before or not.
    id: u64,
    pub(super) slot: usize,
    name: Box<str>,
    /// What is counted of it.
    pub counters: Counters,
    /// Set when another one has its place in the table: what is counted from then on is `other`'s.
    retired: AtomicBool,
    pub(super) history: Mutex<History>,
    refused: Mutex<Option<Refused>>,
}

/// The last refusal of a key by the API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// 401, 402 or 403.
    pub status: u16,
    /// The method and the first three segments of the path.
    pub route: String,
    /// The caller that was refused.
    pub caller: Box<str>,
    /// Since 1970.
    pub at: Duration,
}

/// What is shown of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// Its name.
    pub name: Box<str>,
    /// Since it was first seen.
    pub total: Figures,
    /// In the last hour.
    pub hour: Figures,
    /// In the last minute.
    pub minute: Figures,
    /// Its last refusal.
    pub refused: Option<Refused>,
}

impl Row {
    pub(super) fn new(id: u64, slot: usize, name: &str) -> Self {
        Self {
            id,
            slot,
            name: name.into(),
            counters: Counters::default(),
            retired: AtomicBool::new(false),
            history: Mutex::default(),
            refused: Mutex::default(),
        }
    }

    /// Tells who it is of from all others, whether it has had another row before or not.
    #[must_use]
    pub const fn id(&self) -> u64 {
        self.id
    }

    /// Its name: of the alphabet of names, or `~` and the name of a key.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether another one has its place.
    #[must_use]
    pub fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Relaxed)
    }

    pub(super) fn retire(&self) {
        self.retired.store(true, Ordering::Relaxed);
    }

    /// Notes that the API has refused it.
    pub fn note_refusal(&self, refused: Refused) {
        *self.refused.lock() = Some(refused);
    }

    pub(super) fn shown(&self, step: u64) -> Shown {
        let (total, history) = (self.counters.figures(), self.history.lock());
        Shown {
            name: self.name.clone(),
            total,
            hour: history.hour(&total, step),
            minute: history.minute(&total, step),
            refused: self.refused.lock().clone(),
        }
    }
}
