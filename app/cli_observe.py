"""`portcullis policy simulate | suggest`: the same services as the API, for whoever has a shell on the machine."""

from __future__ import annotations

import json
import time
from typing import Any

import click

from app.access.service import project_by_id
from app.bootstrap import Services, bootstrap
from app.observe.simulations import Simulation, SimulationState
from app.settings import Settings

_ACTOR = "cli"
_OPEN = (SimulationState.PENDING, SimulationState.RUNNING)
_SHOWN = 20


@click.command(name="simulate")
@click.argument("project_id", type=int)
@click.argument("version", type=int)
@click.option("--days", default=7, show_default=True, type=click.IntRange(1, 400), help="How much history.")
@click.option("--watch", is_flag=True, help="Wait for it, show progress, then the report.")
@click.pass_obj
def simulate(settings: Settings, project_id: int, version: int, days: int, watch: bool) -> None:
    """Try a version of a policy on the last days of history. A worker or the dispatcher does the work."""
    services = bootstrap(settings)
    made = services.simulations.create(project_id, version, days, actor=_ACTOR)
    click.echo(f"simulation={made.id}")
    if watch:
        _report(_watched(services, made))


@click.command(name="suggest")
@click.argument("project_id", type=int)
@click.option("--events", default=5_000, show_default=True, type=click.IntRange(1, 50_000), help="How many of the last events.")
@click.pass_obj
def suggest(settings: Settings, project_id: int, events: int) -> None:
    """Propose a rule for every property that no rule names. Prints YAML; the evidence stands in comments."""
    services = bootstrap(settings)
    with services.database.read() as tx:
        project = project_by_id(tx, project_id)
    found = services.suggestions.of(project, events, actor=_ACTOR)
    click.echo(f"# {found.records} records looked at; properties that policy version {found.version} does not name")
    if not found.complete:
        click.echo("# incomplete: the time for one look was up before all of them were read; ask for fewer events")
    for each in found.suggestions:
        hits = ", ".join(f"{name} {n}" for name, n in each.hits.items()) or "no detector hit"
        # repr, so that no name of a property ends the comment.
        name = repr(each.proposal.property)
        click.echo(f"# {name}: confidence {each.confidence}, {each.values} values, about {each.distinct} different, {hits}")
    click.echo(found.policy, nl=False)


def _watched(services: Services, made: Simulation) -> Simulation:
    while made.state in _OPEN:
        time.sleep(1)
        made = services.simulations.status(made.project_id, made.id)
        left = "?" if made.eta_ms is None else f"{made.eta_ms // 1_000} s"
        click.echo(f"{made.state.value}: {made.done} of {made.total or '?'}, {round(made.rate or 0)}/s, {left} left", err=True)
    return made


def _report(made: Simulation) -> None:
    if made.report is None:
        raise click.ClickException(f"the simulation is {made.state.value} ({made.error_code or 'no report'})")
    for line in lines(json.loads(made.report)):
        click.echo(line)


def lines(report: dict[str, Any]) -> list[str]:
    """A report as people read it: totals, then the events and properties that the draft touches most."""
    total = report["total"]
    shown = [
        f"{total['records']} records: {total['dropped']} dropped, {total['changed']} changed, {total['quarantined']} held,"
        f" {total['newly_kept']} newly kept, about {total['people']} people touched,"
        f" {total['bytes_before']} bytes before and {total['bytes_after']} after"
    ]
    for each in report["events"][:_SHOWN]:
        shown.append(f"{each['scope']} {each['event']!r}: {_counts(each)}, {each['records']} records")
    for each in report["properties"][:_SHOWN]:
        shown.append(f"  {each['event']!r} {each['path']!r}: {_counts(each)}")
        shown += [f"    {one['before']} → {one['after']} ({one['rule']}, {one['reason']})" for one in each["samples"]]
    return shown


def _counts(each: dict[str, Any]) -> str:
    names = ("dropped", "changed", "quarantined", "newly_kept")
    found = [f"{each[name]} {name.replace('_', ' ')}" for name in names if each[name]]
    return ", ".join([*found, f"about {each['people']} people"] if found else ["untouched"])
