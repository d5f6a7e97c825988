"""Restriction and objection take effect when they are accepted. What is left for a worker is to look whether they hold.

A person who was erased meanwhile is more than restricted and more than opted out. Anybody else who is not what was asked for
makes the request fail, where an officer sees it.
"""

from __future__ import annotations

from collections.abc import Collection

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from app.audit.entry import AuditAction
from app.bootstrap import Services
from app.errors import PortcullisError
from app.identity.register import LEAVING, read_purposes
from app.identity.tables import register
from app.subjects.model import Outcome, Step
from app.subjects.queue import Claim
from app.subjects.tables import request_subject
from jobs import entries
from policies.model import SubjectState


class NotInForce(PortcullisError):
    """Somebody whom the request concerns is not in the state that was asked for, and the request does not say otherwise."""

    code = "not_in_force"


def restricted(services: Services, claim: Claim) -> None:
    """START of a restriction (GDPR article 18)."""
    _confirm(services, claim, {SubjectState.RESTRICTED, *LEAVING}, ())


def objected(services: Services, claim: Claim) -> None:
    """START of an objection (GDPR article 21): opted out, or the purposes refused one by one."""
    purposes = claim.request.terms.get("purposes", ())
    # Who is restricted is neither read nor processed, and will be opted out when that ends.
    _confirm(services, claim, {SubjectState.OPTED_OUT, SubjectState.RESTRICTED, *LEAVING}, purposes)


def _confirm(services: Services, claim: Claim, states: Collection[SubjectState], purposes: Collection[str]) -> None:
    with services.database.write() as tx:
        services.queue.hold(tx, claim)
        ids, missing = _look(tx, claim, states, purposes)
        if missing:
            raise NotInForce("a person whom the request concerns is not in the state that was asked for")
        services.queue.advance(tx, claim, Step.FINISHED, {"confirmed.register": ids})
        services.queue.finish(tx, claim, Outcome.COMPLETE if ids else Outcome.REFUSED)
        facts = {"kind": claim.request.kind.value, "outcome": (Outcome.COMPLETE if ids else Outcome.REFUSED).value}
        entries.stage(services, tx, claim.request, AuditAction.REQUEST_DONE, {"ids": ids}, facts)


def _look(tx: Connection, claim: Claim, states: Collection[SubjectState], purposes: Collection[str]) -> tuple[int, int]:
    mine = sa.and_(register.c.project_id == request_subject.c.project_id, register.c.uid == request_subject.c.uid)
    rows = (
        sa.select(register.c.state, register.c.refused_purposes)
        .join(request_subject, mine)
        .where(request_subject.c.request_id == claim.request.id)
    )
    ids = missing = 0
    for state, refused in tx.execute(rows, execution_options={"yield_per": 1_000}):
        held = set(purposes) <= read_purposes(refused) if purposes else SubjectState(state) in states
        ids += 1
        missing += not (held or SubjectState(state) in LEAVING)
    return ids, missing
