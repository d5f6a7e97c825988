"""One whole service in this process, over a database of the test's own, with a clock that the test moves."""

from __future__ import annotations

import json
import shutil
import tempfile
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from flask.testing import FlaskClient

from app import first_start
from app.access.roles import Permission
from app.access.tables import principal
from app.bootstrap import Services, bootstrap
from app.database import migrate
from app.settings import Settings
from app.web import create_app
from jobs import dispatcher

NOW_MS = 1_795_000_000_000


@dataclass
class Gate:
    """The services, an HTTP client, the credentials, and what the clock says."""

    services: Services
    client: FlaskClient
    credentials: dict[str, Any] = field(repr=False)
    clock: list[int]

    def bearer(self, role: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.credentials[f'{role}_token']}"}

    @property
    def token(self) -> str:
        return str(self.credentials["project_token"])

    def event(self, person: str, insert_id: str, **properties: Any) -> dict[str, Any]:
        sent = {"token": self.token, "distinct_id": person, "time": self.clock[0] // 1000, "$insert_id": insert_id}
        return {"event": "View", "properties": {**sent, **properties}}

    def track(self, *events: dict[str, Any]) -> None:
        answer = self.client.post("/track?verbose=1", json=list(events))
        assert answer.get_json() == {"error": None, "status": 1}

    def exported(self) -> list[dict[str, Any]]:
        answer = self.client.get("/api/2.0/export?from_date=2026-01-01&to_date=2027-12-31", headers=self.bearer("admin"))
        assert answer.status_code == 200
        return [json.loads(line) for line in answer.get_data(as_text=True).splitlines()]

    def people(self) -> list[str]:
        return sorted({each["properties"]["distinct_id"] for each in self.exported()})

    def profiles(self) -> list[str]:
        answer = self.client.get("/api/2.0/engage", headers=self.bearer("admin")).get_json()
        assert answer["total"] == len(answer["results"])
        return sorted(each["$distinct_id"] for each in answer["results"])

    def delete(self, *people: str) -> str:
        answer = self.client.post(
            f"/api/app/data-deletions/v3.0/?token={self.token}",
            json={"distinct_ids": list(people)},
            headers=self.bearer("officer"),
        )
        assert answer.status_code == 201, answer.get_data(as_text=True)
        return str(answer.get_json()["results"]["task_id"])

    def retrieve(self, *people: str, **more: str) -> str:
        answer = self.client.post(
            "/api/app/data-retrievals/v3.0/",
            json={"distinct_ids": list(people), **more},
            headers=self.bearer("officer"),
        )
        assert answer.status_code == 201, answer.get_data(as_text=True)
        return str(answer.get_json()["results"]["task_id"])

    def status(self, request_id: str) -> dict[str, Any]:
        return dict(self.client.get(f"/v1/requests/{request_id}", headers=self.bearer("officer")).get_json())

    def work(self) -> None:
        """Everything that is due, as a dispatcher without Redis does it."""
        while dispatcher.tick(self.services):
            pass

    def actions(self) -> list[str]:
        return [str(each["action"]) for each in self.log()]

    def log(self) -> list[dict[str, Any]]:
        with self.services.database.read() as tx:
            project_id = int(tx.execute(sa.text("SELECT id FROM project")).scalar_one())
        return [json.loads(each.body) for each in self.services.audit.entries(project_id, 0, 10_000)]

    def log_after_sequencing(self) -> list[dict[str, Any]]:
        self.services.audit.sequence()
        return self.log()

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        with self.services.database.read() as tx:
            return [tuple(row) for row in tx.execute(sa.text(sql))]


def build(tmp_path: Path, database_url: str | None, **env: str) -> Gate:
    """A migrated installation with the demo project."""
    variables = {"PORTCULLIS_DATA": str(tmp_path / "data"), "PORTCULLIS_EMBEDDED": "1", **env}
    if database_url:
        variables["DATABASE_URL"] = database_url
    settings = Settings.from_env(variables)
    first_start.make_data_folder(settings)
    if database_url:
        migrate(database_url)
    else:
        shutil.copy(Path(_migrated().name) / "portcullis.db", settings.data_dir)
    clock = [NOW_MS]
    services = bootstrap(settings, clock=lambda: clock[0])
    path = first_start.make_demo_project(services)
    with services.database.write() as tx:
        # Tests compare what is stored with what is read; who may see it has tests of its own.
        tx.execute(sa.update(principal).values(granted=Permission.CLASSIFIED_READ.value))
    client = create_app(settings, services).test_client()
    return Gate(services, client, json.loads(path.read_text()), clock)


@cache
def _migrated() -> tempfile.TemporaryDirectory[str]:
    """Where a migrated SQLite file is that every test copies: the revisions themselves are tested elsewhere."""
    folder = tempfile.TemporaryDirectory()
    migrate(f"sqlite:///{folder.name}/portcullis.db")
    return folder
