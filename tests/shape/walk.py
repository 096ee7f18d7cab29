"""The way of a miss through the files, found in the code itself.

A walk from `Worker::handle` through every call of a function of this crate, in the order in which the calls stand; what is
handed to a call comes before it. A function is walked through where it is first called; where it is called again it is
entered, and left at once. What a miss does not do, `not_taken` names: each line must be met, so that none outlives its
function.

What is counted are the entries of functions of the folders asked for: files, changes from one file to another between two
entries, and changes that return to a file that had been left. Coming back from a call is no entry.
"""

from calls import Calls

ROOT = "Worker::handle"
FOLDERS = ("proxy", "fetch", "origin")


class NotTaken:
    """Lines of `CALLED`, `CALLER > CALLED`, or `CALLER > CALLED #N` for its Nth place there. `#` begins a remark."""

    def __init__(self, text):
        self.calls, self.places, self.met, self.all = set(), {}, set(), []
        for line in text.splitlines():
            line = line.strip()
            if not line or line.startswith("#"):
                continue
            self.all.append(line)
            caller, arrow, called = line.partition(" > ")
            if not arrow:
                self.calls.add(line)
                continue
            called, _, place = called.partition(" #")
            self.places.setdefault((caller, called), {})[int(place) if place else 0] = line

    def holds(self, caller, called, place):
        places = self.places.get((caller, called), {})
        line = places.get(0) or places.get(place) or (called if called in self.calls else None)
        if line:
            self.met.add(line)
        return line is not None

    def unmet(self):
        return [line for line in self.all if line not in self.met]


def walk(names, not_taken):
    """The functions that a miss enters, each with how deep it is called."""
    roots = [owned for owned in names.all if owned.name == ROOT]
    if len(roots) != 1:
        raise SystemExit(f"there are {len(roots)} functions {ROOT}: a miss must begin at one")
    entered, known = [], {}

    def enter(owned, depth):
        entered.append((owned, depth))
        if owned in known:
            return
        known[owned] = True
        places = {}
        for called in Calls(names, owned, is_counted if is_counted(owned) else nobody).found:
            places[called.name] = places.get(called.name, 0) + 1
            # A trait only says that there is such a method.
            if called.function.body and not not_taken.holds(owned.name, called.name, places[called.name]):
                enter(called, depth + 1)

    enter(roots[0], 0)
    return entered


def folder(owned):
    """The room of a function: the first folder, or file, below src."""
    return owned.module.name[0] if owned.module.name else ""


def is_counted(owned):
    """Whether a function is in one of the folders."""
    return folder(owned) in FOLDERS


def nobody(_):
    """Other rooms know nothing of these folders: what is not known there is not meant."""
    return False


def figures(entered, folders):
    """Files, changes and returns."""
    files = [owned.module.path for owned, _ in entered if folder(owned) in folders]
    changes = [file for index, file in enumerate(files) if index and files[index - 1] != file]
    crossed = len(set(files))
    return crossed, len(changes), len(changes) - (crossed - 1)
