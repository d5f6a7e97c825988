"""Answering an access request: everything held about its people, in one sealed ZIP file.

Who is in it was settled when the request was accepted; whoever is hidden by now is left out, and an erasure that is
accepted while it is written destroys its key, so that it never becomes readable. Memory is bounded: rows are streamed
through the ZIP into pieces of 256 KiB, and people are taken some hundreds at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from app.access.service import project_by_id
from app.audit.entry import AuditAction
from app.bootstrap import Services
from app.identity import fence, register
from app.identity.tables import register as table
from app.subjects import archive
from app.subjects.archive import ArchiveRevoked, ArchiveWriter
from app.subjects.model import Outcome, Step, SubjectRequest
from app.subjects.queue import Claim
from app.subjects.tables import request_subject
from jobs import entries, errands
from jobs.holdings import Holdings
from jobs.members import write_members
from policies.model import SubjectState

_HIDDEN = (SubjectState.RESTRICTED.value, SubjectState.ERASING.value, SubjectState.ERASED.value)


def collect(services: Services, claim: Claim) -> None:
    """COLLECT: write the archive, then make it readable in the transaction that ends the request.

    Raises `ArchiveRevoked` when a person in it is hidden meanwhile; the next attempt begins again without them.
    """
    request = claim.request
    writer = _begin(services, claim)
    with _snapshot(services) as tx:
        uids, left_out = _people(tx, request)
        holdings = Holdings(services, tx, project_by_id(tx, request.project_id), uids, request)
        counts = write_members(writer, holdings, left_out, services.clock())
    with services.database.write() as tx:
        fence.enter_shared(tx, request.project_id)
        services.queue.hold(tx, claim)
        if _hidden(tx, request) != left_out:
            raise ArchiveRevoked("a person in the archive was hidden while it was written")
        writer.finish(tx, services.clock() + services.settings.archive_ttl * 1_000)
        revealed = register.reveal(tx, services.keyring.of(tx, request.project_id), uids)
        errands.take(services, tx, request, sorted(each.identifier for each in revealed.values()))
        services.queue.advance(tx, claim, Step.FINISHED, {f"archived.{name}": n for name, n in counts.items()})
        services.queue.finish(tx, claim, _outcome(uids, left_out))
        entries.stage(services, tx, request, AuditAction.ARCHIVE_READY, counts)


def _outcome(shown: list[int], left_out: int) -> Outcome:
    """Whoever is hidden by now (restricted, or being erased) is not in the copy, and the answer says so."""
    if not left_out:
        return Outcome.COMPLETE
    return Outcome.PARTIAL if shown else Outcome.REFUSED


def _begin(services: Services, claim: Claim) -> ArchiveWriter:
    request = claim.request
    with services.database.write() as tx:
        # The fence orders this row before or after every erasure: one that comes later finds it and destroys its key.
        fence.enter_shared(tx, request.project_id)
        services.queue.hold(tx, claim)
        key, wrapped = services.keyring.of(tx, request.project_id).new_archive_key(request.id)
        archive.begin(tx, request, wrapped, services.clock() + services.settings.archive_ttl * 1_000)
    return ArchiveWriter(request.id, key, partial(_effect, services, claim))


@contextmanager
def _effect(services: Services, claim: Claim) -> Iterator[Connection]:
    with services.database.write() as tx:
        services.queue.hold(tx, claim)
        yield tx


@contextmanager
def _snapshot(services: Services) -> Iterator[Connection]:
    """One view of the database for every read; SQLite's transactions are such by themselves."""
    with services.database.read() as tx:
        yield tx if services.database.sqlite else tx.execution_options(isolation_level="REPEATABLE READ")


def _people(tx: Connection, request: SubjectRequest) -> tuple[list[int], int]:
    """The uids of the request that may be shown, in order, and how many may not."""
    rows = sa.select(request_subject.c.uid).where(request_subject.c.request_id == request.id)
    everyone = list(tx.execute(rows.order_by(request_subject.c.uid)).scalars())
    hidden = set(tx.execute(_hidden_uids(request)).scalars())
    return [uid for uid in everyone if uid not in hidden], len(hidden)


def _hidden(tx: Connection, request: SubjectRequest) -> int:
    return len(tx.execute(_hidden_uids(request)).all())


def _hidden_uids(request: SubjectRequest) -> sa.Select[tuple[int]]:
    return (
        sa.select(request_subject.c.uid)
        .join(
            table,
            sa.and_(table.c.project_id == request_subject.c.project_id, table.c.uid == request_subject.c.uid),
        )
        .where(request_subject.c.request_id == request.id, table.c.state.in_(_HIDDEN))
    )
