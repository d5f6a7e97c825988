"""What a reader may ask for, and how a refusal reads."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from app.errors import InvalidInput, Unsupported
from app.query.params import engage_params, export_params

DAYS = {"from_date": "2026-02-27", "to_date": "2026-03-01"}


def test_a_range_of_days_includes_both_ends() -> None:
    params = export_params(DAYS)
    assert datetime.fromtimestamp(params.from_ms / 1000, UTC) == datetime(2026, 2, 27, tzinfo=UTC)
    assert datetime.fromtimestamp(params.to_ms / 1000, UTC) == datetime(2026, 3, 2, tzinfo=UTC)
    assert (params.names, params.limit, params.time_in_ms) == (None, None, False)


def test_the_last_day_of_the_calendar_is_a_day() -> None:
    params = export_params({"from_date": "9999-12-31", "to_date": "9999-12-31"})
    assert params.to_ms - params.from_ms == 86_400_000


@pytest.mark.parametrize(
    ("sent", "names"),
    [
        ('["A","B","A"]', ("A", "B")),
        ('"A"', ("A",)),
        ("A", ("A",)),
        ("404", ("404",)),
        ('100% _of\' "it"', ('100% _of\' "it"',)),
        ("[]", ()),
        ("", None),
    ],
)
def test_event_names_come_as_a_list_or_as_one(sent: str, names: tuple[str, ...] | None) -> None:
    assert export_params({**DAYS, "event": sent}).names == names


@pytest.mark.parametrize(("sent", "expected"), [("1", 1), ("100000", 100_000), ("", None)])
def test_a_limit_is_bounded(sent: str, expected: int | None) -> None:
    assert export_params({**DAYS, "limit": sent}).limit == expected


@pytest.mark.parametrize(("sent", "expected"), [("true", True), ("1", True), ("False", False), ("", False)])
def test_time_in_ms_is_a_switch(sent: str, expected: bool) -> None:
    assert export_params({**DAYS, "time_in_ms": sent}).time_in_ms is expected


BAD = "zq7"
REFUSED = [
    ("from_date", ""),
    ("from_date", f"2026-01-{BAD}"),
    ("from_date", "2026-02-30"),
    ("from_date", "20260227"),
    ("from_date", "2026-W09-5"),
    ("from_date", "２０２６-02-27"),
    ("from_date", "2026-02-27\n"),
    ("from_date", "2026-03-02"),
    ("to_date", "0000-01-01"),
    ("to_date", "27/02/2026"),
    ("event", f'["{BAD}'),
    ("event", f'["{BAD}",7]'),
    ("event", '["\\ud800"]'),
    ("event", f"{BAD}\0"),
    ("event", "[" * 100_000),
    ("event", "[" + ",".join(f'"{i}"' for i in range(1001)) + "]"),
    ("limit", "0"),
    ("limit", "100001"),
    ("limit", "-1"),
    ("limit", "1e3"),
    ("limit", "9" * 5000),
    ("time_in_ms", BAD),
    ("where", f'properties["{BAD}"] =='),
    ("where", "1"),
]


@pytest.mark.parametrize(("name", "value"), REFUSED)
def test_a_refused_export_names_the_parameter_and_not_its_value(name: str, value: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        export_params({**DAYS, name: value})
    fault = caught.value
    assert fault.field == name
    assert name in fault.message
    assert len(value) < 2 or value not in f"{fault.message} {fault.remedy}"


def test_a_query_of_profiles_without_parameters_asks_for_all_of_them() -> None:
    params = engage_params({"project_id": "7", "workspace_id": "8", "page_size": "2"})
    assert (params.ids, params.only, params.page, params.session_id) == (None, None, 0, None)


@pytest.mark.parametrize(
    ("sent", "ids"),
    [
        ({"distinct_id": "50% _o'f\"x"}, ("50% _o'f\"x",)),
        ({"distinct_ids": '["a","b","a"]'}, ("a", "b")),
        ({"distinct_ids": '[7,"7"]'}, ("7",)),
        ({"distinct_id": "c", "distinct_ids": '["a"]'}, ("c", "a")),
        ({"distinct_ids": "[]"}, ()),
    ],
)
def test_profiles_are_chosen_by_id(sent: dict[str, str], ids: tuple[str, ...]) -> None:
    assert engage_params(sent).ids == ids


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("distinct_ids", BAD),
        ("distinct_ids", f'{{"{BAD}":1}}'),
        ("distinct_ids", f'["{BAD}",null]'),
        ("distinct_ids", '[""]'),
        ("distinct_ids", "[" + ",".join(f'"{i}"' for i in range(10_001)) + "]"),
        ("output_properties", f'["{BAD}"'),
        ("output_properties", "[1]"),
        ("page", BAD),
        ("page", "-1"),
        ("page", "9" * 30),
    ],
)
def test_a_refused_query_names_the_parameter_and_not_its_value(name: str, value: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        engage_params({name: value})
    assert caught.value.field == name
    assert value not in f"{caught.value.message} {caught.value.remedy}"


@pytest.mark.parametrize("name", ["behaviors"])
def test_a_selection_by_expression_is_refused_by_name_and_ignored_when_empty(name: str) -> None:
    with pytest.raises(Unsupported) as caught:
        engage_params({name: BAD})
    assert caught.value.field == name
    assert caught.value.remedy
    assert engage_params({name: ""}).ids is None
