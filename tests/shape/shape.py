#!/usr/bin/env python3
"""See run."""

import argparse
import re
import sys
from collections import Counter
from pathlib import Path

import circles
import rust
import tree
import walk
from names import Names

HERE = Path(__file__).parent
LONGEST_FUNCTION, LONGEST_FILE = 60, 350
INSTRUCTIONS = {"hit": "hit", "304": "not modified", "pass-through": "pass-through"}


class Shape:
    """Every row of the table: its figure, and what it is made of."""

    def __init__(self, files, not_taken):
        self.rows, self.behind, self.faults = {}, {}, []
        crate = tree.Crate(files, "src/lib.rs")
        program = tree.Crate(files, "src/main.rs")
        self.names = Names(crate)
        self.count_miss(walk.NotTaken(not_taken))
        self.count_circles(crate)
        self.count_sizes(crate.code() + program.code()[:1])
        self.count_parameters(crate.code() + program.code()[:1])
        self.count_instructions(files)
        self.count_tests(files, crate)

    def row(self, name, figure, behind=()):
        self.rows[name], self.behind[name] = figure, list(behind)

    def count_miss(self, not_taken):
        entered = walk.walk(self.names, not_taken)
        self.faults += [f"not_taken: nothing on the way of a miss is {line!r}" for line in not_taken.unmet()]
        told = [
            f"{'  ' * depth}{owned.name}  {owned.module.path}"
            for owned, depth in entered
            if walk.folder(owned) in walk.FOLDERS
        ]
        files, changes, returns = walk.figures(entered, walk.FOLDERS[:1])
        self.row("miss: files of proxy", files, told)
        self.row("miss: changes of file in proxy", changes)
        self.row("miss: returns in proxy", returns)
        files, changes, returns = walk.figures(entered, walk.FOLDERS)
        self.row("miss: files of proxy, fetch, origin", files)
        self.row("miss: changes of file in all three", changes)
        self.row("miss: returns in all three", returns)

    def count_circles(self, crate):
        found = circles.circles(circles.edges(crate))
        across = [circle for circle in found if len({circles.folder(crate, path) for path in circle}) > 1]
        self.row("circles of files", len(found), [" ".join(circle) for circle in found])
        self.row("files of the largest circle", len(found[0]) if found else 0)
        self.row("circles across folders", len(across), [" ".join(circle) for circle in across])

    def count_sizes(self, modules):
        lengths = [(len(rust.code_lines(module.tokens)), module.path) for module in modules]
        functions = [
            (function.body_lines, f"{module.path}:{function.line} {function.name}")
            for module in modules
            for function in rust.functions(module.tokens)
        ]
        for name, found, most in (
            (f"functions over {LONGEST_FUNCTION} lines", functions, LONGEST_FUNCTION),
            (f"files over {LONGEST_FILE} lines", lengths, LONGEST_FILE),
        ):
            over = sorted((entry for entry in found if entry[0] > most), reverse=True)
            self.row(name, len(over), [f"{lines}  {what}" for lines, what in over])
        self.row("code lines of src", sum(lines for lines, _ in lengths))

    def count_parameters(self, modules):
        bools, tuples = [], []
        imposed = {
            (owned.module.path, owned.function.line)
            for owned in self.names.all
            if owned.trait and not self.names.find(owned.module, (owned.trait,))
        }
        for module in modules:
            for function in rust.functions(module.tokens):
                place = f"{module.path}:{function.line} {function.name}"
                if (module.path, function.line) in imposed:
                    continue
                parts = [rust.split_parameter(parameter) for parameter in function.parameters]
                bools += [
                    f"{place}: {' '.join(token.text for token in pattern)}"
                    for pattern, kind in parts
                    if [token.text for token in kind] == ["bool"]
                ]
                if any(kind and pattern[0].text == "(" for pattern, kind in parts):
                    tuples.append(place)
        self.row("bare bool parameters", len(bools), bools)
        self.row("signatures with a tuple parameter", len(tuples), tuples)

    def count_instructions(self, files):
        kept = files.get("benches/instructions/counts", "").splitlines()
        counts = dict(line.split() for line in kept if line.strip())
        for key, name in INSTRUCTIONS.items():
            self.row(f"instructions: {name}", int(counts[key]) if key in counts else None)

    def count_tests(self, files, crate):
        unit = tests_of(crate)
        # A file in tests/, or a folder with a main.rs: what cargo takes for a program of tests.
        roots = [path for path in files if re.fullmatch(r"tests/[^/]+(/main)?\.rs", path)]
        sockets = [name for root in roots for name in tests_of(tree.Crate(files, root))]
        self.tests = Counter(unit + sockets)
        self.row("unit tests", len(unit))
        self.row("tests over sockets", len(sockets))


def tests_of(crate):
    return [name for module in crate.modules.values() for name in rust.test_names(module.all_tokens)]


class Figures:
    """`figures`: of each row the figure before, the limit and the bar."""

    def __init__(self, path):
        self.path, self.lines, self.rows = path, path.read_text("utf-8").splitlines(), {}
        for line in self.lines:
            if line and not line.startswith("#"):
                name, before, limit, bar = (cell.strip() for cell in line.split("|"))
                self.rows[name] = [None if cell == "-" else int(cell) for cell in (before, limit, bar)]

    def keep(self, shape):
        """Limits follow figures that are better, down to the bar."""
        lines = []
        for line in self.lines:
            name = line.split("|")[0].strip()
            if name in self.rows and not line.startswith("#"):
                before, limit, bar = self.rows[name]
                now = shape.rows.get(name)
                if None not in (limit, now):
                    limit = min(limit, now if bar is None else max(now, bar))
                line = told(name, before, limit, bar)
            lines.append(line)
        self.path.write_text("\n".join(lines) + "\n", "utf-8")


def told(name, *figures):
    return f"{name:<40}" + "".join(f" | {'-' if figure is None else figure:>6}" for figure in figures)


def names_of(path):
    return [line for line in path.read_text("utf-8").splitlines() if line and not line.startswith("#")]


def missing_tests(tests):
    """Kept names that no test has, and what is wrong with the renamed ones."""
    kept = Counter(names_of(HERE / "test_names"))
    faults = []
    for line in names_of(HERE / "renamed_tests"):
        old, arrow, new = line.partition(" -> ")
        if not arrow or kept[old] == 0:
            faults.append(f"renamed_tests: {line!r} is no `OLD -> NEW` of a kept name")
            continue
        kept[old] -= 1
        if tests[new] == 0:
            faults.append(f"renamed_tests: there is no test {new}")
    return sorted((kept - tests).elements()), faults


def main():
    """The table; exit status 1 if a row is worse than its limit or a promise is gone."""
    arguments = argparse.ArgumentParser(description="Counts the shape of the code.")
    arguments.add_argument("--of", metavar="COMMIT", help="counts that commit and judges nothing")
    arguments.add_argument("--list", action="store_true", help="tells what the figures are made of")
    arguments.add_argument("--keep", action="store_true", help="lowers limits to today's figures, adds names of new tests")
    options = arguments.parse_args()
    figures = Figures(HERE / "figures")
    if options.of:
        # The tree before has no list of its own.
        not_taken = tree.text_of(options.of, "tests/shape/not_taken")
        shape = Shape(tree.files_of(options.of), not_taken or (HERE / "before/not_taken").read_text("utf-8"))
    else:
        shape = Shape(tree.files_at_work(), (HERE / "not_taken").read_text("utf-8"))
        if options.keep:
            figures.keep(shape)
            keep_names(shape.tests)
            figures = Figures(HERE / "figures")
    missing, faults = missing_tests(shape.tests)
    shape.row("promises gone", len(missing), missing)
    faults += shape.faults
    faults += show(shape, figures, options)
    if options.of:
        return 0
    for fault in faults:
        print(f"WORSE: {fault}")
    return 1 if faults else 0


def keep_names(tests):
    path = HERE / "test_names"
    remarks = [line for line in path.read_text("utf-8").splitlines() if line.startswith("#")]
    kept = Counter(names_of(path)) | tests
    path.write_text("\n".join([*remarks, *sorted(kept.elements())]) + "\n", "utf-8")


def show(shape, figures, options):
    """Prints the table; what is worse than its limit."""
    faults = []
    print(f"{'':<40}" + "".join(f" | {head:>6}" for head in ("before", options.of or "now", "limit", "bar")))
    for name, (before, limit, bar) in figures.rows.items():
        now = shape.rows.get(name)
        reached = "" if None in (bar, now) or now > bar else "  reached"
        print(told(name, before, now, limit, bar) + reached)
        if options.list or (name == "promises gone" and not options.of):
            for line in shape.behind.get(name, ()):
                print(f"    {line}")
        if now is None:
            faults.append(f"{name}: no figure")
        elif limit is not None and now > limit:
            faults.append(f"{name}: {now}, and the limit is {limit}")
    faults += [f"{name}: a row that `figures` lacks" for name in shape.rows if name not in figures.rows]
    return faults


if __name__ == "__main__":
    sys.exit(main())
