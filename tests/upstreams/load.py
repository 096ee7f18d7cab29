"""Calls of many callers at once, each of whom knows what it must be answered: own labels, own organization, own writes."""

import asyncio
import collections
import json
import random
import uuid

import vendor
from wire import Connection, Failed

CALLERS = 40
ORGANIZATIONS = 8
WAVE, WAVE_SECONDS = 20, 0.1


class Tally:
    """What came of the calls."""

    def __init__(self):
        self.calls = 0
        self.errors = collections.Counter()
        self.confirmed = []


class Caller:
    """One key, one connection, and labels that nobody else writes."""

    def __init__(self, number, port, tally, run):
        self.organization = vendor.organization_id(number % ORGANIZATIONS)
        self.connection = Connection(port, f"o{number % ORGANIZATIONS}k{number}.{run}")
        self.tally, self.name = tally, f"{run}-{number}"
        self.random = random.Random(self.name)
        self.labels = {self.fresh(): "" for _ in range(4)}
        self.writes = 0

    def fresh(self):
        """The id of a label that nobody has asked for yet."""
        return str(uuid.UUID(int=self.random.getrandbits(128)))

    async def step(self):
        """One call of any kind, in a mix of reads, writes and pass-through calls."""
        roll = self.random.random()
        label = self.random.choice(list(self.labels))
        if roll < 0.2:
            return await self.read(self.fresh(), "")
        if roll < 0.4:
            return await self.read(label, self.labels[label])
        if roll < 0.5:
            return await self.ask("list", "GET", "/api/v2/lead-labels?limit=100", fields=["Cache-Control: no-cache"])
        if roll < 0.65:
            return await self.patch(label)
        if roll < 0.72:
            return await self.create()
        if roll < 0.78:
            return await self.delete()
        if roll < 0.88:
            return await self.ask("pass", "GET", f"/api/v2/campaigns/{self.fresh()}")
        marker = self.marker()
        return await self.ask("pass write", "POST", "/api/v2/leads", {"marker": marker, "pad": "p" * 900}, marker)

    def marker(self):
        """The id of a write: the vendor counts by it."""
        self.writes += 1
        return f"w-{self.name}-{self.writes}"

    async def ask(self, what, method, target, body=None, marker=None, fields=()):
        """A call, and what must hold of every answer: 200, this organization. None where it does not hold."""
        content = None if body is None else json.dumps(body).encode()
        try:
            answer = await self.connection.call(method, target, content, fields)
        except Failed as failed:
            return self.fault(what, str(failed))
        if answer.status != 200:
            return self.fault(what, answer.kind())
        try:
            told = json.loads(answer.body)
        except ValueError:
            return self.fault(what, "body is cut")
        named = {item.get("organization_id") for item in told.get("items", [told])}
        if named != {self.organization}:
            return self.fault(what, "FOREIGN BODY")
        if marker is not None:
            self.tally.confirmed.append(str(marker))
        return told

    def fault(self, what, kind):
        """Counts what went wrong."""
        self.tally.errors[f"{what}: {kind}"] += 1

    async def read(self, label, wanted):
        """A read of a label whose description is known."""
        # A label of one's own is asked of the API, or may be a hit: what it must be is the same.
        fields = ["Cache-Control: no-cache"] if self.random.random() < 0.5 else []
        told = await self.ask("read", "GET", f"/api/v2/lead-labels/{label}", fields=fields)
        if told and (told["id"], wanted is None or told["description"] == wanted) != (label, True):
            self.fault("read", "STALE" if told["id"] == label else "OTHER LABEL")

    async def patch(self, label):
        """A write whose value every later read must show; one that failed leaves the value open."""
        marker = self.marker()
        self.labels[label] = None
        told = await self.ask("patch", "PATCH", f"/api/v2/lead-labels/{label}", {"description": marker}, marker)
        if told:
            self.labels[label] = marker
            if (told["id"], told["description"]) != (label, marker):
                self.fault("patch", "OTHER ANSWER")

    async def create(self):
        """A new label, which is one of this caller's from now on."""
        marker = self.marker()
        told = await self.ask("post", "POST", "/api/v2/lead-labels", {"label": marker, "interest_status_label": "positive"}, marker)
        if told and told["label"] != marker:
            self.fault("post", "OTHER ANSWER")
        elif told:
            self.labels[told["id"]] = ""

    async def delete(self):
        """A label less, and a new one in its place."""
        label = self.random.choice(list(self.labels))
        marker = uuid.UUID(label).int >> 80
        del self.labels[label]
        self.labels[self.fresh()] = ""
        await self.ask("delete", "DELETE", f"/api/v2/lead-labels/{label}", {"reassigned_status": marker}, marker)


async def load(port, calls, run, recycle=None):
    """`calls` calls by all callers at once. With `recycle` they come in waves, 20 at once, each called off by it in the middle."""
    tally = Tally()
    turns = asyncio.Semaphore(0)

    async def work(caller):
        while tally.calls < calls:
            tally.calls += 1
            if recycle:
                await turns.acquire()
            await caller.step()
        caller.connection.close()

    async def waves():
        while True:
            for _ in range(WAVE):
                turns.release()
            await asyncio.sleep(WAVE_SECONDS / 10)
            recycle()
            await asyncio.sleep(WAVE_SECONDS * 9 / 10)

    pacing = asyncio.create_task(waves()) if recycle else None
    await asyncio.gather(*(work(Caller(number, port, tally, run)) for number in range(CALLERS)))
    if pacing:
        pacing.cancel()
    return tally


async def suite(port, run):
    """Each kind of label call once, one after the other: name and what came of it."""
    tally = Tally()
    caller = Caller(0, port, tally, f"{run}suite")
    label = next(iter(caller.labels))
    await caller.read(label, "")
    await caller.ask("list", "GET", "/api/v2/lead-labels?limit=100")
    await caller.create()
    await caller.patch(label)
    await caller.read(label, caller.labels[label])
    await caller.delete()
    caller.connection.close()
    return tally.errors
