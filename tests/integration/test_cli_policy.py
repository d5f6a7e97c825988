"""`portcullis policy …` as a person at a terminal and a build have it: aligned, without values, and with exit codes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from app.bootstrap import bootstrap
from app.cli import cli
from app.cli_policy import policy
from app.database import migrate
from app.settings import Settings
from policies import library
from policies.jsonschema import policy_schema

MARK = "zq-mark"
GOOD = """\
policy: good
default_region: US
rules:
  - {id: secret, properties: [secret], category: user.name, sensitivity: internal, action: drop, why: Because.}
cases:
  - {name: it goes, event: E, properties: {secret: x}, expect: {verdict: changed, properties: {}}}
"""
FAILING = GOOD.replace("verdict: changed, properties: {}", "verdict: pass")
EVENT = {"event": "E", "properties": {"secret": MARK, "list": [{"secret": MARK}], "note": f"{MARK}@example.com"}}


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with files, and a database that does not answer: files need none."""
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")
    monkeypatch.setenv("PORTCULLIS_DATA", str(tmp_path / "data"))
    for name, text in (
        ("good.yaml", GOOD),
        ("failing.yaml", FAILING),
        ("mistaken.yaml", "policy: p\nrulez: []\ngeolocation: mars\n"),
        ("keeps.yaml", GOOD.replace("action: drop", "action: keep").replace("verdict: changed, properties: {}", "verdict: pass")),
        ("event.json", json.dumps(EVENT)),
        ("update.json", json.dumps({"$token": "t", "$distinct_id": "u", "$set": {"secret": MARK}})),
    ):
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*words: str, **options: Any) -> Result:
    result = CliRunner().invoke(cli, ["policy", *words], **options)
    assert MARK not in result.output
    return result


def test_lint_names_the_place_and_exits_1(files: Path) -> None:
    assert run("lint", "good.yaml").exit_code == 0
    mistaken = run("lint", "mistaken.yaml")
    assert mistaken.exit_code == 1
    assert "mistaken.yaml:2:1: error: unknown key `rulez`\n    did you mean `rules`?" in mistaken.output
    assert "mistaken.yaml:3:14: error" in mistaken.output
    (files / "dead.yaml").write_text(GOOD.replace("cases:", GOOD.split("\n")[3].replace("id: secret", "id: dead") + "\ncases:"))
    dead = run("lint", "dead.yaml")
    assert (dead.exit_code, "dead.yaml:5:10: warning[never-matches]" in dead.output) == (1, True)
    listed = json.loads(run("lint", "dead.yaml", "--json").output)
    assert [each["code"] for each in listed] == ["never-matches"]


def test_lint_reads_standard_input(files: Path) -> None:
    assert run("lint", "-", input=GOOD).exit_code == 0
    assert run("lint", "-", input="").exit_code == 1


def test_cases_are_run(files: Path) -> None:
    good, failing, mistaken = run("test", "good.yaml"), run("test", "failing.yaml"), run("test", "mistaken.yaml")
    assert (good.exit_code, failing.exit_code, mistaken.exit_code) == (0, 1, 1)
    assert "1 of 1 cases hold" in good.output
    assert "FAILED  it goes" in failing.output
    assert "verdict is changed" in failing.output


def test_explain_says_rules_and_no_value(files: Path) -> None:
    result = run("explain", "event.json", "--policy", "good.yaml")
    assert result.exit_code == 0
    lines = [line.split() for line in result.output.splitlines()]
    assert ["properties.secret", "secret", "drop"] in lines
    assert ["properties.list[].secret", "secret", "drop"] in lines
    assert "email: redact" in result.output
    assert "secret (drop) decides - Because." in result.output
    told = json.loads(run("explain", "update.json", "--policy", "good.yaml", "--json").output)
    assert told["paths"][0]["winner"] == "secret"
    assert "gdpr-analytics" in run("explain", "event.json").output


def test_diff_of_files_and_shipped_policies(files: Path) -> None:
    changed = run("diff", "good.yaml", "keeps.yaml")
    assert changed.exit_code == 1
    assert "action: drop → keep" in changed.output
    assert "looser" in changed.output
    assert run("diff", "good.yaml", "good.yaml").exit_code == 0
    assert run("diff", "gdpr-analytics", "gdpr-analytics").output == "no difference in meaning\n"
    assert run("diff", "good.yaml", "nowhere").exit_code == 1


def test_the_schema_and_the_library_are_printed(files: Path) -> None:
    assert json.loads(run("schema").output) == json.loads(json.dumps(policy_schema()))
    assert run("library", "gdpr-analytics").output == library.text("gdpr-analytics")
    assert all(name in run("library").output for name in library.names())


def test_others_may_add_commands() -> None:
    assert {"lint", "test", "explain", "diff", "list", "show", "add", "activate", "rollback", "schema", "library"} <= set(
        policy.commands
    )


# --- with a project --------------------------------------------------------------------------------------------------


@pytest.fixture(params=["sqlite", "postgresql"])
def project(request: pytest.FixtureRequest, files: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The id of a project, on each engine."""
    url = f"sqlite:///{files}/portcullis.db" if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    monkeypatch.setenv("DATABASE_URL", url)
    monkeypatch.setenv("PORTCULLIS_EMBEDDED", "1")
    (files / "data").mkdir(mode=0o700)
    migrate(Settings.from_env().database_url)
    made = CliRunner().invoke(cli, ["project", "create", "web"])
    assert made.exit_code == 0, made.output
    return made.output.split()[0].partition("=")[2]


def test_the_life_of_a_version(project: str, files: Path) -> None:
    assert "version 2 is a draft" in run("add", project, "good.yaml").output
    assert run("activate", project, "2").output == "version 2 is in force\n"
    assert run("activate", project, "keeps.yaml").output == "version 3 is in force\n"
    assert run("show", project, "2").output == GOOD
    assert run("rollback", project, "--reason", "A wrong number.").output == "version 2 is in force\n"
    assert run("show", project).output == GOOD
    listed = run("list", project).output
    assert "active" in next(line for line in listed.splitlines() if line.startswith("2 "))
    assert "A wrong number." in listed
    told = run("explain", "event.json", "--project", project)
    assert "policy       good" in told.output
    assert "gdpr-analytics" in run("explain", "event.json", "--project", project, "--version", "1").output
    changed = run("diff", "2", "3", "--project", project)
    assert (changed.exit_code, "looser" in changed.output) == (1, True)


def test_what_is_unfit_is_refused_with_its_remedy(project: str, files: Path) -> None:
    from app.errors import Conflict, InvalidInput, NotFound

    refused = run("activate", project, "failing.yaml")
    assert isinstance(refused.exception, Conflict)
    assert refused.exception.remedy
    assert run("activate", project, "failing.yaml", "--force", "Ticket 42.").exit_code == 0
    assert isinstance(run("activate", project, "2", "--force", "").exception, InvalidInput | Conflict)
    assert run("activate", project, "mistaken.yaml").exit_code == 1
    assert run("activate", project, "nowhere").exit_code == 1
    assert isinstance(run("show", project, "99").exception, NotFound)
    assert isinstance(run("list", "7").exception, NotFound)


def test_the_actor_of_the_command_line_stands_in_the_log(project: str, files: Path) -> None:
    run("activate", project, "good.yaml")
    services = bootstrap(Settings.from_env())
    entries = [json.loads(each.body) for each in services.audit.entries(int(project), 0, 100)]
    services.close()
    last = entries[-1]
    assert (last["action"], last["actor"], last["facts"]["from_version"]) == ("policy.activated", "cli", "1")
