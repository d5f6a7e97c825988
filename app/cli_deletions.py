"""`portcullis data-deletion preview | create | list | show | undo | certificate`: the services of the API, from a shell."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import click

from app.access.service import Project, project_by_id
from app.audit.entry import iso
from app.bootstrap import Services, bootstrap
from app.cli_tables import aligned
from app.deletions.model import REASONS, REFERENCE, Deletion, Extent, Target, extent_of
from app.errors import Conflict, InvalidInput
from app.settings import Settings

_ACTOR = "cli"
_OPTIONS = (
    click.option("--event", "events", multiple=True, help="The name of an event; may be given several times."),
    click.option("--from", "from_", help="First UTC day, or an RFC 3339 moment."),
    click.option("--to", help="Last UTC day, inclusive, or an RFC 3339 moment, exclusive."),
    click.option("--where", help="An expression over properties that names no person: docs/reading.md."),
    click.option("--event-property", help="Delete this property from every event instead."),
    click.option("--profile-property", help="Delete this property from every profile instead."),
)


def _extent_options(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


@click.group(name="data-deletion")
def data_deletion() -> None:
    """Delete past events, or one property from history."""


@data_deletion.command()
@click.argument("project_id", type=int)
@_extent_options
@click.pass_obj
def preview(settings: Settings, /, project_id: int, **given: Any) -> None:
    """Count what a deletion would cover, by event and day. Changes nothing."""
    services, project = _open(settings, project_id)
    found = services.deletions.preview(project, _extent(given), actor=_ACTOR)
    people = f"{'' if found.people_exact else 'about '}{found.people}"
    click.echo(f"matches={found.matches}\nmatched={found.matched}\npeople={people}\ncomplete={found.complete}")
    if found.days:
        rows = [(iso(day)[:10], str(n), name) for name, day, n in found.days]
        click.echo(aligned(("day", "count", "event"), rows))


@data_deletion.command()
@click.argument("project_id", type=int)
@_extent_options
@click.option("--reason", required=True, type=click.Choice(REASONS), help="Why; it stands in the audit log.")
@click.option("--reference", help="The number of a case, such as CASE-4711.")
@click.option("--confirm", is_flag=True, help="Also when it covers nothing, or everything, or too much to count.")
@click.pass_obj
def create(settings: Settings, /, project_id: int, reason: str, reference: str | None, *, confirm: bool, **given: Any) -> None:
    """Hide what is covered at once; it is erased when the time to undo is over."""
    if reference is not None and not re.match(REFERENCE, reference):
        raise InvalidInput("this is no number of a case", field="reference", remedy="write it like CASE-4711")
    services, project = _open(settings, project_id)
    made = services.deletions.create(project, _extent(given), reason, reference, actor=_ACTOR, confirm=confirm)
    _show(made)


@data_deletion.command(name="list")
@click.argument("project_id", type=int)
@click.pass_obj
def list_command(settings: Settings, project_id: int) -> None:
    """The newest hundred deletions of a project."""
    rows = [
        (each.id, each.state.value, each.extent.target.value, str(each.matched), iso(each.undo_until_ms), each.error_code or "-")
        for each in bootstrap(settings).deletions.of(project_id)
    ]
    click.echo(aligned(("id", "state", "target", "matched", "undo until", "error"), rows))


@data_deletion.command()
@click.argument("project_id", type=int)
@click.argument("deletion_id")
@click.pass_obj
def show(settings: Settings, project_id: int, deletion_id: str) -> None:
    """Where a deletion stands, and what was counted."""
    _show(bootstrap(settings).deletions.status(project_id, deletion_id))


@data_deletion.command()
@click.argument("project_id", type=int)
@click.argument("deletion_id")
@click.pass_obj
def undo(settings: Settings, project_id: int, deletion_id: str) -> None:
    """Show again what a deletion hides, while that can be undone."""
    _show(bootstrap(settings).deletions.undo(project_id, deletion_id, actor=_ACTOR))


@data_deletion.command()
@click.argument("project_id", type=int)
@click.argument("deletion_id")
@click.pass_obj
def certificate(settings: Settings, project_id: int, deletion_id: str) -> None:
    """Print the signed certificate of a deletion that is carried out."""
    found = bootstrap(settings).deletions.status(project_id, deletion_id)
    if found.certificate is None:
        raise Conflict(f"the deletion is {found.state.value} and has no certificate", remedy="ask again once it is done")
    click.echo(found.certificate, nl=False)


def _open(settings: Settings, project_id: int) -> tuple[Services, Project]:
    services = bootstrap(settings)
    with services.database.read() as tx:
        return services, project_by_id(tx, project_id)


def _extent(given: dict[str, Any]) -> Extent:
    of_event, of_profile = given["event_property"], given["profile_property"]
    if of_event is not None and of_profile is not None:
        raise InvalidInput("one property is deleted at a time", field="property", remedy="name one of the two")
    target = Target.EVENT_PROPERTY if of_event else Target.PROFILE_PROPERTY if of_profile else Target.EVENTS
    return extent_of(
        target,
        events=tuple(given["events"]) or None,
        from_=given["from_"],
        to=given["to"],
        where=given["where"],
        property_name=of_event or of_profile,
    )


def _show(found: Deletion) -> None:
    click.echo(f"id={found.id}\nstate={found.state.value}\nstep={found.step.value}")
    click.echo(f"matched={found.matched}\npeople={found.people}\nundo_until={iso(found.undo_until_ms)}")
    for name, n in sorted(found.counts.items()):
        click.echo(f"{name}={n}")
    if found.error_code:
        click.echo(f"error={found.error_code}\nnext_try={iso(found.due_ms)}")
