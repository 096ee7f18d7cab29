"""Rust sources as tokens: code apart from comments, tests apart from the rest, modules and their files, functions.

It reads what rustfmt and rustc accept and does not check it. Layout means nothing to it but for lines.
"""

import re
from collections import namedtuple

# `kind` is one of: word, text, number, lifetime, mark. Texts keep no contents that anybody asks for.
Token = namedtuple("Token", "kind text line last")

_PATTERN = re.compile(
    r"""
    (?P<space>\s+)
  | (?P<comment>//[^\n]*)
  | (?P<block>/\*)
  | (?P<raw>(?:b|c)?r(?P<hashes>\#*)")
  | (?P<string>(?:b|c)?"(?:[^"\\]|\\.)*")
  | (?P<char>b?'(?:[^'\\\n]|\\(?:x[0-9a-fA-F]{2}|u\{[0-9a-fA-F_]+\}|.))')
  | (?P<lifetime>'[A-Za-z_][A-Za-z_0-9]*)
  | (?P<number>[0-9][0-9A-Za-z_]*(?:\.[0-9][0-9A-Za-z_]*)?)
  | (?P<word>(?:r\#)?[A-Za-z_][A-Za-z_0-9]*)
  | (?P<mark>::|->|=>|\.\.=|\.\.\.|\.\.|==|!=|<=|>=|&&|\|\||[-+*/%^&|]=|.)
    """,
    re.VERBOSE | re.DOTALL,
)
OPEN, CLOSE = {"(": ")", "[": "]", "{": "}"}, {")", "]", "}"}


def tokens_of(source):
    """Everything but space and comments."""
    tokens, at, line = [], 0, 1
    while at < len(source):
        found = _PATTERN.match(source, at)
        kind, end = found.lastgroup, found.end()
        if kind == "block":
            end = _end_of_block_comment(source, at)
        elif found["raw"]:
            kind, end = "string", source.index('"' + found["hashes"], end) + 1 + len(found["hashes"])
        text = source[at:end]
        last = line + text.count("\n")
        if kind not in ("space", "comment", "block"):
            kind = "text" if kind in ("string", "char") else kind
            tokens.append(Token(kind, text, line, last))
        at, line = end, last
    return tokens


def _end_of_block_comment(source, at):
    depth = 0
    for mark in re.compile(r"/\*|\*/").finditer(source, at):
        depth += 1 if mark[0] == "/*" else -1
        if depth == 0:
            return mark.end()
    raise SystemExit("a comment does not end")


def closing(tokens, at):
    """Where the bracket that opens at `at` is closed."""
    depth = 0
    for index in range(at, len(tokens)):
        if tokens[index].kind == "mark":
            if tokens[index].text in OPEN:
                depth += 1
            elif tokens[index].text in CLOSE:
                depth -= 1
                if depth == 0:
                    return index
    raise SystemExit(f"a bracket of line {tokens[at].line} is not closed")


def closing_angle(tokens, at):
    """Where the `<` of generics at `at` is closed."""
    depth, index = 0, at
    while True:
        text = tokens[index].text
        if text in OPEN:
            index = closing(tokens, index)
        elif text == "<":
            depth += 1
        elif text == ">":
            depth -= 1
            if depth == 0:
                return index
        index += 1


def attribute_end(tokens, at):
    """Behind the attribute that begins at `at`; nothing if none does."""
    if tokens[at].text != "#":
        return None
    bracket = at + 1
    if bracket < len(tokens) and tokens[bracket].text == "!":
        bracket += 1
    if bracket < len(tokens) and tokens[bracket].text == "[":
        return closing(tokens, bracket) + 1
    return None


def _is_for_tests(attribute):
    words = [token.text for token in attribute if token.kind == "word"]
    return words[:1] == ["cfg"] and "test" in words and "not" not in words


def split_tests(tokens):
    """What is compiled without tests; and the names of modules in other files that are compiled with them alone."""
    kept, modules, at = [], [], 0
    while at < len(tokens):
        end = attribute_end(tokens, at)
        if end is None or not _is_for_tests(tokens[at:end]):
            kept.append(tokens[at])
            at += 1
            continue
        item = end
        while (behind := attribute_end(tokens, item)) is not None:
            item = behind
        end = _end_of_item(tokens, item)
        words = [token.text for token in tokens[item:end]]
        if "mod" in words and words[-1] == ";":
            modules.append(words[words.index("mod") + 1])
        at = end
    return kept, modules


def _end_of_item(tokens, at):
    """Behind an item, a statement, a field or a variant."""
    while at < len(tokens):
        text = tokens[at].text
        if text in (";", ","):
            return at + 1
        if text in CLOSE:
            return at
        if text in OPEN:
            at = closing(tokens, at)
            if text == "{":
                return at + 1
        at += 1
    return at


def code_lines(tokens):
    """The lines that hold code. Of a text over several lines each counts."""
    lines = set()
    for token in tokens:
        lines.update(range(token.line, token.last + 1))
    return lines


class Function:
    """A function as it stands: what it takes and returns, and where its body is."""

    def __init__(self, tokens, at):
        self.tokens, self.name, self.line = tokens, tokens[at + 1].text, tokens[at].line
        index = at + 2
        if tokens[index].text == "<":
            index = closing_angle(tokens, index) + 1
        end = closing(tokens, index)
        self.parameters = [part for part in split_at_commas(tokens[index + 1 : end]) if part]
        index = end + 1
        returned = index
        while tokens[index].text not in ("{", ";"):
            index = closing(tokens, index) if tokens[index].text in OPEN else index
            index += 1
        self.returns = []
        if tokens[returned].text == "->":
            part = tokens[returned + 1 : index]
            words = [token.text for token in part]
            self.returns = part[: words.index("where")] if "where" in words else part
        self.body = None
        self.end = index
        if tokens[index].text == "{":
            self.end = closing(tokens, index)
            self.body = (index + 1, self.end)

    @property
    def body_lines(self):
        """Lines of code between its braces, which is what clippy counts."""
        return len(code_lines(self.tokens[slice(*self.body)])) if self.body else 0


def split_at_commas(tokens):
    """The parts between the commas that stand in no bracket and no generics."""
    parts, part, depth = [], [], 0
    for index, token in enumerate(tokens):
        if token.text in OPEN or token.text == "<":
            depth += 1
        elif token.text in CLOSE or token.text == ">":
            depth -= 1
        if token.text == "," and depth == 0:
            parts.append(part)
            part = []
        else:
            part.append(token)
    parts.append(part)
    return parts


def without_attributes(tokens):
    at = 0
    while at < len(tokens) and (end := attribute_end(tokens, at)) is not None:
        at = end
    return tokens[at:]


def functions(tokens):
    """All functions, in the order in which they stand; those inside others, too."""
    found = []
    for at, token in enumerate(tokens[:-1]):
        if token.text == "fn" and token.kind == "word" and tokens[at + 1].kind == "word":
            if tokens[at + 2].text in ("(", "<"):
                found.append(Function(tokens, at))
    return found


def split_parameter(parameter):
    """The pattern and the type of a parameter; no type for `self`."""
    parameter, depth = without_attributes(parameter), 0
    for index, token in enumerate(parameter):
        if token.text in OPEN or token.text == "<":
            depth += 1
        elif token.text in CLOSE or token.text == ">":
            depth -= 1
        elif token.text == ":" and depth == 0:
            return parameter[:index], parameter[index + 1 :]
    return parameter, []


def test_names(tokens):
    """Names of the tests that run, ignored ones left out."""
    names, at = [], 0
    while at < len(tokens):
        end = attribute_end(tokens, at)
        if end is None:
            at += 1
            continue
        is_test = is_ignored = False
        while end is not None:
            words = [token.text for token in tokens[at:end] if token.kind == "word"]
            is_test |= words[:1] == ["test"] or words[:2] == ["tokio", "test"]
            is_ignored |= words[:1] == ["ignore"]
            at = end
            end = attribute_end(tokens, at) if at < len(tokens) else None
        words = [token.text for token in tokens[at : at + 6]]
        if is_test and not is_ignored and "fn" in words:
            names.append(words[words.index("fn") + 1])
    return names
