"""What a process of the proxy holds: memory, descriptors by what they are, threads, and what it says of itself."""

import contextlib
import json
import os
import re
import statistics
import urllib.request
from pathlib import Path

MIB = 1 << 20
# What is to be nothing while nobody calls.
NOTHING = ("instantly_proxy_held_bytes", "instantly_proxy_shield_queued", "instantly_proxy_shield_gates_closed",
           "instantly_proxy_shield_latched", "instantly_proxy_breaker_open")


def memory(pid):
    """Resident memory in bytes, and threads."""
    text = Path(f"/proc/{pid}/status").read_text("utf-8")
    return tuple(int(re.search(rf"{name}:\s+(\d+)", text)[1]) * unit for name, unit in (("VmRSS", 1024), ("Threads", 1)))


def connections():
    """Ports of every TCP connection on this machine by its socket's inode; of a listener the second one is 0."""
    ports = {}
    for line in Path("/proc/net/tcp").read_text("utf-8").splitlines()[1:]:
        fields = line.split()
        ports[fields[9]] = tuple(int(fields[at].rpartition(":")[2], 16) for at in (1, 2))
    return ports


def descriptors(pid, ports):
    """How many descriptors are connections at which of these ports (name: port), and how many are something else."""
    known, told = connections(), dict.fromkeys([*ports, "else"], 0)
    for entry in os.scandir(f"/proc/{pid}/fd"):
        with contextlib.suppress(OSError):
            found = re.match(r"socket:\[(\d+)\]", os.readlink(entry.path))
            local, remote = known.get(found[1], (0, 0)) if found else (0, 0)
            name = next((name for name, port in ports.items() if port in (local, remote) and remote), "else")
            told[name] += 1
    return told


def status(proxy):
    """What the admin port says."""
    with urllib.request.urlopen(f"http://127.0.0.1:{proxy.admin}/api/status", timeout=10) as answer:
        return json.load(answer)


def leased(proxy):
    """Whether it may serve what it has; one without a store always may."""
    return (status(proxy).get("fleet") or {}).get("lease", True)


def left(proxy):
    """What is not nothing, of what is to be nothing while nobody calls."""
    metrics = proxy.metrics()
    told = {name: metrics[name] for name in NOTHING if metrics[name]}
    strangers = status(proxy)["shield"]["strangers"]
    return told | {f"strangers {name}": count for name, count in strangers.items() if count}


def slope(samples):
    """By how much (time, value) grow in a unit of time: the median over all pairs, which no single sample moves."""
    pairs = [(one[1] - other[1]) / (one[0] - other[0]) for at, one in enumerate(samples) for other in samples[:at] if one[0] > other[0]]
    return statistics.median(pairs) if pairs else 0.0
