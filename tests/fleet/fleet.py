"""Acts of a fleet, each with what must hold and what was measured."""

import argparse
import asyncio
import bisect
import itertools
import random
import re
import signal
import sys
import time

from api import Api, PAGE, label, token
from client import whole
from processes import Replica, Store, asked

FAULTS, STRICT = [], []
# Of an act in which the machine cost a replica its lease.
TRIES = 3


def check(holds, what):
    """A promise: broken, the run fails."""
    print(f"  {'holds' if holds else 'BROKEN'}: {what}", flush=True)
    if not holds:
        FAULTS.append(what)


def bar(reached, what):
    """A figure that depends on the machine, too: it fails the run with --strict alone."""
    print(f"  {'reached' if reached else 'missed'}: {what}", flush=True)
    if not reached and STRICT:
        FAULTS.append(what)


def quantile(values, part):
    values = sorted(values)
    return values[min(len(values) - 1, int(part * len(values)))] if values else 0.0


class Stage:
    """An API, a store and replicas."""

    def __init__(self, arguments, engine):
        self.arguments, self.engine, self.replicas, self.store = arguments, engine, [], None

    async def open(self, count, shared=True, latency=0.0, **settings):
        self.api = Api(latency)
        self.port = await self.api.start()
        if shared:
            self.store = await asked(lambda: Store(self.engine, self.arguments.scratch))
        for _ in range(count):
            self.replicas.append(await self.replica(**settings))
        return self

    async def replica(self, **settings):
        store = self.store.port if self.store else None
        binary, scratch = self.arguments.binary, self.arguments.scratch
        return await asked(lambda: Replica(binary, scratch, self.port, store, **settings))

    async def lost_leases(self):
        """How often a replica that still runs was without its lease, which a machine that stands still for half a second costs it:
        alone it may serve what is old for `shared.alone_ttl`."""
        return sum([await asked(replica.lost_leases) for replica in self.replicas])

    async def close(self):
        for replica in self.replicas:
            await asked(replica.kill)
        if self.store:
            self.store.kill()
        self.api.server.close()


async def pairs_of(stage, number, count, times):
    """Writes through one replica, read at once through all; how often one showed another value."""
    old, path = 0, f"{PAGE}/{label(1)}"
    for n in range(count):
        text, writer = f"{number} {n}", random.choice(stage.replicas)
        begun = time.perf_counter()
        await whole(writer.client, token(number), "PATCH", path, {"label": text})
        times.append(time.perf_counter() - begun)
        reads = (whole(replica.client, token(number), "GET", path) for replica in stage.replicas)
        old += sum(answer["label"] != text for answer in await asyncio.gather(*reads))
    return old


async def pairs(arguments, engine):
    """P1 on sockets, and what a write waits for it."""
    organizations, each = 20, max(1, arguments.pairs // 20)
    figures = {}
    for name, shared in (("one process", False), ("three replicas", True)):
        for _ in range(TRIES):
            stage = await Stage(arguments, engine).open(3 if shared else 1, shared)
            times, alone = [], []
            old = sum(await asyncio.gather(*(pairs_of(stage, number, each, times) for number in range(organizations))))
            for number in range(20, 40):
                old += await pairs_of(stage, number, 10, alone)
            if not shared or not old or not await stage.lost_leases():
                break
            print(f"  {name}: a lease was lost, and {old} values were old: once more")
            await stage.close()
        figures[name] = alone
        print(f"  {name}: {len(times)} writes under load p50 {quantile(times, 0.5) * 1e3:.2f} p99 {quantile(times, 0.99) * 1e3:.2f} ms;"
              f" {len(alone)} one by one p50 {quantile(alone, 0.5) * 1e3:.2f} p99 {quantile(alone, 0.99) * 1e3:.2f} ms")
        check(old == 0, f"{name}: {old} old values in {len(times)} writes and {len(times) * len(stage.replicas)} reads behind them")
        await stage.close()
    added = (quantile(figures["three replicas"], 0.99) - quantile(figures["one process"], 0.99)) * 1e3
    bar(added <= 5, f"a write waits {added:.2f} ms longer (p99, one by one; bar 5)")


async def death(arguments, engine):
    """A replica that dies costs one write the rest of its lease."""
    stage = await Stage(arguments, engine).open(3)
    path = f"{PAGE}/{label(1)}"
    await whole(stage.replicas[0].client, token(1), "PATCH", path, {"label": "before"})
    await asked(stage.replicas.pop().kill)
    times = []
    for n in range(3):
        begun = time.perf_counter()
        await whole(stage.replicas[0].client, token(1), "PATCH", path, {"label": f"after {n}"})
        times.append((time.perf_counter() - begun) * 1e3)
    print("  writes behind the death of a replica: " + ", ".join(f"{t:.0f}" for t in times) + " ms")
    bar(times[0] <= 650 and max(times[1:]) <= 100, "one write waits 650 ms at most, the next do not")
    await stage.close()


async def store_faults(arguments, engine):
    """No fault of the store becomes an error, a wrong body or a slow hit."""
    stage = await Stage(arguments, engine).open(2)
    store, path = stage.store, f"{PAGE}/{label(1)}"
    for replica, number in itertools.product(stage.replicas, range(8)):
        await whole(replica.client, token(number), "GET", path)

    async def load(seconds):
        times, bad, end = [], 0, time.perf_counter() + seconds
        while time.perf_counter() < end:
            number, replica = random.randrange(8), random.choice(stage.replicas)
            begun = time.perf_counter()
            status, fields, body = await replica.client.call(token(number), "GET", path)
            took = time.perf_counter() - begun
            bad += status != 200 or f"first of {number}".encode() not in body
            if "hit" in fields.get("cache-status", ""):
                times.append(took * 1e3)
            await asyncio.sleep(0.001)
        return times, bad

    healthy, bad = await load(3)
    base = quantile(healthy, 0.99)
    check(bad == 0, f"healthy: 0 of {len(healthy)} hits wrong, p99 {base:.2f} ms")
    def refuse(*words):
        return lambda: asked(lambda: store.ask(*words))
    async def restart():
        await asked(store.kill)
        await asyncio.sleep(1)
        await asked(store.start)
    async def freeze():
        store.signal(signal.SIGSTOP)
        await asyncio.sleep(1.5)
        store.signal(signal.SIGCONT)
    acts = [
        ("frozen for 1.5 s", freeze, None),
        ("killed and started", restart, None),
        ("FLUSHALL", refuse("FLUSHALL"), None),
        ("connections killed", refuse("CLIENT", "KILL", "TYPE", "normal"), None),
        ("a replica of nobody (READONLY)", refuse("REPLICAOF", "127.0.0.1", "1"), refuse("REPLICAOF", "NO", "ONE")),
        ("out of memory", refuse("CONFIG", "SET", "maxmemory", "1mb"), refuse("CONFIG", "SET", "maxmemory", "256mb")),
        ("a password that nobody has (NOAUTH)", refuse("CONFIG", "SET", "requirepass", "x"), None),
    ]
    for name, begin, end in acts:
        loading = asyncio.ensure_future(load(3))
        await asyncio.sleep(0.3)
        await begin()
        times, bad = await loading
        if end:
            await end()
        check(bad == 0, f"store {name}: {bad} errors or wrong bodies")
        bar(quantile(times, 0.99) <= base + 1, f"store {name}: p99 of {len(times)} hits {quantile(times, 0.99):.2f} ms ({base:.2f} healthy)")
    await stage.close()


async def cold(arguments, engine):
    """What replicas that start cold cost upstream together."""
    calls = {}
    for name, count in (("one process", 1), ("three replicas", 3)):
        stage = await Stage(arguments, engine).open(count, count > 1, latency=0.02)
        tokens = [token(number, key) for number in range(20) for key in range(5)]
        async def reader(seed):
            chance = random.Random(seed)
            for _ in range(500):
                path = f"{PAGE}/{label(chance.randrange(1, 3))}"
                replica = chance.choice(stage.replicas)
                status, _, _ = await replica.client.call(chance.choice(tokens), "GET", path)
                assert status == 200, status
        await asyncio.gather(*(reader(seed) for seed in range(40)))
        calls[name] = stage.api.calls
        await stage.close()
    bar(calls["three replicas"] <= 1.1 * calls["one process"],
          f"20,000 reads by 100 keys of 20 organizations: {calls['three replicas']} upstream calls, one process {calls['one process']} (bar 1.1x)")


async def steady(arguments, engine):
    """What one organization with 100 keys costs upstream in a minute, where each replica is asked by each key all the time."""
    stage = await Stage(arguments, engine).open(arguments.replicas, cache__list_fill=True)
    pause, begun, failed = 10.0, time.monotonic(), []
    async def asks(replica, key):
        await asyncio.sleep(random.random() * pause)
        while time.monotonic() < begun + 130:
            asked = time.monotonic()
            status, _, _ = await replica.client.call(token(1, key), "GET", f"{PAGE}/{label(1 + key % 2)}")
            if status != 200:
                failed.append(asked)
            await asyncio.sleep(max(0.0, pause - (time.monotonic() - asked)))
    await asyncio.gather(*(asks(replica, key) for replica in stage.replicas for key in range(100)))
    calls = sum(begun + 65 <= at < begun + 125 for at, *_ in stage.api.arrivals)
    check(not any(at > begun + 65 for at in failed), f"{len(failed)} reads failed, all while nobody was proven yet")
    bar(calls <= 145, f"{calls} upstream calls in a minute by {arguments.replicas} replicas, 100 keys asking each (bar 145)")
    await stage.close()


async def limit(arguments, engine):
    """The vendor's limit over all replicas together, counted where calls arrive."""
    stage = await Stage(arguments, engine).open(3, shield__max_wait="2s")
    seconds = arguments.minutes * 60
    end = time.monotonic() + seconds
    for replica in stage.replicas:
        await whole(replica.client, token(1), "GET", f"{PAGE}/{label(1)}")
    answers, waits = {}, {replica: [] for replica in stage.replicas}
    async def caller(replica, key, pause):
        while time.monotonic() < end:
            begun = time.monotonic()
            status, _, _ = await replica.client.call(token(1, key), "GET", "/api/v2/campaigns")
            answers[status] = answers.get(status, 0) + 1
            if status == 200:
                waits[replica].append(time.monotonic() - begun)
            await asyncio.sleep(pause)
    begun = time.monotonic()
    await asyncio.gather(*(caller(replica, 0, 0.02) for replica in stage.replicas for _ in range(60)))
    arrivals = [at for at, number, _, _ in stage.api.arrivals if at >= begun]
    most = max((bisect.bisect_left(arrivals, at + 1.0) - index for index, at in enumerate(arrivals)), default=0)
    minute = max((bisect.bisect_left(arrivals, at + 60.0) - index for index, at in enumerate(arrivals)), default=0)
    used = len(arrivals) / (90 * (time.monotonic() - begun))
    print(f"  {len(arrivals)} calls in {time.monotonic() - begun:.0f} s by three replicas; answers {answers}")
    # An answer of the store that the machine delays by more than `shared.timeout` costs a call of the share.
    bar(most <= 100, f"{most} calls in the fullest second (the vendor allows 100)")
    bar(most <= 90, f"{most} calls in the fullest second, as they arrive (at most 90 leave)")
    check(minute <= 5400, f"{minute} calls in the fullest minute (at most 5,400)")
    bar(used >= 0.92, f"{used:.1%} of 90 a second used (at least 92 %)")
    await stage.close()


async def rolling(arguments, engine):
    """Replicas are replaced one by one under reads and writes."""
    for left in reversed(range(TRIES)):
        if await roll(arguments, engine, left):
            return
        print("  a lease was lost, and values were old: once more")


async def roll(arguments, engine, left):
    """False where it says nothing, and may be done again."""
    lost = 0
    stage = await Stage(arguments, engine).open(3)
    path, counts, running = f"{PAGE}/{label(1)}", {"reads": 0, "failed": 0, "old": 0}, True
    # The number of the latest write that was answered: a read that begins then shows this one or a later one.
    answered = {number: -1 for number in range(5)}
    async def reader():
        while running:
            number, replica = random.randrange(5), random.choice(stage.replicas)
            before = answered[number]
            status, _, body = await replica.client.call(token(number), "GET", path)
            counts["reads"] += 1
            counts["failed"] += status != 200
            shown = re.search(rb"write (\d+);", body)
            counts["old"] += status == 200 and (int(shown[1]) if shown else -1) < before
            await asyncio.sleep(0.005)
    async def writer():
        for n in itertools.count():
            if not running:
                return
            number = n % 5
            replica = random.choice(stage.replicas)
            status, _, _ = await replica.client.call(token(number), "PATCH", path, {"label": f"write {n};"})
            counts["failed"] += status != 200
            answered[number] = n
            await asyncio.sleep(0.2)
    tasks = [asyncio.ensure_future(reader()) for _ in range(8)] + [asyncio.ensure_future(writer())]
    await asyncio.sleep(5)
    steady = stage.api.calls
    await asyncio.sleep(10)
    steady = (stage.api.calls - steady) / 10
    begun, before = time.monotonic(), stage.api.calls
    for _ in range(3):
        leaving = stage.replicas.pop(0)
        stage.replicas.append(await stage.replica())
        await asyncio.sleep(0.5)
        while leaving.client.under_way:
            await asyncio.sleep(0.01)
        lost += await asked(leaving.lost_leases)
        await asked(leaving.stop)
        await asyncio.sleep(1.5)
    rate = (stage.api.calls - before) / (time.monotonic() - begun)
    running = False
    await asyncio.gather(*tasks)
    if left and counts["old"] and lost + await stage.lost_leases():
        await stage.close()
        return False
    check(counts["failed"] == 0 and counts["old"] == 0, f"{counts['reads']} reads: {counts['failed']} failed, {counts['old']} old")
    bar(rate <= 1.2 * steady, f"{rate:.1f} upstream calls a second while replicas were replaced, {steady:.1f} before (bar 1.2x)")
    await stage.close()
    return True


ACTS = {"pairs": pairs, "death": death, "store_faults": store_faults, "cold": cold, "limit": limit, "rolling": rolling}
# Minutes long, and the larger the fleet the more of a machine: run by name alone.
LONG_ACTS = {"steady": steady}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("binary")
    parser.add_argument("scratch")
    parser.add_argument("--pairs", type=int, default=2000)
    parser.add_argument("--minutes", type=float, default=0.5)
    parser.add_argument("--strict", action="store_true")
    parser.add_argument("--only", choices=ACTS | LONG_ACTS)
    parser.add_argument("--replicas", type=int, default=10)
    parser.add_argument("--engine", choices=["redis", "valkey"])
    arguments = parser.parse_args()
    STRICT.extend([True] * arguments.strict)
    for engine in [arguments.engine] if arguments.engine else ["redis", "valkey"]:
        for name, act in (ACTS | LONG_ACTS).items():
            if arguments.only == name or (arguments.only is None and name in ACTS):
                print(f"{engine}: {name}: {act.__doc__}", flush=True)
                asyncio.run(act(arguments, engine))
    if FAULTS:
        sys.exit(f"{len(FAULTS)} of what must hold do not")


main()
