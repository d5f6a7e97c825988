"""Evidence that a browser's privacy signal was honoured: per id that the register knew, and a daily count of the others.

An id that nobody had seen is not remembered for having asked to be left alone.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection

from app.identity.tables import SIGNAL_SHARDS, register, signal_evidence, signal_unknown
from policies.model import Signal

_CHUNK = 5_000


@dataclass(frozen=True, slots=True)
class Evidence:
    """How often one id sent one signal that was honoured, and when first and last. Times are Unix milliseconds."""

    uid: int
    person: int
    signal: str
    first_ms: int
    last_ms: int
    n: int


def keep(
    tx: Connection,
    project_id: int,
    known: Mapping[tuple[int, Signal], int],
    unknown: Mapping[Signal, int],
    now_ms: int,
) -> None:
    """Add to the evidence, in the transaction that refused."""
    if known:
        _add_known(tx, project_id, known, now_ms)
    if unknown:
        _add_unknown(tx, project_id, unknown, now_ms)


def _add_known(tx: Connection, project_id: int, known: Mapping[tuple[int, Signal], int], now_ms: int) -> None:
    insert = _insert(tx, signal_evidence)
    statement = insert.on_conflict_do_update(
        index_elements=["project_id", "uid", "signal"],
        set_={"n": signal_evidence.c.n + insert.excluded.n, "last_ms": insert.excluded.last_ms},
    )
    # In the order of the key, so that two batches wait for each other in one order.
    rows = [
        {"project_id": project_id, "uid": uid, "signal": signal.value, "first_ms": now_ms, "last_ms": now_ms, "n": n}
        for (uid, signal), n in sorted(known.items())
    ]
    tx.execute(statement, rows)


def _add_unknown(tx: Connection, project_id: int, unknown: Mapping[Signal, int], now_ms: int) -> None:
    insert = _insert(tx, signal_unknown)
    statement = insert.on_conflict_do_update(
        index_elements=["project_id", "day", "signal", "shard"], set_={"n": signal_unknown.c.n + insert.excluded.n}
    )
    day, shard = datetime.fromtimestamp(now_ms / 1000, UTC).date().isoformat(), secrets.randbelow(SIGNAL_SHARDS)
    rows = [
        {"project_id": project_id, "day": day, "signal": signal.value, "shard": shard, "n": n}
        for signal, n in sorted(unknown.items())
    ]
    tx.execute(statement, rows)


def _insert(tx: Connection, table: sa.Table) -> Any:
    return (postgresql.insert if tx.dialect.name == "postgresql" else sqlite.insert)(table)


def of_people(tx: Connection, project_id: int, people: Collection[int]) -> list[Evidence]:
    """The evidence of every id of these people."""
    wanted = sorted(people)
    found: list[Evidence] = []
    mine = sa.and_(register.c.project_id == signal_evidence.c.project_id, register.c.uid == signal_evidence.c.uid)
    columns = [signal_evidence.c[name] for name in ("signal", "first_ms", "last_ms", "n")]
    for start in range(0, len(wanted), _CHUNK):
        rows = (
            sa.select(signal_evidence.c.uid, register.c.person, *columns)
            .join(register, mine)
            .where(register.c.project_id == project_id, register.c.person.in_(wanted[start : start + _CHUNK]))
            .order_by(signal_evidence.c.uid, signal_evidence.c.signal)
        )
        found += [Evidence(row.uid, row.person, row.signal, row.first_ms, row.last_ms, row.n) for row in tx.execute(rows)]
    return found


def of_unknown_ids(tx: Connection, project_id: int, from_day: str, to_day: str) -> dict[str, int]:
    """How many records of ids that nobody knew were refused for a signal, between two UTC days, both inclusive."""
    rows = (
        sa.select(signal_unknown.c.signal, sa.func.sum(signal_unknown.c.n))
        .where(signal_unknown.c.project_id == project_id, signal_unknown.c.day.between(from_day, to_day))
        .group_by(signal_unknown.c.signal)
    )
    return {signal: int(n) for signal, n in tx.execute(rows)}
