#!/usr/bin/env python3
"""What the proxy talks to: the vendor with more ways to answer, a forward proxy, and a collector of traces.

    peers.py FOLDER      prints `listens on VENDOR EGRESS COLLECTOR`; FOLDER gets what the collector was sent, bodies alone

The vendor's answers hang on the path: `/api/v2/status/403`, `/api/v2/hang`, `/api/v2/cut`, and a label whose id begins with
five zeros behind a status. It answers with nothing that it was sent. The forward proxy refuses every second call with a 407 and else
makes a tunnel to somebody who speaks no TLS.
"""

import asyncio
import itertools
import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "lib"))

from vendor import PHRASES, Call, Vendor, problem  # noqa: E402


def answer(vendor, call):
    """Status, fields and body; none for a call that is never answered."""
    if found := re.search(rb"/status/(\d{3})|/lead-labels/(\d{3})00000-", call.target):
        status = int(found[1] or found[2])
        PHRASES.setdefault(status, "Of some kind")
        return problem(status, "As you wish")
    if call.target == b"/api/v2/hang":
        return None
    return vendor.answer(call)


async def serve_vendor(vendor, reader, writer):
    """Calls of one connection."""
    while True:
        call = Call(await reader.readuntil(b"\r\n\r\n"))
        await call.read_body(reader)
        told = answer(vendor, call)
        if told is None:
            await reader.read()
            return
        status, fields, body = told
        fields = [("content-type", "application/json"), *fields, ("content-length", str(len(body)))]
        lines = "".join(f"{name}: {value}\r\n" for name, value in fields)
        whole = f"HTTP/1.1 {status} As it is\r\n{lines}\r\n".encode() + (b"" if call.method == "HEAD" else body)
        if call.target == b"/api/v2/cut":
            writer.write(whole[:-5])
            return
        writer.write(whole)
        await writer.drain()


async def serve_egress(numbers, reader, writer):
    """CONNECT."""
    await reader.readuntil(b"\r\n\r\n")
    if next(numbers) % 2 == 0:
        writer.write(b"HTTP/1.1 407 Who are you\r\nproxy-authenticate: Basic\r\ncontent-length: 0\r\n\r\n")
        return
    writer.write(b"HTTP/1.1 200 Here you are\r\n\r\n")
    await reader.read(1)
    writer.write(b"HTTP/1.1 400 No TLS here\r\ncontent-length: 0\r\n\r\n")


async def serve_collector(path, reader, writer):
    """Traces."""
    while True:
        call = Call(await reader.readuntil(b"\r\n\r\n"))
        await call.read_body(reader)
        with path.open("ab") as file:
            file.write(call.body)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")


async def listening(serve, *words):
    """The port of a server of connections."""

    async def one(reader, writer):
        try:
            await serve(*words, reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError, ValueError, asyncio.LimitOverrunError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(one, "127.0.0.1", 0, limit=1 << 20)
    return server, server.sockets[0].getsockname()[1]


async def main():
    """Serves until standard input ends."""
    servers = [
        await listening(serve_vendor, Vendor(0)),
        await listening(serve_egress, itertools.count()),
        await listening(serve_collector, Path(sys.argv[1]) / "traces"),
    ]
    print("listens on", *(port for _, port in servers), flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())
