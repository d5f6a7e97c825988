"""What ends by itself: archives past their date, quarantined events that nobody looked at, bridges of rotated keys, and what
names events and properties for longer than anybody needs it: mended findings, and simulations that are over."""

from __future__ import annotations

import sqlalchemy as sa

from app.audit.entry import AuditAction
from app.bootstrap import Services
from app.subjects.effects import destroy_archive
from app.subjects.queue import current
from app.subjects.tables import archive
from jobs import entries, errands

_AT_ONCE = 500


def clean(services: Services) -> int:
    """Destroy everything that has expired. Returns how many things that was; safe to run twice, and anywhere."""
    ended = _expire_archives(services) + services.quarantine.expire() + services.custody.retire_keys()
    ended += services.findings.expire() + services.simulations.expire() + services.reimports.expire()
    return ended + errands.expire(services)


def _expire_archives(services: Services) -> int:
    expired = sa.and_(archive.c.expires_ms <= services.clock(), archive.c.wrapped_key.is_not(None))
    with services.database.read() as tx:
        ids = list(tx.execute(sa.select(archive.c.request_id).where(expired).limit(_AT_ONCE)).scalars())
    for request_id in ids:
        with services.database.write() as tx:
            mine = sa.and_(archive.c.request_id == request_id, expired)
            if tx.execute(sa.select(archive.c.request_id).where(mine).with_for_update()).first():
                destroy_archive(tx, request_id)
                entries.stage(services, tx, current(tx, request_id), AuditAction.ARCHIVE_EXPIRED)
    return len(ids)
