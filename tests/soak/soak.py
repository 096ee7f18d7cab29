#!/usr/bin/env python3
"""See run."""

import argparse
import asyncio
import contextlib
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent / "lib"), str(HERE.parent / "fleet")]

import children  # noqa: E402
import measure  # noqa: E402
from callers import Load  # noqa: E402
from processes import SECRET, Store  # noqa: E402
from upstream import FAULTS  # noqa: E402
from wire import Connection, Failed  # noqa: E402

MIB = measure.MIB
PROXY_FAULTS = ("reload", "freeze", "freeze_upstream", "hang_ups")
STORE_FAULTS = ("freeze_store", "restart_store")
# In these a replica may lose its lease.
LEASE_FAULTS = ("freeze", *STORE_FAULTS)
# What the page shows of the last hour fills for an hour, so that only behind that growth is growth: a run with half an hour more is judged
# by it, one from half an hour on by 2 MiB on top, and a shorter one by more.
WARM_SECONDS, LONG_MINUTES, HALF_MINUTES = 3600, 90, 30
MOST_ON_TOP, MOST_IN_HALF_AN_HOUR, MOST_AN_HOUR = 24 * MIB, 2 * MIB, 1 * MIB
# After a fault all is well again within that: the breaker's next probe, a gate's time, a lease.
WELL_SECONDS = 15
IDLE_SECONDS = 10
MOST_THREADS = 16
# Far below what a stuck call would take, and above what a process that shares its machine may have to wait for it.
SETTINGS = {
    "UPSTREAM__FIRST_BYTE_TIMEOUT": "8s",
    "UPSTREAM__IDLE_TIMEOUT": "8s",
    "UPSTREAM__FILL_TIMEOUT": "8s",
    "UPSTREAM__CONNECT_TIMEOUT": "3s",
    "SHIELD__MAX_WAIT": "3s",
    "CACHE__LEAD_LABELS__TTL": "20s",
    "PROOF__MAX_AGE": "15s",
    "LISTEN__WORKERS": "2",
    "LOG__LEVEL": "info",
}


class Soak:
    """A run: the vendor, one proxy or two with a store, the load, a fault after the other."""

    def __init__(self, options, upstream, port, proxies, store):
        self.options, self.upstream, self.proxies, self.store = options, upstream, proxies, store
        self.random = random.Random(options.seed)
        self.period = 60.0 if options.minutes >= 5 else 3.0
        self.ports = {"upstream": port, **({"store": store.port} if store else {})}
        self.load = Load([proxy.data for proxy in proxies], options.seed, options.pace)
        self.faults, self.samples, self.bag, self.done = [], [[] for _ in proxies], [], {}

    def next_fault(self):
        """Each once, in any order, before one comes again."""
        if not self.bag:
            self.bag = [*FAULTS, *PROXY_FAULTS, *(STORE_FAULTS if self.store else ())]
            self.random.shuffle(self.bag)
        return self.bag.pop()

    async def run(self):
        """Warms up, and then a fault in each period until the time is over."""
        tasks = [asyncio.create_task(caller.run()) for caller in self.load.callers]
        self.before = [measure.descriptors(proxy.process.pid, self.by_port(proxy)) for proxy in self.proxies]
        end = time.monotonic() + self.options.minutes * 60
        self.load.going.set()
        await asyncio.sleep(min(5, self.period))
        # As behind each calm: no call that was begun in it meets the next fault.
        await self.load.rest()
        self.load.going.set()
        while time.monotonic() < end and not self.faults:
            await self.one_period(self.next_fault())
            self.faults += self.load.faults
        await self.load.rest()
        self.load.close()
        await self.ended()
        for task in tasks:
            task.cancel()
        # A caller that fell over fails the run.
        for outcome in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(outcome, Exception):
                raise outcome

    async def one_period(self, fault):
        """The fault, then calm, then nobody calls at all."""
        begun = time.monotonic()
        lasts = min(20.0, self.period / 3) * self.random.uniform(0.5, 1)
        self.load.phase = "fault"
        self.load.fault, self.load.binding = fault, fault not in LEASE_FAULTS or len(self.proxies) == 1
        await getattr(self, fault, lambda seconds: self.tell(fault, seconds))(lasts)
        self.done[fault] = self.done.get(fault, 0) + 1
        self.load.phase = "settling"
        await self.well(fault)
        # Whatever was begun in the fault has its end: no caller waits for it in the calm.
        await self.load.rest()
        self.load.going.set()
        self.load.phase, self.load.binding = "calm", True
        await asyncio.sleep(max(0.3, begun + self.period - time.monotonic() - 1))
        await self.load.rest()
        await self.idle(fault)
        self.load.going.set()

    # The faults. Those of the vendor are its own.

    async def tell(self, fault, seconds):
        """A fault of the vendor, for so long."""
        await self.say(fault)
        await asyncio.sleep(seconds)
        await self.say("calm")

    async def say(self, word):
        """One word to the vendor, which it has heard then."""
        self.upstream.stdin.write(f"{word}\n".encode())
        await asyncio.to_thread(children.line_that, self.upstream, "^done")

    async def reload(self, seconds):
        """SIGHUP with a sound file and with a broken one, in turns."""
        config = self.options.config
        for number in range(6):
            config.write_text('[cache]\nnonsense = "x"\n' if number % 2 else f'[log]\nlevel = "info" # {number}\n')
            for proxy in self.proxies:
                proxy.process.send_signal(signal.SIGHUP)
            await asyncio.sleep(seconds / 6)
        config.write_text("")

    async def standing(self, process, seconds):
        """A process that stands still for a while."""
        process.send_signal(signal.SIGSTOP)
        await asyncio.sleep(min(seconds, 3))
        process.send_signal(signal.SIGCONT)

    async def freeze(self, seconds):
        """One of the proxies."""
        await self.standing(self.random.choice(self.proxies).process, seconds)

    async def freeze_upstream(self, seconds):
        """The vendor, whose connections stay."""
        await self.standing(self.upstream, seconds)

    async def freeze_store(self, seconds):
        """The store, whose connections stay."""
        await self.standing(self.store.process, seconds)

    async def restart_store(self, seconds):
        """The store dies, and comes back with nothing."""
        self.store.kill()
        await asyncio.sleep(seconds)
        await asyncio.to_thread(self.store.start)

    async def hang_ups(self, seconds):
        """Callers do not wait for their answers."""
        self.load.hang_ups = True
        await asyncio.sleep(seconds)
        self.load.hang_ups = False

    # The bars.

    def by_port(self, proxy):
        """The ports that tell its connections apart."""
        return {"data": proxy.data, "admin": proxy.admin, **self.ports}

    async def well(self, fault):
        """Until each proxy has its lease, and a call of each key succeeds."""
        deadline = time.monotonic() + WELL_SECONDS
        while lost := [proxy for proxy in self.proxies if not await asyncio.to_thread(measure.leased, proxy)]:
            if time.monotonic() > deadline:
                self.faults.append(f"{len(lost)} without a lease {WELL_SECONDS} s after {fault}")
                break
            await asyncio.sleep(0.05)
        for caller in self.load.callers:
            connection = Connection(caller.connection.port, caller.connection.key)
            while True:
                with contextlib.suppress(Failed, OSError):
                    answer = await connection.call("GET", "/api/v2/lead-labels", fields=["Cache-Control: no-cache"], deadline=5)
                    if answer.status == 200:
                        break
                if time.monotonic() > deadline:
                    self.faults.append(f"not well again {WELL_SECONDS} s after {fault}")
                    break
                await asyncio.sleep(0.1)
            connection.close()

    async def idle(self, fault):
        """Until nothing is held, queued or waited for, and every connection is accounted for; and memory then."""
        for proxy, before, samples in zip(self.proxies, self.before, self.samples, strict=True):
            deadline = time.monotonic() + IDLE_SECONDS
            while True:
                told = await asyncio.to_thread(self.unlike, proxy, before)
                if not told or time.monotonic() > deadline:
                    break
                await asyncio.sleep(0.05)
            if told:
                self.faults.append(f"{IDLE_SECONDS} s after {fault} nobody calls, and there is still {told}")
            # What is let go each second has been then.
            await asyncio.sleep(2.5 if self.period >= 60 else 0)
            resident, threads = measure.memory(proxy.process.pid)
            samples.append((time.monotonic(), resident))
            if threads > MOST_THREADS:
                self.faults.append(f"{threads} threads after {fault}")

    def unlike(self, proxy, before, callers=None):
        """What is not as it was, or as it must be, while nobody calls."""
        told = measure.left(proxy)
        now = measure.descriptors(proxy.process.pid, self.by_port(proxy))
        wanted = self.load.open()[proxy.data] if callers is None else callers
        if now["data"] != wanted:
            told["connections of callers"] = f"{now['data']} for {wanted}"
        if now["else"] > before["else"]:
            told["descriptors"] = f"{now['else']} for {before['else']}"
        return told

    async def ended(self):
        """The callers have gone; idle connections to the vendor live for 50 s, and are waited for in a long run."""
        seconds = IDLE_SECONDS if self.period < 60 else 70
        for proxy, before in zip(self.proxies, self.before, strict=True):
            deadline = time.monotonic() + seconds
            while True:
                told = self.unlike(proxy, before, 0)
                upstream = measure.descriptors(proxy.process.pid, self.by_port(proxy))["upstream"]
                if self.period >= 60 and upstream:
                    told["connections to the vendor"] = upstream
                if not told or time.monotonic() > deadline:
                    break
                await asyncio.sleep(0.2)
            if told:
                self.faults.append(f"in the end there is still {told}")

    def warm(self, samples):
        """Those behind the first hour, or behind a third of a run that is not so long."""
        if self.options.minutes >= LONG_MINUTES:
            return [sample for sample in samples if sample[0] >= samples[0][0] + WARM_SECONDS]
        return samples[len(samples) // 3 :]

    def judge(self):
        """Memory, and what never happens; everything that was missed."""
        faults = list(dict.fromkeys(self.faults + self.load.faults))
        for proxy, samples in zip(self.proxies, self.samples, strict=True):
            if proxy.process.poll() is not None:
                faults.append(f"the proxy died with {proxy.process.returncode}")
            warm = self.warm(samples) or [(0, 0)]
            grown, hourly = warm[-1][1] - warm[0][1], measure.slope(warm) * 3600
            print(f"  resident, warm {warm[0][1] / MIB:.1f} MiB, in the end {warm[-1][1] / MIB:.1f}, at most "
                  f"{max(size for _, size in samples or warm) / MIB:.1f}; {hourly / MIB:+.2f} MiB an hour over {len(warm)} samples")
            most = MOST_IN_HALF_AN_HOUR if self.options.minutes >= HALF_MINUTES else MOST_ON_TOP
            if hourly > MOST_AN_HOUR if self.options.minutes >= LONG_MINUTES else grown > most:
                faults.append(f"resident memory grows: {grown / MIB:.1f} MiB, {hourly / MIB:.2f} MiB an hour")
        return faults

    def report(self):
        """What was done and what came of it."""
        print("  faults: " + ", ".join(f"{count} x {fault}" for fault, count in sorted(self.done.items())))
        rows = {}
        for what, count in sorted(self.load.outcomes.items()):
            kind, _, outcome = what.partition(": ")
            rows.setdefault(kind, []).append(f"{count} x {outcome}" if outcome else str(count))
        for kind, outcomes in rows.items():
            print(f"  {kind}: {', '.join(outcomes)}")
        print(f"  {sum(self.load.outcomes.values())} calls, the longest took {self.load.worst:.1f} s")


def main():
    """A run; exit status 1 if a bar was missed."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("binary")
    arguments.add_argument("folder", type=Path)
    arguments.add_argument("--minutes", type=float, default=0.4)
    arguments.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000)
    arguments.add_argument("--pace", type=float, default=0.1, help="seconds between two calls of a caller, on average")
    arguments.add_argument("--shared", action="store_true")
    options = arguments.parse_args()
    print(f"soak: {options.minutes} min, seed {options.seed}{', two replicas and a store' if options.shared else ''}", flush=True)
    options.config = options.folder / "proxy.toml"
    options.config.write_text("")
    with contextlib.ExitStack() as stack:
        soak = start(options, stack)
        asyncio.run(soak.run())
        soak.report()
        faults = soak.judge()
    for log in options.folder.glob("*.log"):
        if "panicked" in log.read_text("utf-8", "replace"):
            faults.append(f"a panic in {log.name}")
    for fault in faults[:20]:
        print(f"MISSED: {fault}")
    return 1 if faults else 0


def start(options, stack):
    """Everything that a run needs, until the stack is left."""
    command = [sys.executable, str(HERE / "upstream.py"), str(options.seed)]
    upstream = stack.enter_context(children.child(command, stdin=subprocess.PIPE))
    port = int(children.line_that(upstream, r"listens on 127\.0\.0\.1:(\d+)")[1])
    settings, store = dict(SETTINGS), None
    if options.shared:
        store = Store("redis", str(options.folder))
        secret = options.folder / "secret"
        secret.write_text(SECRET + "\n")
        settings |= {"SHARED__URL": f"redis://127.0.0.1:{store.port}", "SHARED__SECRET_FILE": str(secret)}
        # Without a lease nothing is served that another one may have changed: so nothing old is ever right.
        settings |= {"SHARED__ALONE_TTL": "0s", "CACHE__LEAD_LABELS__STALE_WHILE_REVALIDATE": "0s"}
        settings |= {"CACHE__LEAD_LABELS__STALE_IF_ERROR": "0s", "CACHE__LEAD_LABEL_LISTS__STALE_IF_ERROR": "0s"}
    proxies = [
        stack.enter_context(children.proxy(options.binary, f"http://127.0.0.1:{port}", options.folder / f"proxy{number}.log", settings, config=options.config))
        for number in range(2 if options.shared else 1)
    ]
    return Soak(options, upstream, port, proxies, store)


if __name__ == "__main__":
    sys.exit(main())
