"""What is done with a project's keys on purpose: look at them, rotate them, let bridges end, reveal tokens.

Each act and its audit entry are one transaction. A rotation takes the project's fence exclusively, as an erasure does: a
batch under way commits first, under the old key, and every later one reads the new key.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from app.access.service import Principal, project_by_id
from app.audit.entry import AuditAction, Entry, iso
from app.audit.service import AuditLog
from app.database import Database
from app.errors import Conflict, InvalidInput
from app.identity import fence
from app.keys.service import ROTATING, Keyring, KeyState, KeyVersion, Purpose
from app.keys.tables import wrapped_key
from policies.cipher import NotOurs, TokenKey

DEFAULT_BRIDGE_DAYS = 30
MOST_BRIDGE_DAYS = 365
_DAY_MS = 86_400_000
_SYSTEM = "system"


@dataclass(frozen=True, slots=True)
class Revealed:
    """What a token stands for, a JSON scalar; `known` is False for text that is no token of this project and purpose."""

    known: bool
    value: Any = field(default=None, repr=False)


class Custody:
    """Stateless but for its dependencies; safe to share between threads."""

    def __init__(self, database: Database, keyring: Keyring, audit: AuditLog, clock: Callable[[], int]) -> None:
        self._database = database
        self._keyring = keyring
        self._audit = audit
        self._clock = clock

    def status(self, project_id: int) -> list[KeyVersion]:
        """Every version of every key of a project, without the keys. Raises `NotFound`."""
        with self._database.read() as tx:
            project_by_id(tx, project_id)
            return self._keyring.versions(tx, project_id)

    def rotate(self, project_id: int, purpose: Purpose, bridge_days: int | None, *, actor: str) -> KeyVersion:
        """Make a new version of a key, in force in every process for each event acknowledged after this returns.

        `bridge_days` is for pseudonym keys: for how long both versions are computed, 30 when None, 0 for no bridge.
        Raises `NotFound` for a project that does not exist, `InvalidInput` for a purpose that does not rotate or a
        number of days out of range, `Conflict` while an earlier rotation is within its bridge period.
        """
        days = _days(purpose, bridge_days)
        with self._database.write() as tx:
            project_by_id(tx, project_id)
            fence.enter_exclusive(tx, project_id)
            now = self._clock()
            self._retire(tx, project_id, now)
            self._refuse_second_bridge(tx, project_id, purpose)
            until = now + days * _DAY_MS if days else None
            version = self._keyring.rotate(tx, project_id, purpose, now, until)
            facts = {"purpose": purpose.value, "version": str(version), **({"bridge_until": iso(until)} if until else {})}
            self._audit.stage(tx, Entry(AuditAction.KEY_ROTATED, project_id, actor, now, facts=facts))
            versions = self._keyring.versions(tx, project_id)
        return next(each for each in versions if each.purpose is purpose and each.version == version)

    def retire_keys(self) -> int:
        """Mark every key whose bridge period is over as retired. Returns how many; safe to run twice, and anywhere.

        Checks go by the clock, so nothing waits for this: it makes the state that is shown the one that is true.
        """
        now = self._clock()
        over = sa.and_(wrapped_key.c.state == KeyState.BRIDGE.value, wrapped_key.c.bridge_until_ms <= now)
        with self._database.read() as tx:
            projects = list(tx.execute(sa.select(wrapped_key.c.project_id).where(over).distinct()).scalars())
        retired = 0
        for project_id in sorted(projects):
            with self._database.write() as tx:
                retired += self._retire(tx, project_id, now)
        return retired

    def reveal(
        self, by: Principal, purpose: str, tokens: Sequence[str], reason: str, reference: str | None = None
    ) -> list[Revealed]:
        """The values behind tokens, in order. The entry counts them and says for which purpose and reason, never which.

        The entry is committed before this returns. Where a second person has to agree first, they are asked for
        here, before the transaction.
        """
        with self._database.write() as tx:
            held = self._keyring.of(tx, by.project.id).tokens
            found = [_revealed(held, purpose, token) for token in tokens]
            known = sum(each.known for each in found)
            # A purpose under which nothing opens is whatever the caller typed, which may be a value of a person.
            facts = {"purpose": purpose if known else "unknown", "reason": reason, "reference": reference or ""}
            counts = {"asked": len(found), "revealed": known}
            entry = Entry(
                AuditAction.TOKENS_REVEALED,
                by.project.id,
                by.id,
                self._clock(),
                counts=counts,
                facts={name: text for name, text in facts.items() if text},
            )
            self._audit.stage(tx, entry)
        return found

    def _retire(self, tx: Connection, project_id: int, now: int) -> int:
        retired = self._keyring.retire(tx, project_id, now)
        for each in retired:
            facts = {"purpose": each.purpose.value, "version": str(each.version)}
            self._audit.stage(tx, Entry(AuditAction.KEY_RETIRED, project_id, _SYSTEM, now, facts=facts))
        return len(retired)

    def _refuse_second_bridge(self, tx: Connection, project_id: int, purpose: Purpose) -> None:
        for each in self._keyring.versions(tx, project_id):
            if each.purpose is purpose and each.state is KeyState.BRIDGE:
                raise Conflict(
                    f"version {each.version} of this key is within its bridge period until {iso(each.bridge_until_ms or 0)}",
                    field="purpose",
                    remedy="rotate again after that",
                )


def _days(purpose: Purpose, bridge_days: int | None) -> int:
    if purpose not in ROTATING:
        raise InvalidInput(
            f"the key for {purpose.value} does not rotate: what is stored is named or wrapped by it",
            field="purpose",
            remedy=f"rotate one of {', '.join(ROTATING)}",
        )
    if purpose is Purpose.TOKEN:
        if bridge_days:
            raise InvalidInput(
                "tokens have no bridge: those of every version stay readable", field="bridge_days", remedy="leave it out"
            )
        return 0
    days = DEFAULT_BRIDGE_DAYS if bridge_days is None else bridge_days
    if not 0 <= days <= MOST_BRIDGE_DAYS:
        raise InvalidInput(
            f"a bridge lasts 0 to {MOST_BRIDGE_DAYS} days", field="bridge_days", remedy=f"say {DEFAULT_BRIDGE_DAYS}, for example"
        )
    return days


def _revealed(held: TokenKey | None, purpose: str, token: str) -> Revealed:
    try:
        return Revealed(False) if held is None else Revealed(True, held.reveal(purpose, token))
    except NotOurs:
        return Revealed(False)
