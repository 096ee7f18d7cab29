"""The most that RFC 9112 lets a server read from bytes: an upper bound of what may be forwarded of them.

Repairs that the RFC allows are made (§2.2: line feeds alone, empty lines before a request; §6.3: equal lengths, chunks beside a
length); at the first thing that has no reading the rest is nothing.
"""

import hashlib
import re

TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+\Z")
VALUE = re.compile(rb"[\t\x20-\x7e\x80-\xff]*\Z")
LINE = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+) ([\x21-\x7e\x80-\xff]+) HTTP/1\.([01])\Z")
SIZE = re.compile(rb"([0-9A-Fa-f]+)[\t ]*(?:;[^\r\n]*)?\r\n")


class Invalid(Exception):
    """Bytes without a reading."""


def meaning(method, target, body):
    """What a request means, short enough for a field."""
    return f"{method.decode('latin-1')} {target.hex()} {len(body)} {hashlib.sha256(body).hexdigest()[:24]}"


def requests(sent, ends=()):
    """The meanings of the requests in these bytes, each the first of its connection to have it; `ends` takes where each ends."""
    at, found, last = 0, [], False
    try:
        while at < len(sent) and not last:
            method, target, body, at, last = request(sent, at)
            found.append(meaning(method, target, body))
            if isinstance(ends, list):
                ends.append(at)
    except Invalid:
        pass
    return found


def line(sent, at):
    """The line at a place, and the place behind it."""
    end = sent.find(b"\n", at)
    if end < 0:
        raise Invalid
    return sent[at:end].removesuffix(b"\r"), end + 1


def request(sent, at):
    """Method, target and body of the request at a place, the place behind it, and whether it is the last one."""
    first = b""
    while not first:
        first, at = line(sent, at)
    found = LINE.match(first)
    if not found:
        raise Invalid
    method, target, minor = found.groups()
    lengths, codings, options, at = fields(sent, at)
    last = b"close" in options or (minor == b"0" and b"keep-alive" not in options)
    if codings:
        if codings != [b"chunked"] or minor == b"0":
            raise Invalid
        body, at, has_trailers = chunked(sent, at)
        # Whoever sends both is not to be read on (§6.3), nor is anything behind trailers, on whose end readers differ (§7.1.2).
        last = last or bool(lengths) or has_trailers
    else:
        if not all(length.isdigit() for length in lengths) or len({int(length) for length in lengths}) > 1:
            raise Invalid
        end = at + (int(lengths[0]) if lengths else 0)
        if end > len(sent):
            raise Invalid
        body, at = sent[at:end], end
    return method, origin_form(target), body, at, last


def fields(sent, at):
    """The lengths, codings and connection options of a head, and the place behind it."""
    lengths, codings, options = [], [], []
    while True:
        text, at = line(sent, at)
        if not text:
            return lengths, codings, options, at
        name, colon, value = text.partition(b":")
        if not colon or not TOKEN.match(name) or not VALUE.match(value):
            raise Invalid
        members = [member.strip(b" \t") for member in value.split(b",")]
        match name.lower():
            case b"content-length":
                lengths += members
            case b"transfer-encoding":
                codings += [member.lower() for member in members]
            case b"connection":
                options += [member.lower() for member in members]


def chunked(sent, at):
    """A body of chunks, the place behind its trailers, and whether there are any."""
    body = []
    while True:
        found = SIZE.match(sent, at)
        if not found:
            raise Invalid
        size, at = int(found[1], 16), found.end()
        if size == 0:
            break
        if sent[at + size : at + size + 2] != b"\r\n":
            raise Invalid
        body.append(sent[at : at + size])
        at += size + 2
    end = fields(sent, at)[3]
    return b"".join(body), end, sent[at:end] != b"\r\n"


def origin_form(target):
    """The path and query of a target. A fragment is no part of one (RFC 9112 §3.2); it is refused, or dropped where the request
    came while another one was answered."""
    target = target.partition(b"#")[0]
    found = re.match(rb"(?i)https?://[^/?]*(.*)\Z", target)
    if not found:
        return target
    return found[1] if found[1].startswith(b"/") else b"/" + found[1]
