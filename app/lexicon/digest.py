"""The daily digest of names that wait for approval: where it goes, when it is due, and what it says.

Nothing is sent here. Whoever sends takes what is due, which moves it on: a digest whose sender dies is sent later, perhaps
twice, and never forgotten. It holds names as the dictionary has them, and numbers; no value.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import sqlalchemy as sa

from app.access.roles import Permission
from app.access.tables import project
from app.audit.entry import AuditAction, Entry as AuditEntry
from app.audit.service import AuditLog
from app.database import Database
from app.errors import InvalidInput, NotAllowed
from app.keys.sealing import seal, unseal
from app.keys.service import Keyring
from app.lexicon.model import Editor, Kind, State
from app.lexicon.service import hold_project
from app.lexicon.tables import lexicon_entry, lexicon_project

_DAY_MS = 86_400_000
_FIRST_RETRY_MS = 60_000
_LONGEST_RETRY_MS = 6 * 3_600_000
_MOST_NAMES = 200
_SYSTEM = "system"


@dataclass(frozen=True, slots=True)
class Means:
    """What the operator allows: hosts that a webhook may go to, and whether mail can be sent."""

    hosts: frozenset[str] = frozenset()
    mail: bool = False


@dataclass(frozen=True, slots=True)
class Digest:
    """One digest to send: `how` is `webhook` or `mail`, `to` a URL or an address. `more` counts names left out."""

    project_id: int
    project: str
    how: str
    to: str = field(repr=False)
    events: tuple[str, ...] = field(repr=False)
    properties: tuple[str, ...] = field(repr=False)
    more: int
    attempt: int

    def as_json(self) -> dict[str, Any]:
        """The body of a webhook. `text` is what chat systems show."""
        waiting = len(self.events) + len(self.properties) + self.more
        named = {"pending_events": list(self.events), "pending_properties": list(self.properties), "more": self.more}
        return {"text": f"{waiting} new names of {self.project} wait for approval", "project_id": self.project_id, **named}

    def as_text(self) -> str:
        """The body of a mail."""
        parts = [f"New names of {self.project} that wait for approval.", ""]
        for title, names in (("Events", self.events), ("Properties", self.properties)):
            parts += [f"{title}:", *(f"  {name}" for name in names), ""] if names else []
        return "\n".join(parts + ([f"And {self.more} more."] if self.more else []))


class Digests:
    """Digests of every project. Stateless but for its dependencies."""

    def __init__(self, database: Database, keyring: Keyring, audit: AuditLog, clock: Callable[[], int], means: Means) -> None:
        self._database = database
        self._keyring = keyring
        self._audit = audit
        self._clock = clock
        self._means = means

    def choose(self, project_id: int, by: Editor, how: str | None, to: str | None) -> None:
        """Send digests by `webhook` or `mail` from now on, the first one at once; None: no more.

        Raises `InvalidInput` for a place that the operator did not allow, and `NotAllowed` for who may not.
        """
        if Permission.LEXICON_BLOCK not in by.permissions:
            raise NotAllowed("this credential does not hold lexicon:block", remedy="use an admin's credential")
        self._check(how, to or "")
        now = self._clock()
        with self._database.write() as tx:
            hold_project(tx, project_id)
            mine = lexicon_project.c.project_id == project_id
            before = tx.execute(sa.select(lexicon_project.c.digest).where(mine)).scalar()
            key = self._keyring.of(tx, project_id).subject
            sealed = seal(key, (to or "").encode(), f"lexicon-digest|{project_id}") if how else None
            values = {"digest": how, "digest_to": sealed, "digest_due_ms": now if how else None, "digest_attempts": 0}
            tx.execute(sa.update(lexicon_project).where(mine).values(values))
            # A webhook's path may be a secret, and an address is a person's: the log says how, not where to.
            facts = {"digest.before": before or "none", "digest.after": how or "none"}
            self._audit.stage(tx, AuditEntry(AuditAction.LEXICON_SETTINGS_CHANGED, project_id, by.id, now, facts=facts))

    def _check(self, how: str | None, to: str) -> None:
        if how == "webhook":
            url = urlsplit(to)
            local = url.scheme == "http" and url.hostname in ("localhost", "127.0.0.1")
            if (url.hostname or "") not in self._means.hosts or not (url.scheme == "https" or local) or url.username:
                raise InvalidInput(
                    "the webhook is not https to a host that the operator allows",
                    field="to",
                    remedy="add its host to PORTCULLIS_DIGEST_HOSTS",
                )
        elif how == "mail":
            if not self._means.mail:
                raise InvalidInput("this installation sends no mail", field="how", remedy="set PORTCULLIS_SMTP_URL")
            if not (3 <= len(to) <= 254 and to.isascii() and to.isprintable() and to.count("@") == 1 and " " not in to):
                raise InvalidInput("to is no mail address", field="to", remedy="send one address")

    def due(self) -> list[int]:
        """Projects whose digest is due."""
        with self._database.read() as tx:
            wanted = sa.select(lexicon_project.c.project_id).where(lexicon_project.c.digest_due_ms <= self._clock())
            return list(tx.execute(wanted.order_by(lexicon_project.c.digest_due_ms).limit(100)).scalars())

    def take(self, project_id: int) -> Digest | None:
        """The digest that is due, moved on to its next attempt. None when there is nothing to say, or another was faster."""
        now, mine = self._clock(), lexicon_project.c.project_id == project_id
        with self._database.write() as tx:
            row = tx.execute(sa.select(lexicon_project).where(mine).with_for_update()).one()
            if row.digest is None or row.digest_due_ms is None or row.digest_due_ms > now:
                return None
            pending = sa.and_(lexicon_entry.c.project_id == project_id, lexicon_entry.c.state == State.PENDING.value)
            total = tx.execute(sa.select(sa.func.count()).where(pending)).scalar_one()
            wait = min(_FIRST_RETRY_MS << min(row.digest_attempts, 20), _LONGEST_RETRY_MS) if total else _DAY_MS
            attempts = row.digest_attempts + 1 if total else 0
            tx.execute(sa.update(lexicon_project).where(mine).values(digest_due_ms=now + wait, digest_attempts=attempts))
            if not total:
                return None
            names = sa.select(lexicon_entry.c.kind, lexicon_entry.c.name).where(pending)
            found = tx.execute(names.order_by(lexicon_entry.c.kind, lexicon_entry.c.name).limit(_MOST_NAMES)).all()
            to = unseal(self._keyring.of(tx, project_id).subject, row.digest_to, f"lexicon-digest|{project_id}").decode()
            named = tx.execute(sa.select(project.c.name).where(project.c.id == project_id)).scalar_one()
        events = tuple(each.name for each in found if each.kind == Kind.EVENT)
        properties = tuple(each.name for each in found if each.kind != Kind.EVENT)
        return Digest(project_id, named, row.digest, to, events, properties, total - len(found), attempts)

    def sent(self, digest: Digest) -> None:
        """It arrived: the next one in a day."""
        now, mine = self._clock(), lexicon_project.c.project_id == digest.project_id
        counts = {"events": len(digest.events), "properties": len(digest.properties), "more": digest.more}
        with self._database.write() as tx:
            tx.execute(sa.update(lexicon_project).where(mine).values(digest_due_ms=now + _DAY_MS, digest_attempts=0))
            facts = {"how": digest.how, "attempt": str(digest.attempt)}
            entry = AuditEntry(AuditAction.LEXICON_DIGEST_SENT, digest.project_id, _SYSTEM, now, None, None, counts, facts)
            self._audit.stage(tx, entry)
