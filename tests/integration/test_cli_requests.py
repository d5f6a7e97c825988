"""`portcullis request …` as an officer at a terminal has it: every command, and no id of a person in what it prints."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest
from click.testing import CliRunner

from app.bootstrap import now_ms
from app.cli import cli
from tests.integration.gate import build


@pytest.fixture
def gate(tmp_path, monkeypatch):
    monkeypatch.setenv("PORTCULLIS_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("PORTCULLIS_EMBEDDED", "1")
    monkeypatch.setenv("PORTCULLIS_REQUEST_STEPS", "identity,approval,answer")
    monkeypatch.delenv("DATABASE_URL", raising=False)
    built = build(tmp_path, None, PORTCULLIS_REQUEST_STEPS="identity,approval,answer")
    yield built
    built.services.close()


def test_a_request_goes_its_way_at_the_terminal(gate):
    gate.track(gate.event("ada-zq", "i1"))
    project = str(gate.rows("SELECT id FROM project")[0][0])

    def run(*words, stdin=None, code=0):
        done = CliRunner().invoke(cli, ["request", *words], input=stdin)
        assert done.exit_code == code, (done.output, done.exception)
        assert "ada-zq" not in done.output
        return done.output

    made = run("create", project, "erasure", "--key", "k", "--regime", "CCPA", stdin="ada-zq\n")
    (request,) = re.findall(r"request=(\S+)", made)
    held = run("hold", "place", project, "--basis", "art17_3_e_legal_claims", "--profile", stdin="ada-zq\n").strip()[3:]
    assert held in run("hold", "list", project)
    run("hold", "lift", project, held)
    run("acknowledge", project, request, "--channel", "email")
    run("identify", project, request, "--method", "signed_in")
    assert "state=pending" in run("approve", project, request)
    assert "state=paused" in run("pause", project, request)
    run("extend", project, request, "--reason", "complexity", "--channel", "post")
    run("resume", project, request)
    gate.clock[0] = now_ms() + 1_000  # The terminal has the real clock.
    gate.work()
    assert "deleted.event=1" in run("show", project, request)
    assert "state=answered" in run("answer", project, request, "--channel", "email")
    assert "answered" in run("list", project)
    (received,) = re.findall(r"^erasure\s+(\d+)", run("report", project, str(datetime.now(UTC).year)), re.M)
    assert received == "1"
    second = run("create", project, "restriction", "--key", "k2", stdin="bob\n")
    (other,) = re.findall(r"request=(\S+)", second)
    assert "state=rejected" in run("reject", project, other, "--reason", "no_match")
