"""Expressions as SQL, for SQLite and PostgreSQL. What a caller sent gets in as bound parameters and in no other way.

A dynamic value is up to four SQL expressions, one for each kind that it can have: `text`, `number`, `truth` and `items`
(a list, as JSON), each NULL when the value is of another kind, and absent where the kind cannot be. Undefined is NULL in
all of them. `app.where.evaluate` says what is computed; a test holds the three together.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from app.errors import InvalidInput
from app.events.dialects import Dialect, Source
from app.where import values
from app.where.evaluate import Subject, evaluate
from app.where.tree import (
    Among,
    Arithmetic,
    Arrival,
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

_PARAMETER = re.compile(r":(where_\d+_\d+)\b")
_BRACKETS = re.compile(r"[()]|\bCASE\b|\bEND\b")
_MOST_SQL = 200_000
_READING = (Property, Moment, Name, Arrival, Element, Among, Holder)


@dataclass(frozen=True, slots=True)
class _Sql:
    """One value. `present` says that it is defined although it may be of none of the four kinds (an object)."""

    text: str | None = None
    number: str | None = None
    truth: str | None = None
    items: str | None = None
    present: str | None = None

    def defined(self) -> str:
        if self.present is not None:
            return self.present
        parts = [part for part in (self.text, self.number, self.truth, self.items) if part is not None]
        return _any_of(f"{part} IS NOT NULL" for part in parts)


def condition(node: Expr, dialect: Dialect, part: int = 0) -> sa.TextClause:
    """The expression as a condition of a WHERE clause; NULL counts as false there.

    `part` tells the parameters of several conditions in one statement apart. Raises `InvalidInput` for one whose SQL would be
    beyond any use.
    """
    compiler = _Compiler(dialect, part)
    text = compiler.truth(node)
    if len(text) > _MOST_SQL or _nesting(text) > dialect.deepest:
        remedy = "nest fewer parentheses and functions"
        raise InvalidInput("the expression nests too deep for the event store", field="where", remedy=remedy)
    # What turned out to be of no kind that was asked for is not mentioned.
    mentioned = set(_PARAMETER.findall(text))
    return sa.text(text).bindparams(**{name: value for name, value in compiler.bound.items() if name in mentioned})


def reads_document(node: Expr) -> bool:
    """Whether the properties of a row have to be looked at, and not its columns alone."""
    return any(
        isinstance(each, Property) or (isinstance(each, Among) and each.id_field is not IdField.SUBJECT) for each in walk(node)
    )


def _nesting(text: str) -> int:
    depth = deepest = 0
    for word in _BRACKETS.findall(text):
        depth += 1 if word in ("(", "CASE") else -1
        deepest = max(deepest, depth)
    return deepest


@dataclass(slots=True)
class _Compiler:
    dialect: Dialect
    part: int = 0
    bound: dict[str, Any] = field(default_factory=dict)
    elements: dict[str, Source] = field(default_factory=dict)
    somes: int = 0

    # --- binding -----------------------------------------------------------------------------------------------------

    def bind(self, value: str | float) -> str:
        """The one way of a caller's value into the statement."""
        name = f"where_{self.part}_{len(self.bound)}"
        self.bound[name] = value
        return self.dialect.parameter(name, value)

    # --- truth -------------------------------------------------------------------------------------------------------

    def truth(self, node: Expr) -> str:
        """TRUE or FALSE, never NULL: undefined is false."""
        match node:
            case Logic(operator, operands):
                return "(" + f" {operator.upper()} ".join(self.truth(each) for each in operands) + ")"
            case Not(inner):
                return f"(NOT {self.truth(inner)})"
            case Comparison(operator, left, right) if operator in ("==", "!="):
                equal = self.equal(self.value(left), self.value(right))
                return equal if operator == "==" else f"(NOT {equal})"
            case Call("defined", (inner,)):
                return self.value(inner).defined()
            case Among(id_field, uids):
                return self.among(id_field, uids)
        truth = self.value(node).truth
        return "FALSE" if truth is None else f"COALESCE({truth}, FALSE)"

    def equal(self, left: _Sql, right: _Sql) -> str:
        sides = ((left.text, right.text), (left.number, right.number), (left.truth, right.truth))
        pairs = [f"{a} = {b}" for a, b in sides if a is not None and b is not None]
        return _any_of(f"COALESCE({pair}, FALSE)" for pair in pairs)

    def among(self, id_field: IdField, uids: Collection[int]) -> str:
        if not uids:
            return "FALSE"
        if id_field is IdField.SUBJECT:
            return f"({self.dialect.row}.uid IN ({', '.join(str(int(uid)) for uid in sorted(uids))}))"
        held = self.dialect.digits(Source(self.dialect.document, id_field.value, self.bind(self.dialect.key(id_field.value))))
        return f"COALESCE({held} IN ({', '.join(repr(str(int(uid))) for uid in sorted(uids))}), FALSE)"

    # --- values ------------------------------------------------------------------------------------------------------

    def value(self, node: Expr) -> _Sql:
        if not any(isinstance(each, _READING) for each in walk(node)):
            return self.constant(evaluate(node, Subject(), {}))
        match node:
            case Property(name, _, others):
                return _first_defined([self.property(each) for each in (name, *others)])
            case Element(name):
                return self.of(self.elements[name])
            case Moment():
                return _Sql(number=self.dialect.moment)
            case Name(renamed):
                return _Sql(text=self.name(renamed))
            case Arrival():
                return _Sql(number=self.dialect.arrival)
            case Negative(inner):
                return _Sql(number=f"(- {self.operand(self.value(inner))})")
            case Arithmetic(operator, left, right):
                return self.arithmetic(operator, self.value(left), self.value(right))
            case Comparison(operator, left, right) if operator not in ("==", "!="):
                a, b = self.value(left).number, self.value(right).number
                return _Sql() if a is None or b is None else _Sql(truth=f"({a} {operator} {b})")
            case Inside(item, container):
                return self.inside(item, container)
            case Some(variable, items, inner):
                return self.some(variable, items, inner)
            case Call(function, arguments) if function != "defined":
                return self.call(function, arguments)
            case Holder():
                raise ValueError("ids are bound to uids before an expression is compiled")
        return _Sql(truth=self.truth(node))

    def property(self, name: str) -> _Sql:
        special = self.dialect.column_text(name)
        if special is not None:
            return _Sql(special)
        return self.of(Source(self.dialect.document, name, self.bind(self.dialect.key(name))))

    def name(self, renamed: tuple[tuple[str, str], ...]) -> str:
        stored = f"{self.dialect.row}.name"
        if not renamed:
            return stored
        cases = " ".join(f"WHEN {self.bind(old)} THEN {self.bind(new)}" for old, new in renamed)
        return f"CASE {stored} {cases} ELSE {stored} END"

    def of(self, source: Source) -> _Sql:
        dialect = self.dialect
        return _Sql(
            dialect.text(source), dialect.number(source), dialect.truth(source), dialect.items(source), dialect.present(source)
        )

    def constant(self, value: values.Value) -> _Sql:
        if isinstance(value, bool):
            return _Sql(truth="TRUE" if value else "FALSE")
        if isinstance(value, float):
            return _Sql(number=self.bind(value))
        return _Sql(text=self.bind(value)) if isinstance(value, str) else _Sql()

    # --- arithmetic --------------------------------------------------------------------------------------------------

    def operand(self, held: _Sql) -> str:
        return self.dialect.no_number if held.number is None else self.dialect.operand(held.number)

    def arithmetic(self, operator: str, left: _Sql, right: _Sql) -> _Sql:
        a, b = self.operand(left), self.operand(right)
        if operator == "/":
            return _Sql(number=f"({a} / NULLIF({b}, 0.0))")
        if operator == "%":
            return _Sql(number=self.dialect.modulo(a, b))
        joined = None
        if operator == "+" and left.text is not None and right.text is not None:
            joined = f"({left.text} || {right.text})"
        return _Sql(text=joined, number=f"({a} {operator} {b})")

    # --- lists -------------------------------------------------------------------------------------------------------

    def inside(self, item: Expr, container: Expr | tuple[Literal, ...]) -> _Sql:
        held = self.value(item)
        if isinstance(container, tuple):
            return _Sql(truth=self.one_of(held, container))
        within = self.value(container)
        cases = []
        if held.text is not None and within.text is not None:
            part = self.dialect.contains(within.text, held.text)
            cases.append(f"WHEN {within.text} IS NOT NULL AND {held.text} IS NOT NULL THEN {part}")
        if within.items is not None:
            element = self.source_of_element()
            found = self.dialect.some(within.items, element, self.equal(held, self.of(element)))
            cases.append(f"WHEN {within.items} IS NOT NULL THEN {found}")
        return _Sql(truth=f"CASE {' '.join(cases)} END" if cases else None)

    def one_of(self, held: _Sql, listed: tuple[Literal, ...]) -> str:
        texts = [self.bind(each.value) for each in listed if isinstance(each.value, str)]
        numbers = [self.bind(each.value) for each in listed if isinstance(each.value, float)]
        truths = ["TRUE" if each.value else "FALSE" for each in listed if isinstance(each.value, bool)]
        pairs = ((held.text, texts), (held.number, numbers), (held.truth, truths))
        return _any_of(f"COALESCE({part} IN ({', '.join(some)}), FALSE)" for part, some in pairs if part is not None and some)

    def some(self, variable: str, items: Expr, inner: Expr) -> _Sql:
        listed = self.value(items).items
        if listed is None:
            return _Sql()
        element, before = self.source_of_element(), dict(self.elements)
        self.elements[variable] = element
        found = self.dialect.some(listed, element, self.truth(inner))
        self.elements = before
        return _Sql(truth=f"CASE WHEN {listed} IS NOT NULL THEN {found} END")

    def source_of_element(self) -> Source:
        self.somes += 1
        return Source(f"e{self.somes}", None, "")

    # --- functions ---------------------------------------------------------------------------------------------------

    def call(self, function: str, arguments: tuple[Expr, ...]) -> _Sql:
        held, dialect = self.value(arguments[0]), self.dialect
        if function in ("floor", "ceil", "round"):
            return _Sql(number=self.rounded(function, self.operand(held)))
        truth = held.truth
        if function == "boolean":
            text = None if held.text is None else f"({held.text} <> '')"
            number = None if held.number is None else f"({held.number} <> 0.0)"
            return _Sql(truth=_first(text, number, truth))
        if function == "number":
            text = None if held.text is None else dialect.parsed_number(held.text)
            return _Sql(number=_first(text, held.number, self.one_or_zero(truth)))
        if function == "datetime":
            return _Sql(number=_first(None if held.text is None else dialect.parsed_date(held.text), held.number))
        default = None if len(arguments) == 1 else self.call("string", arguments[1:]).text
        written = None if held.number is None else dialect.written(held.number)
        spelled = None if truth is None else f"CASE WHEN {truth} THEN 'true' WHEN NOT {truth} THEN 'false' END"
        return _Sql(text=_first(held.text, written, spelled, default))

    def one_or_zero(self, truth: str | None) -> str | None:
        return None if truth is None else f"CASE WHEN {truth} THEN {self.bind(1.0)} WHEN NOT {truth} THEN {self.bind(0.0)} END"

    def rounded(self, function: str, found: str) -> str:
        if function == "ceil":
            return self.dialect.ceil(found)
        return self.dialect.floor(found if function == "floor" else f"({found} + 0.5)")


def _first_defined(candidates: list[_Sql]) -> _Sql:
    """The first of several values that is defined, of whatever kind."""
    if len(candidates) == 1:
        return candidates[0]

    def chosen(kind: str) -> str:
        cases = " ".join(f"WHEN {each.defined()} THEN {getattr(each, kind)}" for each in candidates)
        return f"CASE {cases} END"

    present = _any_of(each.defined() for each in candidates)
    return _Sql(chosen("text"), chosen("number"), chosen("truth"), chosen("items"), present)


def _first(*parts: str | None) -> str | None:
    present = [part for part in parts if part is not None]
    return f"COALESCE({', '.join(present)})" if len(present) > 1 else next(iter(present), None)


def _any_of(parts: Iterable[str]) -> str:
    joined = " OR ".join(parts)
    return f"({joined})" if joined else "FALSE"
