"""An expression as a tree of frozen values. Made by `app.where.parse`, read by `app.where.evaluate` and by each event store.

    Literal         "text", 1.5, true
    Property        properties["name"], or user["name"] of a profile
    Moment, Name    event["time"] in Unix seconds, event["name"]
    Arrival         when this service received an event; no text says it, rules of sight do
    Element         the variable of `any`
    Negative        -x                          Not     not x
    Arithmetic      + - * / %                   Logic   and, or
    Comparison      == != < <= > >=             Inside  x in y, x in ["a", 1]
    Call            defined boolean number string datetime floor round ceil
    Some            any(v, list, condition)
    Holder          an id property is one of these ids; `app.sight` binds it to an `Among` before anything is read

Positions (`at`) are columns counted from 1 and take no part in equality.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from typing import Any


class About(StrEnum):
    """What an expression is about."""

    EVENT = "event"
    PROFILE = "profile"


class IdField(StrEnum):
    """The properties that hold an id. In the store they hold a uid, so they are compared with ids and nothing else."""

    SUBJECT = "distinct_id"
    USER = "$user_id"
    DEVICE = "$device_id"


@dataclass(frozen=True, slots=True)
class Literal:
    """A text, a number or a truth value. Numbers are IEEE doubles."""

    value: str | float | bool = field(repr=False)


@dataclass(frozen=True, slots=True)
class Property:
    """What a property holds; undefined when it is absent or null. Of several names the first that is defined counts."""

    name: str
    at: int = field(default=0, compare=False)
    others: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Moment:
    """The time of an event, Unix seconds."""


@dataclass(frozen=True, slots=True)
class Name:
    """The name of an event, as what it is read: pairs of a stored name and its own."""

    renamed: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Arrival:
    """When this service received an event, Unix milliseconds. It has no text: data deletions compare with it."""


@dataclass(frozen=True, slots=True)
class Element:
    """The element that `any` looks at."""

    name: str


@dataclass(frozen=True, slots=True)
class Negative:
    """`-x`."""

    operand: Expr


@dataclass(frozen=True, slots=True)
class Not:
    """`not x`: true where x is undefined."""

    operand: Expr


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """`operator` is one of + - * / %."""

    operator: str
    left: Expr
    right: Expr


@dataclass(frozen=True, slots=True)
class Logic:
    """`operator` is `and` or `or`, over two operands or more; an undefined one counts as false."""

    operator: str
    operands: tuple[Expr, ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    """`operator` is one of == != < <= > >=."""

    operator: str
    left: Expr
    right: Expr


@dataclass(frozen=True, slots=True)
class Inside:
    """`item in container`: part of a text, or element of a list."""

    item: Expr
    container: Expr | tuple[Literal, ...]


@dataclass(frozen=True, slots=True)
class Call:
    """A function of the language; `string` may have a second argument, the text for what is undefined."""

    function: str
    arguments: tuple[Expr, ...]


@dataclass(frozen=True, slots=True)
class Some:
    """`any(variable, items, condition)`: the condition holds for an element of the list."""

    variable: str
    items: Expr
    condition: Expr


@dataclass(frozen=True, slots=True)
class Holder:
    """The id in a property is one of these."""

    id_field: IdField
    ids: frozenset[str] = field(repr=False)
    at: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Among:
    """The uid in a property is one of these."""

    id_field: IdField
    uids: frozenset[int]


Expr = (
    Literal
    | Property
    | Moment
    | Name
    | Arrival
    | Element
    | Negative
    | Not
    | Arithmetic
    | Logic
    | Comparison
    | Inside
    | Call
    | Some
    | Holder
    | Among
)

_NODES = Expr.__args__


def children(node: Expr) -> Iterator[Expr]:
    """The expressions directly below this one, literals of a list included."""
    for each in fields(node):
        value = getattr(node, each.name)
        if isinstance(value, _NODES):
            yield value
        elif isinstance(value, tuple):
            yield from (each for each in value if isinstance(each, _NODES))


def walk(node: Expr) -> Iterator[Expr]:
    """The node and everything below it."""
    yield node
    for child in children(node):
        yield from walk(child)


def rewritten(node: Expr, change: Callable[[Expr], Expr]) -> Expr:
    """The expression with every node as `change` makes it, those below first."""
    changed: dict[str, Any] = {}
    for each in fields(node):
        value = getattr(node, each.name)
        if isinstance(value, _NODES):
            changed[each.name] = rewritten(value, change)
        elif isinstance(value, tuple):
            changed[each.name] = tuple(rewritten(part, change) if isinstance(part, _NODES) else part for part in value)
    return change(replace(node, **changed) if changed else node)


def disjunction(parts: Sequence[Expr | None]) -> Expr | None:
    """One expression that asks for one of these, of which there is one at least; None asks for nothing."""
    asked = [part for part in parts if part is not None]
    if len(asked) < len(parts):
        return None
    return Logic("or", tuple(asked)) if len(asked) > 1 else asked[0]


def conjunction(*parts: Expr | None) -> Expr | None:
    """One expression that asks for all of these; None asks for nothing."""
    asked = [part for part in parts if part is not None]
    return Logic("and", tuple(asked)) if len(asked) > 1 else next(iter(asked), None)
