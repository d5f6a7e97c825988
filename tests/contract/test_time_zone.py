"""Whose days a range of dates means: exports, the feed and sessions by the project's zone."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from click.testing import CliRunner

from app.access.roles import Role
from app.cli import cli
from app.errors import InvalidInput
from tests.installation import Installation, Tenant


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


def put(tenant: Tenant, name: Any, role: Role = Role.ADMIN) -> int:
    return tenant.client.put("/v1/project/time-zone", json={"time_zone": name}, headers=tenant.auth(role)).status_code


def exported(tenant: Tenant, day: str, until: str | None = None) -> list[str]:
    query = {"from_date": day, "to_date": until or day}
    answer = tenant.client.get("/api/2.0/export", query_string=query, headers=tenant.auth(Role.ADMIN))
    assert answer.status_code == 200, answer.text
    return [json.loads(line)["event"] for line in answer.text.splitlines()]


def sent(home: Installation, *moments: str) -> Tenant:
    tenant = home.tenant()
    answer = tenant.send([tenant.event(each, time=at(each)) for each in moments])
    assert answer.status_code == 200, answer.text
    return tenant


def test_a_day_is_one_of_utc_until_somebody_says_otherwise(home: Installation) -> None:
    tenant = sent(home, "2026-01-14T22:59:59", "2026-01-14T23:00:00", "2026-01-15T22:59:59", "2026-01-15T23:00:00")
    assert exported(tenant, "2026-01-15") == ["2026-01-15T22:59:59", "2026-01-15T23:00:00"]
    assert put(tenant, "Europe/Berlin") == 200
    assert exported(tenant, "2026-01-15") == ["2026-01-14T23:00:00", "2026-01-15T22:59:59"]
    assert tenant.client.get("/v1/project", headers=tenant.auth(Role.INGEST)).get_json()["time_zone"] == "Europe/Berlin"
    feed = tenant.client.get(
        "/api/2.0/stream/query",
        query_string={"distinct_ids": '["u1"]', "from_date": "2026-01-15", "to_date": "2026-01-15"},
        headers=tenant.auth(Role.ADMIN),
    ).get_json()
    assert [each["event"] for each in feed["results"]["events"]] == ["2026-01-14T23:00:00", "2026-01-15T22:59:59"]


def test_days_of_a_change_of_clocks_are_as_long_as_they_are(home: Installation) -> None:
    # In Berlin 29 March 2026 has 23 hours (from 23:00 to 22:00 UTC), 25 October 2025 to 26 October 25 (22:00 to 23:00).
    moments = ("2026-03-28T23:00:00", "2026-03-29T21:59:59", "2026-03-29T22:00:00", "2025-10-25T22:00:00", "2025-10-26T22:59:59")
    tenant = sent(home, *moments)
    put(tenant, "Europe/Berlin")
    assert exported(tenant, "2026-03-29") == list(moments[:2])
    assert exported(tenant, "2026-03-30") == [moments[2]]
    assert exported(tenant, "2025-10-26") == list(moments[3:])


def test_ranges_that_follow_each_other_miss_nothing_and_repeat_nothing(home: Installation) -> None:
    moments = [f"2026-03-{day:02}T{hour:02}:30:00" for day in (28, 29, 30) for hour in range(24)]
    tenant = sent(home, *moments)
    for zone in ("Pacific/Kiritimati", "America/Sao_Paulo", "Asia/Kathmandu", "Pacific/Pago_Pago"):
        put(tenant, zone)
        days = [f"2026-03-{day:02}" for day in (27, 28, 29, 30, 31)]
        assert [name for day in days for name in exported(tenant, day)] == moments, zone


def test_a_session_ends_at_midnight_of_the_project(home: Installation) -> None:
    tenant = sent(home, "2026-01-14T22:50:00", "2026-01-14T23:10:00", "2026-01-14T23:50:00", "2026-01-15T00:10:00")

    def sessions() -> int:
        query = {
            "distinct_ids": '["u1"]',
            "from_date": "2026-01-14",
            "to_date": "2026-01-16",
            "sessions": "1",
            "session_timeout": "45",
        }
        found = tenant.client.get("/api/2.0/stream/query", query_string=query, headers=tenant.auth(Role.ADMIN)).get_json()
        return sum(each["event"] == "Session Start" for each in found["results"]["events"])

    starts = [sessions()]
    put(tenant, "Europe/Berlin")
    starts.append(sessions())
    put(tenant, "Asia/Tokyo")
    starts.append(sessions())
    assert starts == [2, 2, 1]


def test_a_change_is_logged_with_before_and_after_and_no_change_is_not(home: Installation) -> None:
    tenant = home.tenant()
    assert [put(tenant, each) for each in ("UTC", "Asia/Tokyo", "Asia/Tokyo", "UTC")] == [200] * 4
    entries = [json.loads(each.body) for each in home.services.audit.entries(tenant.id, 0, 1_000)]
    changes = [each["facts"] for each in entries if each["action"] == "time_zone.changed"]
    assert changes == [{"before": "UTC", "after": "Asia/Tokyo"}, {"before": "Asia/Tokyo", "after": "UTC"}]


@pytest.mark.parametrize("name", ["", "Mars/Base", "localtime", "../../etc/passwd", "europe/berlin", None, 7])
def test_what_is_no_zone_is_refused_by_its_field(home: Installation, name: Any) -> None:
    tenant = home.tenant()
    answer = tenant.client.put("/v1/project/time-zone", json={"time_zone": name}, headers=tenant.auth(Role.ADMIN))
    assert answer.status_code in (400, 422)
    assert "time_zone" in answer.text
    assert "passwd" not in answer.text
    assert put(tenant, "Europe/Berlin", Role.OFFICER) == 403


def test_the_command_line_changes_it_too(home: Installation) -> None:
    tenant = home.tenant()
    services = home.services
    with services.database.write() as tx, pytest.raises(InvalidInput):
        services.access.set_time_zone(tx, tenant.id, "Nowhere", actor="cli")
    assert {"time-zone"} <= set(cli.commands["project"].commands)  # type: ignore[attr-defined]
    assert CliRunner().invoke(cli.commands["account"], ["--help"]).exit_code == 0
