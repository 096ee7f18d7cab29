"""See trace."""

import re
import subprocess
import sys
from pathlib import Path

import tree
import walk
from names import Names

HERE = Path(__file__).parent
# It proves a credential by its first request, misses with the second and hits with the third, without list fills.
TEST = "traces::a_miss_is_a_look_up_a_flight_and_a_call_and_a_hit_is_a_look_up"
MISS = 2
ROOM = re.compile(rf"<?instantly_proxy::(?:{'|'.join(walk.FOLDERS)})::")
# What the compiler adds or derives: no call in the code stands for it, or one that tells nothing.
ADDED = re.compile(r" as core::(?:ops::drop::Drop|clone::Clone|cmp::\w+|default::Default|fmt::\w+|hash::Hash)>|drop_in_place")


def main(binary, scratch):
    """Exit status 1 if a miss enters what is not on the way that was read."""
    symbols = symbols_of(binary)
    (scratch / "symbols").write_text("".join(f"{address:x}\t{name}\n" for address, name in symbols), "utf-8")
    run = subprocess.run(
        ["gdb", "-q", "-batch", "-ex", f"python FOLDER = {str(scratch)!r}", "-x", HERE / "in_gdb.py"]
        + ["--args", binary, "--exact", TEST],
        capture_output=True,
        text=True,
        timeout=300,
    )
    if "test result: ok. 1 passed" not in run.stdout:
        raise SystemExit(f"tests/shape/trace: {TEST} did not run: {run.stdout[-2000:]}{run.stderr[-2000:]}")
    entered = function_names(miss_of((scratch / "entered").read_text("utf-8").splitlines()))
    names = Names(tree.Crate(tree.files_at_work(), "src/lib.rs"))
    not_taken = walk.NotTaken((HERE / "not_taken").read_text("utf-8"))
    read = {owned.function.name for owned, _ in walk.walk(names, not_taken) if walk.is_counted(owned)}
    print(f"a miss enters {len(entered)} functions of {', '.join(walk.FOLDERS)}; on the way that was read are {len(read)}")
    for name in sorted(entered - read):
        print(f"WORSE: a miss enters {name}, which is not on the way that was read: see not_taken and --list")
    for name in sorted(read - entered):
        print(f"only read: {name}")
    return 1 if entered - read else 0


def symbols_of(binary):
    """Address and name of each function of the folders."""
    found = []
    for line in subprocess.run(["nm", "-C", binary], check=True, capture_output=True, text=True).stdout.splitlines():
        parts = line.split(maxsplit=2)
        if len(parts) == 3 and parts[1] in "tTwW" and ROOM.match(parts[2]) and not ADDED.search(parts[2]):
            found.append((int(parts[0], 16), parts[2]))
    return found


def miss_of(entered):
    begun = [index for index, name in enumerate(entered) if re.search(r"\bWorker>?::handle$", name)]
    if len(begun) < MISS:
        raise SystemExit("tests/shape/trace: no Worker::handle was entered")
    end = begun[MISS] if len(begun) > MISS else len(entered)
    return entered[begun[MISS - 1] : end]


def function_names(entered):
    """The names alone, without those of closures and of what they are in."""
    found = set()
    for name in entered:
        name = re.sub(r"::\{[^}]*\}\}?", "", name)
        while (shorter := re.sub(r"<[^<>]*>", "", name)) != name:
            name = shorter
        found.add(name.rsplit("::", 1)[-1])
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2])))
