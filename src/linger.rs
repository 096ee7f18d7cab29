//! Closing in two steps (RFC 9112 §9.6): once our side has ended, what still comes is thrown away, so that no reset of ours
//! overtakes the answer that a client has not read yet. How long that may take is left to whoever closes.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};

/// The most that is thrown away of one connection.
const MOST: usize = 64 * 1024 * 1024;

/// How many bytes may still be thrown away.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Left(usize);

impl Default for Left {
    fn default() -> Self {
        Self(MOST)
    }
}

impl Left {
    /// Throws away what comes; ready when the other side has ended or failed, or enough has been thrown away.
    pub(crate) fn poll_discard<I: AsyncRead + Unpin>(
        &mut self,
        io: &mut I,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        let mut bytes = [0; 4096];
        while self.0 > 0 {
            let mut buffer = ReadBuf::new(&mut bytes);
            match ready!(Pin::new(&mut *io).poll_read(cx, &mut buffer)) {
                Ok(()) if !buffer.filled().is_empty() => {
                    self.0 = self.0.saturating_sub(buffer.filled().len())
                }
                Ok(()) | Err(_) => break,
            }
        }
        Poll::Ready(())
    }
}

/// Whether nothing has come that nobody has read. A byte that is found is lost.
pub(crate) fn is_quiet<I: AsyncRead + Unpin>(io: &mut I, cx: &mut Context<'_>) -> bool {
    let mut bytes = [0; 1];
    let mut buffer = ReadBuf::new(&mut bytes);
    let read = Pin::new(io).poll_read(cx, &mut buffer);
    read.is_pending() || buffer.filled().is_empty()
}
