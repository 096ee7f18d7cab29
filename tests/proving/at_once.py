#!/usr/bin/env python3
"""All mutants of some modules in one build, and then each of them by itself: what `mutants --at-once` runs.

cargo-mutants says which mutants there are. In a copy of what is committed every function of theirs chooses by an environment
variable between its own body and those with one mutant in it: so a mutant costs the run of its tests, some tenths of a second, in
place of a build. What the compiler refuses is left out, and counts as not to be built. A mutant of a function that must stay
`const`, or that returns an opaque type (each body would have another), stands `apart`: cargo-mutants itself is for those.

Standard input has the modules as `mutants` lists them. Goes on where it was ended, as long as nothing else has been committed. Exit
status 1 if a mutant survived.
"""

import collections
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
OUT = ROOT / "target" / "mutants" / "at_once"
SOURCE = OUT / "source"
# A mutant that waits for ever is found by that.
LIMIT = 60
SIMULATION = "proving::simulation"
# What has a simulation of its own.
SIMULATED = ("fleet::control",)
SWITCH = """
/// Which mutant is chosen.
pub(crate) mod mutant {
    pub(crate) fn on() -> u32 {
        static ON: std::sync::LazyLock<u32> =
            std::sync::LazyLock::new(|| std::env::var("MUTANT").ok().and_then(|chosen| chosen.parse().ok()).unwrap_or(0));
        *ON
    }
}
"""
ENVIRONMENT = dict(
    os.environ,
    CARGO_TARGET_DIR=str(OUT / "target"),
    CARGO_PROFILE_TEST_OPT_LEVEL="1",
    CARGO_PROFILE_TEST_DEBUG="false",
    RUSTFLAGS="--cap-lints warn",
    RUST_BACKTRACE="0",
)
RAW_STRING = re.compile(r'b?r(#*)"')
CHARACTER = re.compile(r"'(\\.[^']*|[^\\'])'")
NOT_CONST = re.compile(r"cannot call non-const (?:method|associated function|function) `([^`]+)`")
CONST = re.compile(r"^\s*(?:pub(?:\([^)]*\))?\s+)?const\s+(?:async\s+)?fn", re.MULTILINE)


def run(*command):
    return subprocess.run(command, cwd=SOURCE, env=ENVIRONMENT, capture_output=True, text=True)


def opening_brace(text, start, end):
    """Where the group of braces begins that ends right before `end`."""
    at, open_braces = start, []
    while at < end:
        raw = RAW_STRING.match(text, at)
        character = CHARACTER.match(text, at)
        if text.startswith("//", at):
            at = text.index("\n", at)
        elif raw and not re.match(r"\w", text[at - 1]):
            at = text.index('"' + raw.group(1), raw.end()) + 1 + len(raw.group(1))
        elif text[at] == '"':
            at += 1
            while text[at] != '"':
                at += 2 if text[at] == "\\" else 1
            at += 1
        elif character:
            at = character.end()
        else:
            if text[at] == "{":
                open_braces.append(at)
            elif text[at] == "}":
                opened = open_braces.pop()
                if at == end - 1:
                    return opened
            at += 1
    raise ValueError("no body")


class Mutants:
    """The mutants of all modules, by number, and what is known of each."""

    def __init__(self, modules):
        self.texts, self.all, self.module = {}, {}, {}
        self.by_function = collections.defaultdict(list)
        self.refused, self.apart = set(), set()
        for name, files, tests in modules:
            listed = run("cargo", "mutants", "--list", "--json", *(word for file in files for word in ("--file", file)))
            for mutant in json.loads(listed.stdout):
                self.all[len(self.all) + 1] = mutant
                self.module[len(self.all)] = (name, tests)
        for number, mutant in self.all.items():
            self.place(number, mutant)

    def place(self, number, mutant):
        file = mutant["file"]
        text = self.texts.setdefault(file, (SOURCE / file).read_text())
        lines = text.splitlines(keepends=True)
        begins = [0]
        for line in lines:
            begins.append(begins[-1] + len(line))
        offset = lambda place: begins[place["line"] - 1] + place["column"] - 1
        function = mutant["function"]["span"]
        begin, end = offset(function["start"]), offset(function["end"])
        start, stop = offset(mutant["span"]["start"]), offset(mutant["span"]["end"])
        brace = opening_brace(text, begin, end)
        body = f"{text[brace + 1:start]} {mutant['replacement']} {text[stop:end - 1]}"
        self.by_function[file, begin, brace, end].append((number, body))

    def write(self):
        """Writes the sources; gives the lines of each mutant, by file."""
        marks = collections.defaultdict(list)
        for file, text in self.texts.items():
            written, last = [], 0
            places = sorted((place, mutants) for place, mutants in self.by_function.items() if place[0] == file)
            for (_, begin, brace, end), mutants in places:
                chosen = [(number, body) for number, body in mutants if number not in self.refused | self.apart]
                if not chosen:
                    continue
                head = text[last:brace + 1]
                # What is chosen while it runs cannot be `const`.
                if CONST.search(text[begin:brace]):
                    at = head.rindex("const ")
                    head = head[:at] + head[at + len("const "):]
                written.append(head + "\n#[allow(clippy::all)] match crate::mutant::on() {\n")
                for number, body in chosen:
                    line = sum(piece.count("\n") for piece in written) + 1
                    written.append(f"{number} => {{\n{body}\n}}\n")
                    marks[file].append((line, line + written[-1].count("\n") - 1, number))
                line = sum(piece.count("\n") for piece in written) + 1
                written.append("_ => {\n" + text[brace + 1:end - 1] + "\n}}\n")
                # What the compiler refuses of the function as it is it refuses of every mutant: that says nothing of them.
                marks[file].append((line, line + written[-1].count("\n") - 1, -chosen[0][0]))
                last = end - 1
            (SOURCE / file).write_text("".join(written) + text[last:])
        return marks

    def drop_what_is_refused(self):
        """Compiles, leaving out what the compiler refuses, until nothing is."""
        while True:
            marks = self.write()
            checked = run("cargo", "check", "--lib", "--profile", "test", "--locked", "--message-format=json")
            if checked.returncode == 0:
                return
            refused, elsewhere = set(), []
            for message in messages(checked.stdout):
                spans = message["spans"] + [span for child in message["children"] for span in child["spans"]]
                found = {
                    number
                    for span in spans
                    for first, last, number in marks.get(span["file_name"], ())
                    if first <= span["line_start"] <= last
                }
                refused |= found
                if spans and not found:
                    elsewhere.append(message["rendered"])
            own = {self.place_of(-number) for number in refused if number < 0}
            apart = {number for number in self.all if self.place_of(number) in own}
            refused = {number for number in refused if number > 0}
            apart |= {number for number in refused if "-> impl " in self.all[number]["name"]}
            for called in NOT_CONST.findall("".join(elsewhere)):
                apart |= {number for number in self.all if self.function(number) == called.split("::")[-1]}
            if not (refused | apart) - self.refused - self.apart:
                sys.exit("\n".join(elsewhere)[:4000] or checked.stderr[-2000:])
            self.apart |= apart
            self.refused = (self.refused | refused) - self.apart

    def place_of(self, number):
        return self.all[number]["file"], str(self.all[number]["function"]["span"])

    def function(self, number):
        return self.all[number]["function"]["function_name"].split("::")[-1]


def messages(output):
    for line in output.splitlines():
        told = json.loads(line) if line.startswith("{") else {}
        if told.get("reason") == "compiler-message" and told["message"]["level"] == "error":
            yield told["message"]


def build():
    built = run("cargo", "test", "--lib", "--no-run", "--locked", "--message-format=json")
    for line in built.stdout.splitlines():
        told = json.loads(line) if line.startswith("{") else {}
        if told.get("reason") == "compiler-artifact" and told.get("executable"):
            return told["executable"]
    sys.exit(built.stderr[-2000:])


def outcome(program, number, arguments):
    """What the tests say: the name of the first that fails, or that they hang; nothing if all hold."""
    tests = subprocess.Popen(
        [program, "--test-threads=1", *arguments],
        cwd=SOURCE, env=dict(ENVIRONMENT, MUTANT=str(number)), start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, errors="replace",
    )
    hung = threading.Event()
    end = lambda: os.killpg(tests.pid, signal.SIGKILL)
    timer = threading.Timer(LIMIT, lambda: (hung.set(), end()))
    timer.start()
    failed = None
    for line in tests.stdout:
        if line.startswith("test ") and line.rstrip().endswith("FAILED"):
            failed = line.split()[1]
            end()
            break
    tests.stdout.close()
    status = tests.wait()
    timer.cancel()
    return failed or ("hangs" if hung.is_set() else f"exit status {status}" if status else None)


def in_order(tests):
    """The filters of a module's tests, each with what it leaves out: whatever is slow comes last."""
    slow = [test for test in tests if test.startswith(SIMULATION)] + [f"{test}::simulation" for test in tests if test in SIMULATED]
    fast = [test for test in tests if not test.startswith(SIMULATION)]
    return [[*fast, *(word for test in slow for word in ("--skip", test))], *([test] for test in slow)]


def judge(mutants, program, results):
    """Runs what has not been run; whatever is slow is asked last."""
    known = {}
    if results.exists():
        known = {number: by for number, by in map(json.loads, results.read_text().splitlines())}
    left = iter([n for n in mutants.all if n not in mutants.refused | mutants.apart and n not in known])
    lock = threading.Lock()

    def work():
        while True:
            with lock:
                number = next(left, None)
            if number is None:
                return
            by = None
            for filters in in_order(mutants.module[number][1]):
                by = by or outcome(program, number, filters)
            with lock, results.open("a") as file:
                file.write(json.dumps([number, by]) + "\n")
                known[number] = by

    workers = [threading.Thread(target=work) for _ in range(os.cpu_count() or 1)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return known


def main():
    modules = []
    for line in sys.stdin:
        name, files, *tests = line.split()
        modules.append((name, files.split(","), tests))
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
    shutil.rmtree(SOURCE, ignore_errors=True)
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(SOURCE)], check=True)
    mutants = Mutants(modules)
    with (SOURCE / "src" / "lib.rs").open("a") as file:
        file.write(SWITCH)
    mutants.drop_what_is_refused()
    program = build()
    asked = hashlib.sha256(json.dumps([modules, list(mutants.all.values())]).encode()).hexdigest()[:16]
    results = OUT / f"{commit}.{asked}"
    for filters in {json.dumps(filters) for _, _, tests in modules for filters in in_order(tests)}:
        by = outcome(program, 0, json.loads(filters))
        if by:
            sys.exit(f"without any mutant: {by}")
    known = judge(mutants, program, results)
    if set(known) != set(mutants.all) - mutants.refused - mutants.apart:
        sys.exit("some were not judged: run it again")
    for name, *_ in modules:
        own = [number for number in mutants.all if mutants.module[number][0] == name]
        survived = [number for number in own if number in known and known[number] is None]
        refused, apart = len(mutants.refused & set(own)), len(mutants.apart & set(own))
        print(f"{name:12} {len(own)} mutants, {refused} not to be built, {apart} apart, {len(survived)} survived")
        for number in survived:
            print(f"    {mutants.all[number]['name']}")
    for number in sorted(mutants.apart):
        print(f"apart: {mutants.all[number]['name']}")
    sys.exit(any(by is None for by in known.values()))


if __name__ == "__main__":
    main()
