//! [`channel`]: one value that changes, and those who wait until it is what they want.
//!
//! They are woken in the order in which they began to wait: who came first goes on first. `tokio::sync::watch` wakes at random,
//! and what follows from one moment would be another order of calls each time that it is tried.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

use crate::lock::Mutex;

#[derive(Debug)]
struct Shared<T> {
    value: Mutex<T>,
    changed: Notify,
    ended: AtomicBool,
}

/// Tells values; once it is dropped, nothing more is told.
#[derive(Debug)]
pub(crate) struct Teller<T>(Arc<Shared<T>>);

/// Hears of values.
#[derive(Debug)]
pub(crate) struct Listener<T>(Arc<Shared<T>>);

impl<T> Clone for Listener<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

/// Nothing more is told, and what was waited for is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ended;

/// Both ends of one that begins with this value.
pub(crate) fn channel<T>(value: T) -> (Teller<T>, Listener<T>) {
    let shared =
        Arc::new(Shared { value: Mutex::new(value), changed: Notify::new(), ended: AtomicBool::new(false) });
    (Teller(Arc::clone(&shared)), Listener(shared))
}

impl<T> Teller<T> {
    /// The value from now on.
    pub(crate) fn tell(&self, value: T) {
        // The old one goes when the lock is free.
        let old = std::mem::replace(&mut *self.0.value.lock(), value);
        self.0.changed.notify_waiters();
        drop(old);
    }
}

impl<T> Drop for Teller<T> {
    fn drop(&mut self) {
        self.0.ended.store(true, Ordering::Release);
        self.0.changed.notify_waiters();
    }
}

impl<T> Listener<T> {
    /// What `look` finds in the value as it is now.
    pub(crate) fn look<U>(&self, look: impl FnOnce(&T) -> U) -> U {
        look(&self.0.value.lock())
    }

    /// Waits until `wanted` finds something in the value.
    ///
    /// # Errors
    ///
    /// [`Ended`] if nothing more is told before.
    pub(crate) async fn wait_for<U>(&self, mut wanted: impl FnMut(&T) -> Option<U>) -> Result<U, Ended> {
        loop {
            let mut changed = pin!(self.0.changed.notified());
            // Waits from here on: what is told between the look and the wait is not missed.
            changed.as_mut().enable();
            let ended = self.0.ended.load(Ordering::Acquire);
            if let Some(found) = self.look(&mut wanted) {
                return Ok(found);
            }
            if ended {
                return Err(Ended);
            }
            changed.await;
        }
    }

    /// Waits until nothing more is told.
    pub(crate) async fn ended(&self) {
        let _ = self.wait_for(|_| None::<()>).await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[tokio::test]
    async fn who_waits_hears_of_what_is_wanted_and_of_the_end() {
        let (teller, listener) = channel(1);
        let wants = |wanted| {
            let listener = listener.clone();
            async move { listener.wait_for(move |value| (*value == wanted).then_some(wanted)).await }
        };
        let (two, three) = (tokio::spawn(wants(2)), tokio::spawn(wants(3)));
        tokio::task::yield_now().await;
        teller.tell(2);
        assert_eq!(two.await.unwrap(), Ok(2));
        drop(teller);
        assert_eq!(three.await.unwrap(), Err(Ended));
        assert_eq!(wants(2).await, Ok(2), "the last value stays");
        listener.ended().await;
    }

    #[tokio::test]
    async fn who_waited_first_goes_on_first() {
        let (teller, listener) = channel(false);
        let (order, begun) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicUsize::new(0)));
        let waiters: Vec<_> = (0..100)
            .map(|number| {
                let (listener, order, begun) = (listener.clone(), Arc::clone(&order), Arc::clone(&begun));
                tokio::spawn(async move {
                    begun.fetch_add(1, Ordering::Relaxed);
                    listener.wait_for(|told| told.then_some(())).await.unwrap();
                    order.lock().push(number);
                })
            })
            .collect();
        while begun.load(Ordering::Relaxed) < waiters.len() {
            tokio::task::yield_now().await;
        }
        teller.tell(true);
        for waiter in waiters {
            waiter.await.unwrap();
        }
        assert!(order.lock().is_sorted());
    }
}
