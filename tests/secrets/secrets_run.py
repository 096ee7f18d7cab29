#!/usr/bin/env python3
"""See run."""

import argparse
import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "lib"))

import children  # noqa: E402
import vendor  # noqa: E402
from canaries import Canaries, search, self_test  # noqa: E402
from walk import LABELS, Walk, malformed, monitor  # noqa: E402

COMMANDS = (["config"], ["config", "--output", "json"], ["check"], ["check", "--output", "json", "--probe"], ["status"], ["status", "--output", "json"],
            ["doctor"], ["health"], ["top"], ["purge"], ["--help"], ["config", "--help"])
LEVELS = (("json", "trace"), ("text", "trace"))


class Stage:
    """The secrets, the files that hold them, and what is searched in the end."""

    def __init__(self, options):
        self.options, self.made = options, Canaries(options.seed)
        self.files, self.found = options.folder / "files", options.folder / "found"
        self.files.mkdir()
        self.found.mkdir()
        make = self.made.make
        # Who is `o1k1` belongs to an organization of the vendor; the others are refused, or limited.
        self.keys = {"good": make("good key", "o1k1"), "other": make("key of another organization", "o2k1", 90),
                     "limited": make("limited key", "limited"), "unknown": make("unknown key"), "long": make("long key", length=200)}
        self.admin = make("admin token")
        self.store = make("password of the store")
        self.secrets = {name: make(name) for name in ("workspace", "cookie", "field", "query", "basic")}
        self.file("admin", self.admin)
        self.file("store", self.store)
        self.file("shared", make("shared secret", length=64))
        self.file("fingerprint", make("fingerprint secret", length=64))
        self.file("egress", f"someone:{make('password of the forward proxy')}")
        self.file("collector", f"x-collector-key: {make('key of the collector')}")

    def file(self, name, text=None):
        """The path of a file with that secret."""
        path = self.files / name
        if text is not None:
            path.write_text(text + "\n", "utf-8")
        return str(path)

    def settings(self, kind):
        """What every proxy here has."""
        form, level = kind
        return {
            "LOG__FORMAT": form, "LOG__LEVEL": level, "ADMIN__TOKEN_FILE": self.file("admin"), "CALLERS__SOURCES": "credential",
            "CALLERS__FINGERPRINT_SECRET_FILE": self.file("fingerprint"), "UPSTREAM__FIRST_BYTE_TIMEOUT": "1s", "UPSTREAM__FILL_TIMEOUT": "1s",
            "UPSTREAM__CONNECT_TIMEOUT": "500ms", "LISTEN__HEADER_TIMEOUT": "1s",
            "SHIELD__MAX_WAIT": "100ms",
        }

    def command(self, words, settings, name, given=b""):
        """What a command of the program says, on both outputs."""
        own = {f"INSTANTLY_PROXY_{key}": value for key, value in settings.items()}
        with open(self.found / f"command-{name}", "ab") as sink:
            subprocess.run([self.options.binary, *words], env={**os.environ, **own}, input=given, stdout=sink, stderr=sink, timeout=20, check=False)


@contextlib.contextmanager
def redis(stage):
    """A store with a password, and all that it is told."""
    port = children.free_port()
    words = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(stage.files), "--requirepass", stage.store]
    with children.child(words, stdout=subprocess.DEVNULL):
        children.wait_for(port)
        ended = threading.Event()
        watching = threading.Thread(target=monitor, args=(port, stage.store, stage.found / "monitor", ended))
        watching.start()
        try:
            yield port
        finally:
            dump(port, stage)
            ended.set()
            watching.join()


def dump(port, stage):
    """Names, values and clients of the store, into a file."""
    script = "local r={} for _,k in ipairs(redis.call('keys','*')) do r[#r+1]=k r[#r+1]=redis.call('dump',k) end return r"
    with open(stage.found / "store", "wb") as sink:
        for words in (["--no-raw", "EVAL", script, "0"], ["EVAL", script, "0"], ["CLIENT", "LIST"], ["SLOWLOG", "GET", "100"], ["INFO"]):
            environment = {**os.environ, "REDISCLI_AUTH": stage.store}
            subprocess.run(["redis-cli", "-p", str(port), *words], env=environment, stdout=sink, check=True)


def with_everything(stage, kind, ports, store):
    """The proxy with a store, traces and callers: all ways, for every key."""
    settings = stage.settings(kind) | {
        "SHARED__URL": f"redis://127.0.0.1:{store}", "SHARED__PASSWORD_FILE": stage.file("store"), "SHARED__SECRET_FILE": stage.file("shared"),
        "TELEMETRY__OTLP_ENDPOINT": f"http://127.0.0.1:{ports[2]}", "TELEMETRY__HEADERS_FILE": stage.file("collector"),
    }
    config = stage.files / "proxy.toml"
    config.write_text("", "utf-8")
    log = stage.found / f"log-{kind[0]}-{kind[1]}"
    upstream = f"http://127.0.0.1:{ports[0]}"
    with proxy(stage, upstream, log, settings, config) as (process, data, admin), open(stage.found / "heard", "ab") as heard:
        walk = Walk(data, heard)
        asyncio.run(all_ways(walk, stage, admin))
        addresses = settings | {"LISTEN__ADDRESS": f"127.0.0.1:{data}", "ADMIN__ADDRESS": f"127.0.0.1:{admin}", "UPSTREAM__URL": upstream}
        for words in COMMANDS:
            stage.command(words, addresses, words[0].strip("-"))
        for words in (["fingerprint"], ["doctor", "--key-stdin"], ["explain", LABELS, "--key-stdin"]):
            stage.command(words, addresses, "stdin", stage.keys["good"].encode() + b"\n")
        reload(stage, process, config)
    return walk.statuses


async def all_ways(walk, stage, admin):
    """Every key, each way."""
    await asyncio.gather(*(walk.everything(key, stage.secrets) for key in stage.keys.values()))
    for key in stage.keys.values():
        await walk.second(key)
    await asyncio.gather(*(walk.ask(stage.keys[name], "GET", "/api/v2/hang") for name in ("good", "other")))
    await walk.admin(admin, stage.admin, stage.keys["unknown"])


def faulty(stage):
    """Configurations that are refused, each with a secret where it does not belong."""
    secret = stage.keys["unknown"]
    short = stage.file("short", secret[:12])
    for text in (f'[shared]\npassword = "{secret}"\n', f'[upstream]\nurl = "https://someone:{secret}@example.com"\n', f'[upstream\nurl = "{secret}"\n',
                 f'[shared]\nurl = "redis://someone:{secret}@127.0.0.1:1"\nsecret_file = "{stage.file("shared")}"\n', f'[admin]\ntoken = "{secret}"\n',
                 f'[upstream]\nproxy = "http://someone:{secret}@127.0.0.1:1"\n', f'[telemetry]\notlp_endpoint = "http://someone:{secret}@127.0.0.1:1"\n',
                 f'[admin]\ntoken_file = "{short}"\n', f'[callers]\nsources = "credential"\nfingerprint_secret_file = "{short}"\n'):
        yield text


def reload(stage, process, config):
    """SIGHUP with each of them."""
    for text in faulty(stage):
        config.write_text(text, "utf-8")
        process.send_signal(signal.SIGHUP)
        time.sleep(0.1)


def refused(stage):
    """The same at a start, from a file and from the environment."""
    config = stage.files / "refused.toml"
    for text in faulty(stage):
        config.write_text(text, "utf-8")
        for words in ("check", "config", "serve"):
            stage.command([words, "--config", str(config)], {"LISTEN__ADDRESS": "127.0.0.1:0", "ADMIN__ADDRESS": "nonsense"}, "refused")
    secret = stage.keys["unknown"]
    for name in ("SHARED__PASSWORD", "ADMIN__TOKEN", "SHARED__URL", "UPSTREAM__URL", "UPSTREAM__PROXY", "TELEMETRY__OTLP_ENDPOINT"):
        value = f"https://someone:{secret}@127.0.0.1:1" if name.endswith(("URL", "PROXY", "ENDPOINT")) else secret
        stage.command(["check"], {name: value}, "refused")
        stage.command(["config"], {name: value}, "refused")


def with_nobody_behind(stage, kind, ports):
    """Proxies whose upstream refuses, or is reached through a forward proxy that refuses, or speaks no TLS."""
    dead = children.free_port()
    ways = (
        (f"http://127.0.0.1:{dead}", {}),
        (f"https://127.0.0.1:{ports[0]}", {}),
        ("https://example.invalid", {"UPSTREAM__PROXY": f"http://127.0.0.1:{ports[1]}", "UPSTREAM__PROXY_AUTHORIZATION_FILE": stage.file("egress")}),
    )
    for number, (upstream, more) in enumerate(ways):
        log = stage.found / f"log-dead-{number}"
        with proxy(stage, upstream, log, stage.settings(kind) | more, None) as (_, data, admin), open(stage.found / "heard", "ab") as heard:
            walk = Walk(data, heard)
            asyncio.run(some_ways(walk, stage, admin))


async def some_ways(walk, stage, admin):
    """Reads, writes and other calls that cannot go on."""
    item = f"{LABELS}/{vendor.label_id(vendor.organization_id(1), 1)}"
    for key in stage.keys.values():
        for _ in range(2):
            for method, target, body in (("GET", item, None), ("PATCH", item, b"{}"), ("POST", "/api/v2/leads", b"{}")):
                await walk.ask(key, method, target, body)
        await asyncio.gather(*(walk.raw(request) for request in malformed(item, key)))
    await walk.ask(stage.admin, "GET", "/api/status", port=admin)
    await walk.ask(stage.admin, "GET", "/metrics", port=admin)


@contextlib.contextmanager
def proxy(stage, upstream, log, settings, config):
    """A proxy on ports of its own; what it writes goes into one file, errors too."""
    data, admin = children.free_port(), children.free_port()
    own = {"LISTEN__ADDRESS": f"127.0.0.1:{data}", "ADMIN__ADDRESS": f"127.0.0.1:{admin}", "UPSTREAM__URL": upstream,
           "LISTEN__DRAIN_DELAY": "0s", "LISTEN__DRAIN_TIMEOUT": "1s", **settings}
    environment = {**os.environ, **{f"INSTANTLY_PROXY_{name}": value for name, value in own.items()}}
    command = [stage.options.binary, *(("--config", str(config)) if config else ())]
    with open(log, "wb") as sink, children.child(command, env=environment, stdout=sink, stderr=sink) as process:
        children.wait_for(data)
        yield process, data, admin


def main():
    """All of it, and the search; exit status 1 if a part of a secret was found."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("binary")
    arguments.add_argument("folder", type=Path)
    arguments.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000)
    options = arguments.parse_args()
    stage = Stage(options)
    self_test(stage.made.all, stage.found)
    words = [sys.executable, str(HERE / "peers.py"), str(stage.found)]
    statuses = set()
    with children.child(words, stdin=subprocess.PIPE) as peers:
        ports = [int(port) for port in children.line_that(peers, r"listens on (.*)")[1].split()]
        with redis(stage) as store:
            for kind in LEVELS:
                statuses |= with_everything(stage, kind, ports, store)
        with_nobody_behind(stage, LEVELS[0], ports)
    refused(stage)
    return judge(stage, statuses)


def judge(stage, statuses):
    """What was found, and whether enough was looked at."""
    sizes = {path.name: path.stat().st_size for path in sorted(stage.found.iterdir())}
    print(f"seed {stage.options.seed}: {len(stage.made.all)} secrets, {sum(sizes.values()) / (1 << 20):.1f} MiB of "
          f"{', '.join(sizes)}; statuses {sorted(statuses)}")
    faults = [f"nothing was kept of {name}" for name in ("traces", "store", "monitor", "heard") if not sizes.get(name)]
    # 504 stands for a call that timed out, 413 and 431 for what is too large: each way was gone.
    faults += [f"no call came to a {status}" for status in (200, 400, 401, 402, 403, 404, 405, 413, 429, 500, 504) if status not in statuses]
    log = (stage.found / "log-json-trace").read_bytes()
    faults += [f"the log has no {word}" for word in ('"level":"TRACE"', '"outcome":"hit"', '"outcome":"miss"') if word.encode() not in log]
    found = sorted(set(search(stage.made.all, stage.found)))
    faults += [f"{len(found)} parts of secrets were written"] if found else []
    for name, text, path in found[:: max(1, len(found) // 20)]:
        data = Path(path).read_bytes()
        at = data.lower().find(text.lower().encode("latin-1"))
        print(f"FOUND: {text!r} of the {name} in {Path(path).name}: {data[max(0, at - 200) : at + 40]!r}")
    for fault in faults:
        print(f"MISSED: {fault}")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
