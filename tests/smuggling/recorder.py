"""An upstream that keeps every byte which the proxy sends it, connection by connection; and one that says how it was asked.

Both read strictly: what leaves a proxy is to be plain, so a repair here would hide what others read otherwise.
"""

import asyncio
import re

from reading import Invalid, fields, meaning, origin_form

HEAD_END = b"\r\n\r\n"
PATTERN = re.compile(
    rb"(GET|HEAD|POST|PUT|PATCH|DELETE) (\S+) HTTP/1\.1\r\n(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[\t\x20-\x7e\x80-\xff]*\r\n)*\r\n\Z"
)
LABEL = b'{"id":"01997c3e-25b5-7d2f-a5c8-0d1d1e6e4d10","organization_id":"018f2a00-0000-7000-8000-000000000001","label":"a"}'


async def read_request(reader):
    """Meaning, method, target and bytes of the next request; raises `IncompleteReadError` at the end and `Invalid` at anything else."""
    head = await reader.readuntil(HEAD_END)
    found = PATTERN.match(head)
    if not found:
        raise Invalid(head)
    lengths, codings, _, _ = fields(head, head.index(b"\n") + 1)
    parts, kept = [], [head]
    if codings:
        if codings != [b"chunked"] or lengths:
            raise Invalid(head)
        while True:
            kept.append(await reader.readuntil(b"\r\n"))
            if not re.match(rb"[0-9a-fA-F]{1,8}\r\n\Z", kept[-1]):
                raise Invalid(kept[-1])
            size = int(kept[-1], 16)
            if not size:
                break
            kept.append(await reader.readexactly(size + 2))
            if not kept[-1].endswith(b"\r\n"):
                raise Invalid(kept[-1])
            parts.append(kept[-1][:-2])
        while kept[-1] != b"\r\n" or len(kept) < 3:
            kept.append(await reader.readuntil(b"\r\n"))
    elif lengths:
        if len(lengths) > 1 or not lengths[0].isdigit():
            raise Invalid(head)
        kept.append(await reader.readexactly(int(lengths[0])))
        parts.append(kept[-1])
    return meaning(found[1], origin_form(found[2]), b"".join(parts)), found[1], found[2], b"".join(kept)


class Stream:
    """What came on one connection: whole requests, by their bytes and their meanings, and what was none."""

    def __init__(self):
        self.meanings, self.sent, self.tail, self.fault, self.ended = [], [], b"", None, False

    def split(self):
        """Takes off what has come so far."""
        taken = Stream()
        taken.meanings, taken.sent, taken.tail, taken.fault = self.meanings, self.sent, self.tail, self.fault
        self.meanings, self.sent, self.tail, self.fault = [], [], b"", None
        return taken


class Recorder:
    """The upstream."""

    def __init__(self):
        self.streams, self.port = [], None

    async def start(self):
        """Listens on a port that is free."""
        server = await asyncio.start_server(self.serve, "127.0.0.1", 0, limit=1 << 20, backlog=1024)
        self.port = server.sockets[0].getsockname()[1]
        return server

    async def serve(self, reader, writer):
        """One connection."""
        stream, kept = Stream(), Kept(reader)
        self.streams.append(stream)
        try:
            while True:
                kept.taken = b""
                told, method, target, sent = await read_request(kept)
                stream.meanings.append(told)
                stream.sent.append(sent)
                is_read = target.startswith(b"/api/v2/lead-labels") and method != b"DELETE"
                body = (
                    LABEL
                    if is_read and b"?" not in target and target != b"/api/v2/lead-labels"
                    else b'{"items":[%s]}' % LABEL
                    if is_read
                    else b"{}"
                )
                writer.write(
                    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
                    + (b"" if method == b"HEAD" else body)
                )
                await writer.drain()
        except asyncio.IncompleteReadError as error:
            stream.tail = kept.taken + error.partial
        except (Invalid, asyncio.LimitOverrunError) as fault:
            stream.tail, stream.fault = kept.taken, repr(fault)
        except (asyncio.CancelledError, ConnectionError):
            stream.tail = kept.taken
        finally:
            stream.ended = True
            writer.close()

    def take(self):
        """What has come since it was last asked. A connection may go on: what comes next begins behind what is taken."""
        taken, self.streams = self.streams, [stream for stream in self.streams if not stream.ended]
        return [stream.split() for stream in taken if stream.sent or stream.tail or stream.fault]


class Kept:
    """A reader that keeps what it has given since it was told to forget."""

    def __init__(self, reader):
        self.reader, self.taken = reader, b""

    async def readuntil(self, end):
        """As the reader does."""
        got = await self.reader.readuntil(end)
        self.taken += got
        return got

    async def readexactly(self, length):
        """As the reader does."""
        got = await self.reader.readexactly(length)
        self.taken += got
        return got


async def start_echo():
    """The port of a server behind nginx and HAProxy: it tells each request that they made of a stream, in a field of its answer."""

    async def serve(reader, writer):
        try:
            while True:
                told = (await read_request(reader))[0]
                writer.write(b"HTTP/1.1 200 OK\r\nX-Read: %s\r\nContent-Length: 0\r\n\r\n" % told.encode("latin-1"))
                await writer.drain()
        except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError, asyncio.LimitOverrunError, Invalid):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, limit=1 << 20, backlog=1024)
    return server, server.sockets[0].getsockname()[1]
