//! [`Intake`]: how many bytes of label-write bodies the process holds at once.
//!
//! Such a body is read whole before anything of it is sent, up to 1 MiB, and many connections can each be sending one.
//! The first [`FREE`] bytes of each cost nothing, so that ordinary writes are never turned away by large ones, and a
//! sender holds only what it has really sent.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes of each body that are not counted; a label has a few hundred.
const FREE: usize = 16 * 1024;
/// Bytes that all bodies together may hold beyond that.
const MOST: usize = 64 * 1024 * 1024;

/// The bytes that are held now.
#[derive(Clone, Debug, Default)]
pub(super) struct Intake(Arc<AtomicUsize>);

/// What one body holds, given back when it is dropped.
#[derive(Debug)]
pub(super) struct Room {
    intake: Intake,
    read: usize,
    counted: usize,
}

/// There is no room for more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Full;

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "bodies of label writes hold {} MiB already", MOST / 1024 / 1024)
    }
}

impl std::error::Error for Full {}

impl Intake {
    /// A body of which nothing has been read.
    pub(super) fn begin(&self) -> Room {
        Room { intake: self.clone(), read: 0, counted: 0 }
    }
}

impl Room {
    /// Notes that `more` bytes came.
    ///
    /// # Errors
    ///
    /// [`Full`] if they do not fit.
    pub(super) fn grow(&mut self, more: usize) -> Result<(), Full> {
        self.read = self.read.saturating_add(more);
        let wanted = self.read.saturating_sub(FREE) - self.counted;
        let fits = |held: usize| held.checked_add(wanted).filter(|held| *held <= MOST);
        self.intake.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).map_err(|_| Full)?;
        self.counted += wanted;
        Ok(())
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.intake.0.fetch_sub(self.counted, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1024 * 1024;

    #[test]
    fn large_bodies_fill_the_room_and_small_ones_still_get_in() {
        let intake = Intake::default();
        let mut large: Vec<Room> = (0..65).map(|_| intake.begin()).collect();
        let (last, all) = large.split_last_mut().unwrap();
        for held in all {
            for _ in 0..64 {
                held.grow(MIB / 64).unwrap();
            }
        }
        assert!(last.grow(FREE).is_ok());
        assert_eq!(last.grow(2 * MIB), Err(Full));
        assert!(intake.begin().grow(FREE).is_ok());
        large.clear();
        assert_eq!(intake.0.load(Ordering::Relaxed), 0, "all was given back");
        assert!(intake.begin().grow(MIB).is_ok());
    }
}
