//! [`Frames`]: HTTP/2 as bytes (RFC 9113 §4.1), so that a test can send what no library would, and sees every frame that comes back.

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::patience::patiently;

/// What a client says first (§3.4).
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

// Types of frames (§6).
pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PUSH_PROMISE: u8 = 5;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

// Flags.
pub const ACK: u8 = 1;
pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;
pub const PADDED: u8 = 8;
pub const WITH_PRIORITY: u8 = 0x20;

/// The bytes of a frame.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: impl AsRef<[u8]>) -> Vec<u8> {
    let payload = payload.as_ref();
    let length = u32::try_from(payload.len()).expect("no frame is that long").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A SETTINGS frame of one value.
pub fn setting(number: u16, value: u32) -> Vec<u8> {
    frame(SETTINGS, 0, 0, [&number.to_be_bytes()[..], &value.to_be_bytes()].concat())
}

/// A field line of a field block: a literal without indexing, its name and value as they are (RFC 7541 §6.2.2).
pub fn field(name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Vec<u8> {
    let mut line = vec![0];
    for text in [name.as_ref(), value.as_ref()] {
        match u8::try_from(text.len()) {
            Ok(short @ 0..127) => line.push(short),
            // An integer of a prefix of seven bits (RFC 7541 §5.1).
            _ => {
                let mut rest = text.len() - 127;
                line.push(127);
                while rest >= 128 {
                    line.push(u8::try_from(rest % 128).expect("seven bits") | 128);
                    rest /= 128;
                }
                line.push(u8::try_from(rest).expect("seven bits"));
            }
        }
        line.extend_from_slice(text);
    }
    line
}

/// A field block of such lines.
pub fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    fields.iter().flat_map(|(name, value)| field(name, value)).collect()
}

/// One frame.
#[derive(Clone, Debug)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

impl Frame {
    /// The 32 bits of a RST_STREAM, or the second ones of a GOAWAY: why.
    pub fn code(&self) -> u32 {
        let at = if self.kind == GOAWAY { 4 } else { 0 };
        let bits = self.payload.get(at..at + 4).and_then(|bits| bits.try_into().ok());
        u32::from_be_bytes(bits.expect("a code"))
    }

    pub fn ends_stream(&self) -> bool {
        matches!(self.kind, DATA | HEADERS) && self.flags & END_STREAM != 0
    }

    /// `:status` of an answer, which is the first field of its block.
    pub fn status(&self) -> u16 {
        let mut rest = &self.payload[..];
        // The encoder may tell first how large its table is (RFC 7541 §6.3).
        while let [0x20..0x40, ..] = rest {
            rest = &rest[1..];
        }
        match rest {
            [indexed @ 0x88..=0x8e, ..] => [200, 204, 206, 304, 400, 404, 500][usize::from(indexed - 0x88)],
            [0x08 | 0x48, length, text @ ..] if length & 0x80 == 0 => {
                let text = std::str::from_utf8(&text[..usize::from(*length)]).expect("digits");
                text.parse().expect("a status")
            }
            [0x08 | 0x48, length, text @ ..] => digits(&text[..usize::from(length & 0x7f)]),
            _ => panic!("no status: {:?}", self.payload),
        }
    }
}

/// Three digits in Huffman's code (RFC 7541 appendix B).
fn digits(coded: &[u8]) -> u16 {
    let bits: String = coded.iter().map(|byte| format!("{byte:08b}")).collect();
    let (mut rest, mut number) = (&bits[..], 0);
    for _ in 0..3 {
        let short = u16::from_str_radix(&rest[..5], 2).expect("bits");
        let (digit, length) =
            if short < 3 { (short, 5) } else { (u16::from_str_radix(&rest[..6], 2).expect("bits") - 22, 6) };
        number = 10 * number + digit;
        rest = &rest[length..];
    }
    number
}

/// What comes next on a connection.
#[derive(Clone, Debug)]
pub enum Coming {
    Frame(Frame),
    /// An answer of HTTP/1.1.
    Http1,
    End,
}

/// A connection of frames.
pub struct Frames<S> {
    stream: S,
    ahead: Vec<u8>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Frames<S> {
    pub fn new(stream: S) -> Self {
        Self { stream, ahead: Vec::new() }
    }

    /// Sends bytes; a connection that has ended takes them silently.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = patiently("bytes to be taken", self.stream.write_all(bytes.as_ref())).await;
        let _ = self.stream.flush().await;
    }

    /// Reads the preface of a client.
    pub async fn preface(&mut self) -> bool {
        self.fill(PREFACE.len()).await && {
            let rest = self.ahead.split_off(PREFACE.len());
            std::mem::replace(&mut self.ahead, rest) == PREFACE
        }
    }

    /// The next frame.
    #[track_caller]
    pub fn next(&mut self) -> impl Future<Output = Coming> + '_ {
        patiently("a frame or the end", async {
            if !self.fill(9).await {
                return Coming::End;
            }
            if self.ahead.starts_with(b"HTTP/1.1") {
                return Coming::Http1;
            }
            let length = u32::from_be_bytes([0, self.ahead[0], self.ahead[1], self.ahead[2]]) as usize;
            if !self.fill(9 + length).await {
                return Coming::End;
            }
            let rest = self.ahead.split_off(9 + length);
            let bytes = std::mem::replace(&mut self.ahead, rest);
            let stream = u32::from_be_bytes([bytes[5] & 0x7f, bytes[6], bytes[7], bytes[8]]);
            Coming::Frame(Frame { kind: bytes[3], flags: bytes[4], stream, payload: bytes[9..].to_vec() })
        })
    }

    /// Whether so many bytes came before the end.
    async fn fill(&mut self, length: usize) -> bool {
        while self.ahead.len() < length {
            match self.stream.read_buf(&mut self.ahead).await {
                Ok(1..) => {}
                _ => return false,
            }
        }
        true
    }
}
