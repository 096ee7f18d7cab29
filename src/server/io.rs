//! [`Watched`]: a connection's bytes, with a note of their coming and a look at the first of them.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

use super::progress::Progress;

/// What every HTTP/2 client sends first (RFC 9113 §3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Enough for the head of most requests, so that the look costs no read of its own.
const LOOK_BYTES: usize = 1024;

/// A head and a body that are no longer than this together are copied into one piece: the system takes longer to go
/// through a list of pieces.
const JOINED_BYTES: usize = 4 * 1024;

thread_local! {
    static JOINED: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Which protocol a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    /// HTTP/1.0 or HTTP/1.1.
    Http1,
    /// HTTP/2.
    Http2,
}

/// Bytes of one connection; every read is noted in its [`Progress`].
#[derive(Debug)]
pub(super) struct Watched<I> {
    io: I,
    looked_at: BytesMut,
    progress: Rc<Progress>,
}

impl<I: AsyncRead + AsyncWrite + Unpin> Watched<I> {
    /// Nothing has been read yet.
    pub(super) fn new(io: I, progress: Rc<Progress>) -> Self {
        Self { io, looked_at: BytesMut::new(), progress }
    }

    /// Says which protocol the client speaks, from the first bytes alone; they are read again afterwards. `None` if
    /// the client left before it could be told.
    ///
    /// # Errors
    ///
    /// If the connection fails.
    pub(super) async fn protocol(&mut self) -> io::Result<Option<Protocol>> {
        let mut first = BytesMut::with_capacity(LOOK_BYTES);
        while PREFACE.starts_with(&first) {
            if self.read_buf(&mut first).await? == 0 {
                return Ok(None);
            }
            if first.starts_with(PREFACE) {
                self.looked_at = first;
                return Ok(Some(Protocol::Http2));
            }
        }
        self.looked_at = first;
        Ok(Some(Protocol::Http1))
    }
}

impl<I> Watched<I> {
    fn note(&self, written: &Poll<io::Result<usize>>) {
        if matches!(written, Poll::Ready(Ok(1..))) {
            self.progress.note_written();
        }
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for Watched<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.looked_at.has_remaining() {
            let length = buffer.remaining().min(self.looked_at.len());
            buffer.put_slice(&self.looked_at[..length]);
            self.looked_at.advance(length);
            if !self.looked_at.has_remaining() {
                self.looked_at = BytesMut::new();
            }
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.io).poll_read(cx, buffer);
        if buffer.filled().len() > before {
            self.progress.note_read();
        }
        read
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Watched<I> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write(cx, bytes);
        self.note(&written);
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let length = slices.iter().map(|slice| slice.len()).sum::<usize>();
        let written = match slices {
            [all] => Pin::new(&mut self.io).poll_write(cx, all),
            _ if length > JOINED_BYTES => Pin::new(&mut self.io).poll_write_vectored(cx, slices),
            _ => JOINED.with_borrow_mut(|joined| {
                joined.clear();
                slices.iter().for_each(|slice| joined.extend_from_slice(slice));
                Pin::new(&mut self.io).poll_write(cx, joined)
            }),
        };
        self.note(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::super::progress::Stage;
    use super::*;
    use crate::clock::Clock;

    async fn told_from(pieces: &[&[u8]]) -> (Option<Protocol>, Vec<u8>) {
        let (mut client, server) = tokio::io::duplex(4096);
        let mut server = Watched::new(server, Progress::new(Clock::manual().0, Stage::Serving));
        let send = async {
            for piece in pieces {
                client.write_all(piece).await.unwrap();
                tokio::task::yield_now().await;
            }
            drop(client);
        };
        let (protocol, ()) = tokio::join!(server.protocol(), send);
        let mut rest = Vec::new();
        server.read_to_end(&mut rest).await.unwrap();
        (protocol.unwrap(), rest)
    }

    #[tokio::test]
    async fn the_protocol_is_told_from_the_first_bytes_and_none_is_lost() {
        let split: Vec<_> = PREFACE.chunks(1).collect();
        let get: &[u8] = b"GET / HTTP/1.1\r\n\r\n";
        let rows: [(&[&[u8]], Option<Protocol>); 6] = [
            (&[PREFACE], Some(Protocol::Http2)),
            (&split, Some(Protocol::Http2)),
            (&[PREFACE, b"more"], Some(Protocol::Http2)),
            (&[get], Some(Protocol::Http1)),
            (&[b"P", b"OST / HTTP/1.1\r\n\r\n"], Some(Protocol::Http1)),
            (&[b"PRI * HTTP/2.0\r\n\r\nX"], Some(Protocol::Http1)),
        ];
        for (pieces, protocol) in rows {
            assert_eq!(told_from(pieces).await, (protocol, pieces.concat()));
        }
    }

    #[tokio::test]
    async fn a_client_that_leaves_within_the_preface_speaks_nothing() {
        for pieces in [&[][..], &[&PREFACE[..1]], &[&PREFACE[..23]]] {
            assert_eq!(told_from(pieces).await.0, None);
        }
    }
}
