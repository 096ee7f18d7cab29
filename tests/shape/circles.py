"""Circles of files: what files name of each other, by `use` and by paths, and who comes back to itself that way.

A name that is handed on by `pub use` counts as its definer's. A module's file and the files below it are one thing seen
from above: that it declares them, hands their names on and composes them is no edge; what they name of it is one.
"""

import posixpath


def edges(crate):
    """File -> files that it names."""
    found = {}
    for module in crate.code():
        named = set(module.uses)
        tokens = module.tokens
        for at, token in enumerate(tokens[:-1]):
            if token.kind != "word" or tokens[at + 1].text != "::" or tokens[at - 1].text == "::":
                continue
            segments = [token.text]
            index = at + 1
            while index + 1 < len(tokens) and tokens[index].text == "::" and tokens[index + 1].kind == "word":
                segments.append(tokens[index + 1].text)
                index += 2
            absolute = crate.absolute(module, segments)
            if absolute is not None:
                named.add(absolute)
        targets = set()
        for path in named:
            target = _definer(crate, path)
            if target.name[: len(module.name)] != module.name:
                targets.add(target.path)
        found[module.path] = targets
    return found


def _definer(crate, path):
    module, rest = crate.module_of(path)
    seen = set()
    while rest and rest[0] in module.imports and module.path not in seen:
        seen.add(module.path)
        module, rest = crate.module_of(module.imports[rest[0]] + rest[1:])
    return module


def folder(crate, path):
    """The folder of a file; a file beside the folder of its own modules is in that one."""
    below = next(module.children.values() for module in crate.code() if module.path == path)
    has_code_below = any(name in crate.modules and not crate.modules[name].for_tests for name in below)
    is_beside = posixpath.basename(path) not in ("mod.rs", "lib.rs")
    return path[: -len(".rs")] if has_code_below and is_beside else posixpath.dirname(path)


def circles(graph):
    """Strongly connected components of more than one file (Tarjan)."""
    index, low, stack, found = {}, {}, [], []

    def visit(node):
        index[node] = low[node] = len(index)
        stack.append(node)
        for other in sorted(graph.get(node, ())):
            if other not in index:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], index[other])
        if low[node] == index[node]:
            component = []
            while not component or component[-1] != node:
                component.append(stack.pop())
            if len(component) > 1:
                found.append(sorted(component))

    for node in sorted(graph):
        if node not in index:
            visit(node)
    return sorted(found, key=lambda component: (-len(component), component))
