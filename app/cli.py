"""The command line: `portcullis run | serve | worker | dispatcher | migrate`, and a group of commands a capability."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from app import cli_accounts, cli_identity, cli_observe, cli_requests, cli_views, first_start, local_certificate
from app.access.modes import IdentityMode
from app.access.roles import Role
from app.access.service import Kind, all_projects, project_by_id
from app.audit import fsck
from app.audit.witness import Witness
from app.bootstrap import bootstrap
from app.cli_audit import audit
from app.cli_deletions import data_deletion
from app.cli_keys import keys
from app.cli_lexicon import lexicon
from app.cli_policy import policy
from app.cli_reimport import reimport
from app.cli_upstream import upstream
from app.database import Database, migrate
from app.embedded import plan_queue
from app.errors import PortcullisError, Unavailable
from app.keys.master import load_master_key
from app.keys.service import Keyring
from app.logs import configure
from app.settings import Settings
from app.supervise import ChildSpec, PidLock, die_with_parent, ensure_port_free, listening, supervise
from app.upstream.collector import Account
from policies import library

_ACTOR = "cli"


def main() -> None:
    """Entry point. A refusal is printed with its remedy and exits 2; nothing prints a stack trace."""
    try:
        cli.main(standalone_mode=False)
    except click.exceptions.Exit as done:
        sys.exit(done.exit_code)
    except click.Abort:
        sys.exit(130)
    except click.ClickException as refused:
        refused.show()
        sys.exit(refused.exit_code)
    except PortcullisError as refused:
        click.echo(f"portcullis: {refused.message}", err=True)
        if remedy := refused.remedy or (_DATABASE_REMEDY if isinstance(refused, Unavailable) else None):
            click.echo(f"  remedy: {remedy}", err=True)
        sys.exit(2)
    except OSError as fault:
        click.echo(f"portcullis: {fault.filename or 'this machine'}: {fault.strerror}", err=True)
        click.echo(
            "  remedy: look whether PORTCULLIS_DATA is a folder that this user may write to, with room on the disk", err=True
        )
        sys.exit(2)


_DATABASE_REMEDY = "look whether the database of DATABASE_URL runs (unset: SQLite in PORTCULLIS_DATA), then `portcullis migrate`"


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="portcullis")
@click.pass_context
def cli(context: click.Context) -> None:
    """A gate in front of a product-analytics event store."""
    if context.invoked_subcommand not in _NO_SETTINGS:
        context.obj = Settings.from_env()
        configure(context.obj.log_level)


_NO_SETTINGS = ("audit",)


# --- running ---------------------------------------------------------------------------------------------------------


@cli.command()
@click.option("--tls", is_flag=True, help="Speak https, with a certificate made for this machine and kept in the data folder.")
@click.pass_obj
def run(settings: Settings, tls: bool) -> None:
    """Start everything on this machine, in one data folder.

    Web, dispatcher and worker, with SQLite and an embedded queue unless DATABASE_URL and REDIS_URL say otherwise.
    """
    os.umask(0o077)
    first_start.make_data_folder(settings)
    if tls and settings.tls_certificate is None:
        settings = _with_certificate(settings)
    with PidLock(settings.data_dir):
        ensure_port_free(settings.host, settings.port, patience=3.0)
        load_master_key(settings)
        migrate(settings.database_url)
        services = bootstrap(settings)
        services.database.refuse_unsafe()
        _refuse_older(settings, services.database, services.keyring)
        credentials = first_start.make_demo_project(services)
        services.close()
        queue = plan_queue(settings.data_dir)
        env = {**os.environ, "REDIS_URL": settings.redis_url or queue.url, "PORTCULLIS_EMBEDDED": "1"}
        children = [
            *([] if settings.redis_url else [queue.spec()]),
            ChildSpec("dispatcher", _command("dispatcher"), env),
            ChildSpec("worker", _command("worker"), env),
            ChildSpec("web", _command("serve"), env, ready=listening(settings.host, settings.port)),
        ]
        sys.exit(supervise(children, on_ready=lambda: _welcome(settings, credentials)))


def _with_certificate(settings: Settings) -> Settings:
    """The settings with a certificate of this machine's own; the processes that are started find it in the environment."""
    certificate, key = local_certificate.ensure(settings.data_dir, settings.host)
    os.environ |= {"PORTCULLIS_TLS_CERTIFICATE": str(certificate), "PORTCULLIS_TLS_KEY": str(key)}
    return Settings.from_env()


def _command(name: str) -> tuple[str, ...]:
    return (sys.executable, "-m", "app.cli", name)


def _welcome(settings: Settings, credentials: Path) -> None:
    click.echo(
        f"""
Portcullis is up at {settings.base_url}   (API: {settings.base_url}/docs)
Credentials of the project `demo`: {credentials}

Try next, in another terminal:
  1. ask what the policy makes of an event:
     curl -s {settings.base_url}/v1/check -H "Authorization: Bearer {_token(credentials, "ingest")}" \\
       -d '{{"events":[{{"event":"Sign up","properties":{{"distinct_id":"u1","email":"ada@example.com"}}}}]}}'
  2. pull the audit log:
     curl -s {settings.base_url}/v1/audit/entries -H "Authorization: Bearer {_token(credentials, "auditor")}"
  3. see the whole story, with every claim checked:
     make demo

Stop with Ctrl-C. Everything is kept in {settings.data_dir}.
"""
    )
    if settings.tls_certificate is not None:
        click.echo(_TRUST.format(path=settings.tls_certificate, print=local_certificate.fingerprint(settings.tls_certificate)))


_TRUST = """\
It speaks https with {path}
  SHA-256 {print}
A client that does not know the certificate is to be told of it:
  python (requests)      export REQUESTS_CA_BUNDLE={path}
  python (urllib), curl  export SSL_CERT_FILE={path}      curl --cacert {path} …
  node                   export NODE_EXTRA_CA_CERTS={path}
  a browser              open the address once, compare the fingerprint, and accept
"""


def _token(credentials: Path, role: str) -> str:
    # A command that reads the file, so that no secret is printed.
    return f"""$(sed -n 's/.*"{role}_token": "\\(.*\\)".*/\\1/p' {credentials})"""


@cli.command()
@click.pass_obj
def serve(settings: Settings) -> None:
    """Serve HTTP on HOST and PORT, in the foreground."""
    from app.ingest.lanes import WAITING_ROOM  # noqa: PLC0415 - as the next line
    from app.web_server import serve as serve_http  # noqa: PLC0415 - the other commands must not load a web server

    _refuse_unsafe(settings)
    tls = (settings.tls_certificate, settings.tls_key) if settings.tls_certificate and settings.tls_key else None
    serve_http(settings.host, settings.port, settings.threads + WAITING_ROOM, tls=tls)


@cli.command()
@click.pass_obj
def worker(settings: Settings) -> None:
    """Work on subject requests (erasures, retrievals)."""
    _refuse_unsafe(settings)
    _job_process("jobs.worker")


@cli.command()
@click.pass_obj
def dispatcher(settings: Settings) -> None:
    """Ring for due subject requests, put the audit log in order, expire archives."""
    _refuse_unsafe(settings)
    _job_process("jobs.dispatcher")


def _job_process(module: str) -> None:
    # `app` names jobs and never imports them: their code is another program that shares this one's settings.
    os.execv(sys.executable, (sys.executable, "-m", module))


def _refuse_unsafe(settings: Settings) -> None:
    die_with_parent() if settings.embedded else None
    keyring = Keyring(load_master_key(settings))
    database = Database(settings.database_url, pool_size=1)
    try:
        database.ping()
        database.refuse_unsafe()
        _refuse_older(settings, database, keyring)
    finally:
        database.close()


def _refuse_older(settings: Settings, database: Database, keyring: Keyring) -> None:
    if settings.witness:
        fsck.refuse_older(database, keyring, Witness(settings.witness))


@cli.command(name="migrate")
@click.pass_obj
def migrate_command(settings: Settings) -> None:
    """Bring the database schema to this release."""
    if settings.embedded:
        first_start.make_data_folder(settings)
    migrate(settings.database_url)
    click.echo("the schema is that of this release")


# --- projects and credentials ----------------------------------------------------------------------------------------


@cli.group()
def project() -> None:
    """Create and list projects."""


@project.command(name="create")
@click.argument("name")
@click.option(
    "--policy",
    default=first_start.DEFAULT_POLICY,
    type=click.Choice(library.names()),
    show_default=True,
    help="A policy that ships.",
)
@click.option("--region", default="default", show_default=True, help="Where the project's data lives, for good.")
@click.option("--token", help="The token that its senders use already, if this stands before another collector.")
@click.option(
    "--identity",
    type=click.Choice([mode.value for mode in IdentityMode]),
    default=IdentityMode.SIMPLIFIED.value,
    show_default=True,
    help="How ids become people: docs/identity.md.",
)
@click.pass_obj
def project_create(settings: Settings, name: str, policy: str, region: str, token: str | None, identity: str) -> None:
    """Create a project with a shipped policy in force. Prints its id and token."""
    services, mode = bootstrap(settings), IdentityMode(identity)
    with services.database.write() as tx:
        made = services.access.create_project(tx, name, actor=_ACTOR, region=region, identity=mode, token=token)
        version = services.rulebook.add(tx, made.id, library.text(policy), author=_ACTOR)
        services.rulebook.activate(tx, made.id, version.version, actor=_ACTOR)
    click.echo(f"project_id={made.id}\nproject_token={made.token}")
    if settings.upstream:
        services.upstreams.choose(made.id, settings.upstream, Account(made.token), settings.upstream_region, actor=_ACTOR)
        click.echo("forwards to UPSTREAM_MIXPANEL; see `portcullis upstream status`")


@project.command(name="list")
@click.pass_obj
def project_list(settings: Settings) -> None:
    """Every project: its id, name, region and identity mode."""
    services = bootstrap(settings)
    with services.database.read() as tx:
        for each in all_projects(tx):
            click.echo(f"{each.id}\t{each.name}\t{each.region}\t{each.identity}")


project.add_command(cli_identity.identity)
project.add_command(cli_accounts.time_zone)
cli.add_command(cli_accounts.account)
cli.add_command(cli_identity.request)
cli_requests.add_to(cli_identity.request)


@cli.group()
def credential() -> None:
    """Create and revoke tokens, service accounts and project secrets."""


@credential.command(name="create")
@click.argument("project_id", type=int)
@click.option("--role", type=click.Choice([role.value for role in Role]), required=True, help="What it may do.")
@click.option(
    "--kind",
    type=click.Choice([kind.value for kind in Kind]),
    default=Kind.BEARER.value,
    show_default=True,
    help="How it is sent: a bearer token, a Basic pair, or a project secret as Basic username.",
)
@click.pass_obj
def credential_create(settings: Settings, project_id: int, role: str, kind: str) -> None:
    """Create a credential. Its secret is printed this once."""
    services = bootstrap(settings)
    with services.database.write() as tx:
        project_by_id(tx, project_id)
        made = services.access.create_principal(tx, project_id, Kind(kind), Role(role), actor=_ACTOR)
    click.echo(f"id={made.id}")
    if made.username:
        click.echo(f"username={made.username}")
    click.echo(f"secret={made.secret}")


@credential.command(name="revoke")
@click.argument("principal_id")
@click.pass_obj
def credential_revoke(settings: Settings, principal_id: str) -> None:
    """Stop a credential at once."""
    services = bootstrap(settings)
    with services.database.write() as tx:
        services.access.revoke(tx, principal_id, actor=_ACTOR)
    click.echo("revoked")


policy.add_command(cli_observe.simulate)
policy.add_command(cli_observe.suggest)
cli.add_command(policy)
cli.add_command(lexicon)
cli.add_command(data_deletion)


# --- keys and audit --------------------------------------------------------------------------------------------------


cli.add_command(keys)
cli.add_command(upstream)
cli.add_command(audit)
cli.add_command(cli_views.view)
cli.add_command(cli_views.team)
credential.add_command(cli_views.grant)
credential.add_command(cli_views.withdraw)
cli.add_command(reimport)


if __name__ == "__main__":
    main()
