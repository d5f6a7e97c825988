"""The reference: what an expression means, said as plainly as possible. Stores are compared with it, and constants use it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from app.where import values
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
from app.where.values import Value


@dataclass(frozen=True, slots=True)
class Subject:
    """What an expression is evaluated on: properties as JSON values, and of an event its time and arrival (Unix ms), name
    and uids."""

    properties: Mapping[str, Any] = field(default_factory=dict, repr=False)
    time_ms: int = 0
    name: str = field(default="", repr=False)
    uids: Mapping[IdField, int] = field(default_factory=dict)
    received_ms: int = 0


def matches(node: Expr, subject: Subject) -> bool:
    """Whether the expression is true; undefined is not. Raises `ValueError` for ids that are not bound to uids."""
    return evaluate(node, subject, {}) is True


def constant(node: Expr) -> bool | None:
    """True or False for an expression that says the same of everything, however it is sent; None when it depends."""
    reads = any(isinstance(each, Property | Moment | Name | Arrival | Element | Among | Holder) for each in walk(node))
    return None if reads else matches(node, Subject())


def evaluate(node: Expr, subject: Subject, elements: Mapping[str, Value]) -> Value:
    """The value of one node; `elements` are the variables of `any` around it."""
    match node:
        case Literal(value):
            return value
        case Property(name, _, others):
            found: Iterator[Value] = (subject.properties.get(each) for each in (name, *others))
            return next((value for value in found if value is not None), None)
        case Moment():
            return float(subject.time_ms // 1000)
        case Name(renamed):
            return dict(renamed).get(subject.name, subject.name)
        case Arrival():
            return float(subject.received_ms)
        case Element(name):
            return elements[name]
        case Among(id_field, uids):
            return subject.uids.get(id_field) in uids
        case Holder():
            raise ValueError("ids are bound to uids before an expression is evaluated")
        case Some(variable, items, condition):
            listed = evaluate(items, subject, elements)
            if not isinstance(listed, list):
                return None
            return any(evaluate(condition, subject, {**elements, variable: _plain(each)}) is True for each in listed)
        case Logic(operator, operands):
            truths = [evaluate(each, subject, elements) is True for each in operands]
            return all(truths) if operator == "and" else any(truths)
        case Not(inner):
            return evaluate(inner, subject, elements) is not True
        case _:
            return _computed(node, subject, elements)


def _computed(node: Expr, subject: Subject, elements: Mapping[str, Value]) -> Value:
    def of(each: Expr) -> Value:
        return evaluate(each, subject, elements)

    match node:
        case Negative(inner):
            found = values.operand(of(inner))
            return None if found is None else -found
        case Arithmetic(operator, left, right):
            return _arithmetic(operator, of(left), of(right))
        case Comparison(operator, left, right):
            return _compared(operator, of(left), of(right))
        case Inside(item, container):
            within: Value = [each.value for each in container] if isinstance(container, tuple) else of(container)
            return _inside(of(item), within)
        case Call(function, arguments):
            return _called(function, [of(each) for each in arguments])
    raise AssertionError(type(node))


def _plain(value: Any) -> Value:
    found: Value = value
    return found


def _arithmetic(operator: str, left: Value, right: Value) -> Value:
    if operator == "+" and isinstance(left, str) and isinstance(right, str):
        return left + right
    a, b = values.operand(left), values.operand(right)
    if a is None or b is None or (operator in "/%" and b == 0):
        return None
    if operator == "%":
        return values.modulo(a, b)
    return {"+": a + b, "-": a - b, "*": a * b, "/": a / b if b else 0.0}[operator]


def _compared(operator: str, left: Value, right: Value) -> Value:
    if operator in ("==", "!="):
        return values.equal(left, right) is (operator == "==")
    if _not_a_number(left) or _not_a_number(right):
        return None
    a, b = float(left), float(right)  # type: ignore[arg-type]
    return {"<": a < b, "<=": a <= b, ">": a > b, ">=": a >= b}[operator]


def _not_a_number(value: Value) -> bool:
    return isinstance(value, bool) or not isinstance(value, int | float)


def _inside(item: Value, container: Value) -> Value:
    if isinstance(container, str):
        return item in container if isinstance(item, str) else None
    return any(values.equal(item, _plain(each)) for each in container) if isinstance(container, list) else None


def _called(function: str, arguments: list[Value]) -> Value:
    first = arguments[0]
    match function:
        case "defined":
            return first is not None
        case "boolean":
            return values.boolean(first)
        case "number":
            return values.number(first)
        case "datetime":
            return values.epoch(first)
        case "string":
            text = values.string(first)
            return text if text is not None or len(arguments) == 1 else values.string(arguments[1])
    return _rounded(function, values.operand(first))


def _rounded(function: str, found: float | None) -> Value:
    if found is None:
        return None
    if function == "ceil":
        return values.ceil(found)
    return values.floor(found if function == "floor" else found + 0.5)
