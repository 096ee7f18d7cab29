//! RFC 9113 by section, as a client sees it: frames that are wrong, and frames that look wrong and are not. Each row on a
//! connection of its own, over a real socket; another client is served meanwhile, and nothing of a malformed request goes upstream.
//!
//! What the library that serves HTTP/2 does otherwise than the RFC says stands in [`DEVIATIONS`] and in `docs/TESTING.md`.

mod flights;
mod messages;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use crate::documents::text;
use crate::support::frames::*;
use crate::support::labels::{label_path, token};
use crate::support::{Answer as Reply, Caller, Gate, ListensBehindTls, World, patiently};

// Codes (§7).
const PROTOCOL_ERROR: u32 = 1;
const FLOW_CONTROL_ERROR: u32 = 3;
const STREAM_CLOSED: u32 = 5;
const FRAME_SIZE_ERROR: u32 = 6;
const REFUSED_STREAM: u32 = 7;
const CANCEL: u32 = 8;
const COMPRESSION_ERROR: u32 = 9;

/// What became of a flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Came {
    /// A GOAWAY with this code, and the end of the connection behind it.
    Connection(u32),
    /// A RST_STREAM with this code, of the stream that the row is about.
    Stream(u32),
    /// An answer of this status, on that stream.
    Answer(u16),
    /// Nothing: the connection goes on, and serves what comes next.
    Nothing,
    /// The connection ended without a word, or with an answer of HTTP/1.1.
    End,
}

use Came::{Answer, Connection, End, Nothing, Stream};

/// What a client does, one after the other.
enum Step {
    Send(Vec<u8>),
    /// Waits until the answer on this stream has ended.
    Ended(u32),
}

/// A row: where it stands, what is sent, the stream that it is about (0: none), and what may become of it.
struct Row {
    section: &'static str,
    what: &'static str,
    steps: Vec<Step>,
    stream: u32,
    may: &'static [Came],
    /// The steps begin at the first byte of the connection.
    from_the_first_byte: bool,
}

/// A row that goes on behind a sound beginning of the connection.
fn row(
    section: &'static str,
    what: &'static str,
    stream: u32,
    sent: impl IntoSteps,
    may: &'static [Came],
) -> Row {
    Row { section, what, steps: sent.into_steps(), stream, may, from_the_first_byte: false }
}

impl Row {
    /// What the library makes of it otherwise than the RFC says.
    fn deviation(&self) -> Option<Came> {
        DEVIATIONS.iter().find(|(what, _)| *what == self.what).map(|(_, came)| *came)
    }

    fn may_be_answered(&self) -> bool {
        self.may.contains(&Answer(200)) || self.deviation() == Some(Answer(200))
    }
}

trait IntoSteps {
    fn into_steps(self) -> Vec<Step>;
}

impl IntoSteps for Vec<u8> {
    fn into_steps(self) -> Vec<Step> {
        vec![Step::Send(self)]
    }
}

impl IntoSteps for Vec<Step> {
    fn into_steps(self) -> Vec<Step> {
        self
    }
}

/// Where the library leaves the RFC, by the row's words: h2 0.4.20, below hyper 1.12.0. Each stands in `docs/TESTING.md`.
const DEVIATIONS: [(&str, Came); 22] = [
    ("PING in place of the first SETTINGS", Nothing),
    ("a request in place of the first SETTINGS", Nothing),
    ("a pseudo-field in trailers", Answer(200)),
    ("an index of nothing", Connection(PROTOCOL_ERROR)),
    ("an index beyond both tables", Connection(PROTOCOL_ERROR)),
    ("an integer without an end", Connection(PROTOCOL_ERROR)),
    ("a value that is cut", Connection(PROTOCOL_ERROR)),
    ("Huffman's code with the end-of-string symbol", Connection(PROTOCOL_ERROR)),
    ("Huffman's code with a byte of padding", Connection(PROTOCOL_ERROR)),
    ("Huffman's code padded with zeros", Connection(PROTOCOL_ERROR)),
    ("a table larger than was allowed", Connection(PROTOCOL_ERROR)),
    ("a table resized inside a block", Connection(PROTOCOL_ERROR)),
    ("DATA behind the end of a request", Connection(PROTOCOL_ERROR)),
    ("HEADERS behind the end of a request", Connection(PROTOCOL_ERROR)),
    ("PRIORITY of four bytes", Connection(PROTOCOL_ERROR)),
    ("RST_STREAM of three bytes", Connection(PROTOCOL_ERROR)),
    ("acknowledged SETTINGS with values", Connection(PROTOCOL_ERROR)),
    ("SETTINGS of five bytes", Connection(PROTOCOL_ERROR)),
    ("an initial window beyond the largest", Connection(PROTOCOL_ERROR)),
    ("PING of seven bytes", Connection(PROTOCOL_ERROR)),
    ("GOAWAY of seven bytes", Connection(PROTOCOL_ERROR)),
    ("WINDOW_UPDATE of three bytes", Connection(PROTOCOL_ERROR)),
];

/// What is asked for: a call that passes through, whose answer is there at once or held, and one that must never go upstream.
const PASSES: &str = "/api/v2/campaigns";
const HELD: &str = "/api/v2/held";
const NEVER: &str = "/api/v2/never";

/// A request's pseudo-fields, as any client would send them, and the token of a caller who is known.
fn head(method: &str, path: &str) -> Vec<u8> {
    let authorization = format!("Bearer {}", token("a", 1));
    block(&[
        (":method", method),
        (":scheme", "http"),
        (":authority", "proxy"),
        (":path", path),
        ("authorization", &authorization),
    ])
}

/// HEADERS of a whole field block.
fn headers(stream: u32, flags: u8, block: impl AsRef<[u8]>) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | flags, stream, block)
}

/// A GET without a body.
fn get(stream: u32, path: &str) -> Vec<u8> {
    headers(stream, END_STREAM, head("GET", path))
}

/// A POST whose body is still to come.
fn post(stream: u32, path: &str) -> Vec<u8> {
    headers(stream, 0, head("POST", path))
}

/// A socket, or what TLS makes of one.
trait Socket: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Socket for S {}

type Line = Frames<Box<dyn Socket>>;

struct Stage {
    world: World,
    _held: Gate,
    other: Other,
}

/// Who is served beside each row, and how everybody comes.
enum Other {
    Plainly(Caller),
    ByTls(ListensBehindTls),
}

impl Stage {
    async fn start() -> Self {
        let world = World::start();
        let caller = world.proven("a", 1).await;
        Self::of(world, Other::Plainly(caller))
    }

    async fn start_behind_tls() -> Self {
        let tls = ListensBehindTls::new();
        let world = World::start_with(|config| config.listen.tls = Some(tls.config()));
        let stage = Self::of(world, Other::ByTls(tls));
        stage.serve_other().await;
        stage
    }

    fn of(world: World, other: Other) -> Self {
        world.upstream.script(|request| request.target.starts_with(HELD).then(|| Reply::json(200, "{}")));
        let held = world.upstream.hold(|request| request.target.starts_with(HELD));
        Self { world, _held: held, other }
    }

    /// Somebody else reads what is stored.
    async fn serve_other(&self) {
        if let Other::Plainly(caller) = &self.other {
            caller.get(&label_path(1)).send().await.assert_hit();
            return;
        }
        let mut frames = self.open().await;
        frames.send(headers(1, END_STREAM, probe())).await;
        loop {
            match frames.next().await {
                Coming::Frame(frame) if frame.kind == HEADERS => break assert_eq!(frame.status(), 200),
                Coming::Frame(_) => {}
                Coming::Http1 | Coming::End => panic!("another client is not served"),
            }
        }
    }

    /// A connection that has begun as it should.
    async fn open(&self) -> Line {
        let mut frames = self.connect().await;
        frames.send([PREFACE, &frame(SETTINGS, 0, 0, b"")].concat()).await;
        frames
    }

    async fn connect(&self) -> Line {
        let address = self.world.proxy.address();
        Frames::new(match &self.other {
            Other::Plainly(_) => {
                let stream = TcpStream::connect(address).await.expect("the port accepts");
                stream.set_nodelay(true).expect("a socket can be told not to delay");
                Box::new(stream)
            }
            Other::ByTls(tls) => Box::new(tls.connect(address, b"h2").await),
        })
    }

    /// Plays a row; says what became of it.
    async fn play(&self, row: &Row) -> Came {
        let mut frames = if row.from_the_first_byte { self.connect().await } else { self.open().await };
        let mut came = None;
        for step in &row.steps {
            match step {
                Step::Send(bytes) => frames.send(bytes).await,
                Step::Ended(stream) => loop {
                    match frames.next().await {
                        Coming::Frame(frame) if frame.stream == *stream && frame.ends_stream() => break,
                        Coming::Frame(_) => {}
                        _ => panic!("{}: the end", row.what),
                    }
                },
            }
        }
        self.serve_other().await;
        frames.send(headers(PROBE, END_STREAM, probe())).await;
        let (mut is_probed, mut rounds) = (false, 0);
        loop {
            let frame = match frames.next().await {
                Coming::Frame(frame) => frame,
                Coming::Http1 | Coming::End => return End,
            };
            match (frame.kind, frame.stream) {
                (GOAWAY, _) => {
                    assert_ended(&mut frames, row).await;
                    return Connection(frame.code());
                }
                // What comes first counts: a body that nobody needs is called off behind an answer (§8.1).
                (RST_STREAM, stream) if stream == row.stream => {
                    came = came.or_else(|| Some(Stream(frame.code())));
                }
                (HEADERS, stream) if stream == row.stream => {
                    came = came.or_else(|| Some(Answer(frame.status())));
                }
                (HEADERS, PROBE) => {
                    assert_eq!(frame.status(), 200, "{}: what comes next is answered", row.what);
                    is_probed = true;
                    frames.send(ROUND).await;
                }
                // There is no room for it either.
                (RST_STREAM, PROBE) if frame.code() == REFUSED_STREAM => is_probed = true,
                (PING, _) if frame.payload == ROUND[9..] && frame.flags == ACK => {
                    rounds += 1;
                    frames.send(ROUND).await;
                }
                _ => {}
            }
            match came {
                Some(came) if is_probed => return came,
                // An answer from upstream takes its time; all else would have come by now.
                None if rounds == 3 && !row.may_be_answered() => return Nothing,
                _ => {}
            }
        }
    }
}

/// A PING of the test's own.
const ROUND: &[u8] = b"\0\0\x08\x06\0\0\0\0\0a round!";

/// The stream on which each connection is asked at last whether it still serves, and what is asked there: what is stored.
const PROBE: u32 = 0x3fff;

fn probe() -> Vec<u8> {
    head("GET", &label_path(1))
}

/// §5.4.1: behind the GOAWAY of a connection error nothing but the end comes.
async fn assert_ended(frames: &mut Line, row: &Row) {
    while let Coming::Frame(frame) = frames.next().await {
        assert!(frame.kind != HEADERS, "{}: an answer behind GOAWAY", row.what);
    }
}

#[tokio::test]
async fn every_section_of_rfc_9113_is_kept_to_but_for_what_is_written_down() {
    assert_kept(&Stage::start().await).await;
}

#[tokio::test]
async fn behind_tls_every_section_is_kept_to_alike() {
    assert_kept(&Stage::start_behind_tls().await).await;
}

/// Plays every row.
async fn assert_kept(stage: &Stage) {
    let rows: Vec<Row> = flights::rows().into_iter().chain(messages::rows()).collect();
    let mut faults = Vec::new();
    for row in &rows {
        let came = patiently(row.what, stage.play(row)).await;
        let known = row.deviation();
        let is_right = match known {
            Some(deviation) => came == deviation && !row.may.contains(&came),
            None => row.may.contains(&came),
        };
        if !is_right {
            faults.push(format!("§{} {}: {came:?}, may be {:?} {known:?}", row.section, row.what, row.may));
        }
    }
    assert!(faults.is_empty(), "{} of {}:\n{}", faults.len(), rows.len(), faults.join("\n"));
    let gone = stage.world.upstream.count_of(|request| request.target.contains(NEVER));
    assert_eq!(gone, 0, "a malformed request went upstream");
    let whats = rows.iter().filter(|row| rows.iter().filter(|other| other.what == row.what).count() > 1);
    assert_eq!(whats.map(|row| row.what).collect::<Vec<_>>(), [""; 0], "two rows of the same words");
}

#[test]
fn every_deviation_of_the_library_stands_in_the_documents() {
    let document = text("docs/TESTING.md");
    for (what, _) in DEVIATIONS {
        assert!(document.contains(what), "docs/TESTING.md lacks {what:?}");
    }
}

/// §6.9: an answer keeps to the client's windows, and to one that shrinks below nothing (§6.9.2).
#[tokio::test]
async fn an_answer_is_no_longer_than_the_windows_of_its_client() {
    let stage = Stage::start().await;
    let mut frames = stage.connect().await;
    // SETTINGS_INITIAL_WINDOW_SIZE (§6.5.2).
    frames.send([PREFACE, &setting(4, 3)].concat()).await;
    frames.send(headers(1, END_STREAM, probe())).await;
    let mut body = read_data(&mut frames, 3).await;
    // The window of the stream is 3 less 3; now it is 3 below nothing, then at nothing, then 5.
    frames.send(setting(4, 0)).await;
    frames.send(frame(WINDOW_UPDATE, 0, 1, 3_u32.to_be_bytes())).await;
    frames.send(setting(4, 5)).await;
    body.extend(read_data(&mut frames, 5).await);
    frames.send(frame(WINDOW_UPDATE, 0, 1, 60_000_u32.to_be_bytes())).await;
    let rest = read_data(&mut frames, usize::MAX).await;
    body.extend(rest);
    let Other::Plainly(caller) = &stage.other else { panic!("it stands without TLS") };
    assert_eq!(body, caller.get(&label_path(1)).send().await.body);
}

/// So many bytes of stream 1, or all that are left; fails if one more comes with them.
async fn read_data(frames: &mut Line, length: usize) -> Vec<u8> {
    let mut read = Vec::new();
    while read.len() < length {
        let Coming::Frame(frame) = frames.next().await else { panic!("the end") };
        if frame.kind == DATA {
            read.extend_from_slice(&frame.payload);
            if frame.ends_stream() {
                break;
            }
        }
    }
    assert!(read.len() <= length, "{} bytes for a window of {length}", read.len());
    read
}

/// §8.2.3: pieces of a cookie are one field where there are no pieces.
#[tokio::test]
async fn crumbs_of_a_cookie_go_on_as_one_field() {
    let stage = Stage::start().await;
    let mut frames = stage.open().await;
    let crumbs = block(&[("cookie", "a=b"), ("cookie", "c=d"), ("cookie", "e=f")]);
    frames.send(headers(1, END_STREAM, [head("GET", PASSES), crumbs].concat())).await;
    stage.world.upstream.arrived(2).await;
    assert_eq!(stage.world.upstream.last().head.values("cookie"), ["a=b; c=d; e=f"]);
}

/// §10.5: what asks for an answer is answered once, what asks for none is not, and who floods is sent away or served on.
#[tokio::test]
async fn a_flood_is_answered_with_no_more_than_it_asks_for() {
    const MANY: usize = 2000;
    let ping = frame(PING, 0, 0, [7; 8]);
    let floods = [
        ("PING", ping, 17),
        ("SETTINGS", frame(SETTINGS, 0, 0, b""), 9),
        ("acknowledged SETTINGS", frame(SETTINGS, ACK, 0, b""), 0),
        ("PING answers", frame(PING, ACK, 0, [7; 8]), 0),
        ("PRIORITY", frame(PRIORITY, 0, 1, [0, 0, 0, 0, 7]), 0),
        ("WINDOW_UPDATE", frame(WINDOW_UPDATE, 0, 0, 1_u32.to_be_bytes()), 0),
        ("unknown frames", frame(0xbb, 0, 0, [7; 64]), 0),
        ("empty DATA", frame(DATA, 0, 1, b""), 0),
        ("padding alone", frame(DATA, PADDED, 1, [3, 0, 0, 0]), 13),
        ("RST_STREAM of a stream that has gone", frame(RST_STREAM, 0, 3, CANCEL.to_be_bytes()), 0),
    ];
    let stage = Stage::start().await;
    for (what, piece, each) in floods {
        let mut frames = stage.open().await;
        frames.send(post(1, HELD)).await;
        frames.send([get(3, HELD), frame(RST_STREAM, 0, 3, CANCEL.to_be_bytes())].concat()).await;
        let flood = piece.repeat(MANY);
        frames.send(flood).await;
        frames.send(headers(PROBE, END_STREAM, probe())).await;
        stage.serve_other().await;
        let mut sent = 0;
        loop {
            match frames.next().await {
                Coming::Frame(frame) if (frame.kind, frame.stream) == (HEADERS, PROBE) => break,
                Coming::Frame(frame) => sent += 9 + frame.payload.len(),
                _ => break,
            }
        }
        // What any connection begins with, and the end of one.
        let most = MANY * each + 200;
        assert!(sent <= most, "{what}: {sent} bytes for {MANY} frames");
    }
}
