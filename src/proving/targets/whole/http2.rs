//! An upstream's side of the HTTP/2 connection that all label calls share: the honest caller's streams are answered, and what an
//! input says goes to others' streams, or to none that anybody opened.

use super::honest::{PATH, TOKEN, Whose, body_of};
use crate::proving::wire::{End, PREFACE};

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
/// Of SETTINGS and PING.
const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// Such a connection.
#[derive(Default)]
pub(super) struct Http2 {
    /// Others' calls that are not answered yet: the stream, and whether it reads the label itself.
    others: Vec<(u32, bool)>,
}

impl Http2 {
    /// The beginning of one, if that is what a client has sent.
    pub(super) fn begin(end: &mut End) -> Option<Self> {
        if !end.received.starts_with(PREFACE) {
            return None;
        }
        end.received.drain(..PREFACE.len());
        end.send(&frame(SETTINGS, 0, 0, b""));
        Some(Self::default())
    }

    /// Takes what has come, and answers the honest caller.
    pub(super) fn turn(&mut self, end: &mut End) {
        while let Some((head, payload)) = take_frame(&mut end.received) {
            let stream = u32::from_be_bytes([head[5] & 0x7f, head[6], head[7], head[8]]);
            match (head[3], head[4] & ACK) {
                (SETTINGS, 0) => end.send(&frame(SETTINGS, ACK, 0, b"")),
                (PING, 0) => end.send(&frame(PING, ACK, 0, &payload)),
                (RST_STREAM, _) => self.others.retain(|(open, _)| *open != stream),
                (HEADERS, _) => {
                    let reads_item = holds(&payload, PATH);
                    if holds(&payload, TOKEN) {
                        end.send(&answer(stream, &body_of(Whose::Honest, reads_item)));
                    } else {
                        self.others.push((stream, reads_item));
                    }
                }
                _ => {}
            }
        }
    }

    /// Answers the others honestly.
    pub(super) fn answer_others(&mut self, end: &mut End) {
        for (stream, reads_item) in self.others.drain(..) {
            end.send(&answer(stream, &body_of(Whose::Others, reads_item)));
        }
    }

    /// Sends one frame that the input says: its type, its flags, of what it is, and what is in it.
    pub(super) fn send(&self, end: &mut End, given: &[u8]) {
        let Some((&[kind, flags, of], payload)) = given.split_first_chunk() else { return };
        let stream = match of % 4 {
            0 => 0,
            1 => 2,
            2 => 0x7fff_ffff,
            _ => self.others.last().map_or(0x7fff_fffd, |(stream, _)| *stream),
        };
        end.send(&frame(kind, flags, stream, payload));
    }
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a short frame").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

fn take_frame(received: &mut Vec<u8>) -> Option<([u8; 9], Vec<u8>)> {
    let head: [u8; 9] = *received.first_chunk()?;
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
    let payload = received.get(9..9 + length)?.to_vec();
    received.drain(..9 + length);
    Some((head, payload))
}

/// 200 by its index, and `content-type: application/json` (RFC 7541 §6.1 and §6.2.2).
fn answer(stream: u32, body: &str) -> Vec<u8> {
    let head = b"\x88\x00\x0ccontent-type\x10application/json";
    let head = frame(HEADERS, END_HEADERS, stream, head);
    [head, frame(DATA, END_STREAM, stream, body.as_bytes())].concat()
}

/// Whether a field block has a string literal of this text: the library writes all in Huffman's code, and never indexes a path or
/// a credential.
fn holds(block: &[u8], text: &str) -> bool {
    let coded = coded(text);
    block.windows(coded.len()).any(|window| window == coded)
}

/// In Huffman's code (RFC 7541 appendix B), as far as paths and tokens here need it.
fn coded(text: &str) -> Vec<u8> {
    let bits: String = text.bytes().map(code_of).collect();
    let whole = bits.len().div_ceil(8) * 8;
    let padded = format!("{bits:1<whole$}");
    let byte = |bits: &[u8]| bits.iter().fold(0, |byte, bit| byte << 1 | (bit - b'0'));
    padded.as_bytes().chunks(8).map(byte).collect()
}

fn code_of(byte: u8) -> &'static str {
    match byte {
        b'0' => "00000",
        b'1' => "00001",
        b'2' => "00010",
        b'a' => "00011",
        b'c' => "00100",
        b'e' => "00101",
        b'i' => "00110",
        b's' => "01000",
        b' ' => "010100",
        b'-' => "010110",
        b'/' => "011000",
        b'3' => "011001",
        b'4' => "011010",
        b'5' => "011011",
        b'6' => "011100",
        b'7' => "011101",
        b'8' => "011110",
        b'9' => "011111",
        b'b' => "100011",
        b'd' => "100100",
        b'f' => "100101",
        b'l' => "101000",
        b'p' => "101011",
        b'r' => "101100",
        b'B' => "1011101",
        b'v' => "1110111",
        _ => unreachable!("no path and no token here has it"),
    }
}
