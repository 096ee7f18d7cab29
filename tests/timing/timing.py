#!/usr/bin/env python3
"""See run."""

import argparse
import gc
import os
import random
import socket
import statistics
import sys
import time
import uuid
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "lib"))

import children  # noqa: E402

# The reader and the vendor on one core, the proxy on the other.
OTHERS, PROXY = "0", "1"
A_A_RUNS = 20
MOST = 0.02
# A label that only those may read who are to be proven: quick.c says why.
OPEN = "00000000-0000-4000-8000-000000000001"
# Fields that are another's in each answer.
OWN = {b"date", b"x-request-id", b"via"}
# Fields whose value is: a validator of the label, and a time that counts down by itself.
CHANGING = {b"etag", b"retry-after"}


class Caller:
    """Somebody who asks for what is not theirs; whether each read has to reach the vendor."""

    def __init__(self, name, key, reaches_vendor):
        self.name, self.key, self.reaches_vendor = name, key, reaches_vendor


# Organization 0 has everything in the cache; even keys are its own, odd ones are those of organization 1.
CALLERS = (
    Caller("proven in another organization, which has no such label", "m1", True),
    Caller("proven in another organization, which has a label of its own under that id", "a3", True),
    Caller("a key that has proven nothing", "n5", True),
    Caller("a key that the API refuses", "x7", False),
    Caller("no key", None, False),
)


class Reader:
    """One connection, and how long each read on it takes."""

    def __init__(self, port):
        self.port = port
        self.connection = self.open()

    def open(self):
        """A connection."""
        connection = socket.create_connection(("127.0.0.1", self.port), 20)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def read(self, key, label):
        """Nanoseconds, and the whole answer."""
        authorization = f"Authorization: Bearer {key}\r\n" if key else ""
        request = f"GET /api/v2/lead-labels/{label} HTTP/1.1\r\nHost: 127.0.0.1\r\n{authorization}\r\n".encode()
        begun = time.perf_counter_ns()
        self.connection.sendall(request)
        received = self.connection.recv(1 << 16)
        while not whole(received):
            received += self.connection.recv(1 << 16)
        return time.perf_counter_ns() - begun, received


def whole(received):
    """Whether the answer is complete."""
    head, found, body = received.partition(b"\r\n\r\n")
    return found and len(body) == int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])


def looks(answer):
    """What an answer tells beside its time: status, fields and the length of its body."""
    head, _, body = answer.partition(b"\r\n\r\n")
    status, *fields = head.lower().split(b"\r\n")
    told = (field.partition(b":") for field in fields)
    return status, tuple(sorted((name, b"" if name in CHANGING else value) for name, _, value in told if name not in OWN)), len(body)


class Timing:
    """All runs with one proxy."""

    def __init__(self, reader, choice, samples, proxy):
        self.reader, self.random, self.samples, self.proxy = reader, choice, samples, proxy
        self.faults = []

    def new(self, count):
        """So many ids that nobody has asked for."""
        return [str(uuid.UUID(int=self.random.getrandbits(128) | 1 << 127, version=4)) for _ in range(count)]

    def hot(self, count):
        """So many ids that are hot for organization 0."""
        labels = self.new(count)
        for label in labels:
            answer = self.reader.read("a0", label)[1]
            if not answer.startswith(b"HTTP/1.1 200"):
                raise SystemExit(f"the cache could not be filled: {answer[:200]}")
        if b"hit" not in self.reader.read("a0", labels[0])[1].lower().split(b"cache-status")[1].split(b"\r\n")[0]:
            raise SystemExit("what was filled is not hot")
        return labels

    def run(self, caller, ones, others):
        """The difference of the medians, as a part of the second one, and that; each id is read once, in any order."""
        order = [(label, 0) for label in ones] + [(label, 1) for label in others]
        self.random.shuffle(order)
        times, seen = ([], []), (set(), set())
        gc.disable()
        for label, side in order:
            took, answer = self.reader.read(caller.key, label)
            times[side].append(took)
            seen[side].add(looks(answer))
        gc.enable()
        if seen[0] != seen[1] and caller.reaches_vendor:
            self.faults.append(f"{caller.name}: answers differ: {sorted(seen[0] ^ seen[1])[:2]}")
        for told in seen[0] | seen[1]:
            if any(name == b"age" or b"hit" in value for name, value in told[1]):
                self.faults.append(f"{caller.name}: an answer tells of the cache: {told}")
        first, second = (statistics.median(some) for some in times)
        return first / second - 1, second

    def compare(self, caller):
        """The run that counts, somewhere among those of like with like."""
        half = self.samples // 2
        hot, at = self.hot(half), self.random.randrange(A_A_RUNS + 1)
        before = self.asked()
        # What is done once, such as a proof or opening a connection, belongs to no sample.
        for label in [OPEN, *self.new(20)]:
            self.reader.read(caller.key, label)
        likes, found = [], None
        for number in range(A_A_RUNS + 1):
            if number == at:
                found = self.run(caller, hot, self.new(half))
            else:
                likes.append(abs(self.run(caller, self.new(half), self.new(half))[0]))
        asked = self.asked() - before
        if caller.reaches_vendor and asked < self.samples * (A_A_RUNS + 1):
            self.faults.append(f"{caller.name}: only {asked:.0f} reads reached the vendor")
        return found[0], found[1], max(likes)

    def asked(self):
        """How many calls the proxy has made."""
        return sum(count for name, count in self.proxy.metrics().items() if name.startswith("instantly_proxy_upstream_requests_total"))

    def judge(self, caller):
        """One in 21 is beyond the others by chance alone: who is, is measured again, and misses the bar if it is beyond twice."""
        for attempt in (1, 2):
            difference, median, likes = self.compare(caller)
            beyond = abs(difference) > min(MOST, likes)
            print(f"| {caller.name} | {median / 1000:.1f} | {100 * difference:+.3f} % | {100 * likes:.3f} % | {'beyond' if beyond else 'inside'} |", flush=True)
            if not beyond:
                return None
        return f"{caller.name}: {100 * difference:+.3f} % twice beyond {100 * min(MOST, likes):.3f} %"


def main():
    """All callers; exit status 1 if what is not a time was missed, or with --strict a time."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("binary")
    arguments.add_argument("folder", type=Path)
    arguments.add_argument("--samples", type=int, default=20_000)
    arguments.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000)
    arguments.add_argument("--strict", action="store_true")
    options = arguments.parse_args()
    os.sched_setaffinity(0, {int(OTHERS)})
    settings = {"CACHE__MAX_BYTES": "1GiB", "CACHE__LEAD_LABELS__TTL": "1h", "CACHE__LIST_FILL": "false", "PROOF__MAX_AGE": "60s",
                "LISTEN__WORKERS": "1", "LOG__LEVEL": "info"}
    pinned = ["taskset", "--cpu-list", PROXY]
    print(f"{time.strftime('%F')}, {os.cpu_count()} cores, {options.samples} samples a run, seed {options.seed}\n")
    print(f"| caller | median, us | hot id against one that is nowhere | the largest of {A_A_RUNS} runs of like with like | |\n|---|---|---|---|---|")
    with (
        children.quick_vendor(options.folder, 2) as port,
        children.proxy(options.binary, f"http://127.0.0.1:{port}", options.folder / "log", settings, pinned) as proxy,
    ):
        timing = Timing(Reader(proxy.data), random.Random(options.seed), options.samples, proxy)
        slow = [fault for caller in CALLERS if (fault := timing.judge(caller))]
    for fault in slow:
        # A time is a measurement and not a test: with few samples, or on a machine that others use too, it says little.
        print(f"MISSED: {fault}" if options.strict else f"MISSED, and not judged without --strict: {fault}")
    for fault in list(dict.fromkeys(timing.faults))[:10]:
        print(f"MISSED: {fault}")
    return 1 if timing.faults or options.strict and slow else 0


if __name__ == "__main__":
    sys.exit(main())
