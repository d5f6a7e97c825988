"""The commands about the collector behind this one: `portcullis upstream …`."""

from __future__ import annotations

import click

from app.audit.entry import iso
from app.bootstrap import bootstrap
from app.settings import Settings
from app.upstream.collector import Account
from app.upstream.errands import ErrandState
from app.upstream.outbox import REASONS, Keeps
from app.upstream.service import OK, Standing
from app.upstream.speaking import Speaker

_ACTOR = "cli"
_PROJECT = click.argument("project_id", type=int)
_REASONS = click.option(
    "--reason", "reasons", multiple=True, type=click.Choice(REASONS), help="Only what is parked for this reason; may be repeated."
)


@click.group()
def upstream() -> None:
    """Forward what passes the gate to another collector."""


@upstream.command(name="set")
@_PROJECT
@click.argument("url")
@click.option("--token", required=True, help="The project's token over there.")
@click.option("--region", help="Where the collector keeps data; known for the vendor's own hosts.")
@click.option("--username", default="", help="A service account over there, for bulk import.")
@click.option("--upstream-project", default="", help="The project's id over there, with a service account.")
@click.option("--secret", envvar="UPSTREAM_SECRET", default="", help="Its secret; better in UPSTREAM_SECRET than on the line.")
@click.option(
    "--oauth",
    envvar="UPSTREAM_OAUTH",
    default="",
    help="An owner's or admin's token over there, to pass deletions and retrievals on; better in UPSTREAM_OAUTH.",
)
@click.option("--forward-only", is_flag=True, help="Keep nothing here of what is forwarded.")
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
    oauth: str,
    forward_only: bool,
) -> None:
    """Forward what the project accepts from now on to the collector at URL."""
    account = Account(token, username, secret, upstream_project, oauth)
    keeps = Keeps.NOTHING if forward_only else Keeps.BOTH
    _show(bootstrap(settings).upstreams.choose(project_id, url, account, region, actor=_ACTOR, keeps=keeps))


@upstream.command()
@_PROJECT
@click.pass_obj
def status(settings: Settings, project_id: int) -> None:
    """What waits, since when, what was refused, and what went wrong last."""
    _show(bootstrap(settings).upstreams.standing(project_id))


@upstream.command()
@_PROJECT
@click.pass_context
def test(context: click.Context, project_id: int) -> None:
    """Knock at the collector with an import of nothing and a question about nobody. Exit status 1 when a door stays shut."""
    found = bootstrap(context.obj).upstreams.test(project_id, Speaker(), actor=_ACTOR)
    for door, outcome in found.items():
        click.echo(f"{door:9}  {outcome}")
    if found["delivery"] != OK or found["requests"] not in (OK, "no_credential"):
        context.exit(1)


@upstream.command()
@_PROJECT
@click.option("--limit", type=click.IntRange(1, 1_000), default=100, show_default=True)
@click.pass_obj
def parked(settings: Settings, project_id: int, limit: int) -> None:
    """What the collector refused, the oldest first; nothing of what it says."""
    for each in bootstrap(settings).upstreams.parked(project_id, limit):
        click.echo(f"{each.id}  {iso(each.queued_ms)}  {each.kind:8}  {each.reason}")


@upstream.command()
@_PROJECT
@_REASONS
@click.pass_obj
def retry(settings: Settings, project_id: int, reasons: tuple[str, ...]) -> None:
    """Try again, now, what the collector refused. What is `uncertain` may have been taken, and would then count twice."""
    n = bootstrap(settings).upstreams.retry(project_id, actor=_ACTOR, reasons=reasons or None)
    click.echo(f"{n} parcels will be tried again")


@upstream.command()
@_PROJECT
@_REASONS
@click.pass_obj
def discard(settings: Settings, project_id: int, reasons: tuple[str, ...]) -> None:
    """Delete what the collector refused."""
    n = bootstrap(settings).upstreams.discard(project_id, actor=_ACTOR, reasons=reasons or None)
    click.echo(f"{n} parcels are deleted")


@upstream.command()
@_PROJECT
@click.option("--state", type=click.Choice([each.value for each in ErrandState]), help="Only those that stand so.")
@click.option("--limit", type=click.IntRange(1, 1_000), default=100, show_default=True)
@click.pass_obj
def requests(settings: Settings, project_id: int, state: str | None, limit: int) -> None:
    """Requests of people that were passed on, the newest first."""
    wanted = None if state is None else ErrandState(state)
    for each in bootstrap(settings).upstreams.errands(project_id, wanted, limit):
        why = f"  {each.error_code}" if each.error_code else ""
        click.echo(f"{each.request_id}  {each.kind:8}  {each.state:9}  {each.ids} ids  {each.base}{why}")


@upstream.command(name="ask-again")
@_PROJECT
@click.argument("request_id")
@click.pass_obj
def ask_again(settings: Settings, project_id: int, request_id: str) -> None:
    """Ask the collector once more for what failed of a request."""
    n = bootstrap(settings).upstreams.ask_again(project_id, request_id, actor=_ACTOR)
    click.echo(f"{n} parts will be asked for again")


@upstream.command()
@_PROJECT
@click.option("--discard", is_flag=True, help="Also when something was not delivered or finished: that is lost, and recorded.")
@click.pass_obj
def stop(settings: Settings, project_id: int, discard: bool) -> None:
    """Forward nothing more."""
    bootstrap(settings).upstreams.stop(project_id, actor=_ACTOR, discard=discard)
    click.echo("stopped")


def _show(found: Standing) -> None:
    kept = "kept here too" if found.keeps is Keeps.BOTH else "not kept here"
    click.echo(f"collector  {found.base} (region {found.region}); what is forwarded is {kept}")
    since = f", the oldest since {iso(found.oldest_ms)}" if found.oldest_ms else ""
    click.echo(f"waiting    {found.waiting}{since}")
    last = f", last at {iso(found.delivered_ms)}" if found.delivered_ms else ""
    click.echo(f"delivered  {found.delivered}{last}")
    for reason, n in found.parked.items():
        click.echo(f"parked     {n} ({reason}); `portcullis upstream retry` tries them again")
    stand = ", ".join(f"{n} {state}" for state, n in found.errands.items()) or "none yet"
    click.echo(f"requests   {stand}" if found.asks else f"requests   not passed on: no credential (--oauth); {stand}")
    if found.last_error:
        click.echo(f"trouble    {found.last_error}, {found.failures} times in a row; next try at {iso(found.due_ms)}")
