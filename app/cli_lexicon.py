"""The commands about the dictionary: `portcullis lexicon list | describe | hide | block | merge | import | export`."""

from __future__ import annotations

from typing import Any, TextIO

import click

from app.access.roles import Permission
from app.bootstrap import bootstrap
from app.cli_tables import aligned
from app.lexicon import spreadsheet
from app.lexicon.model import Change, Editor, Key, Kind, State
from app.lexicon.overview import Place, Shown, place_of
from app.settings import Settings

_EDITOR = Editor("cli", frozenset(Permission))
_KIND = click.option(
    "--kind", type=click.Choice([each.value for each in Kind]), default=Kind.EVENT.value, show_default=True, help="What it is."
)
_EVENT = click.option("--event", default="", help="A property within this event alone.")


@click.group()
def lexicon() -> None:
    """The data dictionary: look at it, describe it, and enforce it by name."""


@lexicon.command(name="list")
@click.argument("project_id", type=int)
@click.option("--kind", type=click.Choice([each.value for each in Kind]), help="Only these.")
@click.option("--state", type=click.Choice([each.value for each in State]), help="Only these.")
@click.option("--event", default="", help="The properties within this event.")
@click.pass_obj
def list_command(settings: Settings, project_id: int, kind: str | None, state: str | None, event: str) -> None:
    """Entries as a table: state, kinds of values, and what they lack of the data standards."""
    kinds, chosen = (Kind(kind),) if kind else tuple(Kind), State(state) if state else None
    overview, rows = bootstrap(settings).overview, []
    after: Place | None = None
    while page := overview.page(project_id, kinds, event=event, state=chosen, after=after):
        rows += [_row(each) for each in page]
        after = place_of(page[-1].entry)
    click.echo(aligned(("kind", "state", "types", "category", "lacks", "marks", "name"), rows))


@lexicon.command()
@click.argument("project_id", type=int)
@click.argument("name")
@_KIND
@_EVENT
@click.option("--display-name", help="What it is called where people read it.")
@click.option("--description", help="What it means.")
@click.option("--tag", "tags", multiple=True, help="May be given several times; replaces all.")
@click.option("--owner", "owners", multiple=True, help="Mail address of who answers for it; replaces all.")
@click.option("--team", "teams", multiple=True, help="Team that answers for it; replaces all.")
@click.option("--verified/--not-verified", default=None, help="The badge.")
@click.option("--classified/--not-classified", default=None, help="The mark; the policy's own classification stays.")
@click.pass_obj
def describe(settings: Settings, /, project_id: int, name: str, kind: str, event: str, **given: Any) -> None:
    """Say what an event or property is."""
    fields = {field: value for field, value in given.items() if value not in (None, ())}
    _change(settings, project_id, Key(Kind(kind), name, event), Change(**fields))


@lexicon.command()
@click.argument("project_id", type=int)
@click.argument("name")
@_KIND
@_EVENT
@click.option("--undo", is_flag=True, help="Show it again; approve it, if it is pending.")
@click.pass_obj
def hide(settings: Settings, project_id: int, name: str, kind: str, event: str, undo: bool) -> None:
    """Keep it and show it nowhere."""
    _change(settings, project_id, Key(Kind(kind), name, event), Change(state=State.VISIBLE if undo else State.HIDDEN))


@lexicon.command()
@click.argument("project_id", type=int)
@click.argument("name")
@_KIND
@_EVENT
@click.option("--undo", is_flag=True, help="Take it again.")
@click.pass_obj
def block(settings: Settings, project_id: int, name: str, kind: str, event: str, undo: bool) -> None:
    """Refuse it at ingest from now on. What is stored stays."""
    _change(settings, project_id, Key(Kind(kind), name, event), Change(state=State.VISIBLE if undo else State.BLOCKED))


@lexicon.command()
@click.argument("project_id", type=int)
@click.argument("name")
@click.argument("into", required=False)
@_KIND
@click.pass_obj
def merge(settings: Settings, project_id: int, name: str, into: str | None, kind: str) -> None:
    """Read NAME as INTO from now on; without INTO as itself again. Nothing stored is changed."""
    _change(settings, project_id, Key(Kind(kind), name), Change(merged_into=into))


@lexicon.command(name="import")
@click.argument("project_id", type=int)
@click.argument("file", type=click.File(encoding="utf-8-sig"))
@click.pass_obj
def import_command(settings: Settings, project_id: int, file: TextIO) -> None:
    """Change what the rows of a CSV say, all of it or nothing."""
    services = bootstrap(settings)
    changes = spreadsheet.read(file.read())
    with services.database.write() as tx:
        done = services.lexicon.change(tx, project_id, _EDITOR, changes)
    click.echo(f"changed={done}")


@lexicon.command(name="export")
@click.argument("project_id", type=int)
@click.pass_obj
def export_command(settings: Settings, project_id: int) -> None:
    """Print the whole dictionary as CSV."""
    services = bootstrap(settings)
    for line in spreadsheet.written(services.overview.rows(project_id)):
        click.echo(line, nl=False)


def _row(found: Shown) -> tuple[str, ...]:
    entry = found.entry
    state = f"merged into {entry.merged_into}" if entry.merged_into else entry.state.value
    marks = [name for name, is_so in (("verified", entry.verified), ("classified", entry.classified)) if is_so]
    columns = (" ".join(entry.types), found.said.category or "", " ".join(found.lacks), " ".join(marks))
    # repr, so that no name moves the cursor of a terminal.
    return entry.key.kind.value, state, *columns, repr(entry.key.name)


def _change(settings: Settings, project_id: int, key: Key, change: Change) -> None:
    services = bootstrap(settings)
    with services.database.write() as tx:
        done = services.lexicon.change(tx, project_id, _EDITOR, {key: change})
    click.echo("changed" if done else "nothing to change")
