"""The commands about the collector behind this one: `portcullis upstream set | status | retry | stop`."""

from __future__ import annotations

import click

from app.audit.entry import iso
from app.bootstrap import bootstrap
from app.settings import Settings
from app.upstream.collector import Account
from app.upstream.service import Standing

_ACTOR = "cli"


@click.group()
def upstream() -> None:
    """Forward what passes the gate to another collector."""


@upstream.command(name="set")
@click.argument("project_id", type=int)
@click.argument("url")
@click.option("--token", required=True, help="The project's token over there.")
@click.option("--region", help="Where the collector keeps data; known for the vendor's own hosts.")
@click.option("--username", default="", help="A service account over there, for bulk import.")
@click.option("--upstream-project", default="", help="The project's id over there, with a service account.")
@click.option("--secret", envvar="UPSTREAM_SECRET", default="", help="Its secret; better in UPSTREAM_SECRET than on the line.")
@click.pass_obj
def choose(
    settings: Settings,
    project_id: int,
    url: str,
    token: str,
    region: str | None,
    username: str,
    upstream_project: str,
    secret: str,
) -> None:
    """Forward what the project accepts from now on to the collector at URL."""
    account = Account(token, username, secret, upstream_project)
    _show(bootstrap(settings).upstreams.choose(project_id, url, account, region, actor=_ACTOR))


@upstream.command()
@click.argument("project_id", type=int)
@click.pass_obj
def status(settings: Settings, project_id: int) -> None:
    """What waits, since when, what was refused, and what went wrong last."""
    _show(bootstrap(settings).upstreams.standing(project_id))


@upstream.command()
@click.argument("project_id", type=int)
@click.pass_obj
def retry(settings: Settings, project_id: int) -> None:
    """Try again, now, everything that the collector refused."""
    click.echo(f"{bootstrap(settings).upstreams.retry(project_id, actor=_ACTOR)} parcels will be tried again")


@upstream.command()
@click.argument("project_id", type=int)
@click.option("--discard", is_flag=True, help="Also when something was not delivered: it is deleted from the queue.")
@click.pass_obj
def stop(settings: Settings, project_id: int, discard: bool) -> None:
    """Forward nothing more."""
    bootstrap(settings).upstreams.stop(project_id, actor=_ACTOR, discard=discard)
    click.echo("stopped")


def _show(found: Standing) -> None:
    click.echo(f"collector  {found.base} (region {found.region})")
    since = f", the oldest since {iso(found.oldest_ms)}" if found.oldest_ms else ""
    click.echo(f"waiting    {found.waiting}{since}")
    last = f", last at {iso(found.delivered_ms)}" if found.delivered_ms else ""
    click.echo(f"delivered  {found.delivered}{last}")
    for reason, n in found.parked.items():
        click.echo(f"parked     {n} ({reason}); `portcullis upstream retry` tries them again")
    if found.last_error:
        click.echo(f"trouble    {found.last_error}, {found.failures} times in a row; next try at {iso(found.due_ms)}")
