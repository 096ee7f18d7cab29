//! [`OfResource`]: what was asked of one cached resource, for the status page.

use super::Metrics;
use crate::outcome::{Outcome, StatusClass};
use crate::resource::{Descriptor, Route};

/// Sums since the start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OfResource {
    /// Which.
    pub resource: &'static Descriptor,
    /// Its reads by outcome, in the order of that.
    pub reads: Vec<(Outcome, u64)>,
    /// Its writes.
    pub writes: u64,
}

impl OfResource {
    fn new(resource: &'static Descriptor) -> Self {
        Self { resource, reads: Outcome::ALL.iter().map(|outcome| (*outcome, 0)).collect(), writes: 0 }
    }

    /// Reads that needed no upstream call of their own.
    #[must_use]
    pub fn avoided(&self) -> u64 {
        self.reads.iter().filter(|(outcome, _)| outcome.avoided().is_some()).map(|(_, count)| count).sum()
    }
}

impl Metrics {
    /// Of each resource that is cached, in the order of their table.
    #[must_use]
    pub fn by_resource(&self) -> Vec<OfResource> {
        let mut rows: Vec<_> = self.resources.cached().map(OfResource::new).collect();
        let routes: Vec<_> = Route::all(self.resources).collect();
        for (index, histogram) in self.requests.occurred() {
            let (route, outcome) =
                (index / StatusClass::ALL.len() / Outcome::ALL.len(), index / StatusClass::ALL.len());
            let (Route::Item(resource) | Route::List(resource) | Route::Write(resource)) = routes[route]
            else {
                continue;
            };
            let Some(row) = rows.iter_mut().find(|row| row.resource == resource) else { continue };
            match routes[route] {
                Route::Write(_) => row.writes += histogram.count(),
                _ => row.reads[outcome % Outcome::ALL.len()].1 += histogram.count(),
            }
        }
        rows
    }
}
