"""Proxy mode of a project: choose its collector, look at it, try again what it refused. Each act is in the audit log."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection

from app.access.service import project_by_id
from app.audit.entry import AuditAction, Entry
from app.audit.service import AuditLog
from app.database import Database
from app.errors import Conflict, InvalidInput, NotFound
from app.keys.sealing import seal, unseal
from app.keys.service import Keyring
from app.upstream import asking, errands, outbox
from app.upstream.collector import Account, Collector
from app.upstream.destination import Destination, destination, refuse_crossing
from app.upstream.errands import Errand, ErrandState
from app.upstream.outbox import Keeps
from app.upstream.speaking import NotTaken, Speaker
from app.upstream.tables import outgoing, upstream, upstream_former

_NONE = "the project forwards to no collector"
OK = "ok"


@dataclass(frozen=True, slots=True)
class Standing:
    """How forwarding stands. Times are Unix milliseconds; `oldest_ms` is since when the first parcel waits; `asks` whether
    requests of people can be passed on, and `errands` how many stand how."""

    base: str
    region: str
    keeps: Keeps
    asks: bool
    waiting: int
    parked: dict[str, int]
    oldest_ms: int | None
    delivered: int
    delivered_ms: int | None
    failures: int
    last_error: str | None
    due_ms: int
    errands: dict[str, int]


@dataclass(frozen=True, slots=True)
class Parked:
    """A parcel that waits for an operator; nothing of what it says. `queued_ms` is when it was accepted here."""

    id: int
    kind: str
    reason: str
    queued_ms: int


class Upstreams:
    """Stateless but for its dependencies; safe to share between threads."""

    def __init__(self, database: Database, keyring: Keyring, audit: AuditLog, clock: Callable[[], int]) -> None:
        self._database = database
        self._keyring = keyring
        self._audit = audit
        self._clock = clock

    # --- choosing ----------------------------------------------------------------------------------------------------

    def choose(
        self,
        project_id: int,
        url: str,
        account: Account,
        region: str | None,
        *,
        actor: str,
        keeps: Keeps = Keeps.BOTH,
    ) -> Standing:
        """Forward what this project accepts from now on to the collector at `url`.

        Raises `InvalidInput` for an address or account that is none; `Conflict` when the project's data would cross a
        border, its region being chosen before or by the collector that it has, and when another collector is chosen while
        this one has not finished a request of a person.
        """
        to = destination(url, region)
        _refuse_half(account)
        with self._database.write() as tx:
            refuse_crossing(project_by_id(tx, project_id).region, to)
            before = self._row(tx, project_id)
            if before is not None and before.region != to.region:
                raise Conflict(
                    f"the project forwards to region {before.region}; its data may not go to {to.region} as well",
                    field="url",
                    remedy="make another project for the other region",
                )
            if before is not None and before.base != to.base:
                self._leave(tx, before, discard=False)
            self._write(tx, project_id, to, account, keeps, exists=before is not None)
            tx.execute(sa.delete(upstream_former).where(_former(project_id, to.base)))
            facts = _facts(to.base, to.region, keeps, bool(account.oauth), "")
            if before is not None:
                facts |= _facts(before.base, before.region, Keeps(before.keeps), bool(before.asks), "before_")
            self._stage(tx, AuditAction.UPSTREAM_CHOSEN, project_id, actor, facts=facts)
        return self.standing(project_id)

    def stop(self, project_id: int, *, actor: str, discard: bool = False) -> None:
        """Forward nothing more. Raises `NotFound` without a collector; `Conflict` while something waits for it or it has not
        finished a request of a person, unless that is to be discarded."""
        with self._database.write() as tx:
            found = self._required(tx, project_id)
            mine = outgoing.c.project_id == project_id
            n = int(tx.execute(sa.select(sa.func.count()).select_from(outgoing).where(mine)).scalar_one())
            if n and not discard:
                raise Conflict(
                    f"{n} parcels were not delivered yet",
                    field="discard",
                    remedy="wait until they are, or say that they are to go",
                )
            counts = {"discarded": n, "requests_left": self._leave(tx, found, discard=discard)}
            tx.execute(sa.delete(outgoing).where(mine))
            tx.execute(sa.delete(upstream).where(upstream.c.project_id == project_id))
            self._stage(tx, AuditAction.UPSTREAM_STOPPED, project_id, actor, counts, {"base": found.base})

    def _leave(self, tx: Connection, found: Any, *, discard: bool) -> int:
        """Remember a collector that took data of the project. Returns how many requests were not finished there."""
        unfinished = errands.open_errands(tx, found.project_id)
        if unfinished and not discard:
            raise Conflict(
                f"{unfinished} requests of people are not finished at this collector",
                field="discard",
                remedy="wait until they are; a stop that discards records them as failed",
            )
        now = self._clock()
        errands.leave(tx, found.project_id, now)
        if found.delivered:
            insert: Any = (postgresql.insert if tx.dialect.name == "postgresql" else sqlite.insert)(upstream_former)
            row = {"project_id": found.project_id, "base": found.base, "until_ms": now}
            key = ["project_id", "base"]
            tx.execute(insert.values(row).on_conflict_do_update(index_elements=key, set_={"until_ms": now}))
        return unfinished

    def test(self, project_id: int, speaker: Speaker, *, actor: str) -> dict[str, str]:
        """Knock at the collector with an import of nothing and a question about nobody: `ok` or a code for `delivery` and for
        `requests`. Raises `NotFound`; `Conflict` when it is in another region by now."""
        with self._database.read() as tx:
            to = self.collector(tx, project_id)
        found = {"delivery": _knock(lambda: speaker.events(to, []))}
        found["requests"] = _knock(lambda: asking.probe(speaker, to)) if to.account.oauth else "no_credential"
        with self._database.write() as tx:
            self._stage(tx, AuditAction.UPSTREAM_TESTED, project_id, actor, facts={"base": to.to.base, **found})
        return found

    # --- what it refused ---------------------------------------------------------------------------------------------

    def parked(self, project_id: int, limit: int, after: int = 0) -> list[Parked]:
        """What waits for an operator beyond the id `after`, the oldest first. Raises `NotFound`."""
        with self._database.read() as tx:
            self._required(tx, project_id)
            mine = sa.and_(outgoing.c.project_id == project_id, outgoing.c.parked.is_not(None), outgoing.c.id > after)
            columns = (outgoing.c.id, outgoing.c.kind, outgoing.c.parked, outgoing.c.queued_ms)
            return [Parked(*row) for row in tx.execute(sa.select(*columns).where(mine).order_by(outgoing.c.id).limit(limit))]

    def retry(self, project_id: int, *, actor: str, reasons: Sequence[str] | None = None) -> int:
        """Try again, now, what the collector refused for these reasons, or all of it. Returns how many. Raises `NotFound`."""
        with self._database.write() as tx:
            self._required(tx, project_id)
            n = outbox.unpark(tx, project_id, self._clock(), reasons)
            self._stage(tx, AuditAction.UPSTREAM_RETRIED, project_id, actor, {"parcels": n}, _named(reasons))
        return n

    def discard(self, project_id: int, *, actor: str, reasons: Sequence[str] | None = None) -> int:
        """Delete what the collector refused for these reasons, or all of it. Returns how many. Raises `NotFound`."""
        with self._database.write() as tx:
            self._required(tx, project_id)
            n = outbox.discard(tx, project_id, reasons)
            self._stage(tx, AuditAction.UPSTREAM_DISCARDED, project_id, actor, {"parcels": n}, _named(reasons))
        return n

    # --- requests that were passed on --------------------------------------------------------------------------------

    def errands(self, project_id: int, state: ErrandState | None, limit: int) -> list[Errand]:
        """The newest requests that were passed on, without an id of anybody."""
        with self._database.read() as tx:
            return errands.listing(tx, project_id, state, limit)

    def ask_again(self, project_id: int, request_id: str, *, actor: str) -> int:
        """Ask the collector once more for what failed of a request. Returns how many parts that is.

        Raises `NotFound`; `Conflict` when nothing failed whose ids are kept: thirty days, and not beyond a collector's end.
        """
        with self._database.write() as tx:
            n = errands.revive(tx, project_id, request_id, self._clock())
            self._stage(tx, AuditAction.UPSTREAM_RETRIED, project_id, actor, {"requests": n}, obj=request_id)
        return n

    def answers(self, project_id: int, request_id: str, *, actor: str) -> list[str]:
        """Where the collector's answers to a retrieval lie; the look stands in the audit log. Raises `NotFound` for a request
        that was not passed on, `Conflict` while there is none or when its address is not kept any more."""
        with self._database.write() as tx:
            found = errands.of_request(tx, project_id, request_id)
            if not found:
                raise NotFound("no such request was passed on", field="request_id")
            keys = self._keyring.of(tx, project_id)
            ready = [each for each in found if each.kind is errands.ErrandKind.ACCESS and each.state is ErrandState.COMPLETE]
            if not ready:
                raise Conflict("the collector has no answer to this request", remedy="see its state in /v1/upstream/requests")
            addresses = [errands.address(tx, keys, each) for each in ready]
            counts = {"answers": len(addresses)}
            self._stage(tx, AuditAction.UPSTREAM_ARCHIVE_SHOWN, project_id, actor, counts, obj=request_id)
        return addresses

    # --- looking -----------------------------------------------------------------------------------------------------

    def standing(self, project_id: int) -> Standing:
        """How forwarding stands. Raises `NotFound` for a project without a collector."""
        with self._database.read() as tx:
            row = self._required(tx, project_id)
            mine = outgoing.c.project_id == project_id
            counts = sa.select(outgoing.c.parked, sa.func.count(), sa.func.min(outgoing.c.queued_ms)).where(mine)
            found = {parked: (n, oldest) for parked, n, oldest in tx.execute(counts.group_by(outgoing.c.parked))}
            passed_on = errands.tally(tx, project_id)
        waiting, oldest = found.pop(None, (0, None))
        return Standing(
            base=row.base,
            region=row.region,
            keeps=Keeps(row.keeps),
            asks=bool(row.asks),
            waiting=waiting,
            parked={reason: n for reason, (n, _) in sorted(found.items())},
            oldest_ms=oldest,
            delivered=row.delivered,
            delivered_ms=row.delivered_ms,
            failures=row.failures,
            last_error=row.last_error,
            due_ms=row.due_ms,
            errands=passed_on,
        )

    def collector(self, tx: Connection, project_id: int) -> Collector:
        """The collector of a project, to speak to. Raises `NotFound`; `Conflict` when it is in another region by now."""
        row = self._required(tx, project_id)
        key = self._keyring.of(tx, project_id).subject
        opened = msgspec.json.decode(unseal(key, row.sealed, _label(project_id)), type=dict[str, str])
        to = Destination(row.base, row.region)
        refuse_crossing(project_by_id(tx, project_id).region, to)
        return Collector(to, Account(**opened))

    # --- rows --------------------------------------------------------------------------------------------------------

    @staticmethod
    def _row(tx: Connection, project_id: int) -> Any:
        return tx.execute(sa.select(upstream).where(upstream.c.project_id == project_id)).first()

    def _required(self, tx: Connection, project_id: int) -> Any:
        row = self._row(tx, project_id)
        if row is None:
            raise NotFound(_NONE, field="project_id", remedy="choose one with PUT /v1/upstream or `portcullis upstream set`")
        return row

    def _write(self, tx: Connection, project_id: int, to: Destination, account: Account, keeps: Keeps, *, exists: bool) -> None:
        said = {name: getattr(account, name) for name in Account.__dataclass_fields__}
        sealed = seal(self._keyring.of(tx, project_id).subject, msgspec.json.encode(said), _label(project_id))
        values: dict[str, Any] = {"base": to.base, "region": to.region, "sealed": sealed, "due_ms": 0, "failures": 0}
        values |= {"keeps": keeps.value, "asks": bool(account.oauth) or None}
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
        obj: str | None = None,
    ) -> None:
        entry = Entry(action, project_id, actor, self._clock(), obj=obj, counts=counts or {}, facts=facts or {})
        self._audit.stage(tx, entry)


def _refuse_half(account: Account) -> None:
    if not account.token:
        raise InvalidInput("the collector knows the project by its token", field="token", remedy="say its token there")
    if bool(account.username) != bool(account.secret) or (account.username and not account.project_id):
        raise InvalidInput(
            "a service account is a username, its secret and the project id there",
            field="username",
            remedy="say all three, or none: then the token alone is used",
        )
    for name in Account.__dataclass_fields__:
        if not _sendable(getattr(account, name)):
            raise InvalidInput(f"{name} holds what no request can carry", field=name, remedy="use printable ASCII without spaces")


def _sendable(text: str) -> bool:
    return text.isascii() and text.isprintable() and " " not in text


def _knock(speak: Callable[[], object]) -> str:
    try:
        speak()
    except NotTaken as fault:
        return fault.code
    return OK


def _facts(base: str, region: str, keeps: Keeps, asks: bool, prefix: str) -> dict[str, str]:
    said = {"base": base, "region": region, "keeps": keeps.value, "requests": "passed_on" if asks else "not_passed_on"}
    return {prefix + name: value for name, value in said.items()}


def _named(reasons: Sequence[str] | None) -> dict[str, str]:
    return {} if reasons is None else {"reasons": ",".join(sorted(reasons))}


def _former(project_id: int, base: str) -> sa.ColumnElement[bool]:
    return sa.and_(upstream_former.c.project_id == project_id, upstream_former.c.base == base)


def _label(project_id: int) -> str:
    return f"upstream|{project_id}"
