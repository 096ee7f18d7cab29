//! [`Answer`]: what the scripted upstream sends, sound or broken.

use std::fmt::Write as _;

/// One answer of the upstream; framed by Content-Length unless told otherwise.
#[derive(Clone, Debug)]
pub struct Answer {
    start: Start,
    fields: Vec<(String, String)>,
    body: Vec<u8>,
    framing: Framing,
    trailers: Vec<(String, String)>,
    end: End,
}

#[derive(Clone, Debug)]
enum Start {
    Status { interim: Vec<u8>, status: u16 },
    Raw(Vec<u8>),
    Nothing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    Length,
    Chunked,
    Close,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Whole,
    CutAfter(usize),
    StallAfter(usize),
    Close,
}

/// What the upstream does once an answer's bytes are out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// Reads the next request.
    Next,
    /// Closes the connection.
    Close,
    /// Sends nothing more until the other side closes.
    Hang,
}

impl Answer {
    /// A status without a body.
    pub fn status(status: u16) -> Self {
        Self {
            start: Start::Status { interim: Vec::new(), status },
            fields: Vec::new(),
            body: Vec::new(),
            framing: Framing::Length,
            trailers: Vec::new(),
            end: End::Whole,
        }
    }

    /// A body of a type.
    pub fn body(status: u16, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        let mut answer = Self::status(status).field("content-type", content_type);
        answer.body = body.into();
        answer
    }

    /// The same with another text.
    pub fn map_text(mut self, text: impl FnOnce(String) -> String) -> Self {
        self.body = text(String::from_utf8_lossy(&self.body).into_owned()).into_bytes();
        self
    }

    /// JSON, with the media type that the vendor's framework sends.
    pub fn json(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self::body(status, "application/json; charset=utf-8", body)
    }

    /// What the edge in front of the vendor says to a client that it does not like: a 403 that is no JSON.
    pub fn edge_block() -> Self {
        Self::body(403, "text/html; charset=UTF-8", "<html>error code: 1010</html>")
    }

    /// These bytes and nothing else; the connection stays open unless [`Self::then_close`] is said.
    pub fn raw(bytes: impl Into<Vec<u8>>) -> Self {
        Self { start: Start::Raw(bytes.into()), ..Self::status(200) }
    }

    /// No byte at all, for as long as the other side waits.
    pub fn hang() -> Self {
        Self { start: Start::Nothing, end: End::StallAfter(0), ..Self::status(200) }
    }

    /// No byte at all: the connection ends.
    pub fn close() -> Self {
        Self { start: Start::Nothing, end: End::CutAfter(0), ..Self::status(200) }
    }

    /// Adds a field; one of the same name stays.
    pub fn field(mut self, name: &str, value: &str) -> Self {
        self.fields.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sends an interim answer (1xx) first.
    pub fn interim(mut self, head: &str) -> Self {
        if let Start::Status { interim, .. } = &mut self.start {
            interim.extend_from_slice(head.as_bytes());
            interim.extend_from_slice(b"\r\n\r\n");
        }
        self
    }

    /// Frames the body in chunks.
    pub fn chunked(mut self) -> Self {
        self.framing = Framing::Chunked;
        self
    }

    /// Adds a trailer; frames the body in chunks.
    pub fn trailer(mut self, name: &str, value: &str) -> Self {
        self.trailers.push((name.to_owned(), value.to_owned()));
        self.chunked()
    }

    /// Ends the body with the connection.
    pub fn close_delimited(mut self) -> Self {
        self.framing = Framing::Close;
        self
    }

    /// Ends the connection after `length` bytes of the body, or without the last chunk if that is all of it.
    pub fn cut_after(mut self, length: usize) -> Self {
        self.end = End::CutAfter(length);
        self
    }

    /// Sends nothing more after `length` bytes of the body.
    pub fn stall_after(mut self, length: usize) -> Self {
        self.end = End::StallAfter(length);
        self
    }

    /// Closes the connection after a whole answer.
    pub fn then_close(mut self) -> Self {
        self.end = End::Close;
        self
    }

    /// The bytes of the answer to `method`, and what comes after them.
    pub fn render(&self, method: &str) -> (Vec<u8>, After) {
        let after = match self.end {
            End::Whole if self.framing == Framing::Close => After::Close,
            End::Whole => After::Next,
            End::CutAfter(_) | End::Close => After::Close,
            End::StallAfter(_) => After::Hang,
        };
        let (mut bytes, status) = match &self.start {
            Start::Nothing => return (Vec::new(), after),
            Start::Raw(bytes) => return (bytes.clone(), after),
            Start::Status { interim, status } => (interim.clone(), *status),
        };
        bytes.extend(self.head(status).into_bytes());
        if method != "HEAD" && status != 204 && status != 304 {
            self.push_body(&mut bytes);
        }
        (bytes, after)
    }

    fn head(&self, status: u16) -> String {
        let phrase = http::StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason());
        let mut head = format!("HTTP/1.1 {status} {}\r\n", phrase.unwrap_or_default());
        for (name, value) in &self.fields {
            let _ = write!(head, "{name}: {value}\r\n");
        }
        match self.framing {
            Framing::Length if status == 204 || status == 304 => {}
            Framing::Length => {
                let _ = write!(head, "content-length: {}\r\n", self.body.len());
            }
            Framing::Chunked => head.push_str("transfer-encoding: chunked\r\n"),
            Framing::Close => head.push_str("connection: close\r\n"),
        }
        head.push_str("\r\n");
        head
    }

    fn push_body(&self, bytes: &mut Vec<u8>) {
        let whole = matches!(self.end, End::Whole | End::Close);
        let sent = match self.end {
            End::Whole | End::Close => self.body.len(),
            End::CutAfter(length) | End::StallAfter(length) => length.min(self.body.len()),
        };
        let body = &self.body[..sent];
        if self.framing != Framing::Chunked {
            bytes.extend_from_slice(body);
            return;
        }
        for chunk in body.chunks(1024) {
            bytes.extend(format!("{:x}\r\n", chunk.len()).into_bytes());
            bytes.extend_from_slice(chunk);
            bytes.extend_from_slice(b"\r\n");
        }
        if whole {
            bytes.extend_from_slice(b"0\r\n");
            for (name, value) in &self.trailers {
                bytes.extend(format!("{name}: {value}\r\n").into_bytes());
            }
            bytes.extend_from_slice(b"\r\n");
        }
    }
}
