"""A whole installation inside the test process: services, application, clock, and a credential of every kind."""

from __future__ import annotations

import base64
import json
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from app.access.roles import Role
from app.access.service import Kind, Principal, project_of_token
from app.access.sight import Purpose, Sight
from app.bootstrap import Services, bootstrap
from app.doorbell import RUN_REQUEST
from app.events.port import EventQuery, EventRow
from app.identity import register
from app.keys.master import generate_key
from app.settings import Settings
from app.web import create_app
from policies import library

DAY_MS = 86_400_000

KEEP_EVERYTHING = """\
policy: keep-everything
description: Nothing is changed, so that a test sees what it sent.
geolocation: off
unknown_properties: allow
unknown_events: allow
detectors: {email: keep, phone: keep, card: keep, ip: keep}
rules: []
"""


class Clock:
    """The time of one installation, in Unix milliseconds; it stands still until a test moves it."""

    def __init__(self, now_ms: int | None = None) -> None:
        self.now = now_ms if now_ms is not None else time.time_ns() // 1_000_000

    def __call__(self) -> int:
        return self.now

    def advance(self, **parts: float) -> None:
        """Move on by days, hours, minutes or seconds."""
        unit = {"days": DAY_MS, "hours": 3_600_000, "minutes": 60_000, "seconds": 1_000}
        self.now += int(sum(unit[name] * n for name, n in parts.items()))


class Bell:
    """A doorbell that remembers who rang."""

    def __init__(self) -> None:
        self.rung: list[str] = []

    def ring(self, due_id: str, job: str = RUN_REQUEST) -> bool:  # noqa: ARG002
        self.rung.append(due_id)
        return True

    def answer(self, due_id: str) -> None:
        pass

    def ping(self) -> bool:
        return True


@dataclass(frozen=True)
class Tenant:
    """One project of an installation, its credentials, and short ways to use them."""

    home: Installation
    id: int
    token: str
    bearer: Mapping[str, str] = field(repr=False)
    account: tuple[str, str] = field(repr=False)
    api_secret: str = field(repr=False)
    ids: Mapping[str, str] = field(default_factory=dict)

    @property
    def client(self) -> FlaskClient:
        return self.home.app.test_client()

    def auth(self, role: Role | str) -> dict[str, str]:
        """The header of a bearer token of this role."""
        return {"Authorization": f"Bearer {self.bearer[str(role)]}"}

    # --- sending

    def event(self, name: str = "Viewed", **properties: Any) -> dict[str, Any]:
        """An event as a server SDK writes it, now and with an insert id of its own."""
        filled = {
            "token": self.token,
            "time": self.home.clock() // 1000,
            "distinct_id": "u1",
            "$insert_id": secrets.token_hex(16),
            **properties,
        }
        return {"event": name, "properties": {key: value for key, value in filled.items() if value is not None}}

    def send(self, events: Any, *, strict: bool = True, **options: Any) -> TestResponse:
        """POST /import with the ingest token; `events` is what `json=` takes, or bytes."""
        body = events if isinstance(events, bytes) else json.dumps(events).encode()
        path = "/import?strict=1" if strict else "/import?strict=0"
        headers = {"Content-Type": "application/json", **self.auth(Role.INGEST), **options.pop("headers", {})}
        return self.client.post(path, data=body, headers=headers, **options)

    def track(self, events: Any, **query: Any) -> TestResponse:
        """POST /track as JSON."""
        return self.client.post("/track", json=events, query_string=query)

    def engage(self, updates: Any, **query: Any) -> TestResponse:
        """POST /engage as JSON."""
        return self.client.post("/engage", json=updates, query_string=query)

    # --- looking

    def stored(self) -> list[EventRow]:
        """Every event of the project, as it stands in the store."""
        services = self.home.services
        with services.database.read() as tx:
            return list(services.stores.of(None).scan(tx, Sight(self.id, Purpose.INTERNAL), EventQuery()))

    def names(self) -> list[str]:
        """The names of the stored events, sorted."""
        return sorted(row.name for row in self.stored())

    def profile(self, identifier: str) -> dict[str, Any] | None:
        """The stored properties of the profile of one id."""
        services = self.home.services
        with services.database.read() as tx:
            row = register.resolve(tx, services.keyring.of(tx, self.id), [identifier]).get(identifier)
            if row is None or row.person is None:
                return None
            found = services.stores.of(None).profiles_of(tx, self.id, [row.person])
        return json.loads(found[row.person].properties) if row.person in found else None

    def state(self, *identifiers: str) -> list[str | None]:
        """What the register says of each id."""
        found = self.home.services.choices.standings(self.officer(), identifiers)
        return [None if each is None else each.state.value for each in found]

    def refusals(self) -> dict[str, int]:
        """Refused records by reason, of today."""
        services = self.home.services
        with services.database.read() as tx:
            return services.ingest.refusals(tx, self.id, "0000-01-01", "9999-12-31")

    def officer(self) -> Principal:
        """The officer as the services see one."""
        services = self.home.services
        with services.database.read() as tx:
            return Principal(self.ids["officer"], project_of_token(tx, self.token), Role.OFFICER)

    def put_in_force(self, text: str) -> int:
        """Add a policy and activate it through the API. Returns its version."""
        answer = self.client.post("/v1/policies", json={"text": text, "activate": True}, headers=self.auth(Role.ADMIN))
        assert answer.status_code == 201, answer.status
        return int(answer.json["version"]) if answer.json else 0


@dataclass(frozen=True)
class Installation:
    """Services over one database, and the application on top."""

    services: Services
    app: Flask
    clock: Clock
    bell: Bell

    @property
    def postgres(self) -> bool:
        """Whether the database is PostgreSQL."""
        return not self.services.database.sqlite

    def tenant(self, policy: str | None = KEEP_EVERYTHING) -> Tenant:
        """A new project with a credential of every kind, and `policy` in force; None leaves it without one."""
        services, access = self.services, self.services.access
        with services.database.write() as tx:
            made = access.create_project(tx, f"p{secrets.token_hex(6)}", actor="test")
            if policy is not None:
                version = services.rulebook.add(tx, made.id, policy, author="test").version
                services.rulebook.activate(tx, made.id, version, actor="test")
            bearers = {role.value: access.create_principal(tx, made.id, Kind.BEARER, role, actor="test") for role in Role}
            account = access.create_principal(tx, made.id, Kind.SERVICE_ACCOUNT, Role.ADMIN, actor="test")
            secret = access.create_principal(tx, made.id, Kind.PROJECT_SECRET, Role.ADMIN, actor="test")
        return Tenant(
            self,
            made.id,
            made.token,
            {role: new.secret for role, new in bearers.items()},
            (account.username or "", account.secret),
            secret.secret,
            {**{role: new.id for role, new in bearers.items()}, "account": account.id, "secret": secret.id},
        )

    def default_tenant(self) -> Tenant:
        """A new project with the policy that ships in force."""
        return self.tenant(library.text("gdpr-analytics"))

    def work(self) -> int:
        """Do what a dispatcher and a worker would do now, in this process. Returns how many requests were run."""
        from jobs.steps import run

        due = self.services.queue.due()
        for request_id in due:
            run(self.services, request_id)
        return len(due)


def settings_for(url: str, folder: Path, **environment: str) -> Settings:
    """The settings of an installation on `url` with a key of its own."""
    return Settings.from_env(
        {"DATABASE_URL": url, "PORTCULLIS_DATA": str(folder), "PORTCULLIS_MASTER_KEY": generate_key(), **environment}
    )


@contextmanager
def installed(url: str, folder: Path, **environment: str) -> Iterator[Installation]:
    """An installation on a database whose schema is in place; `environment` holds further settings."""
    clock, bell = Clock(), Bell()
    services = bootstrap(settings_for(url, folder, **environment), clock=clock, doorbell=bell)
    app = create_app(built=services)
    app.testing = False
    try:
        yield Installation(services, app, clock, bell)
    finally:
        services.close()


def basic(username: str, password: str = "", *, encoded: bool = True) -> dict[str, str]:
    """The header of HTTP Basic, base64 or as it is."""
    text = f"{username}:{password}"
    return {"Authorization": "Basic " + (base64.b64encode(text.encode()).decode() if encoded else text)}


def count(home: Installation, table: sa.Table, *conditions: Any) -> int:
    """How many rows a table has."""
    with home.services.database.read() as tx:
        return int(tx.execute(sa.select(sa.func.count()).select_from(table).where(*conditions)).scalar_one())


def in_threads(jobs: Iterable[Callable[[], Any]]) -> list[Any]:
    """Run all of these at once, each in a thread, and return what they returned; the first failure is raised."""
    from concurrent.futures import ThreadPoolExecutor
    from threading import Barrier

    waiting = list(jobs)
    gate = Barrier(len(waiting))

    def start(job: Callable[[], Any]) -> Any:
        gate.wait(10)
        return job()

    with ThreadPoolExecutor(len(waiting)) as pool:
        return [each.result(60) for each in [pool.submit(start, job) for job in waiting]]
