//! F17: clients of HTTP/2 that keep to its grammar and mean no good. Each is sent away, or costs nothing but its own time.

use super::fast_path::one_worker;
use super::protocols::frame;
use super::*;
use crate::server::control::MAX_ADMIN_STREAMS;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// `POST /held` with the static table's names (RFC 7541 appendix A).
const POST: &[u8] = b"\x83\x86\x44\x05/held\x41\x01a";
const GET_BIG: &[u8] = b"\x82\x86\x44\x04/big\x41\x01a";
const GET_METRICS: &[u8] = b"\x82\x86\x44\x08/metrics\x41\x01a";

const ACK: u8 = 1;
const REFUSED_STREAM: u32 = 7;

/// That it takes nothing of any answer: an initial window of 0 (RFC 9113 §6.5.2).
const NO_WINDOW: &[u8] = &[0, 4, 0, 0, 0, 0];

/// A frame that came: its kind, flags, stream and payload.
type Frame = (u8, u8, u32, Vec<u8>);

/// A client that takes nothing of any answer, and is there.
struct Stalled {
    client: Client,
    came: Vec<u8>,
}

impl Stalled {
    fn new(mut client: Client) -> Self {
        client.send(&[PREFACE, &frame(SETTINGS, NO_WINDOW)].concat());
        client.0.set_read_timeout(Some(Duration::from_millis(5))).unwrap();
        Self { client, came: Vec::new() }
    }

    fn ask(&mut self, stream: u32, fields: &[u8]) {
        self.client.send(&of_stream(stream, HEADERS, END_HEADERS | END_STREAM, fields));
    }

    /// The next frame, if it is there; who asks whether this client is alive is answered.
    fn frame(&mut self) -> Option<Frame> {
        loop {
            if let Some((head, rest)) = self.came.split_first_chunk::<9>()
                && let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize
                && let Some(payload) = rest.get(..length)
            {
                let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
                let (frame_kind, flags, payload) = (head[3], head[4], payload.to_vec());
                self.came.drain(..9 + length);
                if frame_kind == PING && flags & ACK == 0 {
                    self.client.send(&of_stream(0, PING, ACK, &payload));
                }
                return Some((frame_kind, flags, stream, payload));
            }
            let mut bytes = [0; 4096];
            match self.client.0.read(&mut bytes) {
                Ok(0) => panic!("the connection ended"),
                Ok(length) => self.came.extend_from_slice(&bytes[..length]),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    return None;
                }
                Err(error) => panic!("{error}"),
            }
        }
    }
}

/// A frame of this stream.
fn of_stream(stream: u32, kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = frame(kind, payload);
    frame[4] = flags;
    frame[5..9].copy_from_slice(&stream.to_be_bytes());
    frame
}

/// Sends the flood's frames until the server, which has one worker, ends the connection, at most so many; how many it took.
#[track_caller]
fn sent_away(server: &TestServer, mut flood: impl FnMut(u32) -> Vec<u8>, most: u32) -> u32 {
    let (mut client, mut bystander) = (server.connect(), server.connect());
    client.send(&[PREFACE, &frame(SETTINGS, b"")].concat());
    client.0.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
    let mut bytes = [0; 4096];
    for number in 0..most {
        let end = client.0.write_all(&flood(number)).is_err();
        // A round trip through the only worker, which has seen the frame by then: inside a head no PING could say so.
        bystander.get("/").assert_answer(200);
        // A GOAWAY or the end: who looks after every frame sees the first of them.
        let told = match client.0.read(&mut bytes) {
            Ok(0) => true,
            // Its type, no flags, and the connection's own stream: a reset of stream 7 has no such bytes.
            Ok(length) => bytes[..length].windows(6).any(|six| six[0] == GOAWAY && six[1..] == [0; 5]),
            Err(error) => !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
        };
        if end || told {
            return number;
        }
    }
    panic!("still there after {most} frames")
}

/// Another client is answered meanwhile.
#[track_caller]
fn assert_others_are_answered(server: &TestServer) {
    server.connect().get("/").assert_answer(200);
}

#[test]
fn a_head_that_never_ends_is_ended_at_its_limit() {
    let server = one_worker();
    let line = [&b"\x00\x01x\x7f\x88\x01"[..], &[b'a'; 263]].concat();
    let flood = |number| match number {
        0 => of_stream(1, HEADERS, 0, POST),
        _ => of_stream(1, CONTINUATION, 0, &line),
    };
    let taken = sent_away(&server, flood, 2000);
    assert!(taken < 1000, "{taken} frames of a head");
    assert_others_are_answered(&server);
}

#[test]
fn faults_that_make_the_server_reset_streams_end_the_connection() {
    let server = one_worker();
    let flood = |number: u32| {
        let stream = 2 * number + 1;
        // A window that is raised beyond the largest is a fault of its stream (RFC 9113 §6.9.1).
        let raised = of_stream(stream, WINDOW_UPDATE, 0, &[0x7f, 0xff, 0xff, 0xff]);
        [of_stream(stream, HEADERS, END_HEADERS, POST), raised].concat()
    };
    let taken = sent_away(&server, flood, 2000);
    assert!((10..1000).contains(&taken), "{taken} streams");
    assert_others_are_answered(&server);
}

#[test]
fn streams_that_are_opened_and_reset_end_the_connection() {
    let server = one_worker();
    let flood = |number: u32| {
        let stream = 2 * number + 1;
        let opened = of_stream(stream, HEADERS, END_HEADERS | END_STREAM, POST);
        [opened, of_stream(stream, RST_STREAM, 0, &[0, 0, 0, 8])].concat()
    };
    sent_away(&server, flood, 4000);
    assert_others_are_answered(&server);
}

#[test]
fn an_answer_that_nobody_takes_is_ended_while_its_connection_is_at_work() {
    const LONGEST: Duration = Duration::from_secs(60);
    let server = TestServer::start();
    let mut stalled = Stalled::new(server.connect());
    stalled.ask(1, GET_BIG);
    let (mut second, mut next) = (0, 3);
    let passed = server.advance_until(|| {
        if second % 10 == 0 {
            stalled.ask(next, GET_BIG);
            next += 2;
        }
        second += 1;
        std::iter::from_fn(|| stalled.frame()).any(|(kind, _, stream, _)| {
            assert_ne!(kind, GOAWAY);
            kind == RST_STREAM && stream == 1
        })
    });
    assert!(passed >= LONGEST, "{passed:?}");
    stalled.client.send(&frame(PING, &[1; 8]));
    while stalled.frame().is_none_or(|(kind, flags, ..)| (kind, flags) != (PING, ACK)) {}
}

#[test]
fn the_admin_port_has_few_streams_of_a_connection_at_a_time_and_refuses_the_others() {
    let server = TestServer::start();
    let mut stalled = Stalled::new(server.admin());
    for number in 0..5 * MAX_ADMIN_STREAMS {
        stalled.ask(2 * number + 1, GET_METRICS);
    }
    // Its answer comes behind those to what was sent before.
    stalled.client.send(&frame(PING, &[1; 8]));
    let mut refused = Vec::new();
    loop {
        match stalled.frame() {
            Some((PING, ACK, ..)) => break,
            Some((RST_STREAM, _, stream, reason)) => {
                assert_eq!(reason, REFUSED_STREAM.to_be_bytes());
                refused.push(stream);
            }
            _ => {}
        }
    }
    let expected: Vec<_> = (MAX_ADMIN_STREAMS..5 * MAX_ADMIN_STREAMS).map(|number| 2 * number + 1).collect();
    assert_eq!(refused, expected);
    server.admin().get("/livez").assert_answer(200);
}

/// Nobody has to end it: what it costs is an answer of nine bytes and its own time, and who does not read those is cut.
#[test]
fn pings_settings_and_empty_data_cost_their_own_connection_alone() {
    let server = TestServer::start();
    let mut client = server.connect();
    client.send(&[PREFACE, &frame(SETTINGS, b"")].concat());
    client.send(&of_stream(1, HEADERS, END_HEADERS, POST));
    client.0.set_write_timeout(Some(Duration::from_millis(100))).unwrap();
    let flood = [frame(PING, &[0; 8]), frame(SETTINGS, b""), of_stream(1, DATA, 0, b"")].concat();
    for _ in 0..20_000 {
        if client.0.write_all(&flood).is_err() {
            break;
        }
    }
    assert_others_are_answered(&server);
    server.advance_until_closed(&mut client);
}
