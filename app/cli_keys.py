"""The commands about keys: `portcullis keys generate | status | rotate`."""

from __future__ import annotations

import click

from app.audit.entry import iso
from app.bootstrap import bootstrap
from app.custody.service import DEFAULT_BRIDGE_DAYS
from app.keys.master import generate_key
from app.keys.service import ROTATING, Purpose
from app.settings import Settings

_DAYS = f"Pseudonym keys: days in which both versions are computed; {DEFAULT_BRIDGE_DAYS} if not given."


@click.group()
def keys() -> None:
    """Keys: make a master key, look at a project's keys, rotate them."""


@keys.command()
def generate() -> None:
    """Print a fresh master key for PORTCULLIS_MASTER_KEY."""
    click.echo(generate_key())


@keys.command()
@click.argument("project_id", type=int)
@click.pass_obj
def status(settings: Settings, project_id: int) -> None:
    """Every version of a project's keys: purpose, version, state, since when, until when it is a bridge."""
    for each in bootstrap(settings).custody.status(project_id):
        until = "" if each.bridge_until_ms is None else iso(each.bridge_until_ms)
        click.echo(f"{each.purpose}\t{each.version}\t{each.state}\t{iso(each.created_ms)}\t{until}")


@keys.command()
@click.argument("project_id", type=int)
@click.option("--purpose", type=click.Choice([each.value for each in ROTATING]), required=True)
@click.option("--bridge-days", type=int, help=_DAYS)
@click.pass_obj
def rotate(settings: Settings, project_id: int, purpose: str, bridge_days: int | None) -> None:
    """Make a new version of a key, in force in every process for each event acknowledged from now on."""
    made = bootstrap(settings).custody.rotate(project_id, Purpose(purpose), bridge_days, actor="cli")
    click.echo(f"version {made.version} of the {made.purpose} key is in force")
