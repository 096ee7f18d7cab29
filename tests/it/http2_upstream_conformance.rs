//! RFC 9113 by section, as the proxy holds an upstream to it: frames that are wrong, and what looks wrong and is not. Nothing of a
//! malformed answer reaches anybody or is stored, its caller is told so, the next read works, and others are served meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::server::TlsStream;

use crate::support::frames::*;
use crate::support::labels::{label, label_path, token};
use crate::support::{Http2Tls, TestProxy, proxy_before};

/// What the upstream does with the call that it gets wrong, by the call's stream.
type Deed = fn(u32) -> Vec<u8>;

/// What may come of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comes {
    /// The label, by this very answer.
    Whole,
    /// An error of the proxy's, or the label by another call that it makes itself.
    Refused,
}

use Comes::{Refused, Whole};

/// What the upstream does behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    GoesOn,
    Closes,
}

use Then::{Closes, GoesOn};

type Row = (&'static str, &'static str, Deed, Then, Comes);

const RIGHT: &str = "a-1";
/// What a malformed answer says: whoever hears of it has it from there.
const WRONG: &str = "wrong";

fn body(says: &str) -> Vec<u8> {
    label("a", 1, says).into_bytes()
}

/// `:status: 200`, by its index, and the type of the body.
fn head() -> Vec<u8> {
    [&[0x88][..], &field("content-type", "application/json")].concat()
}

fn headers(stream: u32, flags: u8, block: impl AsRef<[u8]>) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | flags, stream, block)
}

fn data(stream: u32, flags: u8, says: &str) -> Vec<u8> {
    frame(DATA, flags, stream, body(says))
}

/// A whole answer, with these frames before it, inside it and behind it.
fn around(stream: u32, before: &[u8], inside: &[u8], behind: &[u8], says: &str) -> Vec<u8> {
    [before, &headers(stream, 0, head()), inside, &data(stream, END_STREAM, says), behind].concat()
}

fn answer(stream: u32) -> Vec<u8> {
    around(stream, b"", b"", b"", RIGHT)
}

/// A whole answer behind what is wrong.
fn before(stream: u32, wrong: &[u8]) -> Vec<u8> {
    around(stream, wrong, b"", b"", WRONG)
}

/// A whole answer around what is wrong.
fn inside(stream: u32, wrong: &[u8]) -> Vec<u8> {
    around(stream, b"", wrong, b"", WRONG)
}

/// A whole answer with this block for its head.
fn with_head(stream: u32, block: impl AsRef<[u8]>) -> Vec<u8> {
    [headers(stream, 0, block), data(stream, END_STREAM, WRONG)].concat()
}

/// A whole answer with this field line behind the others.
fn with_field(stream: u32, name: &str, value: &str) -> Vec<u8> {
    with_head(stream, [head(), field(name, value)].concat())
}

fn with_trailers(stream: u32, flags: u8, trailers: &[(&str, &str)], says: &str) -> Vec<u8> {
    [headers(stream, 0, head()), data(stream, 0, says), headers(stream, flags, block(trailers))].concat()
}

/// An answer of this status that is to be followed by another one (§8.1).
fn interim(stream: u32, flags: u8, status: &str) -> Vec<u8> {
    headers(stream, flags, field(":status", status))
}

const ROWS: [Row; 63] = [
    (
        "4.1",
        "an unknown frame",
        |s| around(s, &frame(0xbb, 0xff, s, "x"), &frame(0xbb, 0, 0, "y"), b"", RIGHT),
        GoesOn,
        Whole,
    ),
    (
        "4.1",
        "padding",
        |s| {
            [
                headers(s, PADDED, [&[1][..], &head(), &[0]].concat()),
                frame(DATA, PADDED | END_STREAM, s, [&[2][..], &body(RIGHT), &[0, 0]].concat()),
            ]
            .concat()
        },
        GoesOn,
        Whole,
    ),
    (
        "4.2",
        "DATA beyond the largest size",
        |s| inside(s, &frame(DATA, 0, s, [b' '; 16_385])),
        GoesOn,
        Refused,
    ),
    ("4.2", "HEADERS beyond the largest size", |s| with_field(s, "x", &"y".repeat(16_400)), GoesOn, Refused),
    ("4.3", "an index of nothing in HPACK", |s| with_head(s, [head(), vec![0x80]].concat()), GoesOn, Refused),
    (
        "4.3",
        "an index beyond both tables",
        |s| with_head(s, [head(), vec![0xff, 0x20]].concat()),
        GoesOn,
        Refused,
    ),
    (
        "4.3",
        "Huffman's code with the end-of-string symbol",
        |s| with_head(s, [&head()[..], b"\x00\x01x\x84\xff\xff\xff\xff"].concat()),
        GoesOn,
        Refused,
    ),
    (
        "4.3",
        "a table larger than was allowed",
        |s| with_head(s, [&b"\x3f\xe2\x1f"[..], &head()].concat()),
        GoesOn,
        Refused,
    ),
    (
        "4.3",
        "DATA inside a field block",
        |s| [frame(HEADERS, 0, s, head()), data(s, END_STREAM, WRONG)].concat(),
        GoesOn,
        Refused,
    ),
    ("5.1", "DATA before HEADERS", |s| [data(s, 0, WRONG), answer(s)].concat(), GoesOn, Refused),
    ("5.1", "DATA of a stream that was never opened", |s| before(s, &data(s + 2, 0, WRONG)), GoesOn, Refused),
    (
        "5.1",
        "HEADERS of a stream that was never opened",
        |s| before(s, &headers(s + 2, END_STREAM, head())),
        GoesOn,
        Refused,
    ),
    (
        "5.1",
        "RST_STREAM of a stream that was never opened",
        |s| before(s, &frame(RST_STREAM, 0, s + 2, [0; 4])),
        GoesOn,
        Refused,
    ),
    (
        "5.1.1",
        "HEADERS of a stream of the server's",
        |s| before(s, &headers(2, END_STREAM, head())),
        GoesOn,
        Refused,
    ),
    (
        "5.1",
        "DATA behind the end of the answer",
        |s| around(s, b"", b"", &data(s, 0, WRONG), RIGHT),
        GoesOn,
        Whole,
    ),
    (
        "5.1",
        "HEADERS behind the end of the answer",
        |s| around(s, b"", b"", &headers(s, END_STREAM, head()), RIGHT),
        GoesOn,
        Whole,
    ),
    ("5.4", "the end of the connection in place of the answer", |_| Vec::new(), Closes, Refused),
    (
        "5.4",
        "the end of the connection inside a frame",
        |s| {
            let mut cut = answer(s);
            cut.truncate(cut.len() - 9);
            cut
        },
        Closes,
        Refused,
    ),
    (
        "5.4",
        "the end of the connection in place of the end of the stream",
        |s| [headers(s, 0, head()), data(s, 0, WRONG)].concat(),
        Closes,
        Refused,
    ),
    ("5.4", "the end of the connection behind a head", |s| headers(s, 0, head()), Closes, Refused),
    ("6.1", "DATA of the connection", |s| inside(s, &frame(DATA, 0, 0, "x")), GoesOn, Refused),
    ("6.1", "more padding than bytes", |s| inside(s, &frame(DATA, PADDED, s, "\u{9}x")), GoesOn, Refused),
    ("6.2", "HEADERS of the connection", |s| before(s, &headers(0, 0, head())), GoesOn, Refused),
    ("6.3", "PRIORITY of four bytes", |s| before(s, &frame(PRIORITY, 0, s, [0; 4])), GoesOn, Refused),
    ("6.4", "RST_STREAM of three bytes", |s| before(s, &frame(RST_STREAM, 0, s, [0; 3])), GoesOn, Refused),
    ("6.4", "RST_STREAM in place of the answer", |s| frame(RST_STREAM, 0, s, [0, 0, 0, 2]), GoesOn, Refused),
    (
        "6.4",
        "RST_STREAM with an unknown code",
        |s| [headers(s, 0, head()), frame(RST_STREAM, 0, s, [0xff; 4])].concat(),
        GoesOn,
        Refused,
    ),
    ("6.5", "SETTINGS of a stream", |s| before(s, &frame(SETTINGS, 0, s, "")), GoesOn, Refused),
    ("6.5", "SETTINGS of five bytes", |s| before(s, &frame(SETTINGS, 0, 0, [0; 5])), GoesOn, Refused),
    (
        "6.5.2",
        "an initial window beyond the largest",
        |s| before(s, &setting(4, 0x8000_0000)),
        GoesOn,
        Refused,
    ),
    ("6.5.2", "a largest frame below 16,384", |s| before(s, &setting(5, 1)), GoesOn, Refused),
    ("6.5.2", "an unknown setting", |s| around(s, &setting(0xbbbb, 7), b"", b"", RIGHT), GoesOn, Whole),
    (
        "6.6",
        "a promise, and its answer",
        |s| {
            let promised = frame(
                PUSH_PROMISE,
                END_HEADERS,
                s,
                [
                    &[0, 0, 0, 2][..],
                    &block(&[
                        (":method", "GET"),
                        (":scheme", "https"),
                        (":authority", "localhost"),
                        (":path", "/api/v2/lead-labels"),
                    ]),
                ]
                .concat(),
            );
            before(s, &[promised, headers(2, 0, head()), data(2, END_STREAM, WRONG)].concat())
        },
        GoesOn,
        Refused,
    ),
    ("6.7", "PING of seven bytes", |s| before(s, &frame(PING, 0, 0, [0; 7])), GoesOn, Refused),
    ("6.7", "PING of a stream", |s| before(s, &frame(PING, 0, s, [0; 8])), GoesOn, Refused),
    (
        "6.7",
        "a hundred PINGs inside an answer",
        |s| around(s, b"", &frame(PING, 0, 0, [7; 8]).repeat(100), b"", RIGHT),
        GoesOn,
        Whole,
    ),
    ("6.8", "GOAWAY of a stream", |s| before(s, &frame(GOAWAY, 0, s, [0; 8])), GoesOn, Refused),
    (
        "6.8",
        "GOAWAY behind which the answer comes",
        |s| around(s, &frame(GOAWAY, 0, 0, [&s.to_be_bytes()[..], &[0; 4]].concat()), b"", b"", RIGHT),
        GoesOn,
        Whole,
    ),
    (
        "6.8",
        "GOAWAY with an error in place of the answer",
        |s| frame(GOAWAY, 0, 0, [&s.to_be_bytes()[..], &[0, 0, 0, 2]].concat()),
        Closes,
        Refused,
    ),
    ("6.9", "WINDOW_UPDATE of nothing", |s| before(s, &frame(WINDOW_UPDATE, 0, 0, [0; 4])), GoesOn, Refused),
    (
        "6.9.1",
        "a window beyond the largest",
        |s| before(s, &frame(WINDOW_UPDATE, 0, 0, [0x7f, 0xff, 0xff, 0xff])),
        GoesOn,
        Refused,
    ),
    (
        "6.10",
        "CONTINUATION without HEADERS",
        |s| before(s, &frame(CONTINUATION, END_HEADERS, s, head())),
        GoesOn,
        Refused,
    ),
    (
        "6.10",
        "a head in three frames",
        |s| {
            [
                frame(HEADERS, 0, s, &head()[..3]),
                frame(CONTINUATION, 0, s, &head()[3..7]),
                frame(CONTINUATION, END_HEADERS, s, &head()[7..]),
                data(s, END_STREAM, RIGHT),
            ]
            .concat()
        },
        GoesOn,
        Whole,
    ),
    (
        "8.1",
        "interim answers",
        |s| around(s, &[interim(s, 0, "100"), interim(s, 0, "103")].concat(), b"", b"", RIGHT),
        GoesOn,
        Whole,
    ),
    ("8.1", "an interim answer that ends the stream", |s| interim(s, END_STREAM, "103"), GoesOn, Refused),
    ("8.1", "an interim answer behind the head", |s| inside(s, &interim(s, 0, "103")), GoesOn, Refused),
    (
        "8.1",
        "DATA behind an interim answer",
        |s| [interim(s, 0, "103"), data(s, 0, WRONG), answer(s)].concat(),
        GoesOn,
        Refused,
    ),
    ("8.1", "trailers", |s| with_trailers(s, END_STREAM, &[("x", "y")], RIGHT), GoesOn, Whole),
    (
        "8.1",
        "trailers that do not end the stream",
        |s| [with_trailers(s, 0, &[("x", "y")], WRONG), data(s, END_STREAM, WRONG)].concat(),
        GoesOn,
        Refused,
    ),
    ("8.1.1", "a body longer than was announced", |s| with_field(s, "content-length", "9"), GoesOn, Refused),
    (
        "8.1.1",
        "a body shorter than was announced",
        |s| with_field(s, "content-length", "9999"),
        GoesOn,
        Refused,
    ),
    (
        "8.1.1",
        "no body where one was announced",
        |s| headers(s, END_STREAM, [head(), field("content-length", "9")].concat()),
        GoesOn,
        Refused,
    ),
    (
        "8.1.1",
        "two lengths that differ",
        |s| {
            with_head(
                s,
                [
                    head(),
                    field("content-length", "9"),
                    field("content-length", body(WRONG).len().to_string()),
                ]
                .concat(),
            )
        },
        GoesOn,
        Refused,
    ),
    ("8.2.1", "an upper-case name", |s| with_field(s, "X-a", "y"), GoesOn, Refused),
    ("8.2.1", "a value with a line feed", |s| with_field(s, "x", "y\nz: a"), GoesOn, Refused),
    ("8.2.1", "a value with a zero byte", |s| with_field(s, "x", "y\0"), GoesOn, Refused),
    ("8.2.2", "Connection", |s| with_field(s, "connection", "close"), GoesOn, Refused),
    ("8.2.2", "Transfer-Encoding", |s| with_field(s, "transfer-encoding", "chunked"), GoesOn, Refused),
    ("8.3.2", "no :status", |s| with_head(s, field("content-type", "application/json")), GoesOn, Refused),
    ("8.3.2", ":status twice", |s| with_head(s, [&[0x88][..], &head()].concat()), GoesOn, Refused),
    ("8.3.2", ":status that is no number", |s| with_head(s, field(":status", "ok!")), GoesOn, Refused),
    (
        "8.3.2",
        ":status behind a field",
        |s| with_head(s, [field("x", "y"), head()].concat()),
        GoesOn,
        Refused,
    ),
    (
        "8.3.2",
        "a pseudo-field of requests",
        |s| with_head(s, [head(), field(":path", "/")].concat()),
        GoesOn,
        Refused,
    ),
];

/// An upstream that gets one call wrong, and a proxy in front of it.
struct Stage {
    proxy: TestProxy,
    calls: Arc<AtomicUsize>,
    _folder: tempfile::TempDir,
}

impl Stage {
    /// The second call is answered by the deed.
    async fn start(deed: Deed, then: Then, greeting: Option<&'static [u8]>) -> Self {
        let deed =
            move |call, stream| if call == 1 { (deed(stream), then) } else { (answer(stream), GoesOn) };
        Self::scripted(deed, greeting).await
    }

    /// Answers a call, by its number from 0, and its stream.
    async fn scripted(
        script: impl Fn(usize, u32) -> (Vec<u8>, Then) + Clone + Send + Sync + 'static,
        greeting: Option<&'static [u8]>,
    ) -> Self {
        let Http2Tls { acceptor, roots, folder } = Http2Tls::new();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&calls);
        tokio::spawn(async move {
            let mut greeting = greeting;
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, calls) = (acceptor.clone(), Arc::clone(&counted));
                let (greeting, script) = (greeting.take(), script.clone());
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    serve(Frames::new(stream), script, greeting, &calls).await;
                });
            }
        });
        Self { proxy: proxy_before(address, roots), calls, _folder: folder }
    }
}

async fn serve(
    mut frames: Frames<TlsStream<TcpStream>>,
    script: impl Fn(usize, u32) -> (Vec<u8>, Then),
    greeting: Option<&[u8]>,
    calls: &AtomicUsize,
) {
    if let Some(greeting) = greeting {
        frames.send(greeting).await;
        while matches!(frames.next().await, Coming::Frame(_)) {}
        return;
    }
    frames.send(frame(SETTINGS, 0, 0, "")).await;
    assert!(frames.preface().await, "a client of HTTP/2 begins with its preface");
    while let Coming::Frame(came) = frames.next().await {
        match (came.kind, came.flags & ACK) {
            (SETTINGS, 0) => frames.send(frame(SETTINGS, ACK, 0, "")).await,
            (PING, 0) => frames.send(frame(PING, ACK, 0, came.payload)).await,
            (HEADERS, _) => {
                let (sent, then) = script(calls.fetch_add(1, Ordering::SeqCst), came.stream);
                frames.send(sent).await;
                if then == Closes {
                    return;
                }
            }
            _ => {}
        }
    }
}

#[tokio::test]
async fn nothing_of_an_answer_that_rfc_9113_calls_malformed_reaches_anybody_and_the_next_read_works() {
    let mut faults = Vec::new();
    for (section, what, deed, then, comes) in ROWS {
        let stage = Stage::start(deed, then, None).await;
        let (other, caller) = (stage.proxy.caller(&token("a", 1)), stage.proxy.caller(&token("a", 2)));
        other.get(&label_path(1)).send().await.assert_label(RIGHT).assert_proof();
        let told = stage.proxy.advancing(what, caller.get(&label_path(1)).send()).await;
        let calls = stage.calls.load(Ordering::SeqCst);
        other.get(&label_path(1)).send().await.assert_label(RIGHT).assert_hit();
        let is_label = told.status == 200 && told.text() == String::from_utf8_lossy(&body(RIGHT));
        let is_right = match comes {
            Whole => is_label && calls == 2,
            Refused => {
                let is_error = told.status == 502 && told.field("proxy-status").is_some();
                let is_asked_for_again = is_label && calls == 3;
                is_error || is_asked_for_again
            }
        };
        if !is_right {
            faults.push(format!("§{section} {what}: {} {:?} after {calls} calls", told.status, told.text()));
        }
        let next = caller.get(&label_path(1)).send().await;
        if next.status != 200 || (next.text() != String::from_utf8_lossy(&body(RIGHT))) {
            faults.push(format!("§{section} {what}: then {} {:?}", next.status, next.text()));
        }
    }
    assert!(faults.is_empty(), "{} of {}:\n{}", faults.len(), ROWS.len(), faults.join("\n"));
}

/// §3.4: what an upstream begins with that agreed on HTTP/2.
#[tokio::test]
async fn an_upstream_that_does_not_begin_with_settings_is_sent_no_second_call_on_that_connection() {
    let rows: [(&str, &[u8]); 4] = [
        ("HTTP/1.1", b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"),
        ("PING", b"\0\0\x08\x06\0\0\0\0\0abcdefgh\0\0\0\x04\0\0\0\0\x01"),
        ("an answer", b"\0\0\x01\x01\x05\0\0\0\x01\x88"),
        ("a frame that is too long", b"\xff\xff\xff\x04\0\0\0\0\0"),
    ];
    for (what, greeting) in rows {
        let stage = Stage::start(answer, GoesOn, Some(greeting)).await;
        let caller = stage.proxy.caller(&token("a", 1));
        let told = stage.proxy.advancing(what, caller.get(&label_path(1)).send()).await;
        assert!(matches!(told.status, 200 | 502..=504), "{what}: {told:?}");
        let next = stage.proxy.advancing(what, caller.get(&label_path(1)).send()).await;
        next.assert_label(RIGHT);
    }
}

/// F3: the connection ends after any byte of an answer.
#[tokio::test]
async fn an_answer_over_http2_that_is_cut_after_any_of_its_bytes_is_an_error_and_never_stored() {
    let length = answer(1).len();
    let cut = move |call, stream| match call < length {
        true => (answer(stream)[..call].to_vec(), Closes),
        false => (answer(stream), GoesOn),
    };
    let stage = Stage::scripted(cut, None).await;
    let caller = stage.proxy.caller(&token("a", 1));
    while stage.calls.load(Ordering::SeqCst) < length {
        let told = stage.proxy.advancing("an error", caller.get(&label_path(1)).send()).await;
        told.assert_own_failure(&[502, 503]);
    }
    let told = stage.proxy.advancing("an answer", caller.get(&label_path(1)).send()).await;
    told.assert_label(RIGHT).assert_proof();
    caller.get(&label_path(1)).send().await.assert_hit();
}
