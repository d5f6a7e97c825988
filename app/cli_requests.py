"""`portcullis request …`: subject requests for whoever has a shell on the machine. The same services as the API.

Ids of people come from a file or standard input, one a line, and are never arguments: a process list shows those to everybody.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import BinaryIO, TextIO

import click

from app.access.roles import Role
from app.access.service import Principal, project_by_id
from app.audit.entry import iso
from app.bootstrap import Services, bootstrap
from app.cli_tables import aligned
from app.errors import InvalidInput
from app.settings import Settings
from app.subjects.holds import Basis, Scope
from app.subjects.idempotency import Once
from app.subjects.model import Channel, ExtensionReason, IdentityMethod, Rejection, RequestKind, SubjectRequest
from policies.regimes import REGIMES

_ACTOR = "cli"
_DAY_MS = 86_400_000
_UPLOADED = [RequestKind.ACCESS, RequestKind.PORTABILITY, RequestKind.ERASURE, RequestKind.RESTRICTION, RequestKind.OBJECTION]
_channel = click.option(
    "--channel", type=click.Choice([each.value for each in Channel]), required=True, help="How the person was told."
)


def add_to(group: click.Group) -> None:
    """Add the commands of this module to `portcullis request`."""
    commands = (create, listing, show, identify, reject, acknowledge, extend, answer, report, hold)
    for each in (*commands, *(_plain(name, words) for name, words in _PLAIN.items())):
        group.add_command(each)


def _enter(settings: Settings, project_id: int) -> tuple[Services, Principal]:
    services = bootstrap(settings)
    with services.database.read() as tx:
        return services, Principal(_ACTOR, project_by_id(tx, project_id), Role.ADMIN)


def _told(request: SubjectRequest) -> None:
    outcome = request.outcome.value if request.outcome else "-"
    click.echo(f"id={request.id}\nstate={request.state}\noutcome={outcome}\ndeadline={iso(request.deadline_ms)}")


@click.command()
@click.argument("project_id", type=int)
@click.argument("kind", type=click.Choice([each.value for each in _UPLOADED]))
@click.argument("ids", type=click.File("rb"), default="-")
@click.option("--regime", type=click.Choice(list(REGIMES)), default="GDPR", show_default=True, help="The law it is made under.")
@click.option("--key", required=True, help="A text of your own; run it again with the same one after a failure.")
@click.pass_obj
def create(settings: Settings, project_id: int, kind: str, ids: BinaryIO, regime: str, key: str) -> None:
    """Submit requests for up to 100,000 ids, one a line, a thousand ids a request. Lines that cannot be taken are told."""
    services, by = _enter(settings, project_id)
    done = services.cases.uploads.take(by, ids, RequestKind(kind), Once(key, b""), compliance=regime)
    for name in ("batch", "lines", "taken", "repeated", "blank", "refused", "unknown_ids"):
        click.echo(f"{name}={getattr(done, name)}")
    for each in done.requests:
        click.echo(f"request={each}")
    for line, message in done.errors:
        click.echo(f"line {line}: {message}", err=True)


@click.command(name="list")
@click.argument("project_id", type=int)
@click.option("--limit", type=click.IntRange(1, 1_000), default=50, show_default=True, help="How many at most.")
@click.pass_obj
def listing(settings: Settings, project_id: int, limit: int) -> None:
    """The newest requests, how far they are and how much of their time is used up."""
    services, by = _enter(settings, project_id)
    rows = [
        (each.id, each.kind.value, each.state.value, each.outcome or "-", iso(each.deadline_ms), f"{each.alarm_level}%")
        for each in services.subjects.requests(by, limit)
    ]
    click.echo(aligned(("id", "kind", "state", "outcome", "deadline", "alarm"), rows))


@click.command()
@click.argument("project_id", type=int)
@click.argument("request_id")
@click.pass_obj
def show(settings: Settings, project_id: int, request_id: str) -> None:
    """How far one request is, and what was counted."""
    services, by = _enter(settings, project_id)
    request = services.subjects.status(by, request_id).request
    _told(request)
    for name, n in sorted(request.counts.items()):
        click.echo(f"{name}={n}")


# --- acts ------------------------------------------------------------------------------------------------------------

_PLAIN = {
    "approve": "Let a request take effect.",
    "cancel": "Take back a request that has not started.",
    "pause": "Stop the work on a request where it is; what it hides stays hidden.",
    "resume": "Go on with a paused request.",
    "retry": "Run a failed request again.",
    "lift": "End a restriction, after its person was told.",
}


def _plain(name: str, words: str) -> click.Command:
    @click.pass_obj
    def run(settings: Settings, project_id: int, request_id: str) -> None:
        services, by = _enter(settings, project_id)
        act: Callable[[Principal, str], SubjectRequest] = getattr(services.cases.acts, name)
        _told(act(by, request_id))

    arguments: list[click.Parameter] = [click.Argument(["project_id"], type=int), click.Argument(["request_id"])]
    return click.Command(name, params=arguments, callback=run, help=words)


@click.command()
@click.argument("project_id", type=int)
@click.argument("request_id")
@click.option(
    "--method", type=click.Choice([each.value for each in IdentityMethod]), required=True, help="How that was made sure."
)
@click.pass_obj
def identify(settings: Settings, project_id: int, request_id: str, method: str) -> None:
    """Record that a request comes from its person."""
    services, by = _enter(settings, project_id)
    _told(services.cases.acts.identify(by, request_id, IdentityMethod(method)))


@click.command()
@click.argument("project_id", type=int)
@click.argument("request_id")
@click.option("--reason", type=click.Choice([each.value for each in Rejection]), required=True, help="What the person is told.")
@click.pass_obj
def reject(settings: Settings, project_id: int, request_id: str, reason: str) -> None:
    """Refuse a request that has not started."""
    services, by = _enter(settings, project_id)
    _told(services.cases.acts.reject(by, request_id, Rejection(reason)))


@click.command()
@click.argument("project_id", type=int)
@click.argument("request_id")
@_channel
@click.pass_obj
def acknowledge(settings: Settings, project_id: int, request_id: str, channel: str) -> None:
    """Record that receipt was confirmed."""
    services, by = _enter(settings, project_id)
    _told(services.cases.acts.acknowledge(by, request_id, Channel(channel)))


@click.command()
@click.argument("project_id", type=int)
@click.argument("request_id")
@click.option(
    "--reason", type=click.Choice([each.value for each in ExtensionReason]), required=True, help="Why more time is needed."
)
@_channel
@click.pass_obj
def extend(settings: Settings, project_id: int, request_id: str, reason: str, channel: str) -> None:
    """Record the notice of an extension; the deadline moves as far as the law allows."""
    services, by = _enter(settings, project_id)
    _told(services.cases.acts.extend(by, request_id, ExtensionReason(reason), Channel(channel)))


@click.command()
@click.argument("project_id", type=int)
@click.argument("request_id")
@_channel
@click.pass_obj
def answer(settings: Settings, project_id: int, request_id: str, channel: str) -> None:
    """Record that the person was told what became of the request."""
    services, by = _enter(settings, project_id)
    _told(services.cases.acts.answer(by, request_id, Channel(channel)))


@click.command()
@click.argument("project_id", type=int)
@click.argument("year", type=click.IntRange(2000, 9000))
@click.option("--regime", type=click.Choice(list(REGIMES)), default="CCPA", show_default=True, help="The law.")
@click.pass_obj
def report(settings: Settings, project_id: int, year: int, regime: str) -> None:
    """What was done with the requests of a calendar year (11 CCR section 7102)."""
    services, by = _enter(settings, project_id)
    found = services.cases.clocks.report(by, date(year, 1, 1), date(year, 12, 31), regime)
    heads = ("received", "complied", "complied_in_part", "denied", "withdrawn", "open", "late", "median_days", "mean_days")
    rows = [(kind.value, *(str(getattr(figures, name)) for name in heads)) for kind, figures in found.items()]
    click.echo(aligned(("kind", *heads), rows))


# --- legal holds -----------------------------------------------------------------------------------------------------


@click.group()
def hold() -> None:
    """Legal holds: data that is kept from erasure and retention."""


@hold.command()
@click.argument("project_id", type=int)
@click.argument("ids", type=click.File("r", encoding="utf-8"), default="-")
@click.option(
    "--basis", type=click.Choice([each.value for each in Basis]), required=True, help="The exemption of GDPR article 17(3)."
)
@click.option("--reference", help="The number of a case; never a name.")
@click.option("--event", "events", multiple=True, help="An event that is kept; once for each.")
@click.option("--all-events", is_flag=True, help="Keep every event.")
@click.option("--profile", is_flag=True, help="Keep the profile.")
@click.option("--review-days", type=click.IntRange(1, 3_650), default=180, show_default=True, help="When to look at it again.")
@click.pass_obj
def place(
    settings: Settings,
    project_id: int,
    ids: TextIO,
    basis: str,
    reference: str | None,
    events: tuple[str, ...],
    all_events: bool,
    profile: bool,
    review_days: int,
) -> None:
    """Hold data of the people whose ids stand in a file or standard input, one a line."""
    scope = Scope(None if all_events else frozenset(events), profile)
    wanted = [line for line in (each.strip("\r\n") for each in ids) if line]
    if scope == Scope(frozenset(), False) or not wanted:
        raise InvalidInput("the hold names nobody, or keeps nothing", field="ids", remedy="give ids, and --event or --profile")
    services, by = _enter(settings, project_id)
    review_ms = services.clock() + review_days * _DAY_MS
    click.echo(f"id={services.cases.holds.place(by, wanted, Basis(basis), reference, scope, review_ms).id}")


@hold.command(name="list")
@click.argument("project_id", type=int)
@click.pass_obj
def hold_list(settings: Settings, project_id: int) -> None:
    """The holds of a project, newest first."""
    services, by = _enter(settings, project_id)
    rows = [
        (each.id, each.basis.value, each.reference or "-", str(each.people), iso(each.review_ms), each.lifted_by or "-")
        for each in services.cases.holds.all(by)
    ]
    click.echo(aligned(("id", "basis", "reference", "ids", "review", "lifted by"), rows))


@hold.command(name="lift")
@click.argument("project_id", type=int)
@click.argument("hold_id")
@click.pass_obj
def hold_lift(settings: Settings, project_id: int, hold_id: str) -> None:
    """End a hold. Erasures that it kept from being complete go on by themselves."""
    services, by = _enter(settings, project_id)
    click.echo(f"id={services.cases.holds.lift(by, hold_id).id}")
