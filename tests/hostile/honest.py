#!/usr/bin/env python3
"""Honest callers at a fixed, modest rate, who check every body: whose it is, which label, and what was last written.

    honest.py hits|others PORT SCHEDULE      SCHEDULE as in hostile.py; prints one JSON object at its end

`hits` times each read of a label that is stored. Its clock starts when a call is due, if the call before it was still under
way then (a slow answer delays no later measure), else when it is sent: that this process woke late is not the proxy's doing.
"""

import asyncio
import collections
import json
import socket
import sys
import time
import uuid
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "lib"))

import vendor  # noqa: E402
from schedule import Schedule  # noqa: E402
from wire import Connection, Failed  # noqa: E402

HITS_PER_SECOND = 300
CONNECTIONS = 12
ORGANIZATIONS = 4
MISS_SECONDS, WRITE_SECONDS = 0.1, 0.25


class Hits:
    """Reads of stored labels, one after the other, over connections that stay open."""

    def __init__(self, port, schedule):
        self.port, self.schedule = port, schedule
        self.sockets = [None] * CONNECTIONS
        self.errors = collections.Counter()
        self.calls = collections.Counter()
        self.times = {"quiet": [], "hostile": []}

    def run(self):
        """From the schedule's begin to its end."""
        began, number, ended = self.schedule.begin, 0, 0.0
        while (due := began + number / HITS_PER_SECOND) < self.schedule.end:
            if (early := due - time.monotonic()) > 0:
                time.sleep(early)
            phase = self.schedule.phase(due)
            start = due if ended > due else time.monotonic()
            try:
                was_hit = self.read(number)
            except (OSError, ValueError, IndexError, KeyError) as error:
                self.sockets[number % CONNECTIONS] = None
                self.fault(phase, f"hit: {type(error).__name__}")
                was_hit = False
            ended = time.monotonic()
            # What was asked of the API, such as a proof that was due, is no hit: calls that were due behind it are left out.
            if not was_hit:
                began += max(0.0, ended - due)
            if phase in self.times:
                self.calls[f"{phase} {'hit' if was_hit else 'asked of the API'}"] += 1
                if was_hit:
                    self.times[phase].append(ended - start)
            number += 1
        return {"errors": self.errors, "calls": self.calls, "times": self.times}

    def fault(self, phase, kind):
        """Counts an error in its phase."""
        self.errors[f"{phase} {kind}"] += 1

    def read(self, number):
        """One call; whether it was a hit. Anything but the right label is an error."""
        at = number % CONNECTIONS
        name = at % ORGANIZATIONS
        organization = vendor.organization_id(name)
        label = vendor.label_id(organization, number // CONNECTIONS % vendor.LIST_LENGTH)
        if self.sockets[at] is None:
            self.sockets[at] = socket.create_connection(("127.0.0.1", self.port), 10)
            self.sockets[at].setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = self.sockets[at]
        connection.sendall(
            f"GET /api/v2/lead-labels/{label} HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\n"
            f"Authorization: Bearer o{name}k{at}.honest\r\n\r\n".encode()
        )
        received = b""
        while b"\r\n\r\n" not in received:
            received += self.more(connection)
        head, _, body = received.partition(b"\r\n\r\n")
        fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
        while len(body) < int(fields[b"content-length"]):
            body += self.more(connection)
        status = head.split(b" ")[1].decode()
        phase = self.schedule.phase(time.monotonic())
        if status != "200":
            self.fault(phase, f"hit: {status}")
            return False
        told = json.loads(body)
        if (told["organization_id"], told["id"]) != (organization, label):
            self.fault(phase, "FOREIGN BODY")
        return b"; hit" in fields.get(b"cache-status", b"")

    @staticmethod
    def more(connection):
        """What has come; the end of the connection is an error here."""
        data = connection.recv(1 << 16)
        if not data:
            raise ConnectionError("closed")
        return data


class Others:
    """Misses, and writes that are read back."""

    def __init__(self, port, schedule):
        self.port, self.schedule = port, schedule
        self.errors = collections.Counter()
        self.calls = collections.Counter()
        self.times = {"quiet": [], "hostile": []}

    async def run(self):
        """Both at their pace until the schedule ends."""
        await asyncio.gather(
            *(self.every(MISS_SECONDS * 2, self.miss, f"o{name}k1.honest") for name in (0, 1)),
            *(self.every(WRITE_SECONDS * 2, self.write, f"o{name}k2.honest") for name in (4, 5)),
        )
        return {"errors": self.errors, "calls": self.calls, "times": self.times}

    async def every(self, seconds, step, key):
        """A step, again and again, each at its time or right after the one before it."""
        connection, due = Connection(self.port, key), self.schedule.begin
        organization = vendor.organization_id(int(key[1]))
        while due < self.schedule.end:
            await asyncio.sleep(max(0, due - time.monotonic()))
            phase, started = self.schedule.phase(due), time.monotonic()
            self.calls[f"{phase} {step.__name__}"] += 1
            try:
                await step(connection, organization, phase)
                if phase in self.times and step == self.miss:
                    self.times[phase].append(time.monotonic() - started)
            except Failed as failed:
                self.errors[f"{phase} {step.__name__}: {failed}"] += 1
            due = max(due + seconds, time.monotonic() - seconds)
        connection.close()

    async def ask(self, connection, organization, label, method="GET", body=None):
        """A call whose answer must be this organization's label."""
        answer = await connection.call(method, f"/api/v2/lead-labels/{label}", body)
        if answer.status != 200:
            raise Failed(answer.kind())
        told = json.loads(answer.body)
        if (told["organization_id"], told["id"]) != (organization, label):
            raise Failed("FOREIGN BODY")
        return told

    async def miss(self, connection, organization, _phase):
        """A label that nobody has read yet."""
        await self.ask(connection, organization, str(uuid.uuid4()))

    async def write(self, connection, organization, phase):
        """A write, and what the next read says."""
        label, text = vendor.label_id(organization, 99), f"honest {time.monotonic()}"
        await self.ask(connection, organization, label, "PATCH", json.dumps({"description": text}).encode())
        if (await self.ask(connection, organization, label))["description"] != text:
            self.errors[f"{phase} STALE"] += 1


def main():
    """One of the two."""
    what, port, schedule = sys.argv[1], int(sys.argv[2]), Schedule.parse(sys.argv[3])
    result = Hits(port, schedule).run() if what == "hits" else asyncio.run(Others(port, schedule).run())
    print(json.dumps(result))


if __name__ == "__main__":
    main()
