#!/usr/bin/env python3
"""Every hostile peer at once, in the hostile phases only. All of it is bounded, goes to loopback alone, and ends by itself.

    attacks.py DATA_PORT ADMIN_PORT SOURCE SCHEDULE      SOURCE is the address that it comes from; prints what came of it
"""

import asyncio
import collections
import json
import logging
import socket
import struct
import sys
import time
import uuid
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "lib"))

import vendor  # noqa: E402
from schedule import Schedule  # noqa: E402
from wire import Connection, Failed  # noqa: E402

MIB = 1 << 20
# No row opens more connections than that in a phase.
OPENINGS = 5000


class Attack:
    """One hostile phase."""

    def __init__(self, data, admin, source, end, told):
        self.data, self.admin, self.source, self.end, self.told = data, admin, source, end, told
        self.openings = collections.Counter()
        self.held = []

    def count(self, row, what):
        """What came of something."""
        self.told[f"{row}: {what}"] += 1

    def left(self):
        """Whether the phase still lasts."""
        return time.monotonic() < self.end

    async def run(self):
        """All rows, until the phase ends; whatever still waits then is called off."""
        await self.become_known()
        rows = [self.every(*row) for row in self.rows()]
        tasks = [asyncio.create_task(row) for row in rows]
        await asyncio.sleep(max(0, self.end - time.monotonic()))
        for task in tasks:
            task.cancel()
        for outcome in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(outcome, Exception):
                raise outcome
        for held in self.held:
            held.close()

    async def become_known(self):
        """A read with each key that the API accepts: who is a stranger is held back long before it can hold much."""
        keys = [f"o6k{number}.{what}" for what in ("drip", "half", "early", "closing", "reset", "cut") for number in range(4)]
        keys += [f"o6k{number}.drip" for number in range(4, 40, 4)]
        keys += [f"o{10 + number % 8}k{number}.stall" for number in range(100)]
        keys += [f"o{20 + number % 8}k{number}.write" for number in range(64)]
        keys += [f"big{number}.stall" for number in range(40)] + ["big0.reader"]
        waiting = iter(keys)

        async def some():
            for key in waiting:
                try:
                    await self.ask(key, "GET", f"/api/v2/lead-labels/{uuid.uuid4()}")
                except (Failed, OSError) as failed:
                    self.count("become_known", str(failed))

        await asyncio.gather(*(some() for _ in range(6)))

    def rows(self):
        """How many of each at once, seconds between two of one, and what it does."""
        yield from ((1, 0.25, row) for row in (self.early_answer, self.cut_write, self.list_of_another))
        yield from ((2, 0.1, row) for row in (self.half_close, self.rapid_resets))
        yield 3, 0.05, self.garbage_key
        yield 3, 0.05, self.dead_key
        yield 40, 1, self.drip
        yield 200, 0.5, self.silent
        yield 80, 0.5, self.silent_admin
        yield 100, 0.5, self.half_head
        yield 100, 1, self.stalled_reader
        yield 40, 1, self.stalled_list
        yield 64, 0.5, self.large_write
        yield 8, 0.5, self.large_upload

    async def every(self, many, pause, row):
        """`many` callers, each of whom does it again and again."""

        async def one(number):
            await asyncio.sleep(number * 3 / many)
            while self.left() and self.openings[row.__name__] < OPENINGS:
                self.openings[row.__name__] += 1
                try:
                    self.count(row.__name__, await row(number) or "done")
                except Failed as failed:
                    self.count(row.__name__, str(failed))
                except (OSError, asyncio.IncompleteReadError, TimeoutError) as error:
                    self.count(row.__name__, type(error).__name__)
                await asyncio.sleep(pause)

        await asyncio.gather(*(one(number) for number in range(many)))

    async def open(self, port=None):
        """A connection of its own."""
        pair = await asyncio.open_connection("127.0.0.1", port or self.data, local_addr=(self.source, 0))
        self.held.append(pair[1])
        return pair

    def head(self, method, target, key, *fields):
        """A request's head, as far as it has got."""
        lines = [f"{method} {target} HTTP/1.1", f"Host: 127.0.0.1:{self.data}", f"Authorization: Bearer {key}", *fields, "", ""]
        return "\r\n".join(lines).encode()

    # Connections that hold something and give nothing.

    async def until_closed(self, reader, writer):
        """Waits for the other side's patience to end."""
        await reader.read()
        writer.close()
        return "closed by the proxy"

    async def silent(self, _number):
        """A connection that never says a word."""
        return await self.until_closed(*await self.open())

    async def silent_admin(self, _number):
        """The same at the admin port, where the probes come in."""
        return await self.until_closed(*await self.open(self.admin))

    async def half_head(self, number):
        """A head that never ends."""
        reader, writer = await self.open()
        writer.write(self.head("GET", "/api/v2/lead-labels", f"o6k{number}.half")[:-2])
        return await self.until_closed(reader, writer)

    async def drip(self, number):
        """An upload of a byte a second, by keys of which nothing is known, and by some that are known."""
        reader, writer = await self.open()
        key = f"o6k{number}.drip" if number % 4 == 0 else f"unknown{number}.{uuid.uuid4()}"
        writer.write(self.head("POST", "/api/v2/leads", key, "Content-Length: 5000"))
        answer = asyncio.ensure_future(reader.read(1 << 16))
        try:
            while not answer.done():
                writer.write(b" ")
                await asyncio.wait([answer], timeout=1)
            return answer.result()[9:12].decode() or "closed without an answer"
        finally:
            answer.cancel()

    async def stall(self, request):
        """Asks for much, and reads none of it."""
        loop = asyncio.get_running_loop()
        connection = socket.socket()
        self.held.append(connection)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.setblocking(False)
        connection.bind((self.source, 0))
        await loop.sock_connect(connection, ("127.0.0.1", self.data))
        await loop.sock_sendall(connection, request)
        await asyncio.sleep(max(0, self.end - time.monotonic()))

    async def stalled_reader(self, number):
        """A pass-through answer of 8 MiB."""
        await self.stall(self.head("GET", f"/api/v2/download/{8 * MIB}", f"o{10 + number % 8}k{number}.stall"))

    async def stalled_list(self, number):
        """A list of 4 MB, each a call of its own."""
        await self.stall(self.head("GET", f"/api/v2/lead-labels?limit={1 + number}", f"big{number}.stall", "Cache-Control: no-cache"))

    # Work that is wanted from the proxy, or from the API through it.

    async def ask(self, key, method, target, body=None, fields=()):
        """A call on a connection of its own."""
        connection = Connection(self.data, key, self.source)
        try:
            return await connection.call(method, target, body, fields)
        finally:
            connection.close()

    async def garbage_key(self, _number):
        """A key that nobody has seen."""
        return (await self.ask(f"garbage{uuid.uuid4()}", "GET", f"/api/v2/lead-labels/{uuid.uuid4()}")).kind()

    async def dead_key(self, number):
        """A key that the API refuses again and again."""
        return (await self.ask(f"dead{number}", "GET", "/api/v2/campaigns")).kind()

    async def list_of_another(self, number):
        """4 MB lists back to back, each read to its end."""
        answer = await self.ask(f"big{number}.reader", "GET", "/api/v2/lead-labels?limit=100", fields=["Cache-Control: no-cache"])
        if vendor.organization_id("big").encode() not in answer.body and answer.status == 200:
            return "FOREIGN BODY"
        return answer.kind()

    async def slow_upload(self, method, target, key, size):
        """An upload that is fast enough to be taken and slow enough to be held."""
        reader, writer = await self.open()
        writer.write(self.head(method, target, key, "Content-Type: application/json", f"Content-Length: {size}"))
        start = b'{"description":"large"'
        writer.write(start)
        sent = len(start)
        while sent < size:
            await writer.drain()
            await asyncio.sleep(0.2)
            piece = min(1 << 16, size - sent)
            sent += piece
            writer.write(b" " * piece if sent < size else b" " * (piece - 1) + b"}")
        status = (await reader.readline())[9:12].decode() or "closed without an answer"
        writer.close()
        return status

    async def large_write(self, number):
        """A label write of almost 1 MiB."""
        return await self.slow_upload("PATCH", f"/api/v2/lead-labels/{uuid.uuid4()}", f"o{20 + number % 8}k{number}.write", MIB - 1024)

    async def large_upload(self, number):
        """A pass-through upload of 4 MiB."""
        return await self.slow_upload("POST", "/api/v2/leads", f"o{20 + number % 8}k{number}.write", 4 * MIB)

    async def early_answer(self, number):
        """An upload that is refused before it has arrived: the answer must be heard all the same."""
        return (await self.ask(f"o6k{number}.early", "PATCH", f"/api/v2/lead-labels/{uuid.uuid4()}", b" " * 2 * MIB)).kind()

    async def half_close(self, number):
        """A client that says it has nothing more to send, and waits."""
        reader, writer = await self.open()
        organization = vendor.organization_id(6)
        writer.write(self.head("GET", f"/api/v2/lead-labels/{vendor.label_id(organization, number)}", f"o6k{number}.closing"))
        writer.write_eof()
        answer = await reader.read(1 << 16)
        writer.close()
        return answer[9:12].decode() or "EMPTY REPLY"

    # HTTP/2.

    def stream(self, number, method, path, key, length=None):
        """HEADERS of a stream: literal fields without an index, which need no table."""
        fields = [(":method", method), (":scheme", "http"), (":path", path), (":authority", f"127.0.0.1:{self.data}"),
                  ("authorization", f"Bearer {key}")]
        if length is not None:
            fields += [("content-length", str(length)), ("content-type", "application/json")]
        block = b"".join(b"\0%c%s%c%s" % (len(name), name.encode(), len(value), value.encode()) for name, value in fields)
        return frame(1, 4 if length is not None else 5, number, block)

    async def second(self):
        """A connection in HTTP/2."""
        reader, writer = await self.open()
        writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0, b""))
        await reader.readexactly(9)
        return reader, writer

    async def rapid_resets(self, number):
        """Streams that are called off as soon as they are opened."""
        reader, writer = await self.second()
        for at in range(1, 2000, 2):
            label = uuid.uuid4()
            writer.write(self.stream(at, "GET", f"/api/v2/lead-labels/{label}", f"o6k{number}.reset") + reset(at, 8))
            if at % 40 == 1:
                await writer.drain()
                await asyncio.sleep(0.1)
                if reader.at_eof():
                    return "closed by the proxy"
            if at % 400 == 1:
                await self.drain(reader, 0.01)
        writer.close()
        return "all sent"

    async def cut_write(self, number):
        """A write that is called off with NO_ERROR before its announced end: what came is sound JSON, and is no write."""
        reader, writer = await self.second()
        marker = f"cut-{uuid.uuid4()}"
        body = json.dumps({"description": marker}).encode()
        path = f"/api/v2/lead-labels/{uuid.uuid4()}"
        writer.write(self.stream(1, "PATCH", path, f"o6k{number}.cut", len(body) + 40) + frame(0, 0, 1, body))
        # The body is read before its end is heard of, or with it.
        await asyncio.sleep(0.05 * (self.openings["cut_write"] % 2))
        writer.write(reset(1, 0))
        await self.drain(reader, 0.5)
        writer.close()

    async def drain(self, reader, seconds):
        """Takes what has come by then; who is cut off has seen enough."""
        try:
            await asyncio.wait_for(reader.read(1 << 16), seconds)
        except (OSError, TimeoutError):
            pass


def frame(kind, flags, stream, payload):
    """A frame of HTTP/2."""
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def reset(stream, code):
    """RST_STREAM."""
    return frame(3, 0, stream, struct.pack(">I", code))


async def main():
    """Each hostile phase in its time."""
    data, admin, source, schedule = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], Schedule.parse(sys.argv[4])
    # Writing to who has hung up is what some rows do.
    logging.getLogger("asyncio").setLevel(logging.ERROR)
    told = collections.Counter()
    for begin, end in schedule.hostile_phases():
        await asyncio.sleep(max(0, begin - time.monotonic()))
        await Attack(data, admin, source, end, told).run()
    print(json.dumps(told))


if __name__ == "__main__":
    asyncio.run(main())
