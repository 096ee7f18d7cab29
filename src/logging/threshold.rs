//! [`Threshold`]: from which level on what is logged, changeable while the process runs.
//!
//! The answer for each place in the code is kept by `tracing` until the level changes: a line that is not wanted costs a
//! read of memory, and one that is wanted asks nobody either.

use std::sync::Arc;

use tracing::level_filters::LevelFilter;
use tracing::subscriber::Interest;
use tracing::{Metadata, callsite};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Context, Filter};

use crate::lock::{RwLock, RwLockReadGuard};

/// A handle; clones are one.
#[derive(Clone, Debug)]
pub(super) struct Threshold(Arc<RwLock<Targets>>);

impl Threshold {
    /// At a level, or `target=level` pairs.
    ///
    /// # Errors
    ///
    /// If that is none.
    pub(super) fn new(level: &str) -> Result<Self, String> {
        Ok(Self(Arc::new(RwLock::new(targets(level)?))))
    }

    /// From now on this level.
    ///
    /// # Errors
    ///
    /// If it is none: then nothing has changed.
    pub(super) fn set(&self, level: &str) -> Result<(), String> {
        *self.0.write() = targets(level)?;
        callsite::rebuild_interest_cache();
        Ok(())
    }

    fn wants(&self, place: &Metadata<'_>) -> bool {
        self.read().would_enable(place.target(), place.level())
    }

    fn read(&self) -> RwLockReadGuard<'_, Targets> {
        self.0.read()
    }
}

fn targets(level: &str) -> Result<Targets, String> {
    level.parse().map_err(|error| format!("log.level {level:?}: {error}"))
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
