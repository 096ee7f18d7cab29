"""The calls that a function makes, in the order in which they are made: arguments before the call that they are for.

Types are followed as far as declarations tell them: parameters, fields, what functions return, what patterns take apart.
What holds or points is seen through. Where a receiver's type is not known, every method of that name is taken that the
caller of this says may be meant: too many calls rather than too few. So is every implementation of a trait's method.
"""

import re

import rust
from names import HOLDERS, Type
from scope import Scope

# Parameters of generics.
GENERIC = re.compile(r"[A-Z][A-Z0-9]?")
# What a holder gives its content by.
GIVING = set(
    """borrow borrow_mut expect first get get_mut get_or_insert_with insert into_inner into_iter iter last lock next
    ok_or pop unwrap unwrap_or unwrap_or_default unwrap_or_else""".split()
)
WRAPPERS = {"Arc", "Rc", "Box", "Mutex", "RefCell", "Pin"}
NOT_PRIMARY = set(
    "as async box break const continue dyn else in loop move mut ref return static unsafe where".split()
)


class Calls(Scope):
    """Goes through one body."""

    def __init__(self, names, owned, may_be_meant):
        super().__init__(names, owned)
        self.may_be_meant = may_be_meant
        self.tokens = owned.function.tokens
        # In order: a function of the crate each.
        self.found = []
        # What a closure is handed by the method that it is handed to.
        self.handed = None
        if owned.function.body:
            self.scan(*owned.function.body)

    # Statements and expressions, one after the other. The type is that of the last.

    def scan(self, at, end):
        """Everything between the two; the type of what stands last."""
        kind = None
        while at < end:
            text = self.tokens[at].text
            if text in (";", ","):
                kind, at = None, at + 1
                continue
            before = at
            given, at = self.expression(at, end)
            kind = given or kind
            if at == before:
                at += 1
        return kind

    def expression(self, at, end, no_struct=False):
        """One expression up to an operator; its type and what is behind it."""
        tokens = self.tokens
        token = tokens[at]
        text = token.text
        behind = rust.attribute_end(tokens, at)
        if behind is not None:
            return None, behind
        if token.kind == "word":
            if text == "let":
                return None, self.let(at + 1, end)
            if text == "if" or text == "while":
                return self.condition(at + 1, end)
            if text == "match":
                return self.match(at + 1, end)
            if text == "for":
                return None, self.loop(at + 1, end)
            if text == "fn" and tokens[at + 1].kind == "word":
                return None, rust.Function(tokens, at).end + 1
            if text == "use":
                while tokens[at].text != ";":
                    at += 1
                return None, at
            if text in NOT_PRIMARY:
                return None, at + 1
            return self.path(at, end, no_struct)
        if text in ("|", "||") and self.begins_closure(at):
            return None, self.closure(at)
        if text == "{":
            stop = rust.closing(tokens, at)
            kind = self.scan(at + 1, stop)
            return self.postfix(kind, stop + 1, end)
        if text in ("(", "["):
            return self.group(at, end)
        if token.kind in ("text", "number"):
            return self.postfix(None, at + 1, end)
        return None, at + 1

    def begins_closure(self, at):
        before = self.tokens[at - 1].text
        return before in ("(", ",", "=", "=>", "move", "{", ";", "return", "async")

    def closure(self, at):
        if self.tokens[at].text == "||":
            return at + 1
        stop = at + 1
        while self.tokens[stop].text != "|":
            stop = rust.closing(self.tokens, stop) + 1 if self.tokens[stop].text in rust.OPEN else stop + 1
        for parameter in rust.split_at_commas(self.tokens[at + 1 : stop]):
            pattern, kind = rust.split_parameter(parameter)
            if kind:
                self.bind(pattern, self.type_of(kind))
            else:
                self.bind(pattern, self.handed)
        return stop + 1

    def group(self, at, end):
        stop = rust.closing(self.tokens, at)
        kinds, begun = [], at + 1
        for comma in [*self.commas(at + 1, stop), stop]:
            if comma > begun:
                kinds.append(self.scan(begun, comma))
            begun = comma + 1
        if self.tokens[at].text == "[":
            kind = Type("[]", None, kinds[:1])
        else:
            kind = kinds[0] if len(kinds) == 1 else Type("()", None, kinds)
        return self.postfix(kind, stop + 1, end)

    def commas(self, at, end):
        while at < end:
            text = self.tokens[at].text
            if text in rust.OPEN:
                at = rust.closing(self.tokens, at)
            elif text == "|" and self.begins_closure(at):
                at = self.closure_end(at)
                continue
            elif text == ",":
                yield at
            at += 1

    def closure_end(self, at):
        stop = at + 1
        while self.tokens[stop].text != "|":
            stop = rust.closing(self.tokens, stop) + 1 if self.tokens[stop].text in rust.OPEN else stop + 1
        return stop + 1

    # Binding.

    def until(self, at, end, *texts):
        """Where one of these stands outside of brackets."""
        while at < end and self.tokens[at].text not in texts:
            at = rust.closing(self.tokens, at) + 1 if self.tokens[at].text in rust.OPEN else at + 1
        return at

    def let(self, at, end):
        equals = self.until(at, end, "=", ";")
        pattern, kind = rust.split_parameter(self.tokens[at:equals])
        if equals >= end or self.tokens[equals].text == ";":
            self.bind(pattern, self.type_of(kind) if kind else None)
            return equals
        given, at = self.operands(equals + 1, end)
        self.bind(pattern, self.type_of(kind) if kind else given)
        return at

    def operands(self, at, end, no_struct=False):
        """An expression with its prefixes, operators left to the caller."""
        while at < end and (
            (self.tokens[at].text in ("&", "*", "!", "-", "&&") or self.tokens[at].text in NOT_PRIMARY)
        ):
            at += 1
        if at >= end or self.tokens[at].text in (";", "{") and no_struct:
            return None, at
        return self.expression(at, end, no_struct)

    def condition(self, at, end):
        """`if` and `while`: the header, then the blocks behind."""
        brace = self.header(at, end)
        stop = rust.closing(self.tokens, brace)
        kind = self.scan(brace + 1, stop)
        at = stop + 1
        while at < end and self.tokens[at].text == "else":
            at += 1
            if self.tokens[at].text == "if":
                brace = self.header(at + 1, end)
            else:
                brace = at
            stop = rust.closing(self.tokens, brace)
            other = self.scan(brace + 1, stop)
            kind, at = kind or other, stop + 1
        return self.postfix(kind, at, end)

    def header(self, at, end):
        """A condition; where its block begins."""
        while self.tokens[at].text != "{":
            text = self.tokens[at].text
            if text == "let":
                equals = self.until(at + 1, end, "=")
                given, behind = self.operands(equals + 1, end, True)
                self.bind(self.tokens[at + 1 : equals], given)
                at = behind
            else:
                before = at
                _, at = self.operands(at, end, True)
                at = before + 1 if at == before else at
        return at

    def loop(self, at, end):
        within = self.until(at, end, "in")
        given, behind = self.operands(within + 1, end, True)
        self.bind(self.tokens[at:within], given.held() if given else None)
        while self.tokens[behind].text != "{":
            before = behind
            _, behind = self.operands(behind, end, True)
            behind = before + 1 if behind == before else behind
        stop = rust.closing(self.tokens, behind)
        self.scan(behind + 1, stop)
        return stop + 1

    def match(self, at, end):
        given, at = self.operands(at, end, True)
        while self.tokens[at].text != "{":
            before = at
            other, at = self.operands(at, end, True)
            given = given or other
            at = before + 1 if at == before else at
        stop = rust.closing(self.tokens, at)
        at, kind = at + 1, None
        while at < stop:
            arrow = self.until(at, stop, "=>")
            if arrow >= stop:
                break
            guard = self.until(at, arrow, "if")
            self.bind(self.tokens[at:guard], given)
            if guard < arrow:
                self.header_until(guard + 1, arrow)
            arm = arrow + 1
            if self.tokens[arm].text == "{":
                at = rust.closing(self.tokens, arm) + 1
                other = self.scan(arm + 1, at - 1)
                if at < stop and self.tokens[at].text == ",":
                    at += 1
            else:
                comma = next(self.commas(arm, stop), stop)
                other = self.scan(arm, comma)
                at = comma + 1
            kind = kind or other
        return self.postfix(kind, stop + 1, end)

    def header_until(self, at, end):
        while at < end:
            before = at
            if self.tokens[at].text == "let":
                equals = self.until(at + 1, end, "=")
                given, at = self.operands(equals + 1, end, True)
                self.bind(self.tokens[before + 1 : equals], given)
            else:
                _, at = self.operands(at, end, True)
            at = before + 1 if at == before else at

    # Paths, calls, fields.

    def path(self, at, end, no_struct):
        tokens, segments = self.tokens, [self.tokens[at].text]
        at += 1
        while at + 1 < end and tokens[at].text == "::":
            if tokens[at + 1].text == "<":
                at = rust.closing_angle(tokens, at + 1) + 1
            elif tokens[at + 1].kind == "word":
                segments.append(tokens[at + 1].text)
                at += 2
            else:
                break
        following = tokens[at].text if at < len(tokens) else ""
        if following == "!" and at + 1 < len(tokens) and tokens[at + 1].text in rust.OPEN:
            stop = rust.closing(tokens, at + 1)
            kind = self.select(at + 2, stop) if segments[-1] == "select" else self.scan(at + 2, stop)
            return self.postfix(kind, stop + 1, end)
        if following == "(":
            stop = rust.closing(tokens, at)
            kinds = self.arguments(at + 1, stop)
            return self.postfix(self.called(segments, kinds), stop + 1, end)
        if following == "{" and not no_struct and segments[-1][0].isupper():
            stop = rust.closing(tokens, at)
            self.scan(at + 1, stop)
            kind = self.type_named(segments)
            return self.postfix(kind, stop + 1, end)
        if len(segments) == 1 and segments[0] in self.variables:
            return self.postfix(self.variables[segments[0]], at, end)
        if segments[-1][0].islower() and len(segments) > 1:
            # A function that is handed on, as in `.map(Self::of)`.
            self.called(segments, [])
        return self.postfix(self.type_named(segments) if segments[-1][0].isupper() else None, at, end)

    def select(self, at, end):
        kind = None
        while at < end:
            arrow = self.until(at, end, "=>")
            if arrow >= end:
                break
            equals = self.until(at, arrow, "=")
            begun = at
            if self.tokens[at].text == "biased":
                begun = at + 2
            given = self.scan(equals + 1, arrow)
            self.bind(self.tokens[begun:equals], given)
            arm = arrow + 1
            if self.tokens[arm].text == "{":
                at = rust.closing(self.tokens, arm) + 1
                kind = self.scan(arm + 1, at - 1) or kind
                if at < end and self.tokens[at].text == ",":
                    at += 1
            else:
                comma = next(self.commas(arm, end), end)
                kind = kind or self.scan(arm, comma)
                at = comma + 1
        return kind

    def arguments(self, at, end):
        kinds, begun = [], at
        for comma in [*self.commas(at, end), end]:
            kinds.append(self.scan(begun, comma))
            begun = comma + 1
        return kinds

    def called(self, segments, kinds):
        """A path that is called: what it gives."""
        name = segments[-1]
        if segments[0] == "Self" and self.owned.owner:
            if len(segments) == 1 or name[0].isupper():
                return Type(self.owned.owner, self.names.key_of_owner(self.module, self.owned.owner))
            key = self.names.key_of_owner(self.module, self.owned.owner)
            owned = self.names.method(key, name)
            return self.note(owned) if owned else None
        if name in ("Some", "Ok", "Ready"):
            return Type("Option", None, kinds[:1])
        if len(segments) > 1 and segments[-2] in WRAPPERS and name in ("clone", "new", "pin"):
            return kinds[0] if kinds else None
        if name == "pin":
            return kinds[0] if kinds else None
        found = self.names.find(self.module, segments)
        if not found:
            return None
        if found[0] == "fn":
            return self.note(found[1])
        if found[0] == "member":
            owned = self.names.method(found[1], found[2])
            if owned:
                return self.note(owned)
            return Type(found[1][1], found[1]) if name in ("default", "new", "clone") else None
        return Type(found[1][1], found[1])

    def note(self, owned):
        self.found.append(owned)
        returns = owned.function.returns
        kind = self.names.type_of(owned.module, returns, owned.owner) if returns else None
        return kind

    def postfix(self, kind, at, end):
        tokens = self.tokens
        while at < end:
            text = tokens[at].text
            if text == "?":
                kind, at = (kind.held() if kind else None), at + 1
            elif text == "." and at + 1 < end and tokens[at + 1].text == "await":
                at += 2
            elif text == "." and at + 1 < end and tokens[at + 1].kind in ("word", "number"):
                name, index = tokens[at + 1].text, at + 2
                if index + 1 < end and tokens[index].text == "::" and tokens[index + 1].text == "<":
                    index = rust.closing_angle(tokens, index + 1) + 1
                if index < end and tokens[index].text == "(":
                    stop = rust.closing(tokens, index)
                    # What a closure is handed by a holder's method is what that holds.
                    before, self.handed = self.handed, kind.held() if kind else None
                    self.arguments(index + 1, stop)
                    self.handed = before
                    kind, at = self.method(kind, name), stop + 1
                else:
                    for part in name.split("."):
                        kind = self.field(kind, part)
                    at = index
            elif text == "[":
                stop = rust.closing(tokens, at)
                self.scan(at + 1, stop)
                kind, at = (kind.held() if kind else None), stop + 1
            elif text == "(":
                stop = rust.closing(tokens, at)
                self.arguments(at + 1, stop)
                kind, at = None, stop + 1
            else:
                break
        return kind, at

    def method(self, kind, name):
        kind = kind.reached() if kind else None
        if kind is None or kind.key is None and GENERIC.fullmatch(kind.name):
            if name != "clone":
                self.found += [owned for owned in self.names.methods.get(name, ()) if self.may_be_meant(owned)]
            return None
        if kind.key is None:
            if kind.name in HOLDERS:
                return kind.held() if name in GIVING else kind
            return kind if name in ("clone", "as_ref", "as_mut") else None
        owned = self.names.method(kind.key, name)
        if self.names.types[kind.key].kind == "trait":
            others = self.names.methods.get(name, ())
            self.found += [other for other in others if other.trait == kind.name and other is not owned]
        if owned:
            return self.note(owned)
        return kind if name in ("clone", "as_ref", "as_mut", "borrow", "deref", "to_owned", "upgrade") else None
