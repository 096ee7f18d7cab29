"""Changes of the corpus, by chance from a seed."""

BYTES = [
    b"\r",
    b"\n",
    b"\r\n",
    b"\t",
    b" ",
    b"\0",
    b"\v",
    b"\f",
    b"\x7f",
    b"\x80",
    b"\xff",
    b",",
    b";",
    b":",
    b"0",
    b"1",
    b"9",
    b"x",
    b"+",
    b"-",
    b"_",
    b'"',
    b"#",
    b"%0a",
    b"%00",
    b"\\",
    b"/",
]
FIELDS = [
    b"Content-Length: 0",
    b"Content-Length: 5",
    b"Content-Length: 6",
    b"Content-Length: 05",
    b"content-length: 5, 5",
    b"Content-Length:5",
    b"Content-Length: 30",
    b"Transfer-Encoding: chunked",
    b"Transfer-Encoding: identity",
    b"Transfer-Encoding: gzip, chunked",
    b"Transfer-Encoding : chunked",
    b"Transfer-Encoding:\tchunked",
    b"transfer_encoding: chunked",
    b"TE: trailers",
    b"Trailer: Content-Length",
    b"Connection: close",
    b"Connection: keep-alive",
    b"Connection: Content-Length",
    b"Expect: 100-continue",
    b"Upgrade: h2c",
    b"Host: b",
    b" folded",
    b"X: y",
]


def mutant(chance, cases):
    """The bytes of one case with one to three changes, and sometimes another case behind them."""
    # What is refused as it stands stays so mostly.
    good = [case for case in cases if case.forwarded]
    sent = chance.choice(good if chance.random() < 0.7 else cases).sent
    for _ in range(chance.choice((1, 1, 1, 2, 2, 3))):
        # One of which nothing is left is as good as none.
        sent = chance.choice(CHANGES)(chance, sent) or sent
    if chance.random() < 0.2:
        sent += chance.choice(cases).sent
    return sent


def place(chance, sent):
    """Anywhere, and more often than not at an end of a line."""
    ends = [at for at in range(len(sent)) if sent[at] in b"\r\n:"]
    return chance.choice(ends) if ends and chance.random() < 0.6 else chance.randrange(len(sent) + 1)


def insert(chance, sent):
    """A byte more."""
    at = place(chance, sent)
    return sent[:at] + chance.choice(BYTES) + sent[at:]


def remove(chance, sent):
    """A byte less, or two."""
    at = place(chance, sent)
    return sent[:at] + sent[at + chance.choice((1, 1, 2)) :]


def replace(chance, sent):
    """Another byte."""
    at = place(chance, sent)
    return sent[:at] + chance.choice(BYTES) + sent[at + 1 :]


def flip(chance, sent):
    """One bit."""
    at = min(place(chance, sent), len(sent) - 1)
    return sent[:at] + bytes([sent[at] ^ 1 << chance.randrange(8)]) + sent[at + 1 :]


def digit(chance, sent):
    """Another digit in the place of one."""
    digits = [at for at in range(len(sent)) if chr(sent[at]).isdigit()]
    at = chance.choice(digits) if digits else 0
    return sent[:at] + b"%d" % chance.randrange(10) + sent[at + 1 :]


def field(chance, sent):
    """A field more, behind any line."""
    ends = [at + 2 for at in range(len(sent)) if sent[at : at + 2] == b"\r\n"]
    at = chance.choice(ends) if ends else 0
    return sent[:at] + chance.choice(FIELDS) + b"\r\n" + sent[at:]


def again(chance, sent):
    """A line twice."""
    split = sent.split(b"\r\n")
    at = chance.randrange(len(split))
    return b"\r\n".join(split[: at + 1] + split[at:])


def cut(chance, sent):
    """Only so much of it."""
    return sent[: chance.randrange(1, len(sent) + 1)]


CHANGES = (insert, insert, remove, replace, flip, digit, field, field, again, cut)
