//! [`Threshold`]: from which level on what is logged, changeable while the process runs.
//!
//! The answer for each place in the code is kept by `tracing` until the level changes: a line that is not wanted costs a
//! read of memory, and one that is wanted asks nobody either. That of the line of a request, which is no event, is kept here.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tracing::level_filters::LevelFilter;
use tracing::subscriber::Interest;
use tracing::{Metadata, callsite};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Context, Filter};

use super::line::{LEVEL, TARGET};
use crate::lock::{RwLock, RwLockReadGuard};

/// A handle; clones are one.
#[derive(Clone, Debug)]
pub(super) struct Threshold(Arc<Wanted>);

#[derive(Debug)]
struct Wanted {
    targets: RwLock<Targets>,
    requests: AtomicBool,
}

impl Threshold {
    /// At a level, or `target=level` pairs.
    ///
    /// # Errors
    ///
    /// If that is none.
    pub(super) fn new(level: &str) -> Result<Self, String> {
        let targets = targets(level)?;
        let requests = AtomicBool::new(wants_requests(&targets));
        Ok(Self(Arc::new(Wanted { targets: RwLock::new(targets), requests })))
    }

    /// From now on this level.
    ///
    /// # Errors
    ///
    /// If it is none: then nothing has changed.
    pub(super) fn set(&self, level: &str) -> Result<(), String> {
        let targets = targets(level)?;
        self.0.requests.store(wants_requests(&targets), Ordering::Relaxed);
        *self.0.targets.write() = targets;
        callsite::rebuild_interest_cache();
        Ok(())
    }

    /// Whether the line of a request is wanted.
    pub(super) fn wants_requests(&self) -> bool {
        self.0.requests.load(Ordering::Relaxed)
    }

    fn wants(&self, place: &Metadata<'_>) -> bool {
        self.read().would_enable(place.target(), place.level())
    }

    fn read(&self) -> RwLockReadGuard<'_, Targets> {
        self.0.targets.read()
    }
}

fn targets(level: &str) -> Result<Targets, String> {
    level.parse().map_err(|error| format!("log.level {level:?}: {error}"))
}

fn wants_requests(targets: &Targets) -> bool {
    targets.would_enable(TARGET, &LEVEL)
}

impl<S> Filter<S> for Threshold {
    fn enabled(&self, place: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        self.wants(place)
    }

    fn callsite_enabled(&self, place: &'static Metadata<'static>) -> Interest {
        if self.wants(place) { Interest::always() } else { Interest::never() }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Filter::<S>::max_level_hint(&*self.read())
    }
}
