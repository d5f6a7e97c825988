"""What a reader may ask for, from the names and texts of a query or form (wire sections 13 and 14). Pure.

Every refusal names the parameter and what to send instead, and never what was sent.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, tzinfo
from typing import Any

import msgspec

from app.errors import InvalidInput, Unsupported
from app.identity.derive import text_id
from app.identity.groups import group_identifier
from app.where.parse import parse
from app.where.tree import About, Expr

MOST_EVENTS = 100_000
_MOST_NAMES = 1_000
_MOST_IDS = 10_000
_MOST_PROPERTIES = 2_000
_DAY_MS = 86_400_000
_EPOCH = date(1970, 1, 1).toordinal()
# `date.fromisoformat` also takes week dates and dates without hyphens.
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_PAGE = re.compile(r"\d{1,9}", re.ASCII)
_FALSE = frozenset({"", "0", "false"})
_TRUE = frozenset({"1", "true"})
_ENGAGE_UNSUPPORTED = {
    "behaviors": "choose by `where`, or save it as a cohort and choose by `filter_by_cohort`",
}


@dataclass(frozen=True, slots=True)
class ExportParams:
    """Which events to export: days of `zone`, both inclusive; `names` None is every event; `limit` None is all of them.

    A day in which clocks are changed is as long as it is. Of `where`, ids are not bound to uids yet.
    """

    first_day: date
    last_day: date
    names: tuple[str, ...] | None = field(default=None, repr=False)
    limit: int | None = None
    time_in_ms: bool = False
    where: Expr | None = field(default=None, repr=False)
    zone: tzinfo = UTC

    @property
    def from_ms(self) -> int:
        """The first millisecond of the range."""
        return _midnight(self.first_day.toordinal(), self.zone)

    @property
    def to_ms(self) -> int:
        """The first millisecond after the range."""
        return _midnight(self.last_day.toordinal() + 1, self.zone)


@dataclass(frozen=True, slots=True)
class EngageParams:
    """Which profiles to read: `ids` None is every profile; `only` None is every property; `page` counts from 0.

    `where` is an expression, its ids not bound to uids yet, and `where_text` how it was written; `cohort` names a saved one.
    `group_key` asks for the groups of this kind instead of people (`data_group_id`, which is opaque to clients).
    """

    ids: tuple[str, ...] | None = field(default=None, repr=False)
    only: frozenset[str] | None = field(default=None, repr=False)
    page: int = 0
    session_id: str | None = field(default=None, repr=False)
    where: Expr | None = field(default=None, repr=False)
    where_text: str = field(default="", repr=False)
    cohort: int | None = None
    group_key: str = ""

    @property
    def identifiers(self) -> tuple[str, ...] | None:
        """The ids as the register spells them."""
        if self.ids is None or not self.group_key:
            return self.ids
        return tuple(group_identifier(self.group_key, each) for each in self.ids)

    @property
    def selection(self) -> tuple[str, ...] | None:
        """What a session of this query is bound to; None is every profile of people."""
        filters = [f"\0group {self.group_key}"] if self.group_key else []
        filters += [f"\0where {self.where_text}"] if self.where_text else []
        filters += [] if self.cohort is None else [f"\0cohort {self.cohort}"]
        if not filters:
            return self.ids
        return (*filters, *(("\0all",) if self.ids is None else self.ids))


def _midnight(day: int, zone: tzinfo) -> int:
    """When a day begins somewhere, in Unix milliseconds. `day` is an ordinal, which may be one after the last of the calendar.

    Where clocks go forward at midnight the day begins an hour later, and where they go back at its first midnight.
    """
    local = datetime.combine(date.fromordinal(min(day, date.max.toordinal())), time(), zone)
    offset = local.utcoffset()
    return (day - _EPOCH) * _DAY_MS - (0 if offset is None else int(offset.total_seconds() * 1000))


def export_params(sent: Mapping[str, str], zone: tzinfo = UTC) -> ExportParams:
    """Read the parameters of an export whose days are those of `zone`. Raises `InvalidInput`."""
    params = ExportParams(
        first_day=_day(sent, "from_date"),
        last_day=_day(sent, "to_date"),
        names=_names(sent, "event", _MOST_NAMES),
        limit=_limit(sent.get("limit")),
        time_in_ms=_boolean(sent, "time_in_ms"),
        where=parse(sent["where"], About.EVENT) if sent.get("where") else None,
        zone=zone,
    )
    if params.first_day > params.last_day:
        raise InvalidInput("from_date is after to_date", field="from_date", remedy="swap them")
    return params


def engage_params(sent: Mapping[str, str]) -> EngageParams:
    """Read the parameters of a profile query. Raises `InvalidInput`, and `Unsupported` for `behaviors` and `data_group_id`."""
    _refuse(sent, _ENGAGE_UNSUPPORTED)
    only = _names(sent, "output_properties", _MOST_PROPERTIES)
    # `selector` is what mixpanel-utils called it once.
    written = next((name for name in ("where", "selector") if sent.get(name)), "where")
    text = sent.get(written) or ""
    return EngageParams(
        ids=_ids(sent),
        only=None if only is None else frozenset(only),
        page=_page(sent.get("page")),
        session_id=sent.get("session_id") or None,
        where=parse(text, About.PROFILE, field_name=written) if text else None,
        where_text=text,
        cohort=_cohort(sent.get("filter_by_cohort")),
        group_key=sent.get("data_group_id") or "",
    )


def _refuse(sent: Mapping[str, str], unsupported: Mapping[str, str]) -> None:
    for name, remedy in unsupported.items():
        if sent.get(name):
            raise Unsupported(f"{name} is not supported by this installation", field=name, remedy=remedy)


def _day(sent: Mapping[str, str], name: str) -> date:
    text, remedy = sent.get(name), f"send {name}=yyyy-mm-dd, a day in the project's time zone"
    if not text:
        raise InvalidInput(f"{name} is missing", field=name, remedy=remedy)
    try:
        if _DAY.fullmatch(text):
            return date.fromisoformat(text)
    except ValueError:
        pass  # Well formed and not in the calendar, such as 30 February.
    raise InvalidInput(f"{name} is not a date", field=name, remedy=remedy)


def _limit(text: str | None) -> int | None:
    if not text:
        return None
    if _PAGE.fullmatch(text) and 1 <= int(text) <= MOST_EVENTS:
        return int(text)
    raise InvalidInput(
        f"limit is not a whole number from 1 to {MOST_EVENTS}",
        field="limit",
        remedy="leave it out to export all",
    )


def _page(text: str | None) -> int:
    if not text:
        return 0
    if _PAGE.fullmatch(text):
        return int(text)
    raise InvalidInput("page is not a whole number from 0 on", field="page", remedy="send page=0 first")


def _boolean(sent: Mapping[str, str], name: str) -> bool:
    text = sent.get(name, "").lower()
    if text in _TRUE | _FALSE:
        return text in _TRUE
    raise InvalidInput(f"{name} is neither true nor false", field=name, remedy=f"send {name}=true or leave it out")


def _names(sent: Mapping[str, str], name: str, most: int) -> tuple[str, ...] | None:
    """A JSON array of names, a JSON string, or one name as it is. None when the parameter is absent or empty."""
    text = sent.get(name)
    if not text:
        return None
    found = _json(text, name) if text.lstrip().startswith(("[", '"')) else text
    names = found if isinstance(found, list) else [found]
    if not all(isinstance(each, str) and _storable(each) for each in names):
        raise InvalidInput(f"{name} does not name things by text", field=name, remedy=f'send {name}=["…","…"]')
    return _bounded(names, name, most)


def _ids(sent: Mapping[str, str]) -> tuple[str, ...] | None:
    single, several = sent.get("distinct_id"), sent.get("distinct_ids")
    if not single and not several:
        return None
    found = _json(several, "distinct_ids") if several else []
    ids = [text_id(each) for each in found] if isinstance(found, list) else [None]
    if None in ids:
        raise InvalidInput("distinct_ids is not a list of ids", field="distinct_ids", remedy='send distinct_ids=["…","…"]')
    return _bounded([single, *ids] if single else ids, "distinct_ids", _MOST_IDS)


def _cohort(text: str | None) -> int | None:
    if not text:
        return None
    found = _json(text, "filter_by_cohort")
    number = found.get("id") if isinstance(found, dict) else found
    digits = str(number) if isinstance(number, int | str) and not isinstance(number, bool) else ""
    if not _PAGE.fullmatch(digits):
        remedy = 'send filter_by_cohort={"id":N} with an id of cohorts/list'
        raise InvalidInput("filter_by_cohort does not name a cohort", field="filter_by_cohort", remedy=remedy)
    return int(digits)


def _json(text: str, name: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        raise InvalidInput(f"{name} is not JSON", field=name, remedy=f'send {name}=["…","…"]') from None


def _bounded(items: list[Any], name: str, most: int) -> tuple[str, ...]:
    if len(items) > most:
        raise InvalidInput(f"{name} names more than {most} things", field=name, remedy="ask for fewer at a time")
    return tuple(dict.fromkeys(items))


def _storable(text: str) -> bool:
    # A lone surrogate has no UTF-8 form and PostgreSQL takes no NUL: asking for either would fail in the driver.
    return "\0" not in text and not any("\ud800" <= character <= "\udfff" for character in text)
