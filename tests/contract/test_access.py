"""Who holds a credential, and until when."""

from __future__ import annotations

import itertools

import pytest
import sqlalchemy as sa

from app.access.roles import Role
from app.access.service import Access, Kind
from app.access.tables import principal
from app.errors import NotAuthenticated
from tests.installation import Installation

NOW = 1_795_000_000_000


def access_at(home: Installation, *moments: int) -> Access:
    """Access whose clock shows the next of these moments each time it is asked, and then goes on by a minute a look."""
    clock = itertools.chain(moments, itertools.count(moments[-1] + 60_000, 60_000))
    services = home.services
    return Access(services.keyring._master, services.keyring, services.audit, lambda: next(clock))


def test_a_credential_without_an_end_never_expires_however_the_clock_ticks(home: Installation) -> None:
    access = access_at(home, NOW)
    with home.services.database.write() as tx:
        made = access.create_project(tx, "no end", actor="test")
        bearer = access.create_principal(tx, made.id, Kind.BEARER, Role.INGEST, actor="test")
    with home.services.database.read() as tx:
        assert all(access.bearer(tx, bearer.secret).id == bearer.id for _ in range(5))


def test_a_credential_ends_at_its_time_and_not_before(home: Installation) -> None:
    access = access_at(home, NOW)
    with home.services.database.write() as tx:
        made = access.create_project(tx, "an end", actor="test")
        bearer = access.create_principal(tx, made.id, Kind.BEARER, Role.INGEST, actor="test")
        tx.execute(sa.update(principal).where(principal.c.id == bearer.id).values(expires_ms=NOW + 1))
    with home.services.database.read() as tx:
        assert access_at(home, NOW).bearer(tx, bearer.secret).id == bearer.id
        with pytest.raises(NotAuthenticated):
            access_at(home, NOW + 1).bearer(tx, bearer.secret)


def test_a_revoked_credential_is_nobody_at_once_and_the_log_says_who_did_it(home: Installation) -> None:
    access = home.services.access
    with home.services.database.write() as tx:
        made = access.create_project(tx, "revoked", actor="test")
        bearer = access.create_principal(tx, made.id, Kind.BEARER, Role.INGEST, actor="test")
        access.revoke(tx, bearer.id, actor="somebody")
    with home.services.database.read() as tx, pytest.raises(NotAuthenticated):
        access.bearer(tx, bearer.secret)
    last = home.services.audit.entries(made.id, 0, 100)[-1].body
    assert b'"action":"principal.revoked"' in last
    assert b'"actor":"somebody"' in last
