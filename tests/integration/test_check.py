"""`POST /v1/check`: the verdict for a caller who stores elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.integration.gate import NOW_MS, build

AGES = """\
policy: ages
detectors: keep
rules:
  - id: birth
    properties: [born]
    category: user.demographic.date_of_birth
    sensitivity: confidential
    action: {generalise: {bands: [18, 65]}}
"""


# The clock says 2026-11-18: who was born in the middle of 2008 came of age that summer.
@pytest.mark.parametrize(
    ("time", "band"),
    [
        (None, "18-64"),
        (NOW_MS // 1000, "18-64"),
        (NOW_MS, "18-64"),
        (NOW_MS // 1000 - 300 * 86_400, "<18"),
        (10**300, "18-64"),
        ("soon", "18-64"),
        (True, "18-64"),
    ],
)
def test_an_age_is_that_at_the_time_of_the_event_or_now(tmp_path: Path, time: Any, band: str) -> None:
    gate = build(tmp_path, None)
    put = gate.client.post("/v1/policies", json={"text": AGES, "activate": True}, headers=gate.bearer("admin"))
    assert put.status_code == 201
    sent = {"born": "2008-06-16"} if time is None else {"born": "2008-06-16", "time": time}
    asked = {"events": [{"event": "View", "properties": sent}]}
    answer = gate.client.post("/v1/check", json=asked, headers=gate.bearer("ingest"))
    assert answer.get_json()["results"][0]["event"]["properties"]["born"] == band
    gate.services.close()
