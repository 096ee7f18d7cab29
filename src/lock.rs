//! [`Mutex`], [`RwLock`] and [`Condvar`]: the standard library's, without poison; and the [`AtomicU64`] of what is ordered by ticks.
//!
//! A panic ends one task or one thread, and what it was about. If it also poisoned the lock that it held, every later
//! `lock` would fail, and with it the whole process. So nothing is poisoned here: who comes next finds the value as the
//! panic left it. The owner of a value keeps it sound at each step at which it can panic, and no caller has an error to
//! handle that it could do nothing about.
//!
//! In tests an access to a [`Mutex`] or an [`AtomicU64`] is a step, of which every order can be tried (`interleavings`).

use std::sync::PoisonError;
use std::time::Duration;

#[cfg(test)]
pub(crate) mod interleavings;

#[cfg(test)]
pub(crate) use interleavings::AtomicU64;
#[cfg(not(test))]
pub(crate) use std::sync::atomic::AtomicU64;
pub(crate) use std::sync::{MutexGuard, RwLockReadGuard, RwLockWriteGuard, WaitTimeoutResult};

/// A mutex whose [`lock`](Self::lock) cannot fail.
#[derive(Debug, Default)]
pub(crate) struct Mutex<T>(std::sync::Mutex<T>);

impl<T> Mutex<T> {
    /// One around `value`.
    pub(crate) const fn new(value: T) -> Self {
        Self(std::sync::Mutex::new(value))
    }

    /// Waits until nobody else holds it.
    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        #[cfg(test)]
        if let Some(guard) = interleavings::lock(&self.0) {
            return guard;
        }
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The value of one that nobody else can hold.
    pub(crate) fn get_mut(&mut self) -> &mut T {
        self.0.get_mut().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A lock of many readers or one writer; neither [`read`](Self::read) nor [`write`](Self::write) can fail.
#[derive(Debug, Default)]
pub(crate) struct RwLock<T>(std::sync::RwLock<T>);

impl<T> RwLock<T> {
    /// One around `value`.
    pub(crate) const fn new(value: T) -> Self {
        Self(std::sync::RwLock::new(value))
    }

    /// Waits until nobody writes.
    pub(crate) fn read(&self) -> RwLockReadGuard<'_, T> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until nobody else holds it.
    pub(crate) fn write(&self) -> RwLockWriteGuard<'_, T> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What threads wait on that have let go of a [`Mutex`] meanwhile.
#[derive(Debug, Default)]
pub(crate) struct Condvar(std::sync::Condvar);

impl Condvar {
    /// Waits for as long as `condition` holds of the value.
    pub(crate) fn wait_while<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        condition: impl FnMut(&mut T) -> bool,
    ) -> MutexGuard<'a, T> {
        self.0.wait_while(guard, condition).unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for as long as `condition` holds of the value, at most for `limit`.
    pub(crate) fn wait_timeout_while<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        limit: Duration,
        condition: impl FnMut(&mut T) -> bool,
    ) -> (MutexGuard<'a, T>, WaitTimeoutResult) {
        self.0.wait_timeout_while(guard, limit, condition).unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes one thread that waits.
    pub(crate) fn notify_one(&self) {
        self.0.notify_one();
    }

    /// Wakes all that wait.
    pub(crate) fn notify_all(&self) {
        self.0.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    #[test]
    fn a_panic_that_holds_a_lock_costs_nobody_else_anything() {
        let (mutex, lock) = (Mutex::new(1), RwLock::new(1));
        let panics = catch_unwind(AssertUnwindSafe(|| {
            let (mut held, mut written) = (mutex.lock(), lock.write());
            (*held, *written) = (2, 2);
            panic!("while both are held");
        }));
        assert!(panics.is_err());
        assert_eq!(*mutex.lock(), 2);
        assert_eq!(*lock.read(), 2);
        assert_eq!(*lock.write(), 2);
    }
}
