"""What the harnesses start: the vendor and the proxy, each on a free port, each stopped at the end."""

import contextlib
import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

HERE = Path(__file__).parent
START_SECONDS = 20


def line_that(process, pattern, seconds=START_SECONDS):
    """The first line of a child's output that matches; none within the time is an error."""
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        if select.select([process.stdout], [], [], left)[0]:
            line = process.stdout.readline()
            if not line:
                break
            if found := re.search(pattern, line.decode("utf-8", "replace")):
                return found
    raise SystemExit(f"{process.args[0]} did not say {pattern!r}")


def free_port():
    """A port that nobody has now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(port):
    """Until something listens there."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise SystemExit(f"nothing listens on port {port}")


@contextlib.contextmanager
def child(arguments, **options):
    """A process that ends with the block."""
    process = subprocess.Popen(arguments, stdout=options.pop("stdout", subprocess.PIPE), bufsize=0, **options)
    try:
        yield process
    finally:
        if process.stdin:
            process.stdin.close()
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(3)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextlib.contextmanager
def vendor(delay=0, prefix=()):
    """The vendor's port."""
    with child([*prefix, sys.executable, str(HERE / "vendor.py"), str(delay)], stdin=subprocess.PIPE) as process:
        yield int(line_that(process, r"listens on 127\.0\.0\.1:(\d+)")[1])


@contextlib.contextmanager
def quick_vendor(folder, organizations, prefix=()):
    """The port of quick.c, which is compiled into `folder`."""
    program = Path(folder) / "quick"
    subprocess.run([os.environ.get("CC", "cc"), "-O2", "-o", program, HERE / "quick.c"], check=True)
    with child([*prefix, str(program), str(organizations)], stdin=subprocess.PIPE) as process:
        yield int(line_that(process, r"listens on 127\.0\.0\.1:(\d+)")[1])


def stats(port):
    """What a vendor has counted."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/__stats", timeout=10) as answer:
        return json.load(answer)


class Proxy:
    """A running proxy: its ports and its process."""

    def __init__(self, process, data, admin):
        self.process, self.data, self.admin = process, data, admin

    def metrics(self):
        """Every series of /metrics by its name and labels."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.admin}/metrics", timeout=10) as page:
            lines = page.read().decode().splitlines()
        return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[:1] not in ("#", ""))}


@contextlib.contextmanager
def proxy(binary, upstream, log, settings=(), prefix=(), config=None):
    """The proxy in front of `upstream`, its limits out of the way unless the settings say otherwise; `log` is a path."""
    settings = {
        "LISTEN__ADDRESS": "127.0.0.1:0",
        "ADMIN__ADDRESS": "127.0.0.1:0",
        "UPSTREAM__URL": upstream,
        # A server here shares its cores with whatever loads it.
        "UPSTREAM__CONNECT_TIMEOUT": "10s",
        "SHIELD__REQUESTS_PER_SECOND": "1000000",
        "SHIELD__REQUESTS_PER_MINUTE": "1000000",
        "LISTEN__DRAIN_DELAY": "0s",
        "LISTEN__DRAIN_TIMEOUT": "1s",
        "LOG__FORMAT": "json",
        **dict(settings),
    }
    command = [binary, *(("--config", str(config)) if config else ())]
    own = {f"INSTANTLY_PROXY_{name}": value for name, value in settings.items()}
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("INSTANTLY_PROXY_")}
    # Its log goes to a file: a pipe that nobody reads would fill, and lines would be dropped.
    with open(log, "wb") as sink, child([*prefix, *command], env={**inherited, **own}, stdout=sink) as process:
        deadline = time.monotonic() + START_SECONDS
        while not (found := re.search(r'"data":"127\.0\.0\.1:(\d+)"', text := Path(log).read_text("utf-8", "replace"))):
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"the proxy did not start:\n{text}")
            time.sleep(0.02)
        yield Proxy(process, int(found[1]), int(re.search(r'"admin":"127\.0\.0\.1:(\d+)"', text)[1]))
