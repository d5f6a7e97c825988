"""`portcullis reimport …`: the same services as the API, for whoever has a shell on the machine.

Overriding a block takes two people, and a shell knows only one: the second word has to come through the API.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any, TextIO

import click
from sqlalchemy.engine import Connection

from app.access.roles import Role
from app.access.service import Principal, project_by_id
from app.bootstrap import Services, bootstrap
from app.errors import InvalidInput
from app.reimport import report
from app.reimport.model import Reimport, Scope, Terms, Times
from app.reimport.service import Order
from app.settings import Settings

_ACTOR = "cli"
_MOST_IDS = 2_000
_DAY_MS = 86_400_000
_SHOWN = 30


@click.group()
def reimport() -> None:
    """Sanitised re-imports: anonymise known users, keep the analytics."""


@reimport.command()
@click.argument("project_id", type=int)
@click.argument("policy")
@click.option("--ids", type=click.File("r", encoding="utf-8"), help="A file of ids, one a line; - is standard input.")
@click.option("--cohort", type=int, help="The people of a saved filter instead.")
@click.option("--property", "leaked", help="One property of past events instead, with --from and --to.")
@click.option("--event", "events", multiple=True, help="Only events of this name; may be repeated (with --property).")
@click.option("--from", "first", type=click.DateTime(["%Y-%m-%d"]), help="The first UTC day.")
@click.option("--to", "last", type=click.DateTime(["%Y-%m-%d"]), help="The last UTC day.")
@click.option("--quasi", multiple=True, help="A property by which somebody might be recognised; may be repeated.")
@click.option("--sensitive", multiple=True, help="A property that nobody may learn; may be repeated.")
@click.option("-k", "least", default=5, show_default=True, type=click.IntRange(2, 10_000), help="People in the smallest cell.")
@click.option("-l", "values", default=2, show_default=True, type=click.IntRange(2, 1_000), help="Values of a sensitive property.")
@click.option("--tolerance", default=0.0, show_default=True, type=click.FloatRange(0, 1), help="How far figures may differ.")
@click.option("--times", default="kept", show_default=True, type=click.Choice([each.value for each in Times]))
@click.option("--preview", is_flag=True, help="Only say what it would reach.")
@click.pass_obj
def create(settings: Settings, /, project_id: int, policy: str, ids: TextIO | None, preview: bool, **asked: Any) -> None:
    """Begin one under POLICY, a version or the name of one that ships. Nothing changes before it is approved.

    Ids are no arguments, because a process list shows those to everybody on the machine.
    """
    services = bootstrap(settings)
    order = _order(policy, [] if ids is None else _lines(ids), asked)
    by = _by(services, project_id)
    if preview:
        ahead = services.reimports.preview(by, order)
        for name in ("people", "ids", "events", "profiles", "withheld"):
            click.echo(f"{name}={getattr(ahead, name)}")
        unknown: Sequence[int] = ahead.unknown
    else:
        made, unknown = services.reimports.create(by, order)
        click.echo(f"reimport={made.id}")
    click.echo(f"unknown_lines={','.join(str(at + 1) for at in unknown) or '-'}")


@reimport.command()
@click.argument("project_id", type=int)
@click.argument("reimport_id")
@click.pass_obj
def status(settings: Settings, project_id: int, reimport_id: str) -> None:
    """How far it is."""
    _show(bootstrap(settings).reimports.status(project_id, reimport_id))


@reimport.command()
@click.argument("project_id", type=int)
@click.argument("reimport_id")
@click.pass_obj
def review(settings: Settings, project_id: int, reimport_id: str) -> None:
    """The report to decide on."""
    found = bootstrap(settings).reimports.status(project_id, reimport_id)
    if found.report is None:
        raise click.ClickException(f"the re-import is {found.state.value} and has no report yet")
    for line in lines(json.loads(found.report), found.terms):
        click.echo(line)


@reimport.command()
@click.argument("project_id", type=int)
@click.argument("reimport_id")
@click.pass_obj
def approve(settings: Settings, project_id: int, reimport_id: str) -> None:
    """Let it go on."""
    services = bootstrap(settings)
    _show(services.reimports.approve(_by(services, project_id), reimport_id))


@reimport.command()
@click.argument("project_id", type=int)
@click.argument("reimport_id")
@click.option("--reason", required=True, help="Why; it is kept in the audit log.")
@click.pass_obj
def override(settings: Settings, project_id: int, reimport_id: str, reason: str) -> None:
    """Put one of the two words that a blocked re-import needs; the other comes through the API."""
    services = bootstrap(settings)
    _show(services.reimports.override(_by(services, project_id), reimport_id, reason))


@reimport.command()
@click.argument("project_id", type=int)
@click.argument("reimport_id")
@click.pass_obj
def cancel(settings: Settings, project_id: int, reimport_id: str) -> None:
    """Take everything back, as long as no erasure is ordered."""
    services = bootstrap(settings)
    _show(services.reimports.cancel(_by(services, project_id), reimport_id))


def lines(made: dict[str, Any], terms: Terms) -> list[str]:
    """A report as people read it: what blocks it, who hides among whom, what became of each property."""
    records = ", ".join(f"{n['read']} {scope}s ({n['dropped']} dropped)" for scope, n in made["records"].items())
    shown = [f"{made['people']} people, {made['left_out']} left out; {records or 'no records'}"]
    shown += [f"BLOCKED: {each}" for each in report.objections(made, terms)]
    if anonymity := made["anonymity"]:
        shown.append(f"{anonymity['cells']} cells, the smallest of {anonymity['k']} people, {anonymity['small']} below {terms.k}")
        shown += [f"  {each['property']!r} alone: {each['rare']} of {each['values']} values rare" for each in anonymity["rarity"]]
    for each in made["properties"][:_SHOWN]:
        found = ", ".join(f"{name} {n}" for name, n in each["findings"].items())
        fate = f"{each['kept']} kept, {each['changed']} changed, {each['dropped']} dropped"
        left = f"; STILL FOUND: {found}" if found else ""
        shown.append(f"  {each['scope']} {each['event']!r} {each['property']!r}: {fate}{left}")
    for each in made["reconciliation"]["differences"]:
        shown.append(f"  {each['what']} of {each['event']!r} {each['key']!r}: {each['before']} before, {each['after']} after")
    return shown


def _order(policy: str, ids: list[str], asked: dict[str, Any]) -> Order:
    scope = Scope.COHORT if asked["cohort"] else Scope.PROPERTY if asked["leaked"] else Scope.PEOPLE
    if (scope is Scope.PEOPLE) != bool(ids):
        remedy = "give --ids, or --cohort, or --property with --from and --to"
        raise InvalidInput("it is not clear who or what is meant", field="scope", remedy=remedy)
    first, last = asked["first"], asked["last"]
    if scope is Scope.PROPERTY and (first is None or last is None or last < first):
        raise InvalidInput("a range of days is needed", field="from", remedy="give --from and --to, as 2026-11-24")
    terms = Terms(
        version=None,
        library=None,
        digest="",
        quasi=tuple(dict.fromkeys(asked["quasi"])),
        sensitive=tuple(dict.fromkeys(asked["sensitive"])),
        k=asked["least"],
        l=asked["values"],
        tolerance=asked["tolerance"],
        times=Times(asked["times"]),
        cohort=asked["cohort"],
        leaked=asked["leaked"],
        events=asked["events"],
        from_ms=None if first is None else _midnight(first),
        to_ms=None if last is None else _midnight(last) + _DAY_MS,
    )
    return Order(scope, int(policy) if policy.isdecimal() else policy, terms, ids)


def _midnight(day: datetime) -> int:
    return (day.toordinal() - 719_163) * _DAY_MS


def _lines(ids: TextIO) -> list[str]:
    wanted = list(dict.fromkeys(line.strip("\r\n") for line in ids if line.strip()))
    if not 1 <= len(wanted) <= _MOST_IDS:
        raise InvalidInput("no ids were given, or too many", field="ids", remedy=f"write 1 to {_MOST_IDS} ids, one a line")
    return wanted


def _by(services: Services, project_id: int) -> Principal:
    with services.database.read() as tx:
        return _principal(tx, project_id)


def _principal(tx: Connection, project_id: int) -> Principal:
    return Principal(_ACTOR, project_by_id(tx, project_id), Role.OFFICER)


def _show(of: Reimport) -> None:
    left = "-" if of.eta_ms is None else f"{of.eta_ms // 1_000} s"
    click.echo(f"state={of.state.value}")
    click.echo(f"done={of.done} of {of.total or '?'}, {round(of.rate or 0)}/s, {left} left")
    click.echo(f"overridden_by={len(of.second_pair())} approved_by={of.approved_by or '-'}")
    click.echo(f"erasure={of.erasure_id or '-'} error={of.error_code or '-'}")
