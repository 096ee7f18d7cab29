#!/usr/bin/env python3
"""See run, which installs what this needs and makes the certificates."""

import argparse
import asyncio
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "lib"))

import children  # noqa: E402
import load  # noqa: E402
import servers  # noqa: E402

ANSWER_SECONDS = 0.03


def main():
    """Each server in turn; exit status 1 if a bar was missed."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("binary")
    arguments.add_argument("folder", type=Path)
    arguments.add_argument("--calls", type=int, default=2000)
    arguments.add_argument("--only", choices=servers.EVERY, action="append")
    options = arguments.parse_args()
    rows, faults = [], []
    for name in options.only or servers.EVERY:
        rows.append(run_one(name, options, faults))
    table = [("upstream", "calls", "errors", "doubled", "lost", "opened", "used", "label calls over HTTP/2", "calls/s"), *rows]
    widths = [max(len(str(row[column])) for row in table) for column in range(len(table[0]))]
    for row in table:
        print("  ".join(str(cell).rjust(width) if at else str(cell).ljust(width) for at, (cell, width) in enumerate(zip(row, widths))))
    for fault in faults:
        print(f"MISSED: {fault}")
    return 1 if faults else 0


def run_one(name, options, faults):
    """The row of one server."""
    settings = {
        "UPSTREAM__CA_FILE": f"{options.folder}/ca.pem",
        # An answer for each call, and no call that no caller made.
        "CACHE__LIST_FILL": "false",
    }
    log = f"{options.folder}/{name}.proxy.log"
    with (
        children.vendor(delay=ANSWER_SECONDS) as vendor,
        servers.EVERY[name](vendor, options.folder) as server,
        children.proxy(options.binary, f"https://localhost:{server.port}", log, settings) as proxy,
    ):
        alone = asyncio.run(load.suite(proxy.data, name))
        begun = time.monotonic()
        tally = asyncio.run(load.load(proxy.data, options.calls, name, server.recycle))
        seconds = time.monotonic() - begun
        opened, told = server.opened() if server.opened else "-", children.stats(vendor)
    title = servers.version(name)
    doubled = [marker for marker, times in told["markers"].items() if times > 1]
    lost = [marker for marker in tally.confirmed if marker not in told["markers"]]
    labels, second, used = told_by(server, told)
    errors = sum(tally.errors.values())
    print(f"{title}: {'each label call alone is answered' if not alone else 'label calls alone: ' + listed(alone)}")
    print(f"{title}: {'no errors' if not errors else listed(tally.errors)}", flush=True)
    for what, count in (("label calls that fail when made alone", len(alone)), ("calls that failed", errors),
                        ("writes processed twice", len(doubled)), ("writes answered and never processed", len(lost)),
                        ("label calls not over HTTP/2", labels - second)):
        if count:
            faults.append(f"{title}: {count} {what}")
    # A server that has not closed any connection early has shown nothing.
    if used * servers.REQUESTS * 10 < options.calls:
        faults.append(f"{title}: only {used} connections for {options.calls} calls: none was closed early")
    return (title, tally.calls, errors, len(doubled), len(lost), opened, used, f"{second} of {labels}",
            f"{tally.calls / seconds:.0f}")


def told_by(server, told):
    """Label calls, those of them over HTTP/2, and connections that carried a call: by the vendor, or by the server's log."""
    if server.fronts:
        found = server.fronts()
        calls = [call for calls in found.values() for call in calls]
        labels = [call for call in calls if call.startswith("label")]
        return len(labels), sum(call.startswith("label HTTP/2") for call in labels), len(found)
    labels = {what: count for what, count in told["calls"].items() if what.startswith("label ")}
    second = sum(count for what, count in labels.items() if what.startswith("label HTTP/2"))
    return sum(labels.values()), second, len(told["fronts"])


def listed(errors):
    """Errors by kind, the most frequent first."""
    return ", ".join(f"{count} x {kind}" for kind, count in errors.most_common())


if __name__ == "__main__":
    sys.exit(main())
