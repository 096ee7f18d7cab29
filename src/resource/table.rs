//! [`Resources`]: the resources that a process caches, and [`ByResource`], what is kept of each.

use super::Descriptor;
use crate::config::Cache;

/// The resources that a process caches, and behind them those whose writes alone concern it: one at least, each once. By the
/// first, a caller is asked for of whom nothing else is known.
#[derive(Clone, Copy, Debug)]
pub struct Resources {
    table: &'static [&'static Descriptor],
    /// How many of them are cached, from the first on.
    cached: usize,
}

impl Resources {
    /// Of these.
    ///
    /// # Panics
    ///
    /// If there are none, which the compiler says of a table that is a constant.
    #[must_use]
    pub const fn new(table: &'static [&'static Descriptor]) -> Self {
        assert!(!table.is_empty(), "there is nothing to cache");
        Self { table, cached: table.len() }
    }

    /// Those of them that a configuration has on. The first is always on.
    #[must_use]
    pub fn enabled(self, cache: &Cache) -> Self {
        let all = self.watched(cache);
        Self { table: &all.table[..all.cached], ..all }
    }

    /// Those that a configuration has on, and behind them the others: what writes of these change is cached elsewhere.
    #[must_use]
    pub fn watched(self, cache: &Cache) -> Self {
        let (mut table, others): (Vec<_>, Vec<_>) =
            self.iter().partition(|resource| (resource.enabled)(cache));
        let cached = table.len();
        assert!(table.first() == Some(&self.first()), "what callers are asked for by is always cached");
        table.extend(others);
        if self.iter().eq(table.iter().copied()) {
            return Self { cached, ..self };
        }
        // For as long as the process runs, as the whole table is.
        Self { table: Vec::leak(table), cached }
    }

    /// All of them, in order.
    pub fn iter(self) -> impl Iterator<Item = &'static Descriptor> {
        self.table.iter().copied()
    }

    /// Those that are cached, in order.
    pub fn cached(self) -> impl Iterator<Item = &'static Descriptor> {
        self.iter().take(self.cached)
    }

    /// Whether this one is cached.
    #[must_use]
    pub fn caches(self, resource: &'static Descriptor) -> bool {
        self.cached == self.count() || self.place_of(resource) < self.cached
    }

    /// The first.
    #[must_use]
    pub const fn first(self) -> &'static Descriptor {
        self.table[0]
    }

    /// How many they are.
    #[must_use]
    pub const fn count(self) -> usize {
        self.table.len()
    }

    /// The place of one of them in the table.
    ///
    /// # Panics
    ///
    /// If it is not one of them: whoever holds a descriptor has it from the table of its process.
    #[must_use]
    pub fn place_of(self, resource: &'static Descriptor) -> usize {
        let place = self.table.iter().position(|known| *known == resource);
        place.expect("descriptors come from the table of their process")
    }
}

/// One value for each resource of a process. None is lent to another: what is known of one says nothing of the next.
#[derive(Debug)]
pub struct ByResource<T> {
    resources: Resources,
    values: Box<[T]>,
}

impl<T> ByResource<T> {
    /// A value for each of these.
    #[must_use]
    pub fn new(resources: Resources, mut value: impl FnMut() -> T) -> Self {
        Self { resources, values: resources.iter().map(|_| value()).collect() }
    }

    /// That of one resource.
    #[must_use]
    pub fn of(&self, resource: &'static Descriptor) -> &T {
        &self.values[self.resources.place_of(resource)]
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.values.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::resource::{CAMPAIGN, CUSTOM_TAG, LEAD_LABEL, LEAD_LIST, RESOURCES, WORKSPACE};

    #[test]
    fn what_is_cached_comes_first_and_what_is_watched_behind_it() {
        let mut cache = Config::default().cache;
        cache.workspaces.enabled = true;
        let watched = RESOURCES.watched(&cache);
        let names = |resources: Resources| resources.iter().map(|one| one.name).collect::<Vec<_>>();
        let cached = [&LEAD_LABEL, &WORKSPACE].map(|one: &'static Descriptor| one.name);
        assert_eq!(names(RESOURCES.enabled(&cache)), cached);
        assert_eq!(watched.cached().map(|one| one.name).collect::<Vec<_>>(), cached);
        let others = [&CUSTOM_TAG, &LEAD_LIST, &CAMPAIGN].map(|one: &'static Descriptor| one.name);
        assert_eq!(names(watched)[2..], others);
        assert!(watched.caches(&WORKSPACE) && !watched.caches(&CUSTOM_TAG) && !watched.caches(&CAMPAIGN));
        assert!(RESOURCES.caches(&CAMPAIGN), "all that it has");
    }
}
