//! HTTP/1.1 as bytes: reads one message at a time and hides nothing of it.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt};

/// A message's head, parsed as little as possible.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// Every byte up to and including the empty line.
    pub raw: Vec<u8>,
    /// The request line or status line.
    pub first_line: String,
    /// Names as sent and values without surrounding blanks, in order.
    pub fields: Vec<(String, String)>,
}

impl Head {
    fn parse(raw: Vec<u8>) -> Self {
        let text: String = raw.iter().map(|byte| char::from(*byte)).collect();
        let mut lines = text.trim_end().split("\r\n");
        let first_line = lines.next().unwrap_or_default().to_owned();
        let fields = lines
            .map(|line| {
                let (name, value) = line.split_once(':').unwrap_or((line, ""));
                (name.to_owned(), value.trim().to_owned())
            })
            .collect();
        Self { raw, first_line, fields }
    }

    /// Every value of a field, whatever the case of its name.
    pub fn values(&self, name: &str) -> Vec<&str> {
        let named = |(field, _): &&(String, String)| field.eq_ignore_ascii_case(name);
        self.fields.iter().filter(named).map(|(_, value)| value.as_str()).collect()
    }

    fn is_chunked(&self) -> bool {
        self.values("transfer-encoding").iter().any(|value| value.to_ascii_lowercase().contains("chunked"))
    }

    fn content_length(&self) -> Option<usize> {
        self.values("content-length").first().and_then(|value| value.parse().ok())
    }
}

/// How the end of a body was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// No body at all.
    None,
    /// Content-Length.
    Length(usize),
    /// Chunked.
    Chunked,
    /// The end of the connection.
    Close,
}

impl Framing {
    /// Framing of a request: without either field there is no body (RFC 9112 §6.3).
    pub fn of_request(head: &Head) -> Self {
        if head.is_chunked() { Self::Chunked } else { head.content_length().map_or(Self::None, Self::Length) }
    }

    /// Framing of the answer to a request that was no HEAD.
    pub fn of_answer(head: &Head, status: u16) -> Self {
        if status < 200 || status == 204 || status == 304 {
            Self::None
        } else if head.is_chunked() {
            Self::Chunked
        } else {
            head.content_length().map_or(Self::Close, Self::Length)
        }
    }
}

/// The reading half of a connection, with what was read ahead.
#[derive(Debug)]
pub struct Wire<R> {
    read: R,
    ahead: Vec<u8>,
}

impl<R: AsyncRead + Unpin> Wire<R> {
    /// Nothing read yet.
    pub fn new(read: R) -> Self {
        Self { read, ahead: Vec::new() }
    }

    /// What it reads from.
    pub fn into_inner(self) -> R {
        self.read
    }

    /// The next head, or `None` if the connection ended before its first byte.
    pub async fn head(&mut self) -> io::Result<Option<Head>> {
        loop {
            if let Some(end) = position(&self.ahead, b"\r\n\r\n") {
                let rest = self.ahead.split_off(end + 4);
                return Ok(Some(Head::parse(std::mem::replace(&mut self.ahead, rest))));
            }
            if self.more().await? == 0 {
                return if self.ahead.is_empty() { Ok(None) } else { Err(ended("inside a head")) };
            }
        }
    }

    /// The body that follows a head, decoded, with its trailer lines.
    pub async fn body(&mut self, framing: Framing) -> io::Result<(Vec<u8>, Vec<String>)> {
        match framing {
            Framing::None => Ok((Vec::new(), Vec::new())),
            Framing::Length(length) => Ok((self.exactly(length).await?, Vec::new())),
            Framing::Close => Ok((self.rest().await?, Vec::new())),
            Framing::Chunked => self.chunks().await,
        }
    }

    /// Whatever comes until the other side ends the connection; a reset counts as an end.
    pub async fn rest(&mut self) -> io::Result<Vec<u8>> {
        while matches!(self.more().await, Ok(read) if read > 0) {}
        Ok(std::mem::take(&mut self.ahead))
    }

    /// Whether a byte is there, or the end, without waiting for it.
    pub async fn has_more(&mut self) -> bool {
        tokio::select! {
            biased;
            _ = self.more() => true,
            () = std::future::ready(()) => !self.ahead.is_empty(),
        }
    }

    async fn chunks(&mut self) -> io::Result<(Vec<u8>, Vec<String>)> {
        let mut body = Vec::new();
        loop {
            let size = self.line().await?;
            let size = usize::from_str_radix(size.split(';').next().unwrap_or_default().trim(), 16)
                .map_err(|_| ended("at a chunk size that is no number"))?;
            if size == 0 {
                break;
            }
            body.extend(self.exactly(size).await?);
            self.exactly(2).await?;
        }
        let mut trailers = Vec::new();
        loop {
            match self.line().await? {
                line if line.is_empty() => return Ok((body, trailers)),
                line => trailers.push(line),
            }
        }
    }

    async fn line(&mut self) -> io::Result<String> {
        loop {
            if let Some(end) = position(&self.ahead, b"\r\n") {
                let line = self.exactly(end).await?;
                self.exactly(2).await?;
                return Ok(String::from_utf8_lossy(&line).into_owned());
            }
            if self.more().await? == 0 {
                return Err(ended("inside a chunk line"));
            }
        }
    }

    /// So many bytes of what comes next.
    pub async fn exactly(&mut self, length: usize) -> io::Result<Vec<u8>> {
        while self.ahead.len() < length {
            if self.more().await? == 0 {
                return Err(ended("inside a body"));
            }
        }
        let rest = self.ahead.split_off(length);
        Ok(std::mem::replace(&mut self.ahead, rest))
    }

    async fn more(&mut self) -> io::Result<usize> {
        self.read.read_buf(&mut self.ahead).await
    }
}

fn position(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

fn ended(place: &str) -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, format!("the connection ended {place}"))
}
