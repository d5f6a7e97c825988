"""What SQLite and PostgreSQL say differently in an expression. All texts here are ours; values come as parameter names."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from app.where import values

_PLAIN_NAME = re.compile(r"[A-Za-z0-9_$ .:/-]+")
LAST_SEEN = "$last_seen"


@dataclass(frozen=True, slots=True)
class Source:
    """A JSON value: the member `key` (a parameter) of a document, or, with `name` None, an element of a list."""

    document: str
    name: str | None
    key: str


class Dialect(Protocol):
    """How one engine reads JSON and writes numbers. `row` is the table, `document` the properties of the row."""

    row: str
    document: str
    moment: str
    arrival: str
    no_number: str
    deepest: int

    def parameter(self, name: str, value: str | float) -> str:
        """A bound parameter with its type."""

    def key(self, name: str) -> str:
        """What is bound to find a member of that name."""

    def text(self, source: Source) -> str:
        """The value when it is a text, else NULL; the others likewise."""

    def number(self, source: Source) -> str:
        """A double."""

    def truth(self, source: Source) -> str:
        """A boolean."""

    def items(self, source: Source) -> str:
        """A JSON array."""

    def present(self, source: Source) -> str:
        """TRUE unless it is absent or null."""

    def digits(self, source: Source) -> str:
        """A whole number as text."""

    def some(self, items: str, element: Source, inner: str) -> str:
        """TRUE when the condition holds for an element of the JSON array."""

    def contains(self, text: str, part: str) -> str:
        """Whether a text has this part."""

    def operand(self, x: str) -> str:
        """`app.where.values.operand`; likewise those that follow, each of one expression or two."""

    def floor(self, x: str) -> str:
        """`app.where.values.floor`."""

    def ceil(self, x: str) -> str:
        """`app.where.values.ceil`."""

    def modulo(self, x: str, y: str) -> str:
        """`app.where.values.modulo`."""

    def parsed_number(self, x: str) -> str:
        """`app.where.values.number` of a text."""

    def parsed_date(self, x: str) -> str:
        """`app.where.values.epoch` of a text."""

    def written(self, x: str) -> str:
        """`app.where.values.string` of a number."""

    def column_text(self, name: str) -> str | None:
        """A property that is a column of the row and not in the document, as text."""


class Sqlite:
    """SQLite from 3.38 on."""

    no_number = "CAST(NULL AS REAL)"
    # Brackets inside one another: its parser gives up at a hundred symbols, which the worst of our forms reach at 22.
    deepest = 20

    def __init__(self, row: str) -> None:
        self.row = row
        self.document = f"{row}.properties"
        self.moment = f"CAST({row}.time_ms / 1000 AS REAL)"
        self.arrival = f"CAST({row}.received_ms AS REAL)"

    def parameter(self, name: str, value: str | float) -> str:  # noqa: ARG002 - the protocol's
        """SQLite's values carry their types."""
        return f":{name}"

    def key(self, name: str) -> str:
        """A path for a plain name; others are looked for by `json_each`, which knows escapes."""
        return f'$."{name}"' if _PLAIN_NAME.fullmatch(name) else name

    def _type(self, source: Source) -> str:
        if source.name is None:
            return f"{source.document}.type"
        if _PLAIN_NAME.fullmatch(source.name):
            return f"json_type({source.document}, {source.key})"
        return f"(SELECT type FROM json_each({source.document}) WHERE key = {source.key})"

    def _value(self, source: Source) -> str:
        if source.name is None:
            return f"{source.document}.value"
        if _PLAIN_NAME.fullmatch(source.name):
            return f"json_extract({source.document}, {source.key})"
        return f"(SELECT value FROM json_each({source.document}) WHERE key = {source.key})"

    def text(self, source: Source) -> str:
        """By `json_type`."""
        return f"CASE {self._type(source)} WHEN 'text' THEN {self._value(source)} END"

    def number(self, source: Source) -> str:
        """As REAL, since whole numbers would divide as such."""
        return f"CASE WHEN {self._type(source)} IN ('integer', 'real') THEN CAST({self._value(source)} AS REAL) END"

    def truth(self, source: Source) -> str:
        """1 and 0 are SQLite's booleans."""
        return f"CASE {self._type(source)} WHEN 'true' THEN TRUE WHEN 'false' THEN FALSE END"

    def items(self, source: Source) -> str:
        """As text."""
        return f"CASE {self._type(source)} WHEN 'array' THEN {self._value(source)} END"

    def present(self, source: Source) -> str:
        """By `json_type`, which is NULL for what is absent."""
        return f"(COALESCE({self._type(source)}, 'null') <> 'null')"

    def digits(self, source: Source) -> str:
        """As text."""
        return f"CAST({self._value(source)} AS TEXT)"

    def some(self, items: str, element: Source, inner: str) -> str:
        """`json_each` of NULL has no rows."""
        return f"EXISTS (SELECT 1 FROM json_each({items}) AS {element.document} WHERE {inner})"

    def contains(self, text: str, part: str) -> str:
        """By characters."""
        return f"(instr({text}, {part}) > 0)"

    def operand(self, x: str) -> str:
        """A function of ours (`app.database`), and so are those that follow.

        SQLite's parser is at its end after a hundred symbols of nesting: an expression that had to be spelled out in
        subqueries would reach that at the third cast. SQLite runs in this process, so the call costs little.
        """
        return f"where_operand({x})"

    def floor(self, x: str) -> str:
        """As above."""
        return f"where_floor({x})"

    def ceil(self, x: str) -> str:
        """As above."""
        return f"where_ceil({x})"

    def modulo(self, x: str, y: str) -> str:
        """As above."""
        return f"where_modulo({x}, {y})"

    def parsed_number(self, x: str) -> str:
        """As above."""
        return f"where_number({x})"

    def parsed_date(self, x: str) -> str:
        """As above."""
        return f"where_epoch({x})"

    def written(self, x: str) -> str:
        """As above."""
        return f"where_string({x})"

    def column_text(self, name: str) -> str | None:
        """`$last_seen` of a profile."""
        if self.row != "profile" or name != LAST_SEEN:
            return None
        return f"strftime('%Y-%m-%dT%H:%M:%S', {self.row}.last_seen_ms / 1000, 'unixepoch')"


class Postgres:
    """PostgreSQL from 12 on. `document` is the properties as jsonb, which the statement parses once a row."""

    no_number = "CAST(NULL AS double precision)"
    deepest = 60

    def __init__(self, row: str) -> None:
        self.row = row
        self.document = "parsed.document"
        self.moment = f"CAST({row}.time_ms / 1000 AS double precision)"
        self.arrival = f"CAST({row}.received_ms AS double precision)"
        self._lets = 0

    def parameter(self, name: str, value: str | float) -> str:
        """With its type said, since the server would have to guess."""
        return f"CAST(:{name} AS {'text' if isinstance(value, str) else 'double precision'})"

    def key(self, name: str) -> str:
        """The name itself."""
        return name

    def _let(self, expression: str, use: Callable[[str], str]) -> str:
        """`use` of an expression that it mentions several times: computed once, in a subquery that the planner leaves alone."""
        self._lets += 1
        name = f"v{self._lets}"
        return f"(SELECT {use(name)} FROM (SELECT {expression} AS {name} OFFSET 0) AS {name}_)"

    def _json(self, source: Source) -> str:
        return f"{source.document}.value" if source.name is None else f"({source.document} -> {source.key})"

    def _string(self, source: Source) -> str:
        return f"({self._json(source)} #>> '{{}}')"

    def text(self, source: Source) -> str:
        """By `jsonb_typeof`."""
        return f"CASE jsonb_typeof({self._json(source)}) WHEN 'string' THEN {self._string(source)} END"

    def number(self, source: Source) -> str:
        """What ingest lets in is finite and fits a double."""
        return f"CASE jsonb_typeof({self._json(source)}) WHEN 'number' THEN {self._string(source)}::double precision END"

    def truth(self, source: Source) -> str:
        """As boolean."""
        return f"CASE jsonb_typeof({self._json(source)}) WHEN 'boolean' THEN {self._string(source)}::boolean END"

    def items(self, source: Source) -> str:
        """As jsonb."""
        return f"CASE jsonb_typeof({self._json(source)}) WHEN 'array' THEN {self._json(source)} END"

    def present(self, source: Source) -> str:
        """By `jsonb_typeof`, which is NULL for what is absent."""
        return f"(COALESCE(jsonb_typeof({self._json(source)}), 'null') <> 'null')"

    def digits(self, source: Source) -> str:
        """As text."""
        return self._string(source)

    def some(self, items: str, element: Source, inner: str) -> str:
        """The elements of NULL are none."""
        return f"EXISTS (SELECT 1 FROM jsonb_array_elements({items}) AS {element.document}(value) WHERE {inner})"

    def contains(self, text: str, part: str) -> str:
        """By characters."""
        return f"(strpos({text}, {part}) > 0)"

    def operand(self, x: str) -> str:
        """PostgreSQL fails on overflow and underflow, so neither may come about."""
        largest, smallest = values.LARGEST, values.SMALLEST
        return self._let(
            x, lambda v: f"CASE WHEN abs({v}) > {largest} THEN NULL WHEN abs({v}) < {smallest} THEN 0.0 ELSE {v} END"
        )

    def floor(self, x: str) -> str:
        """Its own."""
        return f"floor({x})"

    def ceil(self, x: str) -> str:
        """Its own."""
        return f"ceil({x})"

    def modulo(self, x: str, y: str) -> str:
        """There is no % of doubles."""
        return self._let(x, lambda v: self._let(f"NULLIF({y}, 0.0)", lambda w: f"{v} - {w} * floor({v} / {w})"))

    def parsed_number(self, x: str) -> str:
        """Through `numeric`, which has room for whatever the shape allows."""
        return self._let(x, _parsed_number)

    def parsed_date(self, x: str) -> str:
        """Only days that exist reach the cast."""
        return self._let(x, _parsed_date)

    def written(self, x: str) -> str:
        """Through whole numbers, so that every digit is exact."""
        return self._let(x, _written)

    def column_text(self, name: str) -> str | None:
        """`$last_seen` of a profile."""
        if self.row != "profile" or name != LAST_SEEN:
            return None
        moment = f"to_timestamp({self.row}.last_seen_ms / 1000) AT TIME ZONE 'UTC'"
        return f"to_char({moment}, 'YYYY-MM-DD\"T\"HH24:MI:SS')"


def _parsed_number(x: str) -> str:
    numeric = f"CAST({x} AS numeric)"
    sane = f"WHEN abs({numeric}) > {values.WIDEST} THEN NULL WHEN abs({numeric}) < {1 / values.WIDEST} THEN 0.0"
    shape = f"length({x}) <= {values.NUMBER_TEXT_LENGTH} AND {x} ~ '^{values.NUMBER_TEXT}$'"
    return f"CASE WHEN {shape} THEN CASE {sane} ELSE {numeric}::double precision END END"


def _parsed_date(x: str) -> str:
    shape = f"{x} ~ '^({values.DATE_TEXT})$' AND {x} !~ '^0000'"
    return f"CASE WHEN {shape} THEN CAST(extract(epoch FROM CAST({x} AS timestamp)) AS double precision) END"


def _written(x: str) -> str:
    fine = f"CAST(floor(abs({x}) * 1e6::double precision + 0.5) AS bigint)"
    sign = f"CASE WHEN {x} < 0 AND {fine} > 0 THEN '-' ELSE '' END"
    digits = f"rtrim(rtrim({fine} / 1000000 || '.' || lpad(CAST({fine} % 1000000 AS text), 6, '0'), '0'), '.')"
    exact = f"WHEN abs({x}) >= 1e15 THEN NULL WHEN {x} = floor({x}) THEN CAST(CAST({x} AS bigint) AS text)"
    rounded = f"WHEN abs({x}) >= 9e9 THEN CAST(CAST(floor({x} + 0.5) AS bigint) AS text)"
    return f"CASE {exact} {rounded} ELSE {sign} || {digits} END"
