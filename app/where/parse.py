"""From text to tree: a Pratt parser. Every error names the column and what was expected there.

    or < and < not < == != < <= > >= in < + - < * / % < unary -

`=` is `==`, words like AND may be in capitals, and what is compared with `datetime(…)`, or ordered against a text that is
a date, is read as a date.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from app.where import kinds
from app.where.tokens import Kind, Word, trouble, words
from app.where.tree import (
    About,
    Arithmetic,
    Call,
    Comparison,
    Element,
    Expr,
    Holder,
    IdField,
    Inside,
    Literal,
    Logic,
    Moment,
    Name,
    Negative,
    Not,
    Property,
    Some,
    walk,
)

MOST_CHARACTERS = 20_000
MOST_NODES = 400
MOST_DEPTH = 24
_COMPARISONS = ("==", "=", "!=", "<", "<=", ">", ">=")
_FUNCTIONS = ("defined", "boolean", "number", "string", "datetime", "floor", "round", "ceil")
_RESERVED = frozenset({"and", "or", "not", "in", "true", "false", "any", "properties", "user", "event", *_FUNCTIONS})
_IDS = {
    About.EVENT: {
        "distinct_id": IdField.SUBJECT,
        "$distinct_id": IdField.SUBJECT,
        "$user_id": IdField.USER,
        "$device_id": IdField.DEVICE,
    },
    About.PROFILE: {"distinct_id": IdField.SUBJECT, "$distinct_id": IdField.SUBJECT},
}
_TIMES = ("time", "$time")
_VARIABLE = re.compile(r"[A-Za-z_]\w{0,63}", re.ASCII)


@dataclass(frozen=True, slots=True)
class _Id:
    """An id property, before it is known what it is compared with."""

    id_field: IdField
    at: int


_Part = Expr | _Id


def parse(text: str, about: About, *, field_name: str = "where") -> Expr:
    """Read an expression that is true or false. Raises `InvalidInput` at the column of a mistake; pure."""
    if len(text) > MOST_CHARACTERS:
        raise trouble(field_name, MOST_CHARACTERS + 1, f"an expression has at most {MOST_CHARACTERS} characters")
    parser = _Parser(list(words(text, field_name)), about, field_name)
    found = parser.truth(0)
    parser.expect_end()
    if sum(1 for _ in walk(found)) > MOST_NODES:
        raise trouble(field_name, 1, f"an expression has at most {MOST_NODES} parts")
    return found


@dataclass(slots=True)
class _Parser:
    words: list[Word]
    about: About
    field_name: str
    place: int = 0
    depth: int = 0
    variables: list[str] = field(default_factory=list)

    # --- words -------------------------------------------------------------------------------------------------------

    @property
    def next(self) -> Word:
        return self.words[self.place]

    def take(self) -> Word:
        word = self.words[self.place]
        self.place += word.kind is not Kind.END
        return word

    def sees(self, *texts: str) -> bool:
        word = self.next
        return (word.kind is Kind.SIGN and word.text in texts) or (word.kind is Kind.NAME and word.text.lower() in texts)

    def skip(self, text: str) -> bool:
        found = self.sees(text)
        if found:
            self.take()
        return found

    def expect(self, text: str) -> None:
        if not self.skip(text):
            self.wanted(f"`{text}`")

    def expect_end(self) -> None:
        if self.next.kind is not Kind.END:
            self.wanted("an operator such as `==` or `and`, or the end")

    def wanted(self, what: str) -> None:
        word = self.next
        found = f"`{word.text}`" if word.kind is Kind.SIGN else word.kind.value
        raise trouble(self.field_name, word.at, f"expected {what}, found {found}")

    # --- levels ------------------------------------------------------------------------------------------------------

    def truth(self, level: int) -> Expr:
        """An operand of a logical operator, or a whole expression."""
        at = self.next.at
        return self.as_truth(self.level(level), at)

    def as_truth(self, part: _Part, at: int) -> Expr:
        found = self.plain(part, at)
        if not kinds.may_be_truth(found):
            remedy = 'compare it, as in properties["plan"] == "pro", or write boolean(…) or defined(…)'
            raise trouble(self.field_name, at, "this is neither true nor false", remedy)
        return found

    def level(self, number: int) -> _Part:
        self.depth += 1
        if self.depth > MOST_DEPTH * len(_LEVELS):
            raise trouble(self.field_name, self.next.at, f"parentheses, functions and signs stand at most {MOST_DEPTH} deep")
        found = _LEVELS[number](self)
        self.depth -= 1
        return found

    def logic(self, operator: str, below: int) -> _Part:
        at = self.next.at
        first = self.level(below)
        if not self.sees(operator):
            return first
        parts = [self.as_truth(first, at)]
        while self.skip(operator):
            parts.append(self.truth(below))
        return Logic(operator, tuple(parts))

    def negation(self) -> _Part:
        return Not(self.truth(2)) if self.skip("not") else self.level(3)

    def comparison(self) -> _Part:
        at = self.next.at
        left = self.level(4)
        sign = self.next
        if self.skip("in"):
            found = self.inside(left, at)
        elif self.sees(*_COMPARISONS):
            self.take()
            operator = "==" if sign.text == "=" else sign.text
            right_at = self.next.at
            found = self.compared(operator, (left, at), (self.level(4), right_at))
        else:
            return left
        if self.sees(*_COMPARISONS, "in"):
            raise trouble(self.field_name, self.next.at, "comparisons do not chain", "join two of them with `and`")
        return found

    def compared(self, operator: str, first: tuple[_Part, int], second: tuple[_Part, int]) -> Expr:
        (left, left_at), (right, right_at) = first, second
        if isinstance(left, _Id) or isinstance(right, _Id):
            holder, other = (left, right) if isinstance(left, _Id) else (right, left)
            if operator not in ("==", "!=") or not isinstance(holder, _Id) or not _is_text(other):
                raise self.id_trouble(left_at if isinstance(left, _Id) else right_at)
            held = Holder(holder.id_field, frozenset({str(getattr(other, "value", ""))}), holder.at)
            return held if operator == "==" else Not(held)
        left, right = kinds.as_dates(operator, left, right)
        for side, at in ((left, left_at), (right, right_at)):
            if operator not in ("==", "!=") and not kinds.may_be_number(side):
                remedy = "cast it with number(…) or datetime(…)"
                raise trouble(self.field_name, at, f"`{operator}` orders numbers and dates, and this is neither", remedy)
        return Comparison(operator, left, right)

    def inside(self, left: _Part, at: int) -> Expr:
        listed_at = self.next.at
        if not self.skip("["):
            return Inside(self.plain(left, at), self.plain(self.level(4), listed_at))
        listed: list[Literal] = []
        while not self.sees("]"):
            if listed:
                self.expect(",")
            item_at = self.next.at
            item = self.level(4)
            if isinstance(item, Negative) and isinstance(item.operand, Literal):
                item = Literal(-float(item.operand.value))
            if not isinstance(item, Literal):
                raise trouble(self.field_name, item_at, "a list holds texts, numbers, true and false")
            listed.append(item)
        self.expect("]")
        if isinstance(left, _Id):
            if not all(_is_text(each) for each in listed):
                raise self.id_trouble(at)
            return Holder(left.id_field, frozenset(str(each.value) for each in listed), left.at)
        return Inside(left, tuple(listed))

    def arithmetic(self, operators: tuple[str, ...], below: int) -> _Part:
        at = self.next.at
        left = self.level(below)
        chain = 0
        while self.sees(*operators):
            sign, right_at = self.take(), self.words[self.place].at
            right = self.level(below)
            left = self.computed(sign.text, (left, at), (right, right_at))
            chain += 1
            if chain > MOST_DEPTH:
                raise trouble(self.field_name, sign.at, f"at most {MOST_DEPTH} such signs stand in a row")
        return left

    def computed(self, operator: str, first: tuple[_Part, int], second: tuple[_Part, int]) -> Expr:
        sides = [self.plain(part, at) for part, at in (first, second)]
        for side, (_, at) in zip(sides, (first, second), strict=True):
            if not (kinds.may_be_number(side) or (operator == "+" and kinds.may_be_text(side))):
                raise trouble(self.field_name, at, f"`{operator}` takes numbers, and this is none")
        return Arithmetic(operator, sides[0], sides[1])

    def negative(self) -> _Part:
        if not self.skip("-"):
            return self.primary()
        at = self.next.at
        inner = self.plain(self.level(6), at)
        if not kinds.may_be_number(inner):
            raise trouble(self.field_name, at, "`-` takes a number, and this is none")
        return Negative(inner)

    # --- the smallest parts ------------------------------------------------------------------------------------------

    def primary(self) -> _Part:
        word = self.next
        if self.skip("("):
            inner = self.level(0)
            self.expect(")")
            return inner
        if word.kind is Kind.TEXT:
            return Literal(self.take().text)
        if word.kind is Kind.NUMBER:
            return Literal(float(self.take().text))
        if word.kind is Kind.NAME:
            return self.named(self.take())
        self.wanted('a value such as properties["plan"], a text, a number or `(`')
        raise AssertionError

    def named(self, word: Word) -> _Part:
        name = word.text.lower()
        if word.text in self.variables:
            return Element(word.text)
        if name in ("true", "false"):
            return Literal(name == "true")
        if name in ("properties", "user", "event"):
            return self.accessor(name, word.at)
        if name == "any":
            return self.some()
        if name in _FUNCTIONS:
            return self.call(name)
        remedy = f"the language has {', '.join(sorted(_RESERVED))}; put texts into quotes"
        raise trouble(self.field_name, word.at, "this word is not of the language", remedy)

    def accessor(self, source: str, at: int) -> _Part:
        self.expect("[")
        if self.next.kind is not Kind.TEXT:
            self.wanted("the name of a property in quotes")
        name = self.take().text
        self.expect("]")
        if source == "user" and self.about is About.EVENT:
            raise trouble(self.field_name, at, "user[…] is of profiles, and this is about events", "use properties[…]")
        if source == "event":
            return self.of_event(name, at)
        if self.about is About.EVENT and name in _TIMES:
            return Moment()
        id_field = _IDS[self.about].get(name)
        return Property(name, at) if id_field is None else _Id(id_field, at)

    def of_event(self, name: str, at: int) -> _Part:
        if self.about is About.PROFILE:
            raise trouble(self.field_name, at, "event[…] is of events, and this is about profiles", "use properties[…]")
        if name in _TIMES:
            return Moment()
        if name in ("name", "$event_name"):
            return Name()
        raise trouble(self.field_name, at, 'an event has event["time"] and event["name"]', "use properties[…]")

    def call(self, function: str) -> Expr:
        self.expect("(")
        arguments = [self.argument()]
        if function == "string" and self.skip(","):
            arguments.append(self.argument())
        self.expect(")")
        return Call(function, tuple(arguments))

    def argument(self) -> Expr:
        at = self.next.at
        return self.plain(self.level(0), at)

    def some(self) -> Expr:
        self.expect("(")
        word = self.next
        if word.kind is not Kind.NAME or not _VARIABLE.fullmatch(word.text) or word.text.lower() in _RESERVED:
            self.wanted("a name for the element, such as x")
        name = self.take().text
        self.expect(",")
        items = self.argument()
        self.expect(",")
        self.variables.append(name)
        condition = self.truth(0)
        self.variables.pop()
        self.expect(")")
        return Some(name, items, condition)

    # --- ids ---------------------------------------------------------------------------------------------------------

    def plain(self, part: _Part, at: int) -> Expr:
        if isinstance(part, _Id):
            raise self.id_trouble(at)
        return part

    def id_trouble(self, at: int) -> Exception:
        remedy = 'write properties["distinct_id"] == "…" or … in ["…", "…"]'
        return trouble(self.field_name, at, "an id is compared with texts by ==, != or in, and not computed with", remedy)


def _is_text(part: _Part) -> bool:
    return isinstance(part, Literal) and isinstance(part.value, str)


_LEVELS: tuple[Callable[[_Parser], _Part], ...] = (
    lambda parser: parser.logic("or", 1),
    lambda parser: parser.logic("and", 2),
    _Parser.negation,
    _Parser.comparison,
    lambda parser: parser.arithmetic(("+", "-"), 5),
    lambda parser: parser.arithmetic(("*", "/", "%"), 6),
    _Parser.negative,
)
