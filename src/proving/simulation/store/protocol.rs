//! RESP3, as much as the proxy's client and the store say to each other.

use crate::fleet::control::Reply;

/// What a client asks: the words of a command.
pub(super) struct Command(pub(super) Vec<Vec<u8>>);

/// What comes of a command.
#[derive(Default)]
pub(super) struct Out {
    pub(super) bytes: Vec<u8>,
    pub(super) subscribed: Option<Vec<u8>>,
    /// Channels, and what they bring.
    pub(super) bells: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Command {
    /// Takes the first whole one off `bytes`.
    pub(super) fn take(bytes: &mut Vec<u8>) -> Option<Self> {
        let mut at = 0;
        let count = number(bytes, &mut at, b'*')?;
        let mut words = Vec::with_capacity(count);
        for _ in 0..count {
            let length = number(bytes, &mut at, b'$')?;
            words.push(bytes.get(at..at + length)?.to_vec());
            at += length + 2;
        }
        (bytes.len() >= at).then(|| bytes.drain(..at))?;
        Some(Self(words))
    }

    pub(super) fn word(&self, at: usize) -> &[u8] {
        self.0.get(at).map_or(&[], Vec::as_slice)
    }
}

/// A line of this kind with a number.
fn number(bytes: &[u8], at: &mut usize, kind: u8) -> Option<usize> {
    let rest = bytes.get(*at..)?;
    let end = rest.windows(2).position(|two| two == b"\r\n")?;
    assert_eq!(rest.first(), Some(&kind), "the protocol of the store");
    let digits = std::str::from_utf8(&rest[1..end]).expect("digits");
    *at += end + 2;
    Some(digits.parse().expect("a number"))
}

impl Out {
    pub(super) fn status(&mut self, text: &str) {
        self.bytes.extend(format!("+{text}\r\n").into_bytes());
    }

    pub(super) fn error(&mut self, text: &str) {
        self.bytes.extend(format!("-{text}\r\n").into_bytes());
    }

    pub(super) fn reply(&mut self, reply: &Reply) {
        match reply {
            Reply::Nil => self.bytes.extend(b"_\r\n"),
            Reply::Int(int) => self.bytes.extend(format!(":{int}\r\n").into_bytes()),
            Reply::Bytes(bytes) => bulk(&mut self.bytes, bytes),
            Reply::List(list) => {
                self.bytes.extend(format!("*{}\r\n", list.len()).into_bytes());
                list.iter().for_each(|reply| self.reply(reply));
            }
        }
    }

    /// What confirms a subscription.
    pub(super) fn subscribe(&mut self, channel: &[u8]) {
        self.bytes.extend(b">3\r\n");
        bulk(&mut self.bytes, b"subscribe");
        bulk(&mut self.bytes, channel);
        self.bytes.extend(b":1\r\n");
        self.subscribed = Some(channel.to_vec());
    }
}

/// What a channel brings.
pub(super) fn bell(channel: &[u8], message: &[u8]) -> Vec<u8> {
    let mut bytes = b">3\r\n".to_vec();
    for word in [b"message".as_slice(), channel, message] {
        bulk(&mut bytes, word);
    }
    bytes
}

fn bulk(bytes: &mut Vec<u8>, word: &[u8]) {
    bytes.extend(format!("${}\r\n", word.len()).into_bytes());
    bytes.extend_from_slice(word);
    bytes.extend(b"\r\n");
}
