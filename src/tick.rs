//! [`Tick`] and [`Sequence`]: one process-wide order of fetches, writes and refusals.

use std::sync::atomic::Ordering;

use crate::lock::AtomicU64;

/// A place in the process-wide order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tick(pub(crate) u64);

/// The process-wide counter behind [`Tick`].
#[derive(Debug, Default)]
pub struct Sequence(AtomicU64);

impl Sequence {
    /// The last tick that was given out.
    #[must_use]
    pub fn current(&self) -> Tick {
        Tick(self.0.load(Ordering::SeqCst))
    }

    /// A tick later than all before it.
    pub fn advance(&self) -> Tick {
        Tick(self.0.fetch_add(1, Ordering::SeqCst) + 1)
    }
}
