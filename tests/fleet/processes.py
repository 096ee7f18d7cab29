"""The programs under test: replicas of the proxy and the store between them."""

import asyncio
import atexit
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request

from client import Client

SECRET = "0123456789abcdef0123456789abcdef"


def started(command, **options):
    """A process that does not outlive this one, whatever ends it."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, **options)
    atexit.register(process.kill)
    return process


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


class Store:
    """A Redis or Valkey server as docs/FLEET.md sets it up."""

    def __init__(self, engine, scratch):
        self.engine, self.scratch, self.port = engine, scratch, free_port()
        self.start()

    def start(self):
        self.process = started(
            [f"{self.engine}-server", "--port", str(self.port), "--bind", "127.0.0.1", "--save", ""]
            + ["--maxmemory-policy", "volatile-lru", "--maxmemory", "256mb", "--dir", self.scratch]
        )
        until(lambda: self.ask("PING").startswith(b"+PONG"), "the store to answer")

    def ask(self, *words):
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as sock:
            sock.sendall(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w.encode()) for w in words))
            return sock.recv(65536)

    def signal(self, which):
        self.process.send_signal(which)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def cpu(self):
        return cpu_of(self.process.pid)


class Replica:
    """One proxy; `shared` names the store's port, or none."""

    def __init__(self, binary, scratch, upstream, store=None, **settings):
        self.data, self.admin = free_port(), free_port()
        path = os.path.join(scratch, f"proxy-{self.data}.toml")
        secret = os.path.join(scratch, "secret")
        with open(secret, "w") as file:
            file.write(SECRET + "\n")
        sections = {
            "listen": {"address": f"127.0.0.1:{self.data}", "workers": 1, "drain_delay": "0s", "drain_timeout": "5s"},
            "admin": {"address": f"127.0.0.1:{self.admin}"},
            "upstream": {"url": f"http://127.0.0.1:{upstream}"},
            "log": {"level": "warn"},
            "cache": {"list_fill": False},
        }
        if store is not None:
            sections["shared"] = {"url": f"redis://127.0.0.1:{store}", "secret_file": secret}
        for key, value in settings.items():
            section, name = key.split("__", 1)
            sections.setdefault(section, {})[name] = value
        with open(path, "w") as file:
            for section, values in sections.items():
                file.write(f"[{section}]\n" + "".join(f"{k} = {json.dumps(v)}\n" for k, v in values.items()))
        self.process = started([binary, "--config", path], stderr=subprocess.DEVNULL)
        self.client = Client(self.data)
        until(self.is_ready, "a replica to be ready")
        if store is not None:
            until(lambda: self.status()["fleet"]["lease"], "a replica to have a lease")

    def is_ready(self):
        try:
            return self.get("/readyz")[:5] == b"ready"
        except OSError:
            return False

    def get(self, path):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.admin}{path}", timeout=10) as answer:
            return answer.read()

    def status(self):
        return json.loads(self.get("/api/status"))

    def lost_leases(self):
        """How often it was without its lease."""
        lines = self.get("/metrics").splitlines()
        return sum(float(line.rpartition(b" ")[2]) for line in lines if line.startswith(b"instantly_proxy_shared_lease_losses_total"))

    def cpu(self):
        return cpu_of(self.process.pid)

    def stop(self):
        """As Kubernetes does: SIGTERM, and wait."""
        self.client.close()
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(20)

    def kill(self):
        self.client.close()
        self.process.kill()
        self.process.wait()


def cpu_of(pid):
    """Seconds of CPU that a process has used."""
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def until(is_so, what):
    end = time.monotonic() + 20
    while True:
        try:
            if is_so():
                return
        except OSError:
            pass
        if time.monotonic() > end:
            sys.exit(f"waited in vain for {what}")
        time.sleep(0.01)


async def asked(function):
    """A blocking question, away from the loop that serves the API."""
    return await asyncio.get_running_loop().run_in_executor(None, function)
