#!/usr/bin/env python3
"""Published clients, directly at an API and through the proxy: what they are answered must be the same, byte for byte.

    compare.py BINARY TOOLS [--verbose] [--only CLIENT]…      TOOLS as tests/clients/run makes it

Compared are the status, every end-to-end field but those that are the proxy's to set, and the body. The API tells in the
body what arrived, so that the way there is compared as well. Then each client uploads 8 MiB to where the proxy (and the
simulated API) answers at once, and must hear the answer.
"""

import argparse
import collections
import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "lib"))

import calls  # noqa: E402
import children  # noqa: E402

KEY = "o1k1.compared"
TIMES = 4
SHOWN = 5
# Set by whoever answers, or true for one connection only.
NOT_COMPARED = {"date", "via", "age", "cache-status", "x-request-id", "connection", "keep-alive", "transfer-encoding", "proxy-status"}
# Added to label reads.
OWN_ETAG = re.compile('"[0-9a-f]{32}"')


def clients(tools):
    """Each client's command line."""
    python, drivers = str(tools / "python/bin/python"), HERE / "drivers"
    every = {name: [python, str(drivers / "drive.py"), name] for name in ("http.client", "requests", "httpx", "curl")}
    every |= {name: ["node", str(drivers / "drive.mjs"), name] for name in ("http", "fetch", "axios")}
    if works("perl", "-MLWP", "-e", "1"):
        every["Perl LWP"] = ["perl", str(drivers / "drive.pl")]
    if (tools / "drive-go").exists():
        every["Go"] = [str(tools / "drive-go")]
    if works("ruby", "-e", "1"):
        every["Ruby"] = ["ruby", str(drivers / "drive.rb")]
    return every


def works(*command):
    """Whether it can be run at all."""
    with contextlib.suppress(OSError):
        return subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False).returncode == 0
    return False


def drive(command, base, some, folder, tools):
    """What a client was answered to these calls, in their order."""
    path = Path(folder) / "calls.json"
    path.write_text(json.dumps(list(some)))
    environment = {**os.environ, "NODE_PATH": str((tools / "node/node_modules").resolve())}
    done = subprocess.run([*command, base, KEY, str(path)], stdout=subprocess.PIPE, env=environment, timeout=300, check=True)
    return [json.loads(line) for line in done.stdout.decode("utf-8", "replace").splitlines()]


def comparable(told):
    """An answer without what may differ. A length is only there where the answer was not chunked on its way."""
    if "error" in told:
        return {"error": re.sub(r":\d{4,5}\b", ":PORT", told["error"])}
    fields = sorted([name.lower(), value] for name, value in told["fields"]
                    if name.lower() not in NOT_COMPARED and not (name.lower() == "etag" and OWN_ETAG.fullmatch(value)))
    return {"status": told["status"], "fields": fields, "length": told["length"], "sha256": told["sha256"]}


def difference(direct, through):
    """In words, the first thing that differs; None where nothing does."""
    one, other = comparable(direct), comparable(through)
    if one == other:
        return None
    if "error" in one or "error" in other or one["status"] != other["status"]:
        return " / ".join(told.get("error") or f"{told['status']} {told['start'][:90] if told['status'] >= 400 else ''}"
                          for told in (direct, through))
    if one["sha256"] != other["sha256"]:
        pairs = zip(direct["start"].splitlines(), through["start"].splitlines())
        at = next((f"{left.strip()} / {right.strip()}" for left, right in pairs if left != right), "further on")
        return f"body of {one['length']} / {other['length']} bytes: {at}"
    lost = [field for field in one["fields"] if field not in other["fields"]]
    return f"fields: lost {lost}, new {[field for field in other['fields'] if field not in one['fields']]}"


def compare(binary, every, tools, folder, verbose):
    """The table of comparisons; how many calls differed."""
    some, differing = list(calls.compared()), 0
    sdk = [str(tools / "python/bin/python"), str(HERE / "drivers/drive.py"), "instantlyai"]
    for name, command in {**every, "instantlyai": sdk}.items():
        told = []
        mine = some[:1] if name == "instantlyai" else [one for one in some if name == "axios" or "data" not in one]
        with children.vendor() as one, children.vendor() as other:
            told.append(drive(command, f"http://127.0.0.1:{one}", mine, folder, tools))
            with children.proxy(binary, f"http://127.0.0.1:{other}", f"{folder}/log") as proxy:
                told.append(drive(command, f"http://127.0.0.1:{proxy.data}", mine, folder, tools))
        found = [(left["name"], difference(left, right)) for left, right in zip(*told)]
        faults = [f"    {what}: {fault}" for what, fault in found if fault]
        unable = sum("error" in left for left in told[0])
        differing += len(faults)
        print(f"  {name:<12} {len(found) - len(faults):>4} of {len(found)} the same"
              + (f", {unable} of them an error of the client" if unable else ""))
        shown = faults if verbose else faults[:SHOWN]
        more = [f"    and {len(faults) - len(shown)} more"] if len(faults) > len(shown) else []
        for line in shown + more:
            print(line)
        sys.stdout.flush()
    return differing


def early(binary, every, tools, folder):
    """The table of uploads that are answered early; how many answers were lost."""
    lost = 0
    print(f"  {'':<12} {'413':>8} {'401':>8} {'429':>8} {'simulator':>10}")
    with simulator(binary) as simulated:
        for name, command in every.items():
            heard, errors, row = collections.Counter(), collections.Counter(), []
            with children.vendor() as api, children.proxy(binary, f"http://127.0.0.1:{api}", f"{folder}/log") as proxy:
                some = calls.early(name.replace(" ", "-"), TIMES)
                uploads = drive(command, f"http://127.0.0.1:{proxy.data}", some, folder, tools)
            at_simulator = drive(command, simulated, calls.early_at_the_simulator(TIMES), folder, tools)
            for place, told in (("", uploads), ("simulator ", at_simulator)):
                for one in told:
                    kind = place + one["name"]
                    # It is the proxy's own answer that must be heard: another would not have been early.
                    own = place or any(field[0].lower() == "proxy-status" for field in one.get("fields", ()))
                    is_heard = one.get("status") in (401, 413, 429) and bool(own) and '"statusCode"' in one["start"]
                    heard[kind] += is_heard
                    if not is_heard and kind[:6] not in ("known", "before"):
                        errors[one.get("error") or f"status {one['status']}"] += 1
            for kind, width in (("413", 8), ("401", 8), ("429", 8), ("simulator 401", 10)):
                lost += TIMES - heard[kind]
                row.append(f"{heard[kind]} of {TIMES}".rjust(width))
            causes = ", ".join(f"{count} x {what[:70]}" for what, count in errors.most_common(3))
            print(f"  {name:<12} {' '.join(row)}  {causes}", flush=True)
    return lost


@contextlib.contextmanager
def simulator(binary):
    """The simulated API's address."""
    with children.child([binary, "simulate", "--address", "127.0.0.1:0"]) as process:
        yield children.line_that(process, r"listens on (http://\S+)")[1]


def main():
    """Both tables; exit status 1 if anything differs or is lost."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("binary")
    arguments.add_argument("tools", type=Path)
    arguments.add_argument("--verbose", action="store_true")
    arguments.add_argument("--only", action="append")
    options = arguments.parse_args()
    every = {name: command for name, command in clients(options.tools).items() if not options.only or name in options.only}
    with tempfile.TemporaryDirectory() as folder:
        print("directly and through the proxy:")
        differing = compare(options.binary, every, options.tools, folder, options.verbose)
        print(f"answers heard by who uploads {calls.EARLY_BYTES >> 20} MiB to where they come at once:")
        lost = early(options.binary, every, options.tools, folder)
    if differing or lost:
        print(f"MISSED: {differing} calls differ, {lost} answers were lost")
    return 1 if differing or lost else 0


if __name__ == "__main__":
    sys.exit(main())
