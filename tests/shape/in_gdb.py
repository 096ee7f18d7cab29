"""Runs inside gdb: writes the name of every function of `FOLDER`/symbols that is entered to `FOLDER`/entered."""

import os

import gdb

for setting in ("pagination off", "confirm off", "print thread-events off"):
    gdb.execute(f"set {setting}")
entered = open(f"{FOLDER}/entered", "w", encoding="utf-8", buffering=1)  # noqa: F821


class Entry(gdb.Breakpoint):
    def stop(self):
        entered.write(self.function + "\n")
        return False


gdb.execute("starti")
program = os.path.realpath(gdb.current_progspace().filename)
mapped = [line.split() for line in gdb.execute("info proc mappings", to_string=True).splitlines()]
base = next(int(line[0], 16) for line in mapped if line and os.path.realpath(line[-1]) == program)
for symbol in open(f"{FOLDER}/symbols", encoding="utf-8"):  # noqa: F821
    address, name = symbol.rstrip("\n").split("\t")
    Entry(f"*{base + int(address, 16):#x}", internal=True).function = name
gdb.execute("continue")
