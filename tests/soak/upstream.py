#!/usr/bin/env python3
"""The vendor of tests/lib, with faults on demand. It keeps the truth whatever happens to its connections.

    upstream.py SEED      prints `listens on 127.0.0.1:PORT`; reads a fault a line from standard input, `calm` ends it, and
                          answers each line with `done`; stops when its standard input ends

Every change of a label has a number, which counts up over all of them and stands in `interest_status`: so a reader knows
which of two values is the older one, and whether the one that it got is older than a write that was answered.
"""

import asyncio
import contextlib
import json
import random
import socket
import struct
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "lib"))

from vendor import PHRASES, Call, Vendor, problem  # noqa: E402

FAULTS = ("refuse", "hole", "slow", "drip", "cut", "reset", "limit", "fail", "restart")


class Truth(Vendor):
    """Labels whose changes are numbered."""

    def __init__(self):
        super().__init__(0)
        self.changed, self.numbers = 0, {}

    def labels(self, call, organization, identifier, special):
        """As ever; a change gets its number first."""
        if call.method == "PATCH" and identifier:
            self.changed += 1
            self.numbers[(organization, identifier)] = self.changed
        return super().labels(call, organization, identifier, special)

    def label(self, organization, identifier):
        """With the number of its last change."""
        return super().label(organization, identifier) | {"interest_status": self.numbers.get((organization, identifier), 0)}


class Upstream:
    """Listens, and fails as it is told."""

    def __init__(self, seed):
        self.truth, self.random = Truth(), random.Random(seed)
        self.fault, self.over = "calm", asyncio.Event()
        self.port, self.server, self.open = 0, None, set()

    async def listen(self):
        """On its port: the same one after a restart."""
        self.server = await asyncio.start_server(self.serve, "127.0.0.1", self.port, limit=1 << 17, backlog=1024, reuse_address=True)
        self.port = self.server.sockets[0].getsockname()[1]

    async def stop(self):
        """Nobody listens, and all connections are gone."""
        if self.server is not None:
            self.server.close()
            self.server = None
        for writer in list(self.open):
            writer.close()

    async def become(self, fault):
        """Ends what was, and begins this."""
        was, self.fault = self.fault, fault
        self.over.set()
        self.over = asyncio.Event()
        if fault in ("refuse", "restart"):
            await self.stop()
        if fault == "restart" or was == "refuse":
            await self.listen()

    async def serve(self, reader, writer):
        """Calls of one connection, until either side is done."""
        self.open.add(writer)
        try:
            while await self.exchange(Call(await reader.readuntil(b"\r\n\r\n")), reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError, ValueError, asyncio.LimitOverrunError):
            pass
        finally:
            self.open.discard(writer)
            writer.close()

    async def exchange(self, call, reader, writer):
        """One call; whether there may be another one behind it."""
        await call.read_body(reader)
        fault = self.fault
        if fault == "hole":
            # What fell in is never processed, so that nothing lands long after its caller has given up.
            await self.over.wait()
            return False
        if fault == "slow":
            await asyncio.sleep(self.random.uniform(0.1, 0.8))
        status, fields, body = self.answer(call, fault)
        fields = [("content-type", "application/json"), *fields, ("content-length", str(len(body)))]
        lines = "".join(f"{name}: {value}\r\n" for name, value in fields)
        whole = f"HTTP/1.1 {status} {PHRASES.get(status, 'Status')}\r\n{lines}\r\n".encode("latin-1") + body
        if fault in ("cut", "reset"):
            return await self.broken(whole, writer, fault)
        for piece in self.pieces(whole, fault):
            writer.write(piece)
            await writer.drain()
            if fault == "drip":
                await asyncio.sleep(0.01)
        return True

    def answer(self, call, fault):
        """What is said: the truth, or an error, before or after the work was done."""
        if fault == "limit" and self.random.random() < 0.5:
            return problem(429, "Rate limit exceeded", [("retry-after", "1")])
        if fault == "fail" and self.random.random() < 0.7:
            if self.random.random() < 0.5:
                self.truth.answer(call)
            return self.random.choice((500, 502, 503, 529)), [("content-type", "text/html")], b"<h1>Error</h1>"
        return self.truth.answer(call)

    def pieces(self, whole, fault):
        """All at once, or a few bytes at a time."""
        if fault != "drip":
            return [whole]
        step = max(16, len(whole) // 60)
        return [whole[at : at + step] for at in range(0, len(whole), step)]

    async def broken(self, whole, writer, fault):
        """Any number of its bytes, and the connection's end."""
        writer.write(whole[: self.random.randrange(len(whole))])
        with contextlib.suppress(ConnectionError):
            await writer.drain()
        if fault == "reset":
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
        return False


async def main():
    """Obeys until standard input ends."""
    upstream = Upstream(int(sys.argv[1]))
    await upstream.listen()
    print(f"listens on 127.0.0.1:{upstream.port}", flush=True)
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        word = line.strip()
        await upstream.become(word)
        print("done", json.dumps(upstream.truth.changed), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
