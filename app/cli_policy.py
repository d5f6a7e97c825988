"""`portcullis policy …`: check and compare files, ask a policy about an event, and the versions of a project.

Other modules may add commands to the group `policy`. What is printed holds names, rules and kinds of findings, never a
value. Files need no database.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import click

from app import first_start
from app.access.service import project_by_id
from app.bootstrap import Services, bootstrap, now_ms
from app.cli_tables import aligned, told
from app.rulebook import history
from app.rulebook.question import read_question
from app.rulebook.review import Review, review
from app.settings import Settings
from policies import library
from policies.cases import case_context
from policies.compile import compile_policy
from policies.context import CheckContext
from policies.diff import diff
from policies.errors import PolicyError, PolicyInvalid, PolicyNotFound
from policies.explain import explain
from policies.gate import Gate
from policies.jsonschema import policy_schema
from policies.load import load

_ACTOR = "cli"
_FILE = click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path))
_PROJECT = click.argument("project_id", type=int)
_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")


@click.group()
def policy() -> None:
    """Policies: check a file, ask what it does, and put a version in force."""


# --- files -----------------------------------------------------------------------------------------------------------


@policy.command(name="lint")
@_FILE
@_JSON
def lint_command(file: Path, as_json: bool) -> None:
    """Find mistakes, and what is probably wrong. Exits 1 when there is anything."""
    found = review(_text(file))
    lines = [(each, f"error: {each.message}") for each in found.problems] + [
        (each, f"{each.severity}[{each.code}]: {each.message}") for each in found.findings
    ]
    if as_json:
        fields = ("line", "column", "path", "code", "severity", "message", "hint")
        _print_json([{name: getattr(each, name) for name in fields if hasattr(each, name)} for each, _ in lines])
    for each, line in [] if as_json else lines:
        click.echo(f"{file}:{each.line}:{each.column}: {line}" + (f"\n    {each.hint}" if each.hint else ""))
    if lines:
        sys.exit(1)
    if not as_json:
        click.echo(f"{file}: good")


@policy.command(name="test")
@_FILE
def test_command(file: Path) -> None:
    """Run the cases that a policy carries. Exits 1 when one fails."""
    found = _readable(file, review(_text(file)))
    rows = [("ok" if not each.wrong else "FAILED", each.name, "; ".join(each.wrong)) for each in found.cases]
    click.echo(aligned(("", "case", "what is wrong"), rows))
    click.echo(f"{len(found.cases) - len(found.failing)} of {len(found.cases)} cases hold")
    sys.exit(1 if found.failing else 0)


@policy.command(name="explain")
@click.argument("event", type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path))
@click.option("--policy", "file", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="A policy file.")
@click.option("--project", "project_id", type=int, help="Ask a project's policy.")
@click.option("--version", type=int, help="With --project: this version, not the one in force.")
@_JSON
@click.pass_obj
def explain_command(
    settings: Settings, event: Path, file: Path | None, project_id: int | None, version: int | None, as_json: bool
) -> None:
    """Say what becomes of an event or profile update in a JSON file, and why: every rule, and no value."""
    if file is not None and project_id is not None:
        raise click.UsageError("give either --policy or --project")
    asked = read_question(_text(event).encode(), now_ms())
    context = case_context()
    if project_id is not None:
        gate, context = _gate_of(settings, project_id, version)
    else:
        gate = _gate(
            file.read_text(encoding="utf-8", errors="replace") if file else library.text(first_start.DEFAULT_POLICY), file
        )
    found = explain(gate, asked.record, replace(context, signals=asked.signals))
    _print_json(found.as_json()) if as_json else click.echo(told(found))


@policy.command(name="diff")
@click.argument("before")
@click.argument("after")
@click.option("--project", "project_id", type=int, help="Numbers are versions of this project.")
@_JSON
@click.pass_obj
def diff_command(settings: Settings, before: str, after: str, project_id: int | None, as_json: bool) -> None:
    """Say what changes in meaning between two files, shipped policies or versions. Exits 1 when anything does."""
    old, new = (_gate_text(settings, each, project_id) for each in (before, after))
    items = diff(_loaded(old, before), _loaded(new, after))
    rows = [(each.change, each.kind, each.name, each.direction or "", "; ".join(each.details)) for each in items]
    heads = ("change", "what", "name", "direction", "details")
    if as_json:
        _print_json([dict(zip(heads, row, strict=True)) for row in rows])
    else:
        click.echo(aligned(heads, rows) if rows else "no difference in meaning")
    sys.exit(1 if items else 0)


@policy.command(name="schema")
def schema_command() -> None:
    """Print the JSON Schema of a policy file, for editors."""
    click.echo(json.dumps(policy_schema(), indent=2, ensure_ascii=False))


@policy.command(name="library")
@click.argument("name", required=False)
def library_command(name: str | None) -> None:
    """List the policies that ship, or print one to start from."""
    if name is not None:
        click.echo(_shipped(name), nl=False)
        return
    rows = [(each, " ".join(load(library.text(each)).description.split())) for each in library.names()]
    click.echo(aligned(("name", "what it is for"), rows))


# --- versions of a project -------------------------------------------------------------------------------------------


@policy.command(name="list")
@_PROJECT
@click.pass_obj
def list_command(settings: Settings, project_id: int) -> None:
    """Every version of a project's policy, newest first, and what was put in force lately."""
    services = bootstrap(settings)
    with services.database.read() as tx:
        project_by_id(tx, project_id)
        found = services.rulebook.versions(tx, project_id)
        acts = history.recent(tx, project_id, 10)
    rows = [(str(each.version), each.name, each.digest[:12], "active" if each.active else "") for each in found]
    click.echo(aligned(("version", "name", "digest", ""), rows))
    if acts:
        click.echo("\n" + aligned(("version", "act", "by", "reason"), [_act(each) for each in acts]))


@policy.command(name="show")
@_PROJECT
@click.argument("version", type=int, required=False)
@click.pass_obj
def show_command(settings: Settings, project_id: int, version: int | None) -> None:
    """Print the text of a version; of the active one when none is named."""
    services = bootstrap(settings)
    with services.database.read() as tx:
        chosen = version or services.rulebook.active(tx, project_id).version
        click.echo(services.rulebook.version(tx, project_id, chosen).text, nl=False)


@policy.command(name="add")
@_PROJECT
@_FILE
@click.pass_obj
def add_command(settings: Settings, project_id: int, file: Path) -> None:
    """Store a file as a new version, a draft."""
    services = bootstrap(settings)
    with services.database.write() as tx:
        made = _added(services, tx, project_id, file)
    click.echo(f"version {made} is a draft; put it in force with `portcullis policy activate {project_id} {made}`")


@policy.command(name="activate")
@_PROJECT
@click.argument("version_or_file")
@click.option("--force", metavar="REASON", help="Activate although cases fail or lint finds errors; kept in the audit log.")
@click.pass_obj
def activate_command(settings: Settings, project_id: int, version_or_file: str, force: str | None) -> None:
    """Put a version in force; a file is added as a new version first."""
    services = bootstrap(settings)
    with services.database.write() as tx:
        project_by_id(tx, project_id)
        chosen = (
            int(version_or_file) if version_or_file.isdecimal() else _added(services, tx, project_id, _existing(version_or_file))
        )
        services.rulebook.activate(tx, project_id, chosen, actor=_ACTOR, force=force)
    click.echo(f"version {chosen} is in force")


@policy.command(name="rollback")
@_PROJECT
@click.option("--reason", help="Kept in the audit log.")
@click.pass_obj
def rollback_command(settings: Settings, project_id: int, reason: str | None) -> None:
    """Put the version in force that was before the active one."""
    services = bootstrap(settings)
    with services.database.write() as tx:
        project_by_id(tx, project_id)
        chosen = services.rulebook.rollback(tx, project_id, actor=_ACTOR, reason=reason)
    click.echo(f"version {chosen.version} is in force")


# --- parts -----------------------------------------------------------------------------------------------------------


def _text(file: Path) -> str:
    if str(file) == "-":
        return sys.stdin.read()
    return file.read_text(encoding="utf-8", errors="replace")


def _existing(name: str) -> Path:
    if not Path(name).is_file():
        raise click.ClickException(f"{name} is neither a version nor a file")
    return Path(name)


def _act(act: history.Activation) -> Sequence[str]:
    return (str(act.version), act.act.value, act.actor, act.reason or "")


def _added(services: Services, tx: Any, project_id: int, file: Path) -> int:
    project_by_id(tx, project_id)
    try:
        return services.rulebook.add(tx, project_id, _text(file), author=_ACTOR).version
    except PolicyInvalid as refused:
        _refuse(file, refused)


def _readable(file: Path, found: Review) -> Review:
    if found.policy is None:
        _refuse(file, PolicyInvalid(found.problems))
    return found


def _refuse(file: object, refused: PolicyError) -> NoReturn:
    """Print every mistake with its place and exit 1."""
    for each in getattr(refused, "problems", ()):
        click.echo(f"{file}:{each.line}:{each.column}: {each.message}" + (f" ({each.hint})" if each.hint else ""), err=True)
    sys.exit(1)


def _gate(text: str, name: object) -> Gate:
    return compile_policy(_loaded(text, name))


def _loaded(text: str, name: object) -> Any:
    try:
        return load(text)
    except PolicyInvalid as refused:
        _refuse(name, refused)


def _gate_of(settings: Settings, project_id: int, version: int | None) -> tuple[Gate, CheckContext]:
    services = bootstrap(settings)
    with services.database.read() as tx:
        project_by_id(tx, project_id)
        rulebook = services.rulebook
        chosen = rulebook.active(tx, project_id) if version is None else rulebook.gate(tx, project_id, version)
        return chosen.gate, services.keyring.of(tx, project_id).check_context(now_ms())


def _gate_text(settings: Settings, name: str, project_id: int | None) -> str:
    """The text of a version of the project, of a file, or of a shipped policy."""
    if project_id is not None and name.isdecimal():
        services = bootstrap(settings)
        with services.database.read() as tx:
            return services.rulebook.version(tx, project_id, int(name)).text
    return _text(Path(name)) if Path(name).is_file() else _shipped(name)


def _shipped(name: str) -> str:
    try:
        return library.text(name)
    except PolicyNotFound as missing:
        raise click.ClickException(f"`{name}` is no file and no shipped policy: {missing}") from None


def _print_json(value: Any) -> None:
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))
