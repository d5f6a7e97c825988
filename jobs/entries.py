"""The audit entries of jobs: nobody's act but the system's, and always about one request."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy.engine import Connection

from app.audit.entry import AuditAction, Entry
from app.bootstrap import Services
from app.subjects.model import SubjectRequest
from app.subjects.queue import SYSTEM


def stage(
    services: Services,
    tx: Connection,
    request: SubjectRequest,
    action: AuditAction,
    counts: Mapping[str, int] | None = None,
    facts: Mapping[str, str] | None = None,
) -> None:
    """Write the entry in the transaction of the effect that it tells of."""
    entry = Entry(
        action,
        request.project_id,
        SYSTEM,
        services.clock(),
        obj=request.id,
        counts=counts or {},
        facts=facts or {},
    )
    services.audit.stage(tx, entry)
