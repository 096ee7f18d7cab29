//! [`Held`]: the one account of the bytes that calls hold, by what they take of memory and not by what they use of it.
//!
//! Bodies that are read whole count by the capacity of their memory, from the first byte until nobody has them any more:
//! gathered bytes carry their [`Charge`] along, into whatever queue of a slow reader. A body that is passed on holds what
//! hyper, h2 and this process may buffer of it, and counts with that bound for as long as its call is under way. What is
//! stored counts in the cache's bytes instead, and comes back here while a reader still has it that the cache let go of.
//!
//! What bodies of unverified callers hold is a part of the account with a bound of its own: anybody may announce a body, and none of
//! it may keep those out whom the API knows. There, a body that has not come counts as well: its request is kept for it.
//!
//! Idle connections are not in it: what each of them takes is small, and `listen.max_connections` bounds their number.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;

use crate::error::{ErrorKind, ProxyError};

const KIB: usize = 1024;

/// What an upstream HTTP/1.1 connection may read ahead: the `http1_max_buf_size` of its client.
pub const UPSTREAM_BUFFER: usize = 64 * KIB;
/// What the upstream may send ahead of its reader on one HTTP/2 stream: its initial window.
pub const UPSTREAM_WINDOW: u32 = 64 * 1024;
/// What a connection of the data port may hold unread, and again unsent.
pub const CLIENT_BUFFER: usize = 64 * KIB;
/// What a body that is passed on to a reader who stands still holds at most: read ahead by the one connection, a piece on
/// its way from it, unsent on the other connection, and the piece with which that became full. Measured: 282 KiB with both
/// connections.
const PASSED_ON: usize = 2 * UPSTREAM_BUFFER + 2 * CLIENT_BUFFER;
/// What an answer that is passed on holds.
pub const DOWNLOAD: usize = PASSED_ON;
/// What a request's body that is passed on holds besides, unless it is shorter.
pub const UPLOAD: usize = PASSED_ON;

/// A call that holds no more than this has a part of the account to itself: an ordinary write or read is not turned away by
/// large ones. A label has a few hundred bytes.
const SMALL: usize = 16 * KIB;
/// One in so many bytes is that part.
const FOR_SMALL: usize = 8;
/// One in so many bytes is for bodies of unverified callers, and no more, but room for the largest write.
const FOR_UNVERIFIED: usize = 8;
const LEAST_FOR_UNVERIFIED: usize = 2 * KIB * KIB;
/// What a request takes that is kept until its body has come: its head, its task and its stream, about.
const KEPT_REQUEST: usize = 8 * KIB;
/// The first memory of a body of unknown length.
const FIRST: usize = 1024;
/// When a caller is told to come again for whose bytes there is no room.
const COME_AGAIN: Duration = Duration::from_secs(5);

/// The bytes that are held now, and how many may be.
#[derive(Clone, Debug)]
pub struct Held(Arc<Account>);

#[derive(Debug)]
struct Account {
    size: usize,
    held: AtomicUsize,
    /// Of those, the ones that bodies of unverified callers hold.
    unverified: AtomicUsize,
}

/// Who brings a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sender {
    /// A caller that the API has answered, or the API itself.
    Known,
    /// Anybody.
    Unverified,
}

/// There is no room for more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full {
    held: usize,
    size: usize,
}

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mib = |bytes| bytes / KIB / KIB;
        write!(f, "calls under way hold {} MiB of {}", mib(self.held), mib(self.size))
    }
}

impl std::error::Error for Full {}

impl Full {
    /// What a call is answered with of which nothing was sent.
    #[must_use]
    pub fn before_sending(self) -> ProxyError {
        ErrorKind::NoMemory.error().retry_after(COME_AGAIN).because(self)
    }

    /// What a call is answered with whose answer found no room.
    #[must_use]
    pub fn for_answer(self) -> ProxyError {
        ErrorKind::NoMemoryForAnswer.error().retry_after(COME_AGAIN).because(self)
    }
}

impl Held {
    /// An account of this many bytes.
    #[must_use]
    pub fn new(size: usize) -> Self {
        Self(Arc::new(Account { size, held: AtomicUsize::new(0), unverified: AtomicUsize::new(0) }))
    }

    /// Bytes that may be held.
    #[must_use]
    pub fn size(&self) -> usize {
        self.0.size
    }

    /// Bytes that are held.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.0.held.load(Ordering::Relaxed)
    }

    /// Whether there would be room for so many more.
    ///
    /// # Errors
    ///
    /// [`Full`] if there would not.
    pub fn check(&self, bytes: usize) -> Result<(), Full> {
        let held = self.bytes();
        let fits = held.saturating_add(bytes) <= self.limit(bytes);
        if fits { Ok(()) } else { Err(Full { held, size: self.size() }) }
    }

    /// A call that holds so many bytes.
    ///
    /// # Errors
    ///
    /// [`Full`] if there is no room for them.
    pub fn take(&self, bytes: usize) -> Result<Charge, Full> {
        let mut charge = self.charge(Sender::Known);
        charge.grow(bytes)?;
        Ok(charge)
    }

    /// The same where the bytes are held already: whoever comes next is turned away for them.
    #[must_use]
    pub fn take_held(&self, bytes: usize) -> Charge {
        self.0.held.fetch_add(bytes, Ordering::Relaxed);
        let mut charge = self.charge(Sender::Known);
        charge.bytes = bytes;
        charge
    }

    /// Memory for a body of which nothing has been read, whose length may be known.
    #[must_use]
    pub fn gather(&self, length: Option<usize>) -> Gathering {
        Gathering { bytes: Vec::new(), length, beside: 0, charge: self.charge(Sender::Known) }
    }

    /// The same for a request's body. That of an unverified caller takes its room before it comes.
    ///
    /// # Errors
    ///
    /// [`Full`] if unverified callers have all that they may.
    pub fn gather_from(&self, sender: Sender, length: Option<usize>) -> Result<Gathering, Full> {
        let mut gathering = self.gather(length);
        if sender == Sender::Unverified {
            (gathering.charge.sender, gathering.beside) = (sender, KEPT_REQUEST);
            gathering.charge.grow(KEPT_REQUEST)?;
        }
        Ok(gathering)
    }

    fn charge(&self, sender: Sender) -> Charge {
        Charge { held: self.clone(), sender, bytes: 0 }
    }

    /// What those may hold together with a call that holds `bytes`.
    fn limit(&self, bytes: usize) -> usize {
        if bytes <= SMALL { self.0.size } else { self.0.size - self.0.size / FOR_SMALL }
    }
}

/// What one call holds, given back when it is dropped.
#[derive(Debug)]
pub struct Charge {
    held: Held,
    sender: Sender,
    bytes: usize,
}

impl Charge {
    /// From now on it holds so many bytes in all.
    fn grow(&mut self, bytes: usize) -> Result<(), Full> {
        let Some(more) = bytes.checked_sub(self.bytes) else {
            self.shrink(bytes);
            return Ok(());
        };
        let account = &*self.held.0;
        if self.sender == Sender::Unverified {
            let size = (account.size / FOR_UNVERIFIED).max(LEAST_FOR_UNVERIFIED);
            take(&account.unverified, more, size).map_err(|held| Full { held, size })?;
        }
        if let Err(held) = take(&account.held, more, self.held.limit(bytes)) {
            self.give_back_part(more);
            return Err(Full { held, size: account.size });
        }
        self.bytes = bytes;
        Ok(())
    }

    fn give_back_part(&self, less: usize) {
        if self.sender == Sender::Unverified {
            self.held.0.unverified.fetch_sub(less, Ordering::Relaxed);
        }
    }

    fn shrink(&mut self, bytes: usize) {
        let less = self.bytes.saturating_sub(bytes);
        self.held.0.held.fetch_sub(less, Ordering::Relaxed);
        self.give_back_part(less);
        self.bytes -= less;
    }
}

/// Takes so many more, or says how many are taken where that is over the limit.
fn take(taken: &AtomicUsize, more: usize, limit: usize) -> Result<(), usize> {
    let fits = |taken: usize| taken.checked_add(more).filter(|taken| *taken <= limit);
    taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).map(drop)
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.shrink(0);
    }
}

/// A body that is being read whole, in memory of its own.
#[derive(Debug)]
pub struct Gathering {
    bytes: Vec<u8>,
    length: Option<usize>,
    /// What it counts for beside its memory, until it is whole.
    beside: usize,
    charge: Charge,
}

impl Gathering {
    /// Adds a piece. Memory is taken as the body comes and no faster: a length that was announced is not believed, but
    /// memory does not grow beyond it.
    ///
    /// # Errors
    ///
    /// [`Full`] if there is no room for it.
    pub fn push(&mut self, piece: &[u8]) -> Result<(), Full> {
        let needed = self.bytes.len().saturating_add(piece.len());
        if needed > self.bytes.capacity() {
            let doubled = (self.bytes.capacity() * 2).max(FIRST);
            let capacity = self.length.map_or(doubled, |length| length.min(doubled)).max(needed);
            self.charge.grow(self.beside.saturating_add(capacity))?;
            self.bytes.reserve_exact(capacity - self.bytes.len());
        }
        self.bytes.extend_from_slice(piece);
        Ok(())
    }

    /// What was read.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Bytes so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The bytes; they count until the last slice of them is dropped.
    #[must_use]
    pub fn finish(mut self) -> Bytes {
        if self.bytes.capacity() - self.bytes.len() > self.bytes.len() / 4 {
            self.bytes.shrink_to_fit();
        }
        self.charge.shrink(self.bytes.capacity());
        if self.bytes.is_empty() {
            return Bytes::new();
        }
        Bytes::from_owner(Gathered { bytes: self.bytes, _charge: self.charge })
    }
}

/// Bytes with what they count for.
struct Gathered {
    bytes: Vec<u8>,
    _charge: Charge,
}

impl AsRef<[u8]> for Gathered {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// What a stored response counts for when it is not stored: while it is on its way into the store, and for those who read
/// it still after it was taken out.
#[derive(Debug)]
pub struct Keeping {
    held: Held,
    bytes: usize,
    is_stored: AtomicBool,
}

impl Keeping {
    /// Of bytes that are not stored yet.
    #[must_use]
    pub fn new(held: &Held, bytes: usize) -> Self {
        held.0.held.fetch_add(bytes, Ordering::Relaxed);
        Self { held: held.clone(), bytes, is_stored: AtomicBool::new(false) }
    }

    /// From now on they count for the store.
    pub fn enter_store(&self) {
        if !self.is_stored.swap(true, Ordering::Relaxed) {
            self.held.0.held.fetch_sub(self.bytes, Ordering::Relaxed);
        }
    }

    /// From now on they count here again.
    pub fn leave_store(&self) {
        if self.is_stored.swap(false, Ordering::Relaxed) {
            self.held.0.held.fetch_add(self.bytes, Ordering::Relaxed);
        }
    }
}

impl Drop for Keeping {
    fn drop(&mut self) {
        if !*self.is_stored.get_mut() {
            self.held.0.held.fetch_sub(self.bytes, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
#[path = "held/tests.rs"]
mod tests;
