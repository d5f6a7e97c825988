"""The first start of the embedded default: schema, the project `demo` with its policy, and the credentials file."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import structlog
from sqlalchemy.engine import Connection

from app.access.roles import Role
from app.access.service import Kind, all_projects
from app.bootstrap import Services
from app.errors import StartupRefused
from app.settings import Settings
from policies import library

CREDENTIALS = "credentials.json"
DEMO_PROJECT = "demo"
DEFAULT_POLICY = "gdpr-analytics"
_ACTOR = "first_start"
_TOKENS = (Role.ADMIN, Role.OFFICER, Role.AUDITOR, Role.INGEST)


def make_data_folder(settings: Settings) -> None:
    """The data folder, private to this user. Raises `StartupRefused` where none can be."""
    try:
        settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        if settings.data_dir.stat().st_mode & 0o077:
            settings.data_dir.chmod(0o700)
    except OSError as fault:
        raise StartupRefused(
            f"{settings.data_dir} cannot be the data folder: {fault.strerror}",
            field="PORTCULLIS_DATA",
            remedy="set PORTCULLIS_DATA to a folder that this user may write to",
        ) from fault


def make_demo_project(services: Services) -> Path:
    """Create the demo project unless one exists. Returns where its credentials are.

    The file is written before the commit that makes its secrets good: a crash between the two leaves a file that the
    next start replaces, and never a project whose secrets nobody knows.
    """
    path = services.settings.data_dir / CREDENTIALS
    with services.database.write() as tx:
        if any(each.name == DEMO_PROJECT for each in all_projects(tx)):
            _follow_address(path, services.settings.base_url)
            return path
        _write(path, _create(services, tx))
    structlog.get_logger().info("project_created", name=DEMO_PROJECT)
    return path


def _create(services: Services, tx: Connection) -> dict[str, Any]:
    made = services.access.create_project(tx, DEMO_PROJECT, actor=_ACTOR)
    policy = services.rulebook.add(tx, made.id, library.text(DEFAULT_POLICY), author=_ACTOR)
    services.rulebook.activate(tx, made.id, policy.version, actor=_ACTOR)

    def secret(kind: Kind, role: Role) -> Any:
        return services.access.create_principal(tx, made.id, kind, role, actor=_ACTOR)

    account = secret(Kind.SERVICE_ACCOUNT, Role.ADMIN)
    return {
        "base_url": services.settings.base_url,
        "project_id": made.id,
        "project_token": made.token,
        "api_secret": secret(Kind.PROJECT_SECRET, Role.PIPELINE).secret,
        "service_account": {"username": account.username, "secret": account.secret},
        **{f"{role.value}_token": secret(Kind.BEARER, role).secret for role in _TOKENS},
    }


def _follow_address(path: Path, base_url: str) -> None:
    # The secrets are written once; the address follows PORT, or whoever reads the file would call a dead one.
    try:
        held = json.loads(path.read_text())
    except (OSError, ValueError):
        return
    if held.get("base_url") != base_url:
        _write(path, {**held, "base_url": base_url})


def _write(path: Path, credentials: dict[str, Any]) -> None:
    unfinished = path.with_suffix(".new")
    unfinished.unlink(missing_ok=True)
    handle = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w") as file:
        json.dump(credentials, file, indent=2)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)
