"""What kind of value an expression can have, as far as its text tells: so that nonsense is refused when it is read."""

from __future__ import annotations

from app.where import values
from app.where.tree import (
    Among,
    Arithmetic,
    Call,
    Comparison,
    Element,
    Expr,
    Holder,
    Inside,
    Literal,
    Logic,
    Moment,
    Name,
    Negative,
    Not,
    Property,
    Some,
)

_TRUTHS = (Logic, Not, Comparison, Inside, Some, Holder, Among)


def may_be_truth(node: Expr) -> bool:
    """Whether it can be true or false."""
    if isinstance(node, Literal):
        return isinstance(node.value, bool)
    if isinstance(node, Call):
        return node.function in ("defined", "boolean")
    return isinstance(node, (*_TRUTHS, Property, Element))


def may_be_number(node: Expr) -> bool:
    """Whether it can be a number."""
    if isinstance(node, Literal):
        return isinstance(node.value, float)
    if isinstance(node, Call):
        return node.function in ("number", "datetime", "floor", "round", "ceil")
    if isinstance(node, Arithmetic) and node.operator == "+":
        return may_be_number(node.left) and may_be_number(node.right)
    return isinstance(node, Property | Element | Moment | Negative | Arithmetic)


def may_be_text(node: Expr) -> bool:
    """Whether it can be a text."""
    if isinstance(node, Literal):
        return isinstance(node.value, str)
    if isinstance(node, Arithmetic):
        return node.operator == "+" and may_be_text(node.left) and may_be_text(node.right)
    return isinstance(node, Property | Element | Name) or (isinstance(node, Call) and node.function == "string")


def as_dates(operator: str, left: Expr, right: Expr) -> tuple[Expr, Expr]:
    """Both sides of a comparison, as dates where one of them is a date: `datetime(…)`, or a text that orders as one."""
    if _is_date(left) or _is_date(right):
        return _date(left), _date(right)
    if operator not in ("==", "!=") and (_reads_as_date(left) or _reads_as_date(right)):
        return _date(left), _date(right)
    return left, right


def _is_date(node: Expr) -> bool:
    if isinstance(node, Arithmetic):
        return _is_date(node.left) or _is_date(node.right)
    return isinstance(node, Call) and node.function == "datetime"


def _reads_as_date(node: Expr) -> bool:
    return isinstance(node, Literal) and isinstance(node.value, str) and values.epoch(node.value) is not None


def _date(node: Expr) -> Expr:
    return node if _is_date(node) else Call("datetime", (node,))
