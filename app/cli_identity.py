"""`portcullis project identity | request preview`: the same services as the API, for whoever has a shell on the machine."""

from __future__ import annotations

from typing import TextIO

import click

from app.access.modes import IdentityMode
from app.access.service import project_by_id
from app.bootstrap import bootstrap
from app.cli_tables import aligned
from app.errors import InvalidInput
from app.settings import Settings

_ACTOR = "cli"
_MOST_IDS = 2_000


@click.command(name="identity")
@click.argument("project_id", type=int)
@click.argument("mode", type=click.Choice([mode.value for mode in IdentityMode]), required=False)
@click.pass_obj
def identity(settings: Settings, project_id: int, mode: str | None) -> None:
    """Show a project's identity mode, or change it for events from now on. What is linked stays linked."""
    services = bootstrap(settings)
    if mode is not None:
        before = services.identity.set_mode(project_id, IdentityMode(mode), actor=_ACTOR)
        click.echo(f"before={before}")
    click.echo(f"identity={services.identity.mode(project_id)}")


@click.group()
def request() -> None:
    """Data-subject requests."""


@request.command()
@click.argument("project_id", type=int)
@click.argument("ids", type=click.File("r", encoding="utf-8"), default="-")
@click.option("--show-ids", is_flag=True, help="Print every id that means the people; the log says that you did.")
@click.pass_obj
def preview(settings: Settings, project_id: int, ids: TextIO, show_ids: bool) -> None:
    """What a request would reach: read ids from a file or standard input, one a line. Changes nothing.

    Ids are no arguments, because a process list shows those to everybody on the machine.
    """
    wanted = list(dict.fromkeys(line.strip("\r\n") for line in ids if line.strip()))
    if not 1 <= len(wanted) <= _MOST_IDS:
        remedy = f"write between 1 and {_MOST_IDS} ids, one a line"
        raise InvalidInput("no ids were given, or too many", field="ids", remedy=remedy)
    services = bootstrap(settings)
    with services.database.read() as tx:
        project = project_by_id(tx, project_id)
    found = services.previews.of(project, wanted, actor=_ACTOR, show_ids=show_ids)
    for name in ("people", "ids", "events", "profiles", "held", "erased"):
        click.echo(f"{name}={getattr(found, name)}")
    click.echo(f"unknown_lines={','.join(str(at + 1) for at in found.unknown) or '-'}")
    click.echo(f"archives={found.archives}\nlegal_holds={found.legal_holds}")
    click.echo(f"places={' '.join(f'{name}:{n}' for name, n in found.places.items()) or '-'}")
    click.echo(f"recipients={' '.join(found.recipients) or '-'}")
    if found.members is not None:
        heads = ("id", "canonical", "kind", "means", "state", "pseudonyms")
        rows = [(m.identifier, m.canonical, m.kind, m.means, m.state, " ".join(m.pseudonyms)) for m in found.members]
        click.echo(aligned(heads, rows))
        if found.more:
            click.echo(f"and {found.more} more")
