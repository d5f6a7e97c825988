"""`portcullis account …` and `portcullis project time-zone`: the same services as the API, for whoever has a shell here."""

from __future__ import annotations

from datetime import UTC, datetime

import click

from app.access.accounts import MOST_OVERLAP_HOURS, Manager, ServiceAccount
from app.access.roles import Role
from app.access.service import project_by_id
from app.audit.entry import iso
from app.bootstrap import bootstrap
from app.cli_tables import aligned
from app.settings import Settings

_ACTOR = "cli"
_MACHINE = Manager(_ACTOR)
_ROLE = click.Choice([role.value for role in Role])


@click.command(name="time-zone")
@click.argument("project_id", type=int)
@click.argument("name", required=False)
@click.pass_obj
def time_zone(settings: Settings, project_id: int, name: str | None) -> None:
    """Show a project's time zone, or change it. Dates of exports mean its days; no event changes."""
    services = bootstrap(settings)
    with services.database.write() as tx:
        if name is not None:
            click.echo(f"before={services.access.set_time_zone(tx, project_id, name, actor=_ACTOR)}")
        click.echo(f"time_zone={project_by_id(tx, project_id).time_zone}")


@click.group()
def account() -> None:
    """Service accounts: who they are, in which projects, and their secrets."""


@account.command(name="list")
@click.option("--project", "project_id", type=int, help="Only those that act in this project.")
@click.pass_obj
def listing(settings: Settings, project_id: int | None) -> None:
    """Every service account, its projects and roles, and when it was last used."""
    services = bootstrap(settings)
    with services.database.read() as tx:
        found = services.accounts.listed(tx, _MACHINE, project_id)
    heads = ("id", "username", "projects", "last used", "expires")
    click.echo(aligned(heads, [_row(each) for each in found]))


def _row(found: ServiceAccount) -> tuple[str, ...]:
    roles = ",".join(f"{project_id}:{role}" for project_id, role in found.roles.items())
    moments = (iso(each) if each else "-" for each in (found.last_used_ms, found.expires_ms))
    return (str(found.number), found.username, roles or "-", *moments)


@account.command()
@click.argument("project_id", type=int)
@click.argument("name")
@click.option("--role", type=_ROLE, required=True, help="What it may do there.")
@click.option("--expires", type=click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"]), help="When it ends (UTC).")
@click.pass_obj
def create(settings: Settings, project_id: int, name: str, role: str, expires: datetime | None) -> None:
    """Make a service account of a project. Its secret is printed this once."""
    services = bootstrap(settings)
    until = int(expires.replace(tzinfo=UTC).timestamp() * 1000) if expires else None
    with services.database.write() as tx:
        made, secret = services.accounts.create(tx, _MACHINE, project_id, name, Role(role), {project_id: Role(role)}, until)
    click.echo(f"id={made.number}\nusername={made.username}\nsecret={secret}")


@account.command()
@click.argument("number", type=int)
@click.argument("project_id", type=int)
@click.option("--role", type=_ROLE, required=True, help="What it may do there.")
@click.pass_obj
def add(settings: Settings, number: int, project_id: int, role: str) -> None:
    """Let an account into a project, or give it another role there."""
    services = bootstrap(settings)
    with services.database.write() as tx:
        services.accounts.add(tx, _MACHINE, {project_id: Role(role)}, [number])
    click.echo("added")


@account.command()
@click.argument("number", type=int)
@click.argument("project_id", type=int)
@click.pass_obj
def remove(settings: Settings, number: int, project_id: int) -> None:
    """Take an account out of a project, at once."""
    services = bootstrap(settings)
    with services.database.write() as tx:
        services.accounts.remove(tx, _MACHINE, {project_id: [number]})
    click.echo("removed")


@account.command()
@click.argument("number", type=int)
@click.option(
    "--overlap-hours",
    type=click.IntRange(0, MOST_OVERLAP_HOURS),
    default=24,
    show_default=True,
    help="For so long the secret before is good too.",
)
@click.pass_obj
def rotate(settings: Settings, number: int, overlap_hours: int) -> None:
    """Give an account another secret, which is printed this once."""
    services = bootstrap(settings)
    with services.database.write() as tx:
        found, secret = services.accounts.rotate(tx, _MACHINE, number, overlap_hours)
    click.echo(f"username={found.username}\nsecret={secret}")


@account.command()
@click.argument("number", type=int)
@click.pass_obj
def delete(settings: Settings, number: int) -> None:
    """End an account in every project, at once."""
    services = bootstrap(settings)
    with services.database.write() as tx:
        services.accounts.delete(tx, _MACHINE, number)
    click.echo("deleted")
