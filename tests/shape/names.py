"""What the names of a crate stand for: types with their fields, functions with their owners."""

import rust

# Reaching through these changes nothing about whose method is called.
POINTERS = {"Arc", "Rc", "Box", "Pin", "Ref", "RefMut", "MutexGuard", "Cow", "Weak"}
# What these hold is had by a method, by `?` or by a pattern.
HOLDERS = {"Option", "Result", "Mutex", "RefCell", "RwLock", "Vec", "VecDeque", "OnceLock", "Cell", "Poll", "[]"}


class Type:
    """A type as far as it matters: the definition that its name leads to, or the bare name, and what stands in `<>`."""

    def __init__(self, name, key=None, arguments=()):
        self.name, self.key, self.arguments = name, key, tuple(arguments)

    def reached(self):
        """Behind pointers."""
        found = self
        while found is not None and found.key is None and found.name in POINTERS:
            found = found.arguments[0] if found.arguments else None
        return found

    def held(self):
        """What an `Option`, a `Result` or the like holds; itself if it is none."""
        reached = self.reached()
        if reached is not None and reached.key is None and reached.name in HOLDERS:
            return reached.arguments[0] if reached.arguments else None
        return reached


class Definition:
    """A struct, an enum or a trait."""

    def __init__(self, module, name, kind):
        self.module, self.name, self.kind = module, name, kind
        # Field -> tokens of its type; positions are fields, too. Variant -> the same.
        self.fields, self.variants = {}, {}


class Owned:
    """A function with the type whose it is, if it is a type's."""

    def __init__(self, module, owner, function, trait):
        self.module, self.owner, self.function, self.trait = module, owner, function, trait

    @property
    def name(self):
        """As it is told, and as `not_taken` names it."""
        return f"{self.owner}::{self.function.name}" if self.owner else self.function.name


class Names:
    """The definitions of a crate, tests left out."""

    def __init__(self, crate):
        self.crate = crate
        self.types, self.aliases, self.functions = {}, {}, {}
        self.methods, self.all = {}, []
        for module in crate.code():
            self._read(module, 0, len(module.tokens), None, None)

    def _read(self, module, at, end, owner, trait):
        tokens = module.tokens
        while at < end:
            behind = rust.attribute_end(tokens, at)
            if behind is not None:
                at = behind
                continue
            text = tokens[at].text
            is_word = tokens[at].kind == "word"
            if is_word and text == "fn" and tokens[at + 1].kind == "word":
                function = rust.Function(tokens, at)
                self._add(Owned(module, owner, function, trait))
                at = function.end + 1
            elif is_word and text in ("struct", "enum", "union", "trait") and tokens[at + 1].kind == "word":
                at = self._define(module, at, text)
            elif is_word and text == "type" and tokens[at + 2].text == "=" and owner is None:
                stop = self._semicolon(tokens, at)
                self.aliases[module.name, tokens[at + 1].text] = tokens[at + 3 : stop]
                at = stop
            elif is_word and text == "impl" and tokens[at - 1].text not in (":", "->", "(", ",", "<", "=", "&", "+"):
                at = self._implement(module, at)
            elif is_word and text in ("const", "static") and tokens[at + 1].text != "fn" and tokens[at + 2].text == ":":
                at = self._semicolon(tokens, at)
            elif text in rust.OPEN and not (at >= 3 and tokens[at - 2].text == "!"):
                # A macro's braces may hold definitions, other brackets nothing of interest.
                stop = rust.closing(tokens, at)
                if text == "{":
                    self._read(module, at + 1, stop, owner, trait)
                at = stop + 1
            else:
                at += 1

    def _semicolon(self, tokens, at):
        while tokens[at].text != ";":
            at = rust.closing(tokens, at) + 1 if tokens[at].text in rust.OPEN else at + 1
        return at

    def _add(self, owned):
        self.all.append(owned)
        if owned.owner is None:
            self.functions[owned.module.name, owned.function.name] = owned
        else:
            self.methods.setdefault(owned.function.name, []).append(owned)

    def _define(self, module, at, kind):
        tokens, name = module.tokens, module.tokens[at + 1].text
        definition = Definition(module, name, kind)
        self.types[module.name, name] = definition
        index = at + 2
        if tokens[index].text == "<":
            index = rust.closing_angle(tokens, index) + 1
        while tokens[index].text not in ("{", ";", "("):
            index += 1
        if tokens[index].text == ";":
            return index + 1
        stop = rust.closing(tokens, index)
        inside = tokens[index + 1 : stop]
        if kind == "trait":
            self._read(module, index + 1, stop, name, name)
        elif kind == "enum":
            for part in rust.split_at_commas(inside):
                part = rust.without_attributes(part)
                if part:
                    body = part[2:-1] if len(part) > 2 and part[1].text in ("(", "{") else []
                    is_tuple = len(part) > 2 and part[1].text == "("
                    definition.variants[part[0].text] = fields(body, is_tuple)
        else:
            definition.fields = fields(inside, tokens[index].text == "(")
        return stop + 1

    def _implement(self, module, at):
        tokens, index = module.tokens, at + 1
        if tokens[index].text == "<":
            index = rust.closing_angle(tokens, index) + 1
        names, trait = [], None
        while tokens[index].text != "{":
            text = tokens[index].text
            if text == "<":
                index = rust.closing_angle(tokens, index)
            elif text == "for":
                trait, names = names[-1] if names else None, []
            elif text == "where":
                while tokens[index].text != "{":
                    index += 1
                break
            elif tokens[index].kind == "word":
                names.append(text)
            index += 1
        stop = rust.closing(tokens, index)
        self._read(module, index + 1, stop, names[-1] if names else "?", trait)
        return stop + 1

    def find(self, module, segments):
        """What a path stands for in a module: ("type", key), ("variant", key, name), ("fn", owned), or nothing."""
        segments = tuple(segments)
        absolute = self.crate.absolute(module, segments)
        candidates = [module.name + segments]
        if absolute is not None:
            candidates.insert(0, absolute)
        candidates += [glob + segments for glob in module.globs]
        for path in candidates:
            found = self._at(path, 0)
            if found:
                return found
        return None

    def _at(self, path, depth):
        module, rest = self.crate.module_of(path)
        if not rest or depth > 8:
            return None
        key = (module.name, rest[0])
        if key in self.types:
            if len(rest) == 1:
                return ("type", key)
            if rest[1] in self.types[key].variants:
                return ("variant", key, rest[1])
            return ("member", key, rest[1])
        if key in self.functions and len(rest) == 1:
            return ("fn", self.functions[key])
        if rest[0] in module.imports:
            return self._at(module.imports[rest[0]] + rest[1:], depth + 1)
        for glob in module.globs:
            found = self._at(glob + rest, depth + 1)
            if found:
                return found
        return None

    def type_of(self, module, tokens, owner=None):
        """A type from its tokens."""
        found, _ = self._type(module, tokens, 0, owner)
        return found

    def _type(self, module, tokens, at, owner):
        while at < len(tokens) and (
            tokens[at].text in ("&", "&&", "mut", "dyn", "impl", "*", "const") or tokens[at].kind == "lifetime"
        ):
            at += 1
        if at >= len(tokens):
            return None, at
        text = tokens[at].text
        if text in ("(", "["):
            stop = rust.closing(tokens, at)
            inside = tokens[at + 1 : stop]
            if text == "[":
                return Type("[]", None, [self.type_of(module, inside, owner)]), stop + 1
            parts = [part for part in rust.split_at_commas(inside) if part]
            kinds = [self.type_of(module, part, owner) for part in parts]
            return (kinds[0] if len(kinds) == 1 else Type("()", None, kinds)), stop + 1
        if tokens[at].kind != "word":
            return None, at + 1
        segments = [text]
        at += 1
        while at + 1 < len(tokens) and tokens[at].text == "::" and tokens[at + 1].kind == "word":
            segments.append(tokens[at + 1].text)
            at += 2
        arguments = []
        if at < len(tokens) and tokens[at].text == "<":
            stop = rust.closing_angle(tokens, at)
            for part in rust.split_at_commas(tokens[at + 1 : stop]):
                words = [token.text for token in part[:2]]
                if words[1:] == ["="]:
                    part = part[2:]
                if part and part[0].kind != "lifetime":
                    arguments.append(self.type_of(module, part, owner))
            at = stop + 1
        if segments[-1] == "Future":
            return (arguments[0] if arguments else None), at
        if segments == ["Self"] and owner:
            return Type(owner, self.key_of_owner(module, owner)), at
        found = self.find(module, segments)
        if found and found[0] == "type":
            return Type(segments[-1], found[1], arguments), at
        alias = self.aliases.get((module.name, segments[-1]))
        if alias and len(segments) == 1:
            return self.type_of(module, alias, owner), at
        return Type(segments[-1], None, arguments), at

    def key_of_owner(self, module, owner):
        found = self.find(module, (owner,))
        return found[1] if found and found[0] == "type" else None

    def method(self, key, name):
        """A type's function of this name."""
        for owned in self.methods.get(name, ()):
            if self.key_of_owner(owned.module, owned.owner) == key:
                return owned
        return None


def fields(tokens, by_position):
    found = {}
    for position, part in enumerate(part for part in rust.split_at_commas(tokens) if part):
        part = rust.without_attributes(part)
        if part and part[0].text == "pub":
            part = part[1:]
            if part[0].text == "(":
                part = part[rust.closing(part, 0) + 1 :]
        if by_position:
            found[str(position)] = part
        else:
            pattern, kind = rust.split_parameter(part)
            if pattern:
                found[pattern[-1].text] = kind
    return found
