//! Just enough of HTTP/1.1 to be a client and an upstream by hand, byte for byte.

use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};

/// What a client that speaks HTTP/2 begins with (RFC 9113 §3.4).
pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A message: its first line, its fields in lower case, its body.
#[derive(Clone, Debug)]
pub(super) struct Message {
    pub(super) line: String,
    fields: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

impl Message {
    /// One that came in another form than the bytes of HTTP/1.1.
    #[cfg(test)]
    pub(super) fn of(line: String, fields: &http::HeaderMap, body: Vec<u8>) -> Self {
        let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        let fields = fields.iter().map(|(name, value)| (name.as_str().to_owned(), text(value))).collect();
        Self { line, fields, body }
    }

    pub(super) fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(known, _)| known == name).map(|(_, value)| &**value)
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.field(name).is_some()
    }

    pub(super) fn status(&self) -> u16 {
        self.line.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status")
    }

    /// Takes the first whole message off `bytes`; an interim answer is none.
    pub(super) fn take(bytes: &mut Vec<u8>) -> Option<Self> {
        loop {
            let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
            let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
            if head.starts_with("HTTP/1.1 1") {
                bytes.drain(..end);
                continue;
            }
            let mut lines = head.lines();
            let line = lines.next().unwrap_or_default().to_owned();
            let fields: Vec<_> = lines
                .filter_map(|line| line.split_once(':'))
                .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
                .collect();
            let mut message = Self { line, fields, body: Vec::new() };
            let length: Option<usize> =
                message.field("content-length").map(|length| length.parse().expect("a length"));
            assert!(!message.has("transfer-encoding") || length.is_none(), "two framings");
            let taken = match length {
                Some(length) => bytes.get(end..end + length).map(|body| (body.to_vec(), end + length)),
                None if message.has("transfer-encoding") => chunked(bytes, end),
                None => Some((Vec::new(), end)),
            };
            let (body, end) = taken?;
            message.body = body;
            bytes.drain(..end);
            return Some(message);
        }
    }
}

/// A chunked body from `at` on, and where it ends.
fn chunked(bytes: &[u8], mut at: usize) -> Option<(Vec<u8>, usize)> {
    let mut body = Vec::new();
    loop {
        let line = bytes[at..].windows(2).position(|two| two == b"\r\n")?;
        let size = std::str::from_utf8(&bytes[at..at + line]).expect("a size");
        let size = usize::from_str_radix(size, 16).expect("a size");
        at += line + 2;
        body.extend_from_slice(bytes.get(at..at + size)?);
        at += size + 2;
        if bytes.len() < at {
            return None;
        }
        if size == 0 {
            return Some((body, at));
        }
    }
}

/// One end of a pipe, of which nothing is awaited.
#[derive(Debug)]
pub(super) struct End {
    pipe: Option<DuplexStream>,
    unsent: Vec<u8>,
    pub(super) received: Vec<u8>,
    /// The other side has ended its.
    pub(super) ended: bool,
}

impl End {
    pub(super) fn new(pipe: DuplexStream) -> Self {
        Self { pipe: Some(pipe), unsent: Vec::new(), received: Vec::new(), ended: false }
    }

    pub(super) fn send(&mut self, bytes: &[u8]) {
        self.unsent.extend_from_slice(bytes);
    }

    /// Goes away, with whatever was not read.
    pub(super) fn close(&mut self) {
        self.pipe = None;
        self.ended = true;
    }

    /// Gives the pipe to somebody else, with what has come by it.
    #[cfg(test)]
    pub(super) fn take(&mut self) -> Option<(Vec<u8>, DuplexStream)> {
        Some((std::mem::take(&mut self.received), self.pipe.take()?))
    }

    /// What it holds itself, in bytes.
    pub(super) const fn held(&self) -> usize {
        self.unsent.capacity() + self.received.capacity()
    }

    pub(super) const fn is_open(&self) -> bool {
        self.pipe.is_some() && !self.ended
    }

    /// Writes what can be written, and reads what has come.
    pub(super) fn turn(&mut self) {
        let Some(pipe) = &mut self.pipe else { return };
        let cx = &mut Context::from_waker(std::task::Waker::noop());
        while !self.unsent.is_empty() {
            match Pin::new(&mut *pipe).poll_write(cx, &self.unsent) {
                Poll::Ready(Ok(written @ 1..)) => drop(self.unsent.drain(..written)),
                Poll::Ready(_) => self.unsent.clear(),
                Poll::Pending => break,
            }
        }
        let mut bytes = [0; 4096];
        loop {
            let mut buffer = ReadBuf::new(&mut bytes);
            match Pin::new(&mut *pipe).poll_read(cx, &mut buffer) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
                    self.received.extend_from_slice(buffer.filled());
                }
                Poll::Ready(_) => {
                    self.ended = true;
                    return;
                }
                Poll::Pending => return,
            }
        }
    }
}
