"""Proxy mode of a project: choose its collector, look at it, try again what it refused. Each act is in the audit log."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from app.access.service import project_by_id
from app.audit.entry import AuditAction, Entry
from app.audit.service import AuditLog
from app.database import Database
from app.errors import Conflict, InvalidInput, NotFound
from app.keys.sealing import seal, unseal
from app.keys.service import Keyring
from app.upstream import outbox
from app.upstream.destination import Destination, destination, refuse_crossing
from app.upstream.tables import outgoing, upstream

_NONE = "the project forwards to no collector"


@dataclass(frozen=True, slots=True)
class Account:
    """Who the project is at its collector: its token there, and a service account for `/import` when it has one."""

    token: str = field(repr=False)
    username: str = field(default="", repr=False)
    secret: str = field(default="", repr=False)
    project_id: str = ""


@dataclass(frozen=True, slots=True)
class Collector:
    """A collector with what is needed to speak to it."""

    to: Destination
    account: Account


@dataclass(frozen=True, slots=True)
class Standing:
    """How forwarding stands. Times are Unix milliseconds; `oldest_ms` is since when the first parcel waits."""

    base: str
    region: str
    waiting: int
    parked: dict[str, int]
    oldest_ms: int | None
    delivered: int
    delivered_ms: int | None
    failures: int
    last_error: str | None
    due_ms: int


class Upstreams:
    """Stateless but for its dependencies; safe to share between threads."""

    def __init__(self, database: Database, keyring: Keyring, audit: AuditLog, clock: Callable[[], int]) -> None:
        self._database = database
        self._keyring = keyring
        self._audit = audit
        self._clock = clock

    def choose(self, project_id: int, url: str, account: Account, region: str | None, *, actor: str) -> Standing:
        """Forward what this project accepts from now on to the collector at `url`.

        Raises `InvalidInput` for an address or account that is none, `Conflict` when the project's data would cross a
        border: its region was chosen before, or by the collector that it has.
        """
        to = destination(url, region)
        if not account.token:
            raise InvalidInput("the collector knows the project by its token", field="token", remedy="say its token there")
        if bool(account.username) != bool(account.secret) or (account.username and not account.project_id):
            raise InvalidInput(
                "a service account is a username, its secret and the project id there",
                field="username",
                remedy="say all three, or none: then the token alone is used",
            )
        with self._database.write() as tx:
            refuse_crossing(project_by_id(tx, project_id).region, to)
            before = tx.execute(sa.select(upstream).where(upstream.c.project_id == project_id)).first()
            if before is not None and before.region != to.region:
                raise Conflict(
                    f"the project forwards to region {before.region}; its data may not go to {to.region} as well",
                    field="url",
                    remedy="make another project for the other region",
                )
            self._write(tx, project_id, to, account, exists=before is not None)
            facts = {"base": to.base, "region": to.region, "before": before.base if before else "none"}
            self._stage(tx, AuditAction.UPSTREAM_CHOSEN, project_id, actor, facts=facts)
        return self.standing(project_id)

    def stop(self, project_id: int, *, actor: str, discard: bool = False) -> None:
        """Forward nothing more. Raises `NotFound` without a collector, `Conflict` while something waits for it,
        unless it is to be discarded."""
        with self._database.write() as tx:
            found = tx.execute(sa.select(upstream.c.base).where(upstream.c.project_id == project_id)).first()
            if found is None:
                raise NotFound(_NONE, field="project_id")
            mine = outgoing.c.project_id == project_id
            n = int(tx.execute(sa.select(sa.func.count()).select_from(outgoing).where(mine)).scalar_one())
            if n and not discard:
                raise Conflict(
                    f"{n} parcels were not delivered yet",
                    field="discard",
                    remedy="wait until they are, or say that they are to go",
                )
            tx.execute(sa.delete(outgoing).where(mine))
            tx.execute(sa.delete(upstream).where(upstream.c.project_id == project_id))
            self._stage(tx, AuditAction.UPSTREAM_STOPPED, project_id, actor, {"discarded": n}, {"base": found.base})

    def retry(self, project_id: int, *, actor: str) -> int:
        """Try again, now, everything that the collector refused. Returns how many. Raises `NotFound`."""
        with self._database.write() as tx:
            if not outbox.has_collector(tx, project_id):
                raise NotFound(_NONE, field="project_id")
            n = outbox.unpark(tx, project_id, self._clock())
            self._stage(tx, AuditAction.UPSTREAM_RETRIED, project_id, actor, {"parcels": n})
        return n

    def standing(self, project_id: int) -> Standing:
        """How forwarding stands. Raises `NotFound` for a project without a collector."""
        with self._database.read() as tx:
            row = tx.execute(sa.select(upstream).where(upstream.c.project_id == project_id)).first()
            if row is None:
                raise NotFound(_NONE, field="project_id", remedy="see `portcullis upstream set`")
            mine = outgoing.c.project_id == project_id
            counts = sa.select(outgoing.c.parked, sa.func.count(), sa.func.min(outgoing.c.queued_ms)).where(mine)
            found = {parked: (n, oldest) for parked, n, oldest in tx.execute(counts.group_by(outgoing.c.parked))}
        waiting, oldest = found.pop(None, (0, None))
        return Standing(
            base=row.base,
            region=row.region,
            waiting=waiting,
            parked={reason: n for reason, (n, _) in sorted(found.items())},
            oldest_ms=oldest,
            delivered=row.delivered,
            delivered_ms=row.delivered_ms,
            failures=row.failures,
            last_error=row.last_error,
            due_ms=row.due_ms,
        )

    def collector(self, tx: Connection, project_id: int) -> Collector:
        """The collector of a project, to speak to. Raises `NotFound`; `Conflict` when it is in another region by now."""
        row = tx.execute(sa.select(upstream).where(upstream.c.project_id == project_id)).first()
        if row is None:
            raise NotFound(_NONE, field="project_id")
        key = self._keyring.of(tx, project_id).subject
        opened = msgspec.json.decode(unseal(key, row.sealed, _label(project_id)), type=dict[str, str])
        to = Destination(row.base, row.region)
        refuse_crossing(project_by_id(tx, project_id).region, to)
        return Collector(to, Account(**opened))

    def _write(self, tx: Connection, project_id: int, to: Destination, account: Account, *, exists: bool) -> None:
        said = {"token": account.token, "username": account.username, "secret": account.secret, "project_id": account.project_id}
        sealed = seal(self._keyring.of(tx, project_id).subject, msgspec.json.encode(said), _label(project_id))
        values: dict[str, Any] = {"base": to.base, "region": to.region, "sealed": sealed, "due_ms": 0, "failures": 0}
        if exists:
            tx.execute(sa.update(upstream).where(upstream.c.project_id == project_id).values(values))
        else:
            fresh = {"lease_until_ms": 0, "holder": "", "delivered": 0}
            tx.execute(sa.insert(upstream).values(project_id=project_id, **values, **fresh))

    def _stage(
        self,
        tx: Connection,
        action: AuditAction,
        project_id: int,
        actor: str,
        counts: dict[str, int] | None = None,
        facts: dict[str, str] | None = None,
    ) -> None:
        self._audit.stage(tx, Entry(action, project_id, actor, self._clock(), counts=counts or {}, facts=facts or {}))


def _label(project_id: int) -> str:
    return f"upstream|{project_id}"
