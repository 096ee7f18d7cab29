"""Framing, case by case: sections of RFC 9112 in our own words, as the bytes that a client sends.

`MMMMMMM` stands for an id of seven characters of its own in each target. A line end in the text is CRLF. `forwarded` is how many
requests of a case leave the proxy: 0 where it is refused, 1 where what comes behind is no request, or must not be read as one.
"""

ID = b"MMMMMMM"
KEY = "Authorization: Bearer o1k1"
# What an attacker would like to have taken for a request of its own.
BEHIND = "GET /api/v2/behind/MMMMMMM HTTP/1.1\nHost: a\n" + KEY + "\n\n"


class Case:
    """Its section, what it is, its bytes, how many of its requests are forwarded."""

    def __init__(self, section, name, sent, forwarded):
        self.section, self.name, self.sent, self.forwarded = section, name, sent, forwarded


def head(line="POST /api/v2/case/MMMMMMM HTTP/1.1", *fields):
    """A head with the fields behind `Host` and the key, lines ended as in the text."""
    return "\n".join([line, "Host: a", KEY, *fields, "", ""])


def wire(text):
    """The text's bytes: its line ends are CRLF, `<LF>`, `<CR>`, `<NUL>`, `<VT>`, `<FF>` and `<80>` are single bytes."""
    sent = text.replace("\n", "\r\n").encode("latin-1")
    for name, byte in (("LF", b"\n"), ("CR", b"\r"), ("NUL", b"\0"), ("VT", b"\v"), ("FF", b"\f"), ("80", b"\x80")):
        sent = sent.replace(f"<{name}>".encode(), byte)
    return sent


def post(*fields, body="", behind=BEHIND):
    """A POST with these fields and this body, and a request behind it."""
    return wire(head(*("POST /api/v2/case/MMMMMMM HTTP/1.1",), *fields) + body + behind)


CHUNKED = "Transfer-Encoding: chunked"
END = "0\n\n"


def lengths():
    """§6.2 and §6.3: what a length may be."""
    good = [
        ("a length of the body", ("Content-Length: 5",), "hello"),
        ("a length of nothing", ("Content-Length: 0",), ""),
        ("no length at all", (), ""),
        ("space around the length", ("Content-Length: \t 5 \t",), "hello"),
        ("the name in other case", ("cONTENT-lENGTH: 5",), "hello"),
        ("a body that looks like a request", (f"Content-Length: {len(wire(BEHIND))}",), BEHIND),
        ("the same length on two lines", ("Content-Length: 5", "Content-Length: 5"), "hello"),
        # The same decimal value (RFC 9110 §8.6): the HTTP library keeps one of them.
        ("the same length with a zero on the second line", ("Content-Length: 5", "Content-Length: 05"), "hello"),
    ]
    bad = [
        "+5",
        "-5",
        "5 5",
        "5;5",
        "0x5",
        "5.0",
        "5e0",
        "05",
        "",
        "five",
        "5a",
        "\u0665",
        "99999999999999999999999",
        "18446744073709551621",
        "5, 6",
        "5,",
        ",5",
        "5, 5, 6",
        "<NUL>5",
        "5<NUL>",
        "5<VT>",
        "5<80>",
        '"5"',
        "5, chunked",
        "4294967301a",
        "_5",
        "5_",
        "1_0",
    ]
    for name, fields, body in good:
        yield Case("6.2", name, post(*fields, body=body), 2)
    for value in bad:
        text = value.replace("\u0665", "<80>5")
        yield Case("6.3", f"the length {value!r}", post(f"Content-Length: {text}", body="hello"), 0)
    for pair in (("5", "6"), ("5", "0"), ("0", "5"), ("05", "5"), ("5", "+5"), ("5", ""), ("", "5"), ("5", "x")):
        lines = [f"Content-Length: {value}" for value in pair]
        yield Case("6.3", f"two lengths, {pair[0]!r} and {pair[1]!r}", post(*lines, body="hello"), 0)
    yield Case(
        "6.3",
        "a body shorter than its length",
        wire(head("POST /api/v2/case/MMMMMMM HTTP/1.1", "Content-Length: 9") + "hello"),
        0,
    )
    yield Case(
        "6.3", "a length and a read", wire(head("GET /api/v2/case/MMMMMMM HTTP/1.1", "Content-Length: 5") + "hello" + BEHIND), 2
    )


def codings():
    """§6.1 and §6.3: what a transfer coding may be, and what it is beside a length."""
    body = "5\nhello\n" + END
    for name, line in (
        ("chunked", CHUNKED),
        ("chunked in other case", "transfer-encoding: CHUNKED"),
        ("space around it", "Transfer-Encoding: \t chunked \t"),
    ):
        yield Case("6.1", name, post(line, body=body), 2)
    bad = [
        "identity",
        "gzip",
        "gzip, chunked",
        "chunked, gzip",
        "chunked, chunked",
        "chunked, identity",
        "identity, chunked",
        "chunke",
        "xchunked",
        "chunkedx",
        "chunked;q=1",
        "chunked;",
        ";chunked",
        "chunked,",
        ",chunked",
        "",
        '"chunked"',
        "'chunked'",
        "chunked chunked",
        "chunked\t0",
        "<VT>chunked",
        "chunked<VT>",
        "<NUL>chunked",
        "chunked<NUL>",
        "chunked<80>",
        "<80>chunked",
        "x chunked",
        "chunk ed",
        "cow, chunked",
        "trailers",
        "deflate",
        "compress, chunked",
        "chunked, trailers",
        "(c) chunked",
    ]
    for value in bad:
        yield Case("6.1", f"the coding {value!r}", post(f"Transfer-Encoding: {value}", body=body), 0)
    for first, second in (
        ("chunked", "chunked"),
        ("chunked", "identity"),
        ("identity", "chunked"),
        ("gzip", "chunked"),
        ("chunked", "gzip"),
        ("chunked", ""),
        ("", "chunked"),
    ):
        lines = [f"Transfer-Encoding: {value}" for value in (first, second)]
        yield Case("6.1", f"two codings, {first!r} and {second!r}", post(*lines, body=body), 0)
    for version in ("1.0", "0.9", "2.0", "1.2", "3.0"):
        line = f"POST /api/v2/case/MMMMMMM HTTP/{version}"
        yield Case("6.1", f"chunks in HTTP/{version}", wire(head(line, CHUNKED) + body + BEHIND), 0)
    # A length beside chunks: the chunks count, and nothing behind them is read.
    for length in ("0", "3", "5", "9999"):
        for lines in ((f"Content-Length: {length}", CHUNKED), (CHUNKED, f"Content-Length: {length}")):
            yield Case("6.3", f"chunks and a length of {length}, {lines[0][:7]} first", post(*lines, body=body), 1)
    yield Case(
        "6.3", "a length beside a coding that is none", post("Content-Length: 5", "Transfer-Encoding: chunke", body="hello"), 0
    )
    yield Case("6.3", "two lengths beside chunks", post("Content-Length: 5", "Content-Length: 6", CHUNKED, body=body), 0)
    yield Case("6.3", "chunks of a read", wire(head("GET /api/v2/case/MMMMMMM HTTP/1.1", CHUNKED) + body + BEHIND), 2)


def chunks():
    """§7.1: chunks."""
    good = [
        ("one chunk", "5\nhello\n" + END),
        ("none", END),
        ("two", "2\nhe\n3\nllo\n" + END),
        ("a size in capitals", "A\n0123456789\n" + END),
        ("a size with zeros", "0005\nhello\n" + END),
        ("many zeros at the end", "5\nhello\n000\n\n"),
        ("an extension", "5;a=b\nhello\n0;c\n\n"),
        ("a request in a chunk", f"{len(wire(BEHIND)):x}\n{BEHIND}\n" + END),
    ]
    for name, body in good:
        yield Case("7.1", name, post(CHUNKED, body=body), 2)
    # Readers differ on where trailers end, so nothing behind them is read; none is a field of the head (RFC 9110 §6.5.1).
    for name, field in [
        ("trailers", "X-Last: 1"),
        ("a length as trailer", "Content-Length: 50"),
        ("a coding as trailer", "Transfer-Encoding: chunked"),
    ]:
        yield Case("7.1.2", name, post(CHUNKED, body=f"5\nhello\n0\n{field}\n\n"), 1)
    bad = [
        "+5",
        "-5",
        "0x5",
        "5 5",
        "",
        "g",
        "5g",
        "5\t5",
        "_5",
        "5_",
        "5<80>",
        "5<NUL>",
        "fffffffffffffffff",
        "10000000000000005",
        "5,",
        "5.0",
        "٥".encode().decode("latin-1"),
    ]
    for size in bad:
        yield Case("7.1", f"the size {size!r}", post(CHUNKED, body=f"{size}\nhello\n{END}"), 0)
    for name, body in [
        ("a size that is too small", "4\nhello\n" + END),
        ("a size that is too large", "6\nhello\n" + END),
        ("a size without its line end", "5hello\n" + END),
        ("a chunk without its line end", "5\nhello" + END),
        ("a chunk ended by a line feed", "5\nhello<LF>" + END),
        ("a size ended by a line feed", "5<LF>hello\n" + END),
        ("a size ended by a carriage return", "5<CR>hello\n" + END),
        ("two carriage returns behind a size", "5<CR>\nhello\n" + END),
        ("a line feed in an extension", "5;a<LF>hello\n" + END),
        ("a carriage return in an extension", "5;a<CR>b\nhello\n" + END),
        ("space behind a chunk", "5\nhello \n" + END),
        ("bytes between chunks", "5\nhello\nxx\n" + END),
        ("a line before the size", "\n5\nhello\n" + END),
    ]:
        yield Case("7.1", name, post(CHUNKED, body=body), 0)
    yield Case(
        "7.1.2", "a trailer that is no field", post(CHUNKED, body="5\nhello\n0\nGET /api/v2/behind/MMMMMMM HTTP/1.1\n\n"), 0
    )
    yield Case("8", "the end of chunks is missing", wire(head("POST /api/v2/case/MMMMMMM HTTP/1.1", CHUNKED) + "5\nhello\n"), 0)
    yield Case("8", "the end of a chunk is missing", wire(head("POST /api/v2/case/MMMMMMM HTTP/1.1", CHUNKED) + "5\nhel"), 0)


def lines():
    """§2.2, §3 and §5: what a line is, what a field is."""
    length = "Content-Length: 5"
    yield Case(
        "2.2",
        "an empty line before a request",
        wire("\n" + head("POST /api/v2/case/MMMMMMM HTTP/1.1", length) + "hello" + BEHIND),
        2,
    )
    bare = wire(head("POST /api/v2/case/MMMMMMM HTTP/1.1", length) + "hello" + BEHIND).replace(b"\r\n", b"\n")
    yield Case("2.2", "line feeds alone", bare, 2)
    for name, field in [
        ("space before the colon", "Content-Length : 5"),
        ("a tab before the colon", "Content-Length\t: 5"),
        ("space in the name", "Content Length: 5"),
        ("no colon", "Content-Length 5"),
        ("no name", ": 5"),
        ("a control character in the name", "Content-Length<VT>: 5"),
        ("a NUL in the name", "Content<NUL>-Length: 5"),
        ("a high byte in the name", "Content-Length<80>: 5"),
        ("a NUL in a value", "X-A: b<NUL>c"),
        ("a carriage return in a value", "X-A: b<CR>c"),
        ("a carriage return before a name", "<CR>X-A: b"),
        ("a line folded by a space", "X-A: b\n c"),
        ("a line folded by a tab", "X-A: b\n\tContent-Length: 5"),
        ("a framing field in a folded line", "X-A: b\n Transfer-Encoding: chunked"),
        ("a folded coding", "Transfer-Encoding:\n chunked"),
        ("a folded length", "Content-Length:\n 5"),
        ("a name with an underscore", "Content_Length: 5"),
        ("a coding with an underscore", "Transfer_Encoding: chunked"),
        ("a quoted name", '"Content-Length": 5'),
        ("brackets in a name", "Content-Length[]: 5"),
    ]:
        yield Case(
            "5", name, post(length, field, body="hello") if field.startswith(("X-", "<CR>X")) else post(field, body="hello"), 0
        )
    yield Case(
        "5.1",
        "space before the first field",
        wire("POST /api/v2/case/MMMMMMM HTTP/1.1\n Content-Length: 5\n" + f"Host: a\n{KEY}\n\nhello" + BEHIND),
        0,
    )
    for name, line in [
        ("two spaces", "POST  /api/v2/case/MMMMMMM HTTP/1.1"),
        ("a tab", "POST\t/api/v2/case/MMMMMMM HTTP/1.1"),
        ("no version", "POST /api/v2/case/MMMMMMM"),
        ("two versions", "POST /api/v2/case/MMMMMMM HTTP/1.1 HTTP/1.1"),
        ("another name", "POST /api/v2/case/MMMMMMM HTTQ/1.1"),
        ("a small name", "POST /api/v2/case/MMMMMMM http/1.1"),
        ("a version of one digit", "POST /api/v2/case/MMMMMMM HTTP/1"),
        ("a version of three", "POST /api/v2/case/MMMMMMM HTTP/1.10"),
        ("a space before", " POST /api/v2/case/MMMMMMM HTTP/1.1"),
        ("a space behind", "POST /api/v2/case/MMMMMMM HTTP/1.1 "),
        ("a NUL", "POST /api/v2/case/<NUL>MMMMMMM HTTP/1.1"),
        ("a carriage return", "POST /api/v2/case/<CR>MMMMMMM HTTP/1.1"),
        ("no slash", "POST api/v2/case/MMMMMMM HTTP/1.1"),
        ("a backslash for a slash", "POST \\api/v2/case/MMMMMMM HTTP/1.1"),
        ("a fragment", "POST /api/v2/case/MMMMMMM#f HTTP/1.1"),
    ]:
        yield Case("3", f"the first line: {name}", wire(head(line, length) + "hello" + BEHIND), 0)
    # Well framed and refused: what is behind them is a request.
    for name, line in [
        ("an unknown method", "BREW /api/v2/case/MMMMMMM HTTP/1.1"),
        ("a method in small letters", "post /api/v2/case/MMMMMMM HTTP/1.1"),
        ("a tunnel", "CONNECT a:443 HTTP/1.1"),
        ("the target of a server", "OPTIONS * HTTP/1.1"),
        ("user and password", "POST http://u:p@a/api/v2/case/MMMMMMM HTTP/1.1"),
    ]:
        yield Case("3", f"the first line: {name}", wire(head(line, length) + "hello" + BEHIND), 1)
    for name, fields in [
        ("no host", ""),
        ("two hosts", "Host: a\nHost: b\n"),
        ("the same host twice", "Host: a\nHost: a\n"),
        ("a host of two", "Host: a, b\n"),
        ("a path in the host", "Host: a/b\n"),
    ]:
        yield Case("3.2", name, wire(f"POST /api/v2/case/MMMMMMM HTTP/1.1\n{fields}{KEY}\n{length}\n\nhello" + BEHIND), 0)


def connections():
    """§9 and §11: what a connection carries, and what is smuggled through it."""
    length = "Content-Length: 5"
    yield Case(
        "9.3.2", "three requests at once", wire(head("POST /api/v2/case/MMMMMMM HTTP/1.1", length) + "hello" + BEHIND + BEHIND), 3
    )
    yield Case(
        "9.3", "HTTP/1.0 without keep-alive", wire(head("POST /api/v2/case/MMMMMMM HTTP/1.0", length) + "hello" + BEHIND), 1
    )
    yield Case("9.6", "the client's last request", post(length, "Connection: close", body="hello"), 1)
    for name in ("Content-Length", "Transfer-Encoding", "Host", "Authorization"):
        yield Case("11.2", f"Connection takes {name} away", post(length, f"Connection: {name}", body="hello"), 0)
    yield Case("11.2", "Connection takes a field of nobody's away", post(length, "X-A: b", "Connection: x-a", body="hello"), 2)
    yield Case("11.1", "an answer in the place of a request", wire("HTTP/1.1 200 OK\nContent-Length: 0\n\n" + BEHIND), 0)
    yield Case(
        "11.1",
        "a line end in a target, percent-encoded",
        wire(head("POST /api/v2/case/MMMMMMM?a=%0d%0aContent-Length:%200 HTTP/1.1", length) + "hello" + BEHIND),
        2,
    )
    yield Case(
        "11.2",
        "another protocol behind the request",
        post(length, "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__", body="hello"),
        None,
    )
    yield Case(
        "11.2",
        "a websocket that is none",
        post(
            "Connection: Upgrade",
            "Upgrade: websocket",
            "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
        ),
        None,
    )
    yield Case("11.2", "a method in a field", post(length, "X-HTTP-Method-Override: DELETE", body="hello"), 0)
    yield Case("11.2", "a body that is waited for", post(length, "Expect: 100-continue", body="hello"), 2)
    yield Case(
        "11.2",
        "a write of a stored resource",
        wire(
            head(
                "PATCH /api/v2/lead-labels/01997c3e-25b5-7d2f-a5c8-0d1d1e6e4d10 HTTP/1.1",
                "Content-Type: application/json",
                "Content-Length: 13",
            )
            + '{"label":"x"}'
            + BEHIND
        ),
        2,
    )
    yield Case(
        "11.2",
        "the same by chunks",
        wire(
            head(
                "PATCH /api/v2/lead-labels/01997c3e-25b5-7d2f-a5c8-0d1d1e6e4d10 HTTP/1.1",
                "Content-Type: application/json",
                CHUNKED,
            )
            + 'd\n{"label":"x"}\n'
            + END
            + BEHIND
        ),
        2,
    )


def every():
    """The corpus."""
    return [case for part in (lengths, codings, chunks, lines, connections) for case in part()]
