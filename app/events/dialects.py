"""What SQLite and PostgreSQL say differently in an expression. All texts here are ours; values come as parameter names."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from app.where import values

_PLAIN_NAME = re.compile(r"[A-Za-z0-9_$ .:/-]+")
_LAST_SEEN = "$last_seen"


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
    no_number: str

    def parameter(self, name: str, value: str | float) -> str:
        """A bound parameter with its type."""

    def key(self, name: str) -> str:
        """What is bound to find a member of that name."""

    def let(self, expression: str, name: str, use: Callable[[str], str]) -> str:
        """`use` of an expression computed once."""

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

    def floor(self, x: str) -> str:
        """The largest whole number up to x, as a double."""

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

    def __init__(self, row: str) -> None:
        self.row = row
        self.document = f"{row}.properties"
        self.moment = f"CAST({row}.time_ms / 1000 AS REAL)"

    def parameter(self, name: str, value: str | float) -> str:  # noqa: ARG002 - the protocol's
        """SQLite's values carry their types."""
        return f":{name}"

    def key(self, name: str) -> str:
        """A path for a plain name; others are looked for by `json_each`, which knows escapes."""
        return f'$."{name}"' if _PLAIN_NAME.fullmatch(name) else name

    def let(self, expression: str, name: str, use: Callable[[str], str]) -> str:
        """A scalar subquery."""
        return f"(SELECT {use(name)} FROM (SELECT {expression} AS {name} LIMIT 1))"

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

    def floor(self, x: str) -> str:
        """Without the mathematical functions, which not every build has."""
        whole = f"CAST({x} AS INTEGER)"
        return f"CASE WHEN abs({x}) < 9e15 THEN CAST({whole} - ({x} < {whole}) AS REAL) ELSE {x} END"

    def parsed_number(self, x: str) -> str:
        """JSON's own grammar is the grammar."""
        shape = f"length({x}) <= {values.NUMBER_TEXT_LENGTH} AND {x} NOT GLOB '*[^-+.eE0-9]*' AND json_valid({x})"
        sane = f"{x} NOT GLOB '*[eE]*[0-9][0-9][0-9][0-9]*' AND abs(CAST({x} AS REAL)) <= {values.WIDEST}"
        small = f"WHEN abs(CAST({x} AS REAL)) < {1 / values.WIDEST} THEN 0.0"
        return f"CASE WHEN {shape} THEN CASE WHEN NOT ({sane}) THEN NULL {small} ELSE CAST({x} AS REAL) END END"

    def parsed_date(self, x: str) -> str:
        """The calendar is checked by writing the date again."""
        two, day = "[0-9][0-9]", "[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]"
        time = f"{day}[T ]{two}:{two}:{two}"
        shape = f"({x} GLOB '{day}' OR {x} GLOB '{time}' OR {x} GLOB '{time}Z') AND {x} NOT GLOB '0000*'"
        full = f"(replace(rtrim({x}, 'Z'), ' ', 'T') || CASE length({x}) WHEN 10 THEN 'T00:00:00' ELSE '' END)"
        real = f"strftime('%Y-%m-%dT%H:%M:%S', {full}) = {full}"
        return f"CASE WHEN {shape} AND {real} THEN CAST(strftime('%s', {full}) AS REAL) END"

    def written(self, x: str) -> str:
        """Through whole numbers, so that every digit is exact."""
        fine = f"CAST(abs({x}) * 1e6 + 0.5 AS INTEGER)"
        sign = f"CASE WHEN {x} < 0 AND {fine} > 0 THEN '-' ELSE '' END"
        digits = f"rtrim(rtrim({fine} / 1000000 || '.' || printf('%06d', {fine} % 1000000), '0'), '.')"
        rounded = f"CAST({self.floor(f'({x} + 0.5)')} AS INTEGER)"
        return _written(
            x, f"CAST(CAST({x} AS INTEGER) AS TEXT)", f"CAST({rounded} AS TEXT)", f"{sign} || {digits}", self.floor(x)
        )

    def column_text(self, name: str) -> str | None:
        """`$last_seen` of a profile."""
        if self.row != "profile" or name != _LAST_SEEN:
            return None
        return f"strftime('%Y-%m-%dT%H:%M:%S', {self.row}.last_seen_ms / 1000, 'unixepoch')"


class Postgres:
    """PostgreSQL from 12 on. `document` is the properties as jsonb, which the statement parses once a row."""

    no_number = "CAST(NULL AS double precision)"

    def __init__(self, row: str) -> None:
        self.row = row
        self.document = "parsed.document"
        self.moment = f"CAST({row}.time_ms / 1000 AS double precision)"

    def parameter(self, name: str, value: str | float) -> str:
        """With its type said, since the server would have to guess."""
        return f"CAST(:{name} AS {'text' if isinstance(value, str) else 'double precision'})"

    def key(self, name: str) -> str:
        """The name itself."""
        return name

    def let(self, expression: str, name: str, use: Callable[[str], str]) -> str:
        """A scalar subquery that the planner leaves alone."""
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

    def floor(self, x: str) -> str:
        """Its own."""
        return f"floor({x})"

    def parsed_number(self, x: str) -> str:
        """Through `numeric`, which has room for whatever the shape allows."""
        numeric = f"CAST({x} AS numeric)"
        sane = f"WHEN abs({numeric}) > {values.WIDEST} THEN NULL WHEN abs({numeric}) < {1 / values.WIDEST} THEN 0.0"
        shape = f"length({x}) <= {values.NUMBER_TEXT_LENGTH} AND {x} ~ '^{values.NUMBER_TEXT}$'"
        return f"CASE WHEN {shape} THEN CASE {sane} ELSE {numeric}::double precision END END"

    def parsed_date(self, x: str) -> str:
        """Only days that exist reach the cast."""
        shape = f"{x} ~ '^({values.DATE_TEXT})$' AND {x} !~ '^0000'"
        return f"CASE WHEN {shape} THEN CAST(extract(epoch FROM CAST({x} AS timestamp)) AS double precision) END"

    def written(self, x: str) -> str:
        """Through whole numbers, so that every digit is exact."""
        fine = f"CAST(floor(abs({x}) * 1e6::double precision + 0.5) AS bigint)"
        sign = f"CASE WHEN {x} < 0 AND {fine} > 0 THEN '-' ELSE '' END"
        digits = f"rtrim(rtrim({fine} / 1000000 || '.' || lpad(CAST({fine} % 1000000 AS text), 6, '0'), '0'), '.')"
        whole = f"CAST(CAST({x} AS bigint) AS text)"
        return _written(x, whole, f"CAST(CAST(floor({x} + 0.5) AS bigint) AS text)", f"{sign} || {digits}", f"floor({x})")

    def column_text(self, name: str) -> str | None:
        """`$last_seen` of a profile."""
        if self.row != "profile" or name != _LAST_SEEN:
            return None
        moment = f"to_timestamp({self.row}.last_seen_ms / 1000) AT TIME ZONE 'UTC'"
        return f"to_char({moment}, 'YYYY-MM-DD\"T\"HH24:MI:SS')"


def _written(x: str, whole: str, rounded: str, fine: str, floor: str) -> str:
    exact = f"WHEN abs({x}) >= 1e15 THEN NULL WHEN {x} = {floor} THEN {whole}"
    return f"CASE {exact} WHEN abs({x}) >= 9e9 THEN {rounded} ELSE {fine} END"
