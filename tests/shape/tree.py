"""The files of a tree, at work or of a commit; modules and what they name of each other."""

import io
import posixpath
import subprocess
import tarfile
from pathlib import Path

import rust

ROOT = Path(__file__).parent.parent.parent


def files_at_work():
    """Path -> text."""
    paths = [path for top in ("src", "tests") for path in sorted((ROOT / top).rglob("*.rs"))]
    paths.append(ROOT / "benches/instructions/counts")
    return {path.relative_to(ROOT).as_posix(): path.read_text("utf-8") for path in paths if path.exists()}


def files_of(commit):
    """The same of a commit."""
    packed = subprocess.run(["git", "-C", ROOT, "archive", commit], check=True, stdout=subprocess.PIPE).stdout
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        members = [member for member in archive.getmembers() if member.isfile()]
        wanted = [
            member
            for member in members
            if (member.name.startswith(("src/", "tests/")) and member.name.endswith(".rs"))
            or member.name == "benches/instructions/counts"
        ]
        return {member.name: archive.extractfile(member).read().decode() for member in wanted}


def text_of(commit, path):
    """A file of a commit; nothing if it has none of that path."""
    shown = subprocess.run(["git", "-C", ROOT, "show", f"{commit}:{path}"], capture_output=True, text=True)
    return shown.stdout if shown.returncode == 0 else None


class Module:
    """A file that is a module of a crate."""

    def __init__(self, path, name, text, for_tests):
        self.path, self.name, self.for_tests = path, name, for_tests
        self.all_tokens = rust.tokens_of(text)
        self.tokens, self.test_modules = rust.split_tests(self.all_tokens)
        self.children = {}
        # Name in scope -> path as it was imported, `self`, `super` and `crate` resolved.
        self.imports, self.globs = {}, []


class Crate:
    """The modules below a root, by the declarations in the files: what no file declares is no part of it."""

    def __init__(self, files, root):
        self.files, self.modules = files, {}
        self._load(root, (), False)
        for module in self.modules.values():
            _read_imports(module)

    def _load(self, path, name, for_tests):
        module = Module(path, name, self.files[path], for_tests)
        self.modules[name] = module
        folder, file = posixpath.split(path)
        is_root = file in ("mod.rs", "lib.rs", "main.rs") or not name
        inside = folder if is_root else posixpath.join(folder, file[: -len(".rs")])
        for child, given, tests_alone in _declared(module):
            places = [f"{inside}/{child}.rs", f"{inside}/{child}/mod.rs"]
            if given:
                places = [posixpath.normpath(posixpath.join(folder, given))]
            place = next((place for place in places if place in self.files), None)
            if place:
                module.children[child] = name + (child,)
                self._load(place, name + (child,), for_tests or tests_alone)

    def code(self):
        """The modules that are no tests."""
        return [module for module in self.modules.values() if not module.for_tests]

    def module_of(self, segments):
        """The innermost module that a path from the crate's root leads to, and what of the path is left."""
        count = len(segments)
        while count and tuple(segments[:count]) not in self.modules:
            count -= 1
        return self.modules[tuple(segments[:count])], tuple(segments[count:])

    def absolute(self, module, segments):
        """A path as it stands in a module, from the crate's root; nothing if it leads out of the crate."""
        segments, base = list(segments), list(module.name)
        if segments[0] == "crate":
            return tuple(segments[1:])
        if segments[0] in ("self", "super"):
            while segments and segments[0] in ("self", "super"):
                base = base[:-1] if segments.pop(0) == "super" else base
            return tuple(base + segments)
        if segments[0] in module.imports:
            return module.imports[segments[0]] + tuple(segments[1:])
        if segments[0] in module.children:
            return module.children[segments[0]] + tuple(segments[1:])
        return None


def _declared(module):
    """Modules that a file declares to be in other files: name, path if one is given, whether for tests alone."""
    tokens, found = module.all_tokens, []
    for at, token in enumerate(tokens[:-2]):
        if token.text == "mod" and token.kind == "word" and tokens[at + 2].text == ";":
            child = tokens[at + 1].text
            given = None
            # The attributes stand before, with the visibility between.
            words = [token.text for token in tokens[max(0, at - 12) : at]]
            if "path" in words and words[words.index("path") + 1] == "=":
                last = max(index for index, word in enumerate(words) if word == "path")
                if ";" not in words[last:] and "}" not in words[last:]:
                    given = words[last + 2].strip('"')
            found.append((child, given, child in module.test_modules or child == "tests"))
    return found


def _read_imports(module):
    tokens, at = module.tokens, 0
    module.uses = []
    while at < len(tokens):
        # `+ use<'_>` is a bound.
        if tokens[at].text == "use" and tokens[at + 1].text != "<":
            end = at
            while tokens[end].text != ";":
                end += 1
            for segments, name in _leaves(tokens[at + 1 : end], ()):
                absolute = _from_root(module, segments)
                if absolute is None:
                    continue
                if name == "*":
                    module.globs.append(absolute)
                elif name != "_":
                    module.imports[name] = absolute
                module.uses.append(absolute)
            at = end
        at += 1


def _from_root(module, segments):
    if segments[0] == "crate":
        return tuple(segments[1:])
    base, segments = list(module.name), list(segments)
    if segments[0] in ("self", "super"):
        while segments and segments[0] in ("self", "super"):
            base = base[:-1] if segments.pop(0) == "super" else base
        return tuple(base + segments)
    if segments[0] in module.children:
        return module.children[segments[0]] + tuple(segments[1:])
    return None


def _leaves(tokens, before):
    """The paths of a use tree, each with the name that it has in scope."""
    segments, at = list(before), 0
    while at < len(tokens):
        text = tokens[at].text
        if text == "{":
            found = []
            for part in rust.split_at_commas(tokens[at + 1 : rust.closing(tokens, at)]):
                if part:
                    found += _leaves(part, tuple(segments))
            return found
        if text == "as":
            return [(tuple(segments), tokens[at + 1].text)]
        if text == "*":
            return [(tuple(segments), "*")]
        if text == "self" and segments and segments[-1] not in ("self", "super"):
            return [(tuple(segments), segments[-1])] if at + 1 == len(tokens) else [(tuple(segments), tokens[at + 2].text)]
        if text != "::":
            segments.append(text)
        at += 1
    return [(tuple(segments), segments[-1])]
