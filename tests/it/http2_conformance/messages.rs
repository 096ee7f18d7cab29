//! Section 8: what is no request though its frames are sound. Nothing of it goes upstream.

use super::*;

/// §8.1.1: a stream error of this type; an answer that refuses the request may come first.
const MALFORMED: &[Came] =
    &[Stream(PROTOCOL_ERROR), Connection(PROTOCOL_ERROR), Answer(400), Answer(421), Answer(405), Answer(431)];
const ANSWERED: &[Came] = &[Answer(200)];

pub(super) fn rows() -> Vec<Row> {
    let parts = [framing(), fields(), pseudo_fields(), connect()];
    parts.into_iter().flatten().collect()
}

fn framing() -> Vec<Row> {
    let written = |length: &str, body: &[u8]| {
        let block = [head("POST", NEVER), field("content-length", length)].concat();
        [headers(1, 0, block), frame(DATA, END_STREAM, 1, body)].concat()
    };
    let trailers = |flags, fields: &[(&str, &str)]| {
        [post(1, NEVER), frame(DATA, 0, 1, b"{}"), headers(1, flags, block(fields))].concat()
    };
    let passes =
        [post(1, PASSES), frame(DATA, 0, 1, b"{}"), headers(1, END_STREAM, field("x", "y"))].concat();
    vec![
        row("8.1", "trailers", 1, passes, ANSWERED),
        row("8.1", "trailers that do not end the stream", 1, trailers(0, &[("x", "y")]), MALFORMED),
        row(
            "8.1",
            "a pseudo-field in trailers",
            1,
            [post(1, PASSES), headers(1, END_STREAM, field(":method", "GET"))].concat(),
            MALFORMED,
        ),
        row("8.1", "an upper-case name in trailers", 1, trailers(END_STREAM, &[("X", "y")]), MALFORMED),
        row("8.1.1", "fewer bytes than were announced", 1, written("3", b"{}"), MALFORMED),
        row("8.1.1", "more bytes than were announced", 1, written("1", b"{}"), MALFORMED),
        row(
            "8.1.1",
            "an announced body that never comes",
            1,
            headers(1, END_STREAM, [head("POST", NEVER), field("content-length", "2")].concat()),
            MALFORMED,
        ),
        row("8.1.1", "a length that is no number", 1, written("two", b"{}"), MALFORMED),
        row(
            "8.1.1",
            "two lengths that differ",
            1,
            {
                let block = [head("POST", NEVER), field("content-length", "2"), field("content-length", "3")]
                    .concat();
                [headers(1, 0, block), frame(DATA, END_STREAM, 1, b"{}")].concat()
            },
            MALFORMED,
        ),
        row(
            "8.1.1",
            "as many bytes as were announced, in two frames",
            1,
            {
                let block = [head("POST", PASSES), field("content-length", "2")].concat();
                [headers(1, 0, block), frame(DATA, 0, 1, b"{"), frame(DATA, END_STREAM, 1, b"}")].concat()
            },
            ANSWERED,
        ),
    ]
}

fn fields() -> Vec<Row> {
    let with = |section, what, name: &str, value: &str| {
        row(
            section,
            what,
            1,
            headers(1, END_STREAM, [head("GET", NEVER), field(name, value)].concat()),
            MALFORMED,
        )
    };
    let bytes = |what, value: &[u8]| {
        row(
            "8.2.1",
            what,
            1,
            headers(1, END_STREAM, [head("GET", NEVER), field("x-a", value)].concat()),
            MALFORMED,
        )
    };
    vec![
        with("8.2.1", "an upper-case name", "X-a", "y"),
        with("8.2.1", "a name with a blank", "x a", "y"),
        with("8.2.1", "a name with a colon inside", "x:a", "y"),
        with("8.2.1", "a name with a byte above ASCII", "x\u{e9}", "y"),
        with("8.2.1", "an empty name", "", "y"),
        with("8.2.1", "a name with a control byte", "x\u{1}a", "y"),
        bytes("a value with a carriage return", b"a\rb"),
        bytes("a value with a line feed", b"a\nb: c"),
        bytes("a value with a zero byte", b"a\0b"),
        bytes("a value that begins with a blank", b" a"),
        bytes("a value that ends with a tab", b"a\t"),
        with("8.2.2", "Connection", "connection", "close"),
        with("8.2.2", "Connection that names a field", "connection", "x-a"),
        with("8.2.2", "Keep-Alive", "keep-alive", "timeout=5"),
        with("8.2.2", "Proxy-Connection", "proxy-connection", "keep-alive"),
        with("8.2.2", "Transfer-Encoding", "transfer-encoding", "chunked"),
        with("8.2.2", "Upgrade", "upgrade", "h2c"),
        with("8.2.2", "TE that is not trailers", "te", "gzip"),
        with("8.2.2", "TE that is more than trailers", "te", "trailers, gzip"),
        row(
            "8.2.2",
            "TE that is trailers",
            1,
            headers(1, END_STREAM, [head("GET", PASSES), field("te", "trailers")].concat()),
            ANSWERED,
        ),
    ]
}

fn pseudo_fields() -> Vec<Row> {
    const ALL: [(&str, &str); 4] =
        [(":method", "GET"), (":scheme", "http"), (":authority", "proxy"), (":path", NEVER)];
    let sent = |what, fields: Vec<(&str, &str)>| {
        row("8.3", what, 1, headers(1, END_STREAM, block(&fields)), MALFORMED)
    };
    let also = |what, more: (&'static str, &'static str)| sent(what, [&ALL[..], &[more]].concat());
    let without =
        |what, name: &str| sent(what, ALL.into_iter().filter(|(known, _)| *known != name).collect());
    let instead = |what, name: &'static str, value: &'static str| {
        sent(what, ALL.iter().map(|pair| if pair.0 == name { (name, value) } else { *pair }).collect())
    };
    vec![
        without("no :method", ":method"),
        without("no :scheme", ":scheme"),
        without("no :path", ":path"),
        also(":method twice", (":method", "GET")),
        also(":scheme twice", (":scheme", "http")),
        also(":authority twice", (":authority", "proxy")),
        also(":path twice", (":path", NEVER)),
        also("an unknown pseudo-field", (":anything", "x")),
        also("a pseudo-field of answers", (":status", "200")),
        also(":protocol that was not agreed on", (":protocol", "websocket")),
        sent("a pseudo-field behind a field", [&ALL[..3], &[("x", "y"), ALL[3]]].concat()),
        sent("no field at all", Vec::new()),
        instead("an empty :path", ":path", ""),
        instead(":path without a slash", ":path", "api/v2/never"),
        instead(":path with a blank", ":path", "/api/v2/never and more"),
        instead(":path that is a whole URI", ":path", "http://other/api/v2/never"),
        instead("* as :path of a GET", ":path", "*"),
        instead("an empty :method", ":method", ""),
        instead(":method with a blank", ":method", "GET /"),
        instead("an empty :scheme", ":scheme", ""),
        instead(":authority with a user", ":authority", "user@proxy"),
        instead(":authority with a slash", ":authority", "proxy/other"),
        also("Host unlike :authority", ("host", "other")),
        row(
            "8.3.1",
            "Host like :authority",
            1,
            headers(1, END_STREAM, [head("GET", PASSES), field("host", "proxy")].concat()),
            ANSWERED,
        ),
        row(
            "8.3.1",
            "Host alone",
            1,
            headers(
                1,
                END_STREAM,
                [
                    block(&[(":method", "GET"), (":scheme", "http"), (":path", PASSES), ("host", "proxy")]),
                    field("authorization", format!("Bearer {}", token("a", 1))),
                ]
                .concat(),
            ),
            ANSWERED,
        ),
    ]
}

/// §8.5: nothing is tunnelled here.
fn connect() -> Vec<Row> {
    let sent = |what, fields: &[(&str, &str)]| row("8.5", what, 1, headers(1, 0, block(fields)), MALFORMED);
    vec![
        sent("CONNECT", &[(":method", "CONNECT"), (":authority", "proxy:443")]),
        sent(
            "CONNECT with a path",
            &[(":method", "CONNECT"), (":authority", "proxy"), (":scheme", "http"), (":path", NEVER)],
        ),
        sent("CONNECT without :authority", &[(":method", "CONNECT")]),
    ]
}
