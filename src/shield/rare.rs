//! [`Rare`]: a part of an account that few accounts need. Others have no room for it, and read it as what it is at first.

use std::ops::{Deref, DerefMut};

/// What takes no room until it is changed.
#[derive(Debug)]
pub(super) struct Rare<T>(Option<Box<T>>);

/// What has one value as long as nobody has changed it, for everybody.
pub(super) trait AtFirst: Default + 'static {
    /// That value.
    fn at_first() -> &'static Self;
}

impl<T> Rare<T> {
    /// As it is, if it may have been changed.
    pub(super) fn changed(&self) -> Option<&T> {
        self.0.as_deref()
    }

    /// The same, to be changed again.
    pub(super) fn changed_mut(&mut self) -> Option<&mut T> {
        self.0.as_deref_mut()
    }

    /// Gives its room back if that is over for which it was changed.
    pub(super) fn forget_if(&mut self, is_over: impl FnOnce(&T) -> bool) {
        if self.changed().is_some_and(is_over) {
            self.0 = None;
        }
    }

    /// The same, taken out.
    pub(super) fn into_changed(self) -> Option<T> {
        self.0.map(|changed| *changed)
    }
}

impl<T> Default for Rare<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T: AtFirst> Deref for Rare<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.0.as_deref().unwrap_or_else(|| T::at_first())
    }
}

/// From now on it has room of its own.
impl<T: AtFirst> DerefMut for Rare<T> {
    fn deref_mut(&mut self) -> &mut T {
        self.0.get_or_insert_default()
    }
}
