"""The commands about the audit log: `portcullis audit verify | watch | fsck`.

`verify` and `watch` are for whoever does not trust this installation: they need a key and no settings.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click
import urllib3

from app.audit import fsck as checking, merkle, verify as verifying
from app.audit.checkpoint import BadCheckpoint, Checkpoint, parse
from app.audit.note import BadNote, open_note
from app.bootstrap import bootstrap
from app.logs import configure
from app.settings import Settings

_TIMEOUT_S = 30.0


@click.group()
def audit() -> None:
    """The audit log: verify what was pulled, watch that it only grows, hash all of it anew."""


@audit.command(context_settings={"ignore_unknown_options": True, "help_option_names": []}, add_help_option=False)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def verify(arguments: tuple[str, ...]) -> None:
    """Check a certificate, a bundle or pulled entries, offline. `python -m app.audit.verify` does the same."""
    sys.exit(verifying.main(list(arguments)))


@audit.command()
@click.option("--url", required=True, help="Where Portcullis is, for example https://gate.example.")
@click.option("--key", required=True, help="The verifier key, from GET /v1/audit/key, got once and kept.")
@click.option("--keep", type=click.Path(path_type=Path, dir_okay=False), required=True, help="Where the last checkpoint is kept.")
@click.option("--token", envvar="PORTCULLIS_TOKEN", default="", help="The token of an auditor; better in PORTCULLIS_TOKEN.")
def watch(url: str, key: str, keep: Path, token: str) -> None:
    """Fetch the newest checkpoint, prove that it extends the one kept, and keep it. Run it by the clock.

    Status 0: it does; 1: the log was cut, changed or forked;
    2: nobody answered.
    """
    try:
        newest, note = _opened(_fetch(url, token, "/v1/audit/checkpoint"), key)
        before = _opened(keep.read_text(encoding="utf-8"), key)[0] if keep.exists() else None
        if before is not None:
            _extends(url, token, before, newest)
        _replace(keep, note)
    except (BadNote, BadCheckpoint, merkle.ProofWrong) as fault:
        click.echo(f"DOES NOT HOLD: {fault}", err=True)
        sys.exit(1)
    except (OSError, ValueError, KeyError, TypeError, urllib3.exceptions.HTTPError) as fault:
        click.echo(f"cannot watch: {type(fault).__name__}", err=True)
        sys.exit(2)
    since = "the first checkpoint kept" if before is None else f"extends the {before.size} entries kept before"
    click.echo(f"HOLDS: {newest.size} entries of {newest.origin}, {since}")


@audit.command()
@click.argument("project_id", type=int)
def fsck(project_id: int) -> None:
    """Hash the stored log of a project anew, entry by entry, up to every checkpoint. Status 1 when something does not fit."""
    settings = Settings.from_env()
    configure(settings.log_level)
    services = bootstrap(settings)
    services.audit.sequence()
    wrong = 0
    for sentence in checking.check(services.database, services.keyring, project_id):
        click.echo(f"DOES NOT HOLD: {sentence}", err=True)
        wrong += 1
    if wrong:
        sys.exit(1)
    with services.database.read() as tx:
        click.echo(f"HOLDS: {services.audit.size(tx, project_id)} entries, their tiles and every signed checkpoint")


def _extends(url: str, token: str, before: Checkpoint, newest: Checkpoint) -> None:
    if before.origin != newest.origin:
        raise merkle.ProofWrong("this is another log than the one watched")
    if newest.size < before.size:
        raise merkle.ProofWrong(f"{before.size} entries were kept, and the log has {newest.size}")
    answer = _fetch(url, token, f"/v1/audit/proof/consistency?from={before.size}&to={newest.size}")
    proof = [bytes.fromhex(each) for each in json.loads(answer)["proof"]]
    merkle.verify_consistency(before.size, newest.size, before.root, newest.root, proof)


def _opened(note: str, key: str) -> tuple[Checkpoint, str]:
    return parse(open_note(note, [key])), note


def _fetch(url: str, token: str, path: str) -> str:
    headers = {"Authorization": f"Bearer {token}"}
    with urllib3.PoolManager(retries=False, timeout=_TIMEOUT_S) as pool:
        answer = pool.request("GET", url.rstrip("/") + path, headers=headers, redirect=False)
    if answer.status != 200:
        raise OSError(f"the answer was {answer.status}")
    return answer.data.decode("utf-8")


def _replace(path: Path, note: str) -> None:
    unfinished = path.with_name(path.name + ".new")
    unfinished.write_text(note, encoding="utf-8")
    unfinished.replace(path)
