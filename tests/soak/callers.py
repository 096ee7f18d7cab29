"""The honest load: callers of several organizations under the same ids, who check every body."""

import asyncio
import collections
import json
import random
import time
import uuid

import vendor
from second import Second
from wire import Connection, Failed

ORGANIZATIONS = 6
KEYS = 4
# Whoever waits longer is stuck: all time-outs of the proxy are set far below.
DEADLINE = 25
# Ids that are read now and then, so many that they leave and come back, so few that the cache has its full size early.
COLD = 3000
WORDS = ("hot",) * 50 + ("cold",) * 20 + ("page",) * 8 + ("write",) * 12 + ("through",) * 10


class Load:
    """All callers, and what they share: what has been answered of each label."""

    def __init__(self, ports, seed, pace):
        self.ports, self.random, self.pace = ports, random.Random(seed), pace
        self.phase, self.going, self.busy = "calm", asyncio.Event(), 0
        self.hang_ups, self.fault = False, "nothing"
        # Whether an answered write that is begun now is seen by every read behind it: not so between replicas of which one
        # has no lease (docs/FLEET.md, "Not promised").
        self.binding = True
        # The number of the last change whose write was answered, of each label.
        self.floor = collections.Counter()
        self.outcomes = collections.Counter()
        self.worst = 0.0
        self.faults = []
        self.cold = [str(uuid.UUID(int=self.random.getrandbits(128), version=4)) for _ in range(COLD)]
        self.callers = [
            Caller(self, organization, key, ports[(organization + key) % len(ports)], Second if key == KEYS - 1 else Connection)
            for organization in range(ORGANIZATIONS)
            for key in range(KEYS)
        ]

    def count(self, kind, what, phase):
        """What came of a call. In calm all of them succeed; some things never happen."""
        self.outcomes[f"{phase} {kind}: {what}"] += 1
        if what in ("FOREIGN", "STALE", "no answer in time", "nonsense") or (phase == "calm" and what != "200"):
            self.faults.append(f"{kind}, begun in {phase} ({self.fault}): {what}")

    async def rest(self):
        """Stops the callers, and waits until none has a call under way."""
        self.going.clear()
        while self.busy:
            await asyncio.sleep(0.02)

    def open(self):
        """How many connections the callers have, by port."""
        return collections.Counter(caller.connection.port for caller in self.callers if caller.connection.writer is not None)

    def close(self):
        """Lets all connections go."""
        for caller in self.callers:
            caller.connection.close()


class Caller:
    """One key, one connection."""

    def __init__(self, load, organization, key, port, protocol):
        self.load, self.random = load, random.Random(load.random.getrandbits(64))
        self.organization = vendor.organization_id(organization)
        self.connection = protocol(port, f"o{organization}k{key}.soak")
        self.token = organization

    async def run(self):
        """Calls, one after the other, whenever the load is on."""
        while True:
            # Who was woken may find that it has been called off again.
            while not self.load.going.is_set():
                await self.load.going.wait()
            self.load.busy += 1
            try:
                await self.one(self.random.choice(WORDS), self.load.phase)
            finally:
                self.load.busy -= 1
            await asyncio.sleep(self.random.expovariate(1 / self.load.pace))

    async def one(self, word, phase):
        """A call, and what came of it."""
        began = time.monotonic()
        if self.load.hang_ups and self.random.random() < 0.3 and isinstance(self.connection, Connection):
            await self.hang_up()
            return
        try:
            what = await getattr(self, word)()
        except Failed as failed:
            what = str(failed)
        except (ValueError, KeyError, TypeError):
            what = "nonsense"
        self.load.worst = max(self.load.worst, time.monotonic() - began)
        self.load.count(word, what, phase)

    async def hang_up(self):
        """A call whose caller does not wait for its answer."""
        connection = Connection(self.connection.port, self.connection.key)
        label = self.random.choice(self.load.cold)
        body = self.random.choice((None, json.dumps({"description": "x" * self.random.randrange(9000)}).encode()))
        call = asyncio.create_task(connection.call("PATCH" if body else "GET", f"/api/v2/lead-labels/{label}", body))
        await asyncio.sleep(self.random.random() * 0.05)
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        connection.close()
        self.load.outcomes["hung up"] += 1

    async def label(self, identifier, method="GET", body=None):
        """Reads or changes a label, and judges what is told of it."""
        binding = self.load.binding
        floor = self.load.floor[self.organization, identifier]
        answer = await self.connection.call(method, f"/api/v2/lead-labels/{identifier}", body, deadline=DEADLINE)
        if answer.status != 200:
            return answer.kind()
        told = json.loads(answer.body)
        if told["id"] != identifier:
            return "FOREIGN"
        if method == "PATCH" and told["organization_id"] == self.organization and binding:
            known = self.load.floor[self.organization, identifier]
            self.load.floor[self.organization, identifier] = max(known, told["interest_status"])
        return self.judged(told, floor)

    def judged(self, told, floor):
        """Whose it is, and whether it is older than a write that was answered before it was asked for."""
        if told["organization_id"] != self.organization:
            return "FOREIGN"
        if told["interest_status"] >= floor:
            return "200"
        self.load.faults.append(f"after {self.load.fault}: change {told['interest_status']} of a label, and {floor} was answered before")
        return "STALE"

    async def hot(self):
        """A label of the list."""
        return await self.label(vendor.label_id(self.organization, self.random.randrange(vendor.LIST_LENGTH)))

    async def cold(self):
        """One that is in no list. All organizations have it."""
        return await self.label(self.random.choice(self.load.cold))

    async def write(self):
        """A change of a label that many read."""
        label = vendor.label_id(self.organization, self.random.randrange(vendor.LIST_LENGTH))
        return await self.label(label, "PATCH", json.dumps({"description": f"soak {self.random.random()}"}).encode())

    async def page(self):
        """The list: each label in it is judged as by itself."""
        labels = [vendor.label_id(self.organization, number) for number in range(vendor.LIST_LENGTH)]
        floors = {label: self.load.floor[self.organization, label] for label in labels}
        answer = await self.connection.call("GET", "/api/v2/lead-labels", deadline=DEADLINE)
        if answer.status != 200:
            return answer.kind()
        items = json.loads(answer.body)["items"]
        if [item["id"] for item in items] != labels:
            return "FOREIGN"
        judged = {self.judged(item, floors[item["id"]]) for item in items}
        return next(iter(judged - {"200"}), "200")

    async def through(self):
        """A call that is only passed through, with a body of any length."""
        marker = f"{self.token} {self.random.getrandbits(64)}"
        body = json.dumps({"marker": marker, "filler": "x" * int(2 ** self.random.uniform(0, 15.5))}).encode()
        answer = await self.connection.call("POST", "/api/v2/leads/list", body, deadline=DEADLINE)
        if answer.status != 200:
            return answer.kind()
        told = json.loads(answer.body)
        sound = (told["organization_id"], told["marker"], told["length"]) == (self.organization, marker, len(body))
        return "200" if sound else "FOREIGN"

