"""The names in a function's body and their types, as far as declarations and patterns tell them."""

import rust
from names import HOLDERS, Type


class Scope:
    """What is in scope of one function. Blocks end nothing: a later name takes the place of an earlier one like it."""

    def __init__(self, names, owned):
        self.names, self.owned, self.module = names, owned, owned.module
        self.variables = {}
        if owned.owner:
            self.variables["self"] = Type(owned.owner, names.key_of_owner(owned.module, owned.owner))
        for parameter in owned.function.parameters:
            pattern, kind = rust.split_parameter(parameter)
            if kind:
                self.bind(pattern, self.type_of(kind))

    def type_of(self, tokens, module=None):
        return self.names.type_of(module or self.module, tokens, self.owned.owner)

    def bind(self, pattern, kind):
        """Gives the names of a pattern their types."""
        pattern = [token for token in pattern if token.text not in ("&", "mut", "ref", "&&")]
        alternatives, depth, begun = [], 0, 0
        for index, token in enumerate(pattern):
            depth += (token.text in rust.OPEN) - (token.text in rust.CLOSE)
            if token.text == "|" and depth == 0:
                alternatives.append(pattern[begun:index])
                begun = index + 1
        alternatives.append(pattern[begun:])
        if len(alternatives) > 1:
            for alternative in alternatives:
                self.bind(alternative, kind)
            return
        if not pattern:
            return
        if len(pattern) == 1:
            if pattern[0].kind == "word" and not pattern[0].text[0].isupper():
                self.variables[pattern[0].text] = kind
            return
        if len(pattern) > 2 and pattern[1].text == "@":
            self.variables[pattern[0].text] = kind
            self.bind(pattern[2:], kind)
            return
        if pattern[0].text == "(":
            inner = kind.reached() if kind else None
            parts = [part for part in rust.split_at_commas(pattern[1 : rust.closing(pattern, 0)]) if part]
            kinds = inner.arguments if inner is not None and inner.name == "()" else ()
            for index, part in enumerate(parts):
                self.bind(part, kinds[index] if index < len(kinds) else None)
            return
        segments, at = [], 0
        while at < len(pattern) and (pattern[at].kind == "word" or pattern[at].text == "::"):
            if pattern[at].kind == "word":
                segments.append(pattern[at].text)
            at += 1
        if at >= len(pattern) or pattern[at].text not in ("(", "{") or not segments:
            return
        inside = pattern[at + 1 : rust.closing(pattern, at)]
        parts = [part for part in rust.split_at_commas(inside) if part]
        if segments[-1] in ("Some", "Ok", "Ready", "Err"):
            inner = kind.reached() if kind else None
            holder = inner is not None and inner.key is None and inner.name in HOLDERS
            if segments[-1] == "Err":
                held = inner.arguments[1] if holder and len(inner.arguments) > 1 else None
            else:
                held = inner.held() if holder else inner
            if parts:
                self.bind(parts[0], held)
            return
        types, module = self.taken_apart(segments)
        for index, part in enumerate(parts):
            if pattern[at].text == "(":
                declared = types.get(str(index))
                self.bind(part, self.type_of(declared, module) if declared else None)
            else:
                name = part[0].text
                declared = types.get(name)
                rest = part[2:] if len(part) > 2 and part[1].text == ":" else part
                self.bind(rest, self.type_of(declared, module) if declared else None)

    def taken_apart(self, segments):
        """The fields behind the name in a pattern, and the module in which their types are named."""
        if segments[0] == "Self" and self.owned.owner:
            segments = [self.owned.owner, *segments[1:]]
        found = self.names.find(self.module, segments)
        if not found or found[0] not in ("type", "variant"):
            return {}, self.module
        definition = self.names.types[found[1]]
        if found[0] == "variant":
            return definition.variants[found[2]], definition.module
        return definition.fields, definition.module

    def type_named(self, segments):
        if segments[0] == "Self" and self.owned.owner:
            return Type(self.owned.owner, self.names.key_of_owner(self.module, self.owned.owner))
        found = self.names.find(self.module, segments)
        if found and found[0] in ("type", "variant"):
            return Type(found[1][1], found[1])
        return None

    def field(self, kind, name):
        kind = kind.reached() if kind else None
        if kind is None:
            return None
        if kind.name == "()" and name.isdigit():
            return kind.arguments[int(name)] if int(name) < len(kind.arguments) else None
        if kind.key is None:
            return None
        definition = self.names.types[kind.key]
        declared = definition.fields.get(name)
        return self.names.type_of(definition.module, declared, definition.name) if declared else None
