//! [`Resources`]: the resources that a process caches, and [`ByResource`], what is kept of each.

use super::Descriptor;
use crate::config::Cache;

/// The resources that a process caches: one at least, each once. By the first, a caller is asked for of whom nothing else
/// is known.
#[derive(Clone, Copy, Debug)]
pub struct Resources(&'static [&'static Descriptor]);

impl Resources {
    /// Of these.
    ///
    /// # Panics
    ///
    /// If there are none, which the compiler says of a table that is a constant.
    #[must_use]
    pub const fn new(table: &'static [&'static Descriptor]) -> Self {
        assert!(!table.is_empty(), "there is nothing to cache");
        Self(table)
    }

    /// Those of them that a configuration has on. The first is always on.
    #[must_use]
    pub fn enabled(self, cache: &Cache) -> Self {
        let enabled: Vec<_> = self.iter().filter(|resource| (resource.enabled)(cache)).collect();
        assert!(enabled.first() == Some(&self.first()), "what callers are asked for by is always cached");
        if self.iter().take(enabled.len()).eq(enabled.iter().copied()) {
            return Self(&self.0[..enabled.len()]);
        }
        // For as long as the process runs, as the whole table is.
        Self(Vec::leak(enabled))
    }

    /// All of them, in order.
    pub fn iter(self) -> impl Iterator<Item = &'static Descriptor> {
        self.0.iter().copied()
    }

    /// The first.
    #[must_use]
    pub const fn first(self) -> &'static Descriptor {
        self.0[0]
    }

    /// How many they are.
    #[must_use]
    pub const fn count(self) -> usize {
        self.0.len()
    }

    /// The place of one of them in the table.
    ///
    /// # Panics
    ///
    /// If it is not one of them: whoever holds a descriptor has it from the table of its process.
    #[must_use]
    pub fn place_of(self, resource: &'static Descriptor) -> usize {
        let place = self.0.iter().position(|known| *known == resource);
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
