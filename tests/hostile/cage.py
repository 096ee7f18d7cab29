"""Where the proxy runs: one core, and a memory limit that kills, as a container's does."""

import contextlib
import os
import re
import subprocess
import uuid
from pathlib import Path

GROUPS = Path("/sys/fs/cgroup")


class Cage:
    """What stands in front of the proxy's command line, and what can be said of its memory."""

    def __init__(self, limit, group=None, version=None):
        self.limit, self.group, self.version = limit, group, version
        self.peak = 0

    def prefix(self, core):
        """The words that put a command into the cage: the group, the core, and a view in which the group is the whole."""
        if self.group is None:
            return ["taskset", "--cpu-list", core]
        mount = "cgroup2 none /sys/fs/cgroup" if self.version == 2 else "cgroup -o memory none /sys/fs/cgroup/memory"
        join = 'echo $$ >"$0/cgroup.procs" && exec "$@"'
        words = ["sh", "-c", join, str(self.group), "taskset", "--cpu-list", core]
        seen = ["unshare", "--cgroup", "--mount", "sh", "-c", f'mount -t {mount} && exec "$@"', "sh"]
        works = subprocess.run([*words, *seen, "true"], check=False, stderr=subprocess.DEVNULL).returncode == 0
        return [*words, *seen] if works else words

    def says(self):
        """How the limit is kept."""
        if self.group is None:
            return "no cgroup can be made here: resident memory is watched, and nothing kills"
        return f"cgroup v{self.version}, killed at the limit"

    def watch(self, pid):
        """Takes the resident memory of now into the peak."""
        with contextlib.suppress(OSError), open(f"/proc/{pid}/status", encoding="utf-8") as status:
            if found := re.search(r"VmRSS:\s+(\d+)", status.read()):
                self.peak = max(self.peak, int(found[1]) * 1024)

    def charged(self):
        """The most that the group was charged with, the system's own buffers included; and how often it was killed."""
        if self.group is None:
            return None, 0
        peak, events = ("memory.peak", "memory.events") if self.version == 2 else ("memory.max_usage_in_bytes", "memory.oom_control")
        charged = None
        with contextlib.suppress(OSError):
            charged = int((self.group / peak).read_text())
        return charged, int((re.search(r"oom_kill (\d+)", (self.group / events).read_text()) or [0, 0])[1])


@contextlib.contextmanager
def cage(limit):
    """A memory group of this size where one can be had; it goes with the block."""
    name = f"instantly-proxy-hostile-{uuid.uuid4()}"
    made = None
    try:
        if (GROUPS / "cgroup.controllers").exists():
            with contextlib.suppress(OSError):
                (GROUPS / "cgroup.subtree_control").write_text("+memory")
            made, version, field = GROUPS / name, 2, "memory.max"
        else:
            made, version, field = GROUPS / "memory" / name, 1, "memory.limit_in_bytes"
        made.mkdir()
        (made / field).write_text(str(limit))
        yield Cage(limit, made, version)
    except (FileNotFoundError, PermissionError):
        yield Cage(limit)
    finally:
        if made is not None:
            with contextlib.suppress(OSError):
                os.rmdir(made)
