"""Inputs made to be slow: what a sender who wants the gate to stall would send, each in any size.

Work must grow as the input does. Seconds depend on the machine and on its other tenants, so the tests count calls and
the bytes that the pattern engine reads.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from types import FrameType
from typing import Any, Final

from policies.context import CheckContext
from policies.detect.suspicion import Suspicion, Verdict
from policies.gate import Gate
from policies.model import Record, Scope


def _text(unit: str) -> Callable[[int], list[Record]]:
    return lambda n: [Record(Scope.EVENT, "e", {"note": (unit * (n // len(unit) + 1))[:n]})]


def _name(unit: str) -> Callable[[int], list[Record]]:
    return lambda n: [Record(Scope.EVENT, "e", {(unit * (n // len(unit) + 1))[:n]: 1})]


def _properties(make: Callable[[int], dict[str, Any]]) -> Callable[[int], list[Record]]:
    return lambda n: [Record(Scope.EVENT, "e", make(n))]


def _percents(n: int) -> list[Record]:
    return [Record(Scope.EVENT, "e", {"note": "%" + "25" * (n // 2) + "40"})]


HOSTILE: Final[Mapping[str, Callable[[int], Sequence[Record]]]] = {
    "digits": _text("4929381332664295"),
    "ones": _text("1"),
    "digit groups": _text("4929 3813 "),
    "digits and dots": _text("1.2."),
    "digits and dashes": _text("12-34-"),
    "plus and digits": _text("+1 415 55 "),
    "separators": _text(" -./()"),
    "at signs": _text("@"),
    "letters and at signs": _text("a@"),
    "addresses without an end": _text("a.b@c."),
    "addresses": _text("a.b@example.com "),
    "dots": _text("."),
    "colons": _text(":"),
    "hexadecimal and colons": _text("ab:cd:"),
    "hexadecimal": _text("deadbeef01234567"),
    "hexadecimal addresses": _text("0x5290840009852788 "),
    "versions": _text("v1.2.3.4 "),
    "percent chains": _percents,
    "percent escapes": _text("%40%2B%31"),
    "broken percent escapes": _text("%%%4"),
    "entities": _text("&#64;&amp;"),
    "open entities": _text("&#"),
    "backslashes": _text("\\"),
    "backslash escapes": _text("\\u0040\\x31"),
    "quotes": _text('"'),
    "escaped quotes": _text('{"\\"'),
    "open brackets": _text("["),
    "open objects": _text('{"a":'),
    "broken JSON with names": _text('{"a":1,"b":2,'),
    "names without an end": _text('{"a" '),
    "base64": _text("cXVpbGxmZWF0aGVyIG1hcnJvdw"),
    "base64 tokens": _text("cXVpbGxmZWF0aGVyIG1hcnJvdw "),
    "token parts": _text("eyJhbGciOiJIUzI1NiJ9."),
    "URLs": _text("https://a:b@c.example/?token=abcdefgh&"),
    "look-alikes": _text("pаss"),
    "full-width": _text("４９２９"),
    "zero-width": _text("4\u200b9\u200b"),
    "combining marks": _text("e\u0301\u0338"),
    "one base and its marks": lambda n: [Record(Scope.EVENT, "e", {"note": "e" + "\u0301\u0323" * (n // 4)})],
    "bank accounts": _text("DE89 3704 0044 0532 0130 00 "),
    "dates": _text("1985-04-12 "),
    "coordinates": _text("48.858370, 2.294481 "),
    "name of dots": _name("."),
    "name of letters": _name("a_password_"),
    "name of digits": _name("4929 "),
    "name of marks": _name("e\u0338"),
    "many names": _properties(lambda n: {f"k{i}": i for i in range(n // 10)}),
    "many forbidden names": _properties(lambda n: {f"password{i}": i for i in range(n // 16)}),
    "many suspicious names": _properties(lambda n: {f"a{i}@b.co": i for i in range(n // 14)}),
    "one name many times": _properties(lambda n: {"a@b.co" + " " * i: 1 for i in range(min(n // 40, 2_000))}),
    "tiny JSON texts": _properties(lambda n: {"a": ['{"a":1}'] * (n // 10)}),
    "tiny texts": _properties(lambda n: {"a": ["x"] * (n // 4)}),
    "numbers": _properties(lambda n: {"a": [4929381332664295] * (n // 17)}),
    "nested lists": _properties(lambda n: {"a": _deep(n // 2)}),
    "JSON in JSON": _properties(lambda n: {"a": _wrapped(n)}),
    "many event names": lambda n: [Record(Scope.EVENT, f"event {i}", {"a": 1}) for i in range(n // 20)],
    "long event name": lambda n: [Record(Scope.EVENT, "e" * n, {"a": 1})],
}


def _deep(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


def _wrapped(n: int) -> str:
    text = '{"a":"' + "x" * (n // 16) + '"}'
    while len(text) < n:
        text = json.dumps({"a": text, "b": text[:10]})
    return text


def seconds(gate: Gate, records: Sequence[Record], context: CheckContext, repeats: int = 3) -> float:
    """The shortest of a few checks of the records."""
    best = float("inf")
    for _ in range(repeats):
        begin = time.perf_counter()
        gate.check(records, context)
        best = min(best, time.perf_counter() - begin)
    return best


def work(act: Callable[[], object]) -> int:
    """How many calls ``act`` makes, of functions in Python and in C, with one more for each hundred bytes that a set of
    patterns reads. The same for the same input wherever it runs, once caches are filled."""
    count = 0

    def note(_: FrameType, event: str, __: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    def matched(members: Suspicion, encoded: bytes) -> Verdict:
        nonlocal count
        count += len(encoded) // 100
        return really(members, encoded)

    really, before = Suspicion._of, sys.getprofile()
    act()
    Suspicion._of = matched  # type: ignore[method-assign]
    sys.setprofile(note)
    try:
        act()
    finally:
        sys.setprofile(before)
        Suspicion._of = really  # type: ignore[method-assign]
    return count


def size(records: Sequence[Record]) -> int:
    """Characters of all texts and names, roughly what the wire would carry."""
    total = 0
    stack: list[Any] = [each for record in records for each in (record.name, record.properties)]
    while stack:
        one = stack.pop()
        if isinstance(one, dict):
            stack += [*one, *one.values()]
        elif isinstance(one, list):
            stack += one
            total += 2
        else:
            total += len(one) if isinstance(one, str) else len(str(one))
    return total
