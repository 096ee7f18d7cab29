//! Sections 3 to 7: the preface, frames, streams, and each type of frame.

use super::*;

/// As any stream error may be one of the connection (§5.4.2).
const CLOSED: &[Came] = &[Stream(STREAM_CLOSED), Connection(STREAM_CLOSED)];
const CLOSED_OR_PROTOCOL: &[Came] =
    &[Stream(STREAM_CLOSED), Connection(STREAM_CLOSED), Connection(PROTOCOL_ERROR)];
const PROTOCOL: &[Came] = &[Connection(PROTOCOL_ERROR)];
const STREAM_PROTOCOL: &[Came] = &[Stream(PROTOCOL_ERROR), Connection(PROTOCOL_ERROR)];
const SIZE: &[Came] = &[Connection(FRAME_SIZE_ERROR)];
const STREAM_SIZE: &[Came] = &[Stream(FRAME_SIZE_ERROR), Connection(FRAME_SIZE_ERROR)];
const SIZE_OR_PROTOCOL: &[Came] = &[
    Connection(FRAME_SIZE_ERROR),
    Connection(PROTOCOL_ERROR),
    Stream(FRAME_SIZE_ERROR),
    Stream(PROTOCOL_ERROR),
];
const COMPRESSION: &[Came] = &[Connection(COMPRESSION_ERROR)];
const FLOW: &[Came] = &[Connection(FLOW_CONTROL_ERROR)];
const STREAM_FLOW: &[Came] = &[Stream(FLOW_CONTROL_ERROR), Connection(FLOW_CONTROL_ERROR)];
const GOES_ON: &[Came] = &[Nothing];
const ANSWERED: &[Came] = &[Answer(200)];

pub(super) fn rows() -> Vec<Row> {
    let parts = [
        preface(),
        frames(),
        blocks(),
        states(),
        ids(),
        extensions(),
        data_and_headers(),
        continuations(),
        control(),
    ];
    parts.into_iter().flatten().collect()
}

fn preface() -> Vec<Row> {
    let first = |what, sent: Vec<Vec<u8>>, may| Row {
        from_the_first_byte: true,
        ..row("3.4", what, 0, sent.into_iter().map(Step::Send).collect::<Vec<_>>(), may)
    };
    let settings = frame(SETTINGS, 0, 0, b"");
    let mut pieces: Vec<Vec<u8>> = PREFACE.iter().map(|byte| vec![*byte]).collect();
    pieces.extend(settings.iter().map(|byte| vec![*byte]));
    let wrong = |at: usize| {
        let mut preface = PREFACE.to_vec();
        preface[at] = b'X';
        preface
    };
    vec![
        first("a preface of single bytes", pieces, GOES_ON),
        first(
            "a preface that is wrong in its last line",
            vec![wrong(20), settings.clone()],
            &[Connection(PROTOCOL_ERROR), End],
        ),
        first(
            "a preface that is wrong in its first line",
            vec![wrong(8), settings.clone()],
            &[Connection(PROTOCOL_ERROR), End],
        ),
        first(
            "PING in place of the first SETTINGS",
            vec![PREFACE.to_vec(), frame(PING, 0, 0, [0; 8])],
            PROTOCOL,
        ),
        first("a request in place of the first SETTINGS", vec![PREFACE.to_vec(), get(1, PASSES)], PROTOCOL),
    ]
}

fn frames() -> Vec<Row> {
    let reserved = |mut frame: Vec<u8>| {
        frame[5] |= 0x80;
        frame
    };
    vec![
        row("4.1", "a reserved bit that is set", 1, reserved(get(1, PASSES)), ANSWERED),
        row("4.1", "flags that PING does not have", 0, frame(PING, 0xfe, 0, [1; 8]), GOES_ON),
        row(
            "4.1",
            "flags that HEADERS does not have",
            1,
            headers(1, END_STREAM | 0x52, head("GET", PASSES)),
            ANSWERED,
        ),
        row(
            "4.2",
            "DATA of the largest size",
            1,
            [post(1, PASSES), frame(DATA, END_STREAM, 1, [b'x'; 16_384])].concat(),
            ANSWERED,
        ),
        row(
            "4.2",
            "DATA beyond the largest size",
            1,
            [post(1, HELD), frame(DATA, END_STREAM, 1, [b'x'; 16_385])].concat(),
            STREAM_SIZE,
        ),
        row(
            "4.2",
            "HEADERS beyond the largest size",
            0,
            headers(1, END_STREAM, [head("GET", NEVER), field("x", "y".repeat(16_400))].concat()),
            SIZE,
        ),
        row("4.2", "SETTINGS beyond the largest size", 0, frame(SETTINGS, 0, 0, [0; 16_386]), SIZE),
    ]
}

/// §4.3, and RFC 7541 where a block cannot be decoded.
fn blocks() -> Vec<Row> {
    let with = |behind: &[u8]| headers(1, END_STREAM, [&head("GET", NEVER)[..], behind].concat());
    let half = frame(HEADERS, END_STREAM, 1, head("GET", NEVER));
    let behind_half = |frame: Vec<u8>| [half.clone(), frame].concat();
    vec![
        row("4.3", "an index of nothing", 0, with(&[0x80]), COMPRESSION),
        row("4.3", "an index beyond both tables", 0, with(&[0xff, 0x20]), COMPRESSION),
        row(
            "4.3",
            "an integer without an end",
            0,
            with(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
            COMPRESSION,
        ),
        row("4.3", "a value that is cut", 0, with(&[0x00, 1, b'x', 9, b'y']), COMPRESSION),
        row(
            "4.3",
            "Huffman's code with the end-of-string symbol",
            0,
            with(&[0x00, 1, b'x', 0x84, 0xff, 0xff, 0xff, 0xff]),
            COMPRESSION,
        ),
        row(
            "4.3",
            "Huffman's code with a byte of padding",
            0,
            with(&[0x00, 1, b'x', 0x82, 0x1f, 0xff]),
            COMPRESSION,
        ),
        row("4.3", "Huffman's code padded with zeros", 0, with(&[0x00, 1, b'x', 0x81, 0x18]), COMPRESSION),
        row(
            "4.3",
            "a table larger than was allowed",
            0,
            headers(1, END_STREAM, [&[0x3f, 0xe2, 0x1f][..], &head("GET", NEVER)].concat()),
            COMPRESSION,
        ),
        row("4.3", "a table resized inside a block", 0, with(&[0x20]), COMPRESSION),
        row(
            "4.3",
            "a table resized at the beginning of a block",
            1,
            headers(1, END_STREAM, [&[0x20][..], &head("GET", PASSES)].concat()),
            ANSWERED,
        ),
        row("4.3", "DATA inside a field block", 0, behind_half(frame(DATA, 0, 1, b"x")), PROTOCOL),
        row("4.3", "PING inside a field block", 0, behind_half(frame(PING, 0, 0, [0; 8])), PROTOCOL),
        row(
            "4.3",
            "WINDOW_UPDATE inside a field block",
            0,
            behind_half(frame(WINDOW_UPDATE, 0, 1, 1_u32.to_be_bytes())),
            PROTOCOL,
        ),
        row("4.3", "HEADERS of another stream inside a field block", 0, behind_half(get(3, NEVER)), PROTOCOL),
        row(
            "5.5",
            "an unknown frame inside a field block",
            0,
            behind_half(frame(0xbb, 0, 1, b"x")),
            PROTOCOL,
        ),
        row(
            "4.3",
            "what a malformed request left in the table is there for the next",
            3,
            [
                headers(
                    1,
                    END_STREAM,
                    [&head("GET", NEVER)[..], b"\x00\x0aconnection\x05close", b"\x40\x04kept\x04here"]
                        .concat(),
                ),
                headers(3, END_STREAM, [&head("GET", PASSES)[..], &[0xbe]].concat()),
            ]
            .concat(),
            ANSWERED,
        ),
    ]
}

fn states() -> Vec<Row> {
    let idle =
        |what, kind: u8, payload: &[u8], may| row("5.1", what, 0, frame(kind, END_HEADERS, 1, payload), may);
    let held = |what, stream, behind: Vec<u8>, may| {
        row("5.1", what, stream, vec![Step::Send(get(1, HELD)), Step::Send(behind)], may)
    };
    let ended = |what, stream, behind: Vec<u8>, may| {
        row("5.1", what, stream, vec![Step::Send(get(1, PASSES)), Step::Ended(1), Step::Send(behind)], may)
    };
    let reset = |what, behind: Vec<u8>, may| {
        let leaves = [post(1, NEVER), frame(RST_STREAM, 0, 1, CANCEL.to_be_bytes())].concat();
        row("5.1", what, 1, [leaves, behind].concat(), may)
    };
    let one = 1_u32.to_be_bytes();
    vec![
        idle("DATA on an idle stream", DATA, b"x", PROTOCOL),
        idle("RST_STREAM on an idle stream", RST_STREAM, &[0, 0, 0, 8], PROTOCOL),
        idle("WINDOW_UPDATE on an idle stream", WINDOW_UPDATE, &one, PROTOCOL),
        idle("CONTINUATION on an idle stream", CONTINUATION, b"", PROTOCOL),
        idle("PRIORITY on an idle stream", PRIORITY, &[0, 0, 0, 0, 7], GOES_ON),
        held("DATA behind the end of a request", 1, frame(DATA, 0, 1, b"x"), CLOSED),
        held("HEADERS behind the end of a request", 1, get(1, NEVER), CLOSED),
        held(
            "CONTINUATION behind the end of a request",
            1,
            frame(CONTINUATION, END_HEADERS, 1, head("GET", NEVER)),
            CLOSED_OR_PROTOCOL,
        ),
        held("WINDOW_UPDATE behind the end of a request", 0, frame(WINDOW_UPDATE, 0, 1, one), GOES_ON),
        held("PRIORITY behind the end of a request", 0, frame(PRIORITY, 0, 1, [0, 0, 0, 0, 7]), GOES_ON),
        held(
            "RST_STREAM behind the end of a request",
            0,
            frame(RST_STREAM, 0, 1, CANCEL.to_be_bytes()),
            GOES_ON,
        ),
        ended("DATA on a stream that was answered", 1, frame(DATA, 0, 1, b"x"), CLOSED),
        ended("HEADERS on a stream that was answered", 1, get(1, NEVER), CLOSED_OR_PROTOCOL),
        ended(
            "CONTINUATION on a stream that was answered",
            1,
            frame(CONTINUATION, END_HEADERS, 1, b""),
            CLOSED_OR_PROTOCOL,
        ),
        ended("WINDOW_UPDATE on a stream that was answered", 0, frame(WINDOW_UPDATE, 0, 1, one), GOES_ON),
        ended(
            "RST_STREAM on a stream that was answered",
            0,
            frame(RST_STREAM, 0, 1, CANCEL.to_be_bytes()),
            GOES_ON,
        ),
        ended("PRIORITY on a stream that was answered", 0, frame(PRIORITY, 0, 1, [0, 0, 0, 0, 7]), GOES_ON),
        reset("DATA behind RST_STREAM", frame(DATA, 0, 1, b"x"), CLOSED),
        reset("HEADERS behind RST_STREAM", get(1, NEVER), CLOSED_OR_PROTOCOL),
        reset("CONTINUATION behind RST_STREAM", frame(CONTINUATION, END_HEADERS, 1, b""), CLOSED_OR_PROTOCOL),
    ]
}

fn ids() -> Vec<Row> {
    let many: Vec<u8> = (0..257).flat_map(|n| get(2 * n + 1, HELD)).collect();
    vec![
        row("5.1.1", "a stream with an even number", 0, get(2, NEVER), PROTOCOL),
        row(
            "5.1.1",
            "a stream below one that was opened",
            0,
            [get(5, HELD), get(3, NEVER)].concat(),
            &[Connection(PROTOCOL_ERROR), Connection(STREAM_CLOSED)],
        ),
        row("5.1.1", "a stream far above the last", 0x1001, get(0x1001, PASSES), ANSWERED),
        row(
            "5.1.2",
            "one stream more than are allowed",
            513,
            many,
            &[Stream(REFUSED_STREAM), Stream(PROTOCOL_ERROR), Connection(PROTOCOL_ERROR)],
        ),
    ]
}

fn extensions() -> Vec<Row> {
    vec![
        row("5.5", "an unknown frame of the connection", 0, frame(0xbb, 0xff, 0, b"anything"), GOES_ON),
        row(
            "5.5",
            "an unknown frame of a stream",
            1,
            [post(1, PASSES), frame(0xbb, 0xff, 1, b"anything"), frame(DATA, END_STREAM, 1, b"{}")].concat(),
            ANSWERED,
        ),
        row("5.5", "an unknown setting", 0, setting(0xbbbb, 7), GOES_ON),
    ]
}

fn data_and_headers() -> Vec<Row> {
    let block = head("GET", NEVER);
    let padded = |pad: u8, block: &[u8], padding: usize| [&[pad][..], block, &vec![0; padding]].concat();
    let priority: &[u8] = &[0, 0, 0, 0, 7];
    let passes = head("GET", PASSES);
    vec![
        row("6.1", "DATA of the connection", 0, frame(DATA, 0, 0, b"x"), PROTOCOL),
        row(
            "6.1",
            "DATA with padding",
            1,
            [post(1, PASSES), frame(DATA, END_STREAM | PADDED, 1, b"\x03{}\0\0\0")].concat(),
            ANSWERED,
        ),
        row(
            "6.1",
            "DATA with more padding than it has bytes",
            0,
            [post(1, HELD), frame(DATA, PADDED, 1, b"\x09{}\0\0\0")].concat(),
            PROTOCOL,
        ),
        row(
            "6.1",
            "padded DATA without a length of its padding",
            0,
            [post(1, HELD), frame(DATA, PADDED, 1, b"")].concat(),
            SIZE_OR_PROTOCOL,
        ),
        row("6.2", "HEADERS of the connection", 0, headers(0, END_STREAM, &block), PROTOCOL),
        row(
            "6.2",
            "HEADERS with padding and a priority",
            1,
            headers(1, END_STREAM | PADDED | WITH_PRIORITY, [&[2][..], priority, &passes, &[0, 0]].concat()),
            ANSWERED,
        ),
        row(
            "6.2",
            "HEADERS with more padding than they have bytes",
            0,
            headers(1, END_STREAM | PADDED, padded(255, &block, 0)),
            PROTOCOL,
        ),
        row(
            "6.2",
            "padded HEADERS without a length of their padding",
            0,
            headers(1, END_STREAM | PADDED, b""),
            SIZE_OR_PROTOCOL,
        ),
        row(
            "6.2",
            "HEADERS with half a priority",
            0,
            headers(1, END_STREAM | WITH_PRIORITY, b"\0\0"),
            SIZE_OR_PROTOCOL,
        ),
        row(
            "6.2",
            "HEADERS that depend on themselves",
            1,
            headers(1, END_STREAM | WITH_PRIORITY, [&[0, 0, 0, 1, 7][..], &passes].concat()),
            &[Answer(200), Stream(PROTOCOL_ERROR), Connection(PROTOCOL_ERROR)],
        ),
    ]
}

fn continuations() -> Vec<Row> {
    let (block, passes) = (head("GET", NEVER), head("GET", PASSES));
    let split = |kinds: [(u8, u32, u8); 2]| {
        let (first, second) = block.split_at(9);
        let [(one, stream, flags), (two, other, ending)] = kinds;
        [frame(one, flags, stream, first), frame(two, ending, other, second)].concat()
    };
    vec![
        row(
            "6.10",
            "a field block in three frames",
            1,
            [
                frame(HEADERS, END_STREAM, 1, &passes[..5]),
                frame(CONTINUATION, 0, 1, &passes[5..9]),
                frame(CONTINUATION, END_HEADERS, 1, &passes[9..]),
            ]
            .concat(),
            ANSWERED,
        ),
        row(
            "6.10",
            "empty CONTINUATION",
            1,
            [
                frame(HEADERS, END_STREAM, 1, &passes),
                frame(CONTINUATION, 0, 1, b""),
                frame(CONTINUATION, END_HEADERS, 1, b""),
            ]
            .concat(),
            ANSWERED,
        ),
        row(
            "6.10",
            "CONTINUATION of the connection",
            0,
            split([(HEADERS, 1, 0), (CONTINUATION, 0, END_HEADERS)]),
            PROTOCOL,
        ),
        row(
            "6.10",
            "CONTINUATION of another stream",
            0,
            split([(HEADERS, 1, 0), (CONTINUATION, 3, END_HEADERS)]),
            PROTOCOL,
        ),
        row(
            "6.10",
            "CONTINUATION behind the end of a block",
            0,
            [get(1, HELD), frame(CONTINUATION, END_HEADERS, 1, &block)].concat(),
            &[Connection(PROTOCOL_ERROR), Connection(STREAM_CLOSED)],
        ),
        row(
            "6.10",
            "CONTINUATION behind DATA",
            0,
            [post(1, HELD), frame(DATA, 0, 1, b"x"), frame(CONTINUATION, END_HEADERS, 1, &block)].concat(),
            PROTOCOL,
        ),
    ]
}

/// The frames that speak of streams and of the connection.
fn control() -> Vec<Row> {
    let largest = 0x7fff_ffff_u32.to_be_bytes();
    let of = |section, what, kind, flags, stream, payload: &[u8], may| {
        row(section, what, 0, frame(kind, flags, stream, payload), may)
    };
    let opened = |what, behind: Vec<u8>, may| row("6.9", what, 1, [post(1, HELD), behind].concat(), may);
    vec![
        of("6.3", "PRIORITY of the connection", PRIORITY, 0, 0, &[0, 0, 0, 0, 7], PROTOCOL),
        row(
            "6.3",
            "PRIORITY of four bytes",
            1,
            [post(1, HELD), frame(PRIORITY, 0, 1, [0; 4])].concat(),
            STREAM_SIZE,
        ),
        of("6.4", "RST_STREAM of the connection", RST_STREAM, 0, 0, &[0; 4], PROTOCOL),
        row(
            "6.4",
            "RST_STREAM of three bytes",
            0,
            [post(1, HELD), frame(RST_STREAM, 0, 1, [0; 3])].concat(),
            SIZE,
        ),
        row(
            "7",
            "RST_STREAM with an unknown code",
            0,
            [post(1, HELD), frame(RST_STREAM, 0, 1, [0xff; 4])].concat(),
            GOES_ON,
        ),
        of("6.5", "acknowledged SETTINGS with values", SETTINGS, ACK, 0, &[0, 3, 0, 0, 0, 7], SIZE),
        of("6.5", "SETTINGS of a stream", SETTINGS, 0, 1, b"", PROTOCOL),
        of("6.5", "SETTINGS of five bytes", SETTINGS, 0, 0, &[0; 5], SIZE),
        row("6.5.2", "ENABLE_PUSH of 2", 0, setting(2, 2), PROTOCOL),
        row("6.5.2", "an initial window beyond the largest", 0, setting(4, 0x8000_0000), FLOW),
        row("6.5.2", "a largest frame below 16,384", 0, setting(5, 16_383), PROTOCOL),
        row("6.5.2", "a largest frame beyond what a length can say", 0, setting(5, 0x0100_0000), PROTOCOL),
        row(
            "6.5.3",
            "a value twice in SETTINGS",
            0,
            frame(SETTINGS, 0, 0, [0, 4, 0, 0, 0, 1, 0, 4, 0, 1, 0, 0]),
            GOES_ON,
        ),
        row("6.5.3", "an acknowledgement that nobody waits for", 0, frame(SETTINGS, ACK, 0, b""), GOES_ON),
        row(
            "6.6",
            "PUSH_PROMISE of a client",
            0,
            [
                post(1, HELD),
                frame(PUSH_PROMISE, END_HEADERS, 1, [&[0, 0, 0, 2][..], &head("GET", NEVER)].concat()),
            ]
            .concat(),
            PROTOCOL,
        ),
        of("6.7", "PING of a stream", PING, 0, 1, &[0; 8], PROTOCOL),
        of("6.7", "PING of seven bytes", PING, 0, 0, &[0; 7], SIZE),
        of("6.7", "an answer to no PING", PING, ACK, 0, &[3; 8], GOES_ON),
        of("6.8", "GOAWAY of a stream", GOAWAY, 0, 1, &[0; 8], PROTOCOL),
        of("6.8", "GOAWAY of seven bytes", GOAWAY, 0, 0, &[0; 7], SIZE),
        opened("WINDOW_UPDATE of nothing", frame(WINDOW_UPDATE, 0, 1, [0; 4]), STREAM_PROTOCOL),
        of("6.9", "WINDOW_UPDATE of nothing for the connection", WINDOW_UPDATE, 0, 0, &[0; 4], PROTOCOL),
        of("6.9", "WINDOW_UPDATE of three bytes", WINDOW_UPDATE, 0, 0, &[0; 3], SIZE),
        of("6.9.1", "a window of the connection beyond the largest", WINDOW_UPDATE, 0, 0, &largest, FLOW),
        opened("a window of a stream beyond the largest", frame(WINDOW_UPDATE, 0, 1, largest), STREAM_FLOW),
        opened(
            "a window that SETTINGS raise beyond the largest",
            [frame(WINDOW_UPDATE, 0, 1, 1000_u32.to_be_bytes()), setting(4, 0x7fff_ffff)].concat(),
            FLOW,
        ),
    ]
}
