#!/usr/bin/env python3
"""See run, which installs what this needs."""

import argparse
import asyncio
import collections
import contextlib
import random
import secrets
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "lib"))

import children  # noqa: E402
import corpus  # noqa: E402
import mutants  # noqa: E402
import readers  # noqa: E402
import recorder  # noqa: E402
from reading import requests  # noqa: E402

TOGETHER = 32
BATCH = 1000
SECONDS = 20


def main():
    """The corpus, then mutants of it; exit status 1 if anything was read twice or otherwise."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("binary")
    arguments.add_argument("folder", type=Path)
    arguments.add_argument("--mutants", type=int, default=5000)
    arguments.add_argument("--minutes", type=float, default=24 * 60)
    arguments.add_argument("--seed", type=int, default=None)
    options = arguments.parse_args()
    return asyncio.run(Run(options).run())


class Run:
    """One proxy, its upstream, four readers, and what has been counted."""

    def __init__(self, options):
        self.options = options
        self.seed = secrets.randbits(32) if options.seed is None else options.seed
        self.allowed = collections.Counter()
        self.faults, self.answers = [], collections.Counter()
        self.read, self.refused = collections.Counter(), collections.Counter()
        self.sent = self.forwarded = self.valid = self.partial = self.numbered = 0

    async def run(self):
        """All of it."""
        folder, begun = self.options.folder, time.monotonic()
        self.upstream = recorder.Recorder()
        upstream = await self.upstream.start()
        echo, echo_port = await recorder.start_echo()
        settings = {"LISTEN__WORKERS": "1", "CACHE__LIST_FILL": "false"}
        async with upstream, echo:
            with contextlib.ExitStack() as stack:
                # Whoever starts a child waits for it to speak: the loop must go on meanwhile, for it may be asked.
                enter = lambda what: asyncio.to_thread(stack.enter_context, what)
                self.readers = {
                    "h11": readers.read_by_h11,
                    "llhttp": readers.by_server(await enter(readers.node())),
                    "nginx": readers.by_server(await enter(readers.nginx(echo_port, folder))),
                    "HAProxy": readers.by_server(await enter(readers.haproxy(echo_port, folder))),
                }
                url = f"http://127.0.0.1:{self.upstream.port}"
                self.proxy = await enter(children.proxy(self.options.binary, url, folder / "proxy.log", settings))
                await self.run_corpus()
                print(f"mutants: {self.options.mutants} of seed {self.seed}", flush=True)
                await self.run_mutants()
        self.tell(time.monotonic() - begun)
        return 1 if self.faults else 0

    def tell(self, seconds):
        """What came of it."""
        print(
            f"sent {self.sent} inputs with {self.valid} valid requests; {self.forwarded} requests left upstream, and {self.partial} beginnings"
        )
        print("answered: " + ", ".join(f"{count} x {status}" for status, count in sorted(self.answers.items())))
        for name in self.readers:
            print(f"{name}: {self.read[name]} read alike, {self.refused[name]} refused")
            # A reader that refuses much says little.
            if self.refused[name] * 20 > self.read[name]:
                self.fault(f"{name} refused {self.refused[name]} of {self.read[name]} requests", [])
        for fault in self.faults[:20]:
            print(f"MISSED: {fault}")
        print(f"{len(self.faults)} faults, after {seconds:.0f} s")

    async def run_corpus(self):
        """Each case alone: as much is forwarded of it as it says."""
        for case in corpus.every():
            sent = self.numbered_copy(case.sent)
            told = f"{case.section} {case.name}"
            allowed = collections.Counter(requests(sent))
            await self.send(sent)
            left = await self.judge(allowed, told, [sent])
            if case.forwarded is not None and left != case.forwarded:
                self.fault(f"{told}: {left} requests were forwarded and not {case.forwarded}", [sent])

    async def run_mutants(self):
        """Many at once, judged together: each names itself in its targets."""
        chance, cases = random.Random(self.seed), corpus.every()
        left, ends = self.options.mutants, time.monotonic() + self.options.minutes * 60
        while left > 0 and time.monotonic() < ends and len(self.faults) < 20:
            batch = [self.numbered_copy(mutants.mutant(chance, cases)) for _ in range(min(BATCH, left))]
            left -= len(batch)
            allowed = collections.Counter(told for sent in batch for told in requests(sent))
            waiting = iter(batch)

            async def work():
                for sent in waiting:
                    await self.send(sent)

            await asyncio.gather(*(work() for _ in range(TOGETHER)))
            await self.judge(allowed, f"mutants of seed {self.seed}", batch)

    def numbered_copy(self, sent):
        """These bytes with an id of their own."""
        self.numbered += 1
        return sent.replace(corpus.ID, b"%07d" % self.numbered)

    async def send(self, sent):
        """Sends these bytes as a client, ends its side, and hears what comes."""
        self.sent += 1
        reader, writer = await asyncio.open_connection("127.0.0.1", self.proxy.data, limit=1 << 20)
        try:
            writer.write(sent)
            writer.write_eof()
            heard = await asyncio.wait_for(reader.read(-1), SECONDS)
            lines = [line for line in heard.split(b"\r\n") if line.startswith(b"HTTP/1.")]
            self.answers.update(line.split(b" ")[1].decode("latin-1") for line in lines)
            if not lines:
                self.answers["nothing"] += 1
        except TimeoutError:
            self.fault("no end in time", [sent])
        except ConnectionError:
            self.answers["reset"] += 1
        finally:
            writer.close()

    async def judge(self, allowed, told, inputs):
        """Compares what left with what may leave, and with what the four read; returns how many requests left."""
        self.valid += allowed.total()
        # What of the last ones still comes was sent as well.
        allowed, self.allowed = allowed + self.allowed, allowed
        streams, left = self.upstream.take(), 0
        for stream in streams:
            self.partial += bool(stream.tail)
            if stream.fault:
                self.fault(f"{told}: {stream.fault} left upstream", inputs, stream)
            for what in stream.meanings:
                if is_own_read(what):
                    continue
                left += 1
                if allowed[what] <= 0:
                    self.fault(f"{told}: nobody sent {what}", inputs, stream)
                allowed[what] -= 1
                self.allowed[what] -= self.allowed[what] > 0
        self.forwarded += left
        await asyncio.gather(*(self.read_by_all(stream, told, inputs) for stream in streams))
        return left

    async def read_by_all(self, stream, told, inputs):
        """Each reader must find in the stream what the recorder found, and nothing in its tail."""
        for name, read in self.readers.items():
            await self.read_whole(name, read, stream, told, inputs)
            if stream.tail:
                found = await read(stream.tail)
                if any(not what.startswith("refused") for what in found):
                    self.fault(f"{told}: {name} reads {found} where only a part was sent", inputs, stream)

    async def read_whole(self, name, read, stream, told, inputs):
        """Compares what one reader found with what was sent. What it refuses it gives no meaning; it goes on behind that."""
        sent, expected = stream.sent, stream.meanings
        while expected:
            found = await read(b"".join(sent) + readers.LAST)
            if found == [*expected, readers.LAST_READ]:
                self.read[name] += len(expected)
                return
            refused = len(found) - 1
            if refused not in range(len(expected)) or not found[-1].startswith("refused") or found[:-1] != expected[:refused]:
                self.fault(f"{told}: {name} reads {found} and not {expected}", inputs, stream)
                return
            self.read[name] += refused
            self.refused[name] += 1
            sent, expected = sent[refused + 1 :], expected[refused + 1 :]

    def fault(self, told, inputs, stream=None):
        """Keeps a fault, and what led to it."""
        number = len(self.faults)
        self.faults.append(told[:600])
        kept = self.options.folder / f"fault-{number}"
        kept.mkdir(exist_ok=True)
        (kept / "told").write_text(told)
        (kept / "inputs").write_text("\n".join(repr(sent) for sent in inputs))
        if stream:
            (kept / "left").write_bytes(b"".join(stream.sent) + stream.tail)


def is_own_read(what):
    """Whether a request is a read that the proxy makes of its own accord; no client of this run reads labels."""
    method, target, length, _ = what.split(" ")
    return method == "GET" and bytes.fromhex(target).startswith(b"/api/v2/lead-labels") and length == "0"


if __name__ == "__main__":
    sys.exit(main())
