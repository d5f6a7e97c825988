"""The commands about who sees what: `portcullis view …`, `portcullis team …`, and `portcullis credential grant | withdraw`."""

from __future__ import annotations

import click

from app.access.roles import GRANTED_ONLY, Role
from app.access.service import Principal, project_by_id
from app.bootstrap import Services, bootstrap
from app.cli_tables import aligned
from app.dataviews.model import DataView, Member, MemberKind
from app.dataviews.service import Preview
from app.settings import Settings

_ACTOR = "cli"
_NARROWS = (
    click.option("--events", default="", help="An expression that has to be true of an event."),
    click.option("--profiles", default="", help="An expression that has to be true of a profile, and of whose events are."),
    click.option("--withhold-event-property", "of_events", multiple=True, help="Taken out of events; may be repeated."),
    click.option("--withhold-profile-property", "of_profiles", multiple=True, help="Taken out of profiles; likewise."),
)


@click.group()
def view() -> None:
    """Data views: which part of a project a credential or a team sees."""


@view.command(name="list")
@click.argument("project_id", type=int)
@click.pass_obj
def list_views(settings: Settings, project_id: int) -> None:
    """Every view with its members."""
    rows = [
        (str(each.id), "default" if each.by_default else str(len(each.members)), _narrowing(each), repr(each.name))
        for each in bootstrap(settings).data_views.of(project_id)
    ]
    click.echo(aligned(("id", "members", "narrows", "name"), rows))


@view.command()
@click.argument("project_id", type=int)
@_NARROWS[0]
@_NARROWS[1]
@click.pass_obj
def preview(settings: Settings, project_id: int, events: str, profiles: str) -> None:
    """What a view would match, before it is saved."""
    services = bootstrap(settings)
    wanted = DataView(0, "preview", events=events, profiles=profiles)
    _tell(services.data_views.preview(_operator(services, project_id), wanted), wanted)


@view.command()
@click.argument("project_id", type=int)
@click.argument("name")
@_NARROWS[0]
@_NARROWS[1]
@_NARROWS[2]
@_NARROWS[3]
@click.option("--description", default="", help="What it is for.")
@click.option("--member", "members", multiple=True, metavar="KIND/ID", help="principal/ID or team/ID; may be repeated.")
@click.option("--by-default", is_flag=True, help="It is what whoever is in no view sees.")
@click.option("--confirm", is_flag=True, help="Save it although it matches nothing, or everything.")
@click.pass_obj
def save(
    settings: Settings,
    project_id: int,
    name: str,
    events: str,
    profiles: str,
    of_events: tuple[str, ...],
    of_profiles: tuple[str, ...],
    description: str,
    members: tuple[str, ...],
    by_default: bool,
    confirm: bool,
) -> None:
    """Make a view, or put another in the place of the one of this NAME, members included."""
    services = bootstrap(settings)
    number = next((each.id for each in services.data_views.of(project_id) if each.name == name), 0)
    listed = tuple(map(_member, members))
    wanted = DataView(number, name, description, by_default, events, profiles, of_events, of_profiles, listed)
    made = services.data_views.save(_operator(services, project_id), wanted, confirm=confirm)
    click.echo(f"id={made.id}")


@view.command(name="delete")
@click.argument("project_id", type=int)
@click.argument("view_id", type=int)
@click.option("--confirm", is_flag=True, help="Delete it although somebody sees the project through it.")
@click.pass_obj
def delete_view(settings: Settings, project_id: int, view_id: int, confirm: bool) -> None:
    """Forget a view: who was in it alone sees what whoever is in no view does."""
    services = bootstrap(settings)
    services.data_views.delete(_operator(services, project_id), view_id, confirm=confirm)
    click.echo("deleted")


@click.group()
def team() -> None:
    """Teams: several credentials that get data views as one."""


@team.command(name="list")
@click.argument("project_id", type=int)
@click.pass_obj
def list_teams(settings: Settings, project_id: int) -> None:
    """Every team with its members."""
    teams = bootstrap(settings).teams.of(project_id)
    click.echo(aligned(("id", "name", "members"), [(str(each.id), repr(each.name), " ".join(each.members)) for each in teams]))


@team.command(name="save")
@click.argument("project_id", type=int)
@click.argument("name")
@click.option("--member", "members", multiple=True, metavar="ID", help="Id of a credential; may be repeated.")
@click.pass_obj
def save_team(settings: Settings, project_id: int, name: str, members: tuple[str, ...]) -> None:
    """Make a team, or give the one of this NAME other members."""
    services = bootstrap(settings)
    by = _operator(services, project_id)
    held = next((each for each in services.teams.of(project_id) if each.name == name), None)
    made = services.teams.create(by, name, members) if held is None else services.teams.change(by, held.id, members)
    click.echo(f"id={made.id}")


@team.command(name="delete")
@click.argument("project_id", type=int)
@click.argument("team_id", type=int)
@click.pass_obj
def delete_team(settings: Settings, project_id: int, team_id: int) -> None:
    """Forget a team that is in no view."""
    services = bootstrap(settings)
    services.teams.delete(_operator(services, project_id), team_id)
    click.echo("deleted")


_PERMISSION = click.argument("permission", type=click.Choice(sorted(each.value for each in GRANTED_ONLY)))


@click.command()
@click.argument("project_id", type=int)
@click.argument("principal_id")
@_PERMISSION
@click.pass_obj
def grant(settings: Settings, project_id: int, principal_id: str, permission: str) -> None:
    """Give a credential a permission that no role holds."""
    _change_grant(settings, project_id, principal_id, permission, give=True)


@click.command()
@click.argument("project_id", type=int)
@click.argument("principal_id")
@_PERMISSION
@click.pass_obj
def withdraw(settings: Settings, project_id: int, principal_id: str, permission: str) -> None:
    """Take such a permission away again, at once."""
    _change_grant(settings, project_id, principal_id, permission, give=False)


def _change_grant(settings: Settings, project_id: int, principal_id: str, permission: str, *, give: bool) -> None:
    services = bootstrap(settings)
    change = services.grants.give if give else services.grants.withdraw
    with services.database.write() as tx:
        held = change(tx, project_id, principal_id, permission, actor=_ACTOR).permissions
    click.echo(f"granted={' '.join(held) or 'nothing'}")


def _operator(services: Services, project_id: int) -> Principal:
    """Whoever has a shell here is asked as an administrator who may see everything; the acts stand in the log as theirs."""
    with services.database.read() as tx:
        return Principal(_ACTOR, project_by_id(tx, project_id), Role.ADMIN, GRANTED_ONLY)


def _member(text: str) -> Member:
    kind, _, number = text.partition("/")
    if kind not in set(MemberKind) or not number:
        raise click.BadParameter("a member is principal/ID or team/ID", param_hint="--member")
    return Member(MemberKind(kind), number)


def _narrowing(found: DataView) -> str:
    parts = {
        "events": found.events,
        "profiles": found.profiles,
        "event properties": found.withheld_of_events,
        "profile properties": found.withheld_of_profiles,
    }
    return ", ".join(name for name, value in parts.items() if value) or "nothing"


def _tell(found: Preview, wanted: DataView) -> None:
    for name, each in (("events", found.events), ("profiles", found.profiles)):
        said = "not filtered" if each.matched is None else f"{each.matched} match"
        click.echo(f"{name}: {each.of} looked at, {said}")
    warning = found.objection(wanted)
    if warning:
        click.echo(f"warning: {warning}")
