"""The dictionary from outside, on SQLite and PostgreSQL: its API, CSV, command line, digests and anomalies."""

from __future__ import annotations

import csv
import io
import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
import sqlalchemy as sa
from click.testing import CliRunner

from app import cli_lexicon
from app.lexicon.anomalies import Expected, odd
from app.lexicon.tables import lexicon_volume
from jobs import digest
from tests.integration.gate import Gate, build

DAY_MS = 86_400_000


@pytest.fixture(params=["sqlite", "postgres"])
def gate(request: pytest.FixtureRequest, tmp_path: Any) -> Any:
    url = request.getfixturevalue("postgres_url") if request.param == "postgres" else None
    built = build(tmp_path, url, PORTCULLIS_DIGEST_HOSTS="127.0.0.1")
    yield built
    built.services.close()


def ask(gate: Gate, method: str, path: str, body: Any = None, role: str = "admin", status: int = 200) -> Any:
    answer = gate.client.open(f"/v1/lexicon/{path}", method=method, json=body, headers=gate.bearer(role))
    assert answer.status_code == status, answer.get_data(as_text=True)
    return answer.get_json()


def see(gate: Gate, *names: str, **properties: Any) -> None:
    gate.track(*({**gate.event("ada", f"i{i}-{gate.clock[0]}", **properties), "event": name} for i, name in enumerate(names)))
    gate.services.lexicon.sightings.flush()


# --- the API ---------------------------------------------------------------------------------------------------------


def test_an_entry_says_what_was_seen_what_was_said_and_what_the_policy_says(gate: Gate) -> None:
    see(gate, "View", "View", email="ada@example.com", plan="pro")
    ask(gate, "POST", "settings", {"standards": {"naming": "snake_case", "description": True}})
    said = {"kind": "event_property", "name": "email", "description": "Where they can be reached.", "tags": ["contact"]}
    assert ask(gate, "POST", "entries", {"entries": [said]}, role="officer") == {"changed": 1}
    found = {each["name"]: each for each in ask(gate, "GET", "entries?limit=1000", role="auditor")["entries"]}
    email, view = found["email"], found["View"]
    assert (email["description"], email["tags"], email["volume_30_days"]) == ("Where they can be reached.", ["contact"], 2)
    assert email["policy"]["category"].startswith("user.contact")
    assert email["types"] == ["string"]
    assert (email["lacks"], view["lacks"]) == ([], ["naming", "description"])
    assert view["policy"] == {"category": None, "sensitivity": None, "action": None, "classified": False}
    assert "ada@example.com" not in json.dumps(found)
    within = ask(gate, "GET", "entries?kind=event_property&event=View&limit=1000")["entries"]
    assert {each["name"] for each in within} >= {"email", "plan"}
    assert all(each["volume_30_days"] is None for each in within)


def test_pages_follow_one_another_without_gap(gate: Gate) -> None:
    see(gate, *"ABCDEFG")
    names, cursor = [], ""
    while True:
        page = ask(gate, "GET", f"entries?kind=event&limit=3{cursor}")
        names += [each["name"] for each in page["entries"]]
        if page["cursor"] is None:
            break
        cursor = f"&cursor={page['cursor']}"
    assert names == list("ABCDEFG")
    ask(gate, "GET", "entries?cursor=zz", status=404)


def test_block_merge_and_mark_have_their_own_doors(gate: Gate) -> None:
    see(gate, "View", "Buy", plan="pro")
    key = {"kind": "event", "name": "Buy"}
    ask(gate, "POST", "block", key, role="officer", status=403)
    assert ask(gate, "POST", "block", key) == {"changed": 1}
    assert ask(gate, "POST", "merge", {**key, "into": "View"}) == {"changed": 1}
    assert ask(gate, "POST", "classify", {"kind": "event_property", "name": "plan"}, role="officer") == {"changed": 1}
    see(gate, "Buy", "View")
    assert [each["event"] for each in gate.exported()] == ["View"] * 3, (
        "what was stored before the block is read as what it is merged into"
    )
    days = ask(gate, "GET", "volume?kind=event&name=Buy")["days"]
    assert [(each["taken"], each["refused"]) for each in days] == [(1, 1)]
    assert gate.actions().count("lexicon.changed") == 3
    problem = ask(gate, "POST", "block", {"kind": "event", "name": "$identify"}, status=400)["error"]
    assert (problem["field"], bool(problem["remedy"])) == ("name", True)


def test_settings_are_changed_by_part(gate: Gate) -> None:
    ask(gate, "POST", "settings", {"new_events": "flag"}, role="officer", status=403)
    ask(gate, "POST", "settings", {"new_events": "hold"})
    made = ask(gate, "POST", "settings", {"standards": {"owner": True}}, role="officer")
    assert (made["new_events"], made["new_properties"], made["standards"]["owner"]) == ("hold", "off", True)
    assert made["approval_since"]
    problem = ask(gate, "POST", "settings", {"standards": {"naming": "pattern", "pattern": "("}}, status=400)["error"]
    assert problem["field"] == "pattern"


def test_an_approved_name_lets_what_was_held_be_released(gate: Gate) -> None:
    ask(gate, "POST", "settings", {"new_events": "hold"})
    see(gate, "Fresh")
    assert gate.exported() == []
    [waiting] = ask(gate, "GET", "entries?state=pending")["entries"]
    ask(gate, "POST", "entries", {"entries": [{"kind": "event", "name": waiting["name"], "state": "visible"}]}, role="officer")
    answer = gate.client.post("/v1/quarantine/release", json={"filter": {"event": "Fresh"}}, headers=gate.bearer("officer"))
    assert answer.get_json()["released"] == 1
    assert [each["event"] for each in gate.exported()] == ["Fresh"]


def test_what_is_blocked_meanwhile_is_not_released(gate: Gate) -> None:
    ask(gate, "POST", "settings", {"new_events": "hold"})
    see(gate, "Fresh")
    ask(gate, "POST", "block", {"kind": "event", "name": "Fresh"})
    answer = gate.client.post("/v1/quarantine/release", json={"filter": {}}, headers=gate.bearer("officer"))
    assert answer.get_json()["released"] == 0
    assert answer.get_json()["refused"] == {"lexicon_blocked": 1}
    assert gate.exported() == []


# --- CSV and the command line ----------------------------------------------------------------------------------------


def test_csv_goes_out_and_comes_back_the_same(gate: Gate) -> None:
    see(gate, "View", plan="pro")
    said = {"kind": "event", "name": "View", "description": "=SUM(1)", "owners": ["ada@example.com"], "tags": ["a", "b"]}
    ask(gate, "POST", "entries", {"entries": [said]})
    out = gate.client.get("/v1/lexicon/csv", headers=gate.bearer("auditor")).get_data(as_text=True)
    rows = {(each["kind"], each["event"], each["name"]): each for each in csv.DictReader(io.StringIO(out))}
    assert rows["event", "", "View"]["description"] == "'=SUM(1)", "no spreadsheet runs it"
    assert rows["event", "", "View"]["volume_30_days"] == "1"
    post = {"data": out, "headers": gate.bearer("admin"), "content_type": "text/csv"}
    first = gate.client.post("/v1/lexicon/csv", **post).get_json()
    assert gate.client.post("/v1/lexicon/csv", **post).get_json() == {"changed": 0}
    assert first["changed"] == len(rows) - 1, "those that nobody had described are described now, and nothing else changed"
    assert ask(gate, "GET", "entries?kind=event")["entries"][0]["description"] == "=SUM(1)"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("kind,name\nevent,A\nnonsense,canary\n", "line 3"),
        ("kind,name,verified\nevent,A,perhaps\n", "line 2"),
        ("kind,name\nevent,A\nevent,A\n", "line 3"),
        ("a,b\n1,2\n", "first line"),
    ],
)
def test_a_csv_with_a_mistake_changes_nothing_and_says_which_line(gate: Gate, text: str, line: str) -> None:
    answer = gate.client.post("/v1/lexicon/csv", data=text, headers=gate.bearer("admin"))
    assert answer.status_code == 400
    assert line in answer.get_json()["error"]["message"]
    assert "canary" not in answer.get_data(as_text=True)
    assert ask(gate, "GET", "entries")["entries"] == []


def test_the_command_line_does_the_same(gate: Gate, tmp_path: Any) -> None:
    see(gate, "View", "Buy")
    project, settings = str(gate.credentials["project_id"]), gate.services.settings

    def run(*words: str) -> str:
        outcome = CliRunner().invoke(cli_lexicon.lexicon, [words[0], project, *words[1:]], obj=settings, env={})
        assert outcome.exit_code == 0, outcome.output + repr(outcome.exception)
        return outcome.output

    assert run("describe", "View", "--description", "A page.", "--verified") == "changed\n"
    assert run("block", "Buy") == "changed\n"
    assert run("hide", "View") == "changed\n"
    assert run("merge", "Buy", "View") == "changed\n"
    table = run("list", "--kind", "event")
    assert "merged into View" in table
    assert "verified" in table
    exported = run("export")
    file = tmp_path / "lexicon.csv"
    file.write_text(exported.replace("A page.", "A page that was seen."))
    assert run("import", str(file)).startswith("changed=")
    assert "A page that was seen." in run("export")


# --- digests ---------------------------------------------------------------------------------------------------------


class Receiver:
    """A web hook that notes what comes, and fails while it is told to."""

    def __init__(self) -> None:
        self.bodies: list[Any] = []
        self.status = 200
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if receiver.status == 200:
                    receiver.bodies.append(json.loads(body))
                self.send_response(receiver.status)
                self.send_header("Location", "/elsewhere")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/secret-path"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.server.shutdown()
    made.server.server_close()


def test_a_digest_says_what_waits_once_a_day_and_is_tried_until_it_arrives(gate: Gate, receiver: Receiver) -> None:
    ask(gate, "POST", "settings", {"new_events": "flag", "new_properties": "flag"})
    see(gate, "Fresh", plan="canary-value")
    ask(gate, "POST", "digest", {"how": "webhook", "to": receiver.url})
    for receiver.status in (500, 302):
        assert digest.send_due(gate.services) == 0
        assert digest.send_due(gate.services) == 0, "not again at once"
        gate.clock[0] += 3_600_000
    assert receiver.bodies == [], "a redirect is not followed"
    assert 'portcullis_lexicon{what="digests_failing"} 1.0' in metrics(gate)
    receiver.status = 200
    assert digest.send_due(gate.services) == 1
    assert receiver.bodies[0]["pending_events"] == ["Fresh"]
    assert "plan" in receiver.bodies[0]["pending_properties"]
    assert "canary" not in json.dumps(receiver.bodies)
    assert digest.send_due(gate.services) == 0
    gate.clock[0] += DAY_MS
    assert digest.send_due(gate.services) == 1
    assert gate.actions().count("lexicon.digest_sent") == 2
    assert "secret-path" not in json.dumps(gate.log())
    assert "secret-path" not in str(gate.rows("SELECT digest_to FROM lexicon_project"))


def test_where_a_digest_may_go_is_the_operators_choice(gate: Gate) -> None:
    for to in ("https://example.com/x", "http://10.0.0.1/x", "file:///etc/passwd"):
        assert ask(gate, "POST", "digest", {"how": "webhook", "to": to}, status=400)["error"]["field"] == "to"
    assert ask(gate, "POST", "digest", {"how": "mail", "to": "a@example.com"}, status=400)["error"]["field"] == "how"
    assert ask(gate, "POST", "digest", {"how": None, "to": None})["digest"] is None


def test_a_mail_names_what_waits(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    from app.lexicon.digest import Digest

    sent: list[Any] = []

    class Client:
        def __init__(self, host: str, port: int, timeout: float) -> None:
            assert (host, port, timeout) == ("mail.test", 2525, 10)

        def __enter__(self) -> Client:
            return self

        def __exit__(self, *_: Any) -> None: ...

        def has_extn(self, _: str) -> bool:
            return False

        def send_message(self, message: Any) -> None:
            sent.append(message)

    from dataclasses import replace

    monkeypatch.setattr("jobs.digest.smtplib.SMTP", Client)
    settings = replace(gate.services.settings, smtp_url="smtp://mail.test:2525")
    digest._mail(Digest(1, "shop", "mail", "a@example.com", ("Fresh",), (), 3, 1), settings)
    assert sent[0]["To"] == "a@example.com"
    assert "Fresh" in sent[0].get_content()
    assert "3 more" in sent[0].get_content()


def metrics(gate: Gate) -> str:
    return gate.client.get("/metrics", headers=gate.bearer("admin")).get_data(as_text=True)


# --- anomalies -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("history", "n", "expected"),
    [
        ([1000, 1010, 990, 1000, 1005], 1400, None),  # steady, but within half of what is usual
        ([1000, 1010, 990, 1000, 1005], 1600, Expected(1000, 500)),
        ([1000, 1010, 990, 1000, 1005], 0, Expected(1000, 500)),
        ([1000, 1010, 990, 9000, 1005], 400, Expected(1005, 502)),  # one odd week moves nothing
        ([500, 1500, 900, 2000, 1000], 2500, None),  # as wild as it always was
        ([1000, 1000, 1000], 0, None),  # too short a history
        ([50, 50, 50, 50], 500, None),  # too few to say
    ],
)
def test_what_is_odd_is_odd_for_its_own_weekday(history: list[int], n: int, expected: Expected | None) -> None:
    assert odd(history, n) == expected


def test_a_day_without_an_event_that_always_came_is_told_once(gate: Gate) -> None:
    yesterday = datetime.fromtimestamp(gate.clock[0] / 1000, UTC).date() - timedelta(days=1)
    with gate.services.database.write() as tx:
        for name, quiet in (("Gone", 0), ("Steady", 1_000)):
            rows = [((yesterday - timedelta(weeks=back)).isoformat(), 1_000 if back else quiet) for back in range(7)]
            values = {"project_id": gate.credentials["project_id"], "kind": "event", "name": name, "refused": 0}
            tx.execute(sa.insert(lexicon_volume), [{**values, "day": day, "n": n} for day, n in rows])
    assert gate.services.anomalies.round() == 1
    gate.clock[0] += 3_600_000
    assert gate.services.anomalies.round() == 0
    [found] = ask(gate, "GET", "anomalies")["anomalies"]
    assert (found["event"], found["taken"], found["expected"], found["state"]) == ("Gone", 0, 1_000, "open")
    assert 'portcullis_lexicon{what="anomalies"} 1.0' in metrics(gate)
    done = ask(gate, "POST", f"anomalies/{found['id']}/acknowledge", role="officer")
    assert done["state"] == "acknowledged"
    ask(gate, "POST", f"anomalies/{found['id']}/acknowledge", status=409)
    assert [each for each in gate.actions() if "anomaly" in each] == ["lexicon.anomaly_opened", "lexicon.anomaly_acknowledged"]


# --- drop filters ----------------------------------------------------------------------------------------------------

STAFF = {"id": "staff", "events": ["View"], "where": [{"property": "plan", "is": ["staff"]}]}


def filters(gate: Gate, method: str, path: str = "", body: Any = None, role: str = "admin", status: int = 200) -> Any:
    answer = gate.client.open(f"/v1/drop-filters{path}", method=method, json=body, headers=gate.bearer(role))
    assert answer.status_code == status, answer.get_data(as_text=True)
    return answer.get_json()


def test_a_drop_filter_is_looked_at_then_added_as_a_version_and_taken_out_again(gate: Gate) -> None:
    see(gate, "View", "Buy", plan="staff")
    gate.clock[0] += 1_000
    see(gate, "View", plan="pro")
    found = filters(gate, "POST", "/preview", STAFF, role="officer")
    assert found == {"records": 3, "caught": 1, "events": {"View": 1}, "complete": True}
    filters(gate, "POST", "", STAFF, role="officer", status=403)
    made = filters(gate, "POST", "", STAFF, status=201)
    assert filters(gate, "POST", "", STAFF, status=409)["error"]["field"] == "id"
    listed = filters(gate, "GET", role="auditor")
    assert (listed["version"], listed["filters"]) == (made["version"], [STAFF])
    gate.clock[0] += 1_000
    see(gate, "View", "Buy", plan="staff")
    assert len(gate.exported()) == 4
    assert filters(gate, "DELETE", "/staff")["version"] == made["version"] + 1
    gate.clock[0] += 1_000
    see(gate, "View", plan="staff")
    assert len(gate.exported()) == 5
    filters(gate, "DELETE", "/staff", status=404)
    assert {"filter.previewed", "policy.added", "policy.activated"} <= set(gate.actions())


def test_a_filter_without_a_condition_is_refused(gate: Gate) -> None:
    problem = filters(gate, "POST", "", {**STAFF, "where": []}, status=422)["error"]
    assert problem["problems"][0]["path"] == "events.drop[0].where"
    filters(gate, "POST", "/preview", {**STAFF, "where": [{"property": "p", "resembles": 1}]}, status=422)
