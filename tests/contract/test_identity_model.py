"""Identity against a slow, obvious model, in random order: every mode, opt-outs and erasures between, spellings of one id.

A few thousand steps here. `make identity` takes a hundred thousand and more (PORTCULLIS_IDENTITY_RUNS, runs of 50 steps).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, ClassVar

import sqlalchemy as sa
from hypothesis import HealthCheck, settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from sqlalchemy.engine import Connection

from app.access.modes import IdentityMode
from app.access.roles import Role
from app.access.service import Principal
from app.events.port import EventQuery
from app.identity import register
from app.identity.closure import closure
from app.identity.derive import VERBS
from app.identity.tables import register as table
from app.ingest import append
from app.ingest.outcome import Event
from app.subjects.choices import Choices
from app.subjects.service import Subjects
from tests.contract.identity_model import Model, key
from tests.installation import KEEP_EVERYTHING, Installation

RUNS = int(os.environ.get("PORTCULLIS_IDENTITY_RUNS", "60"))
STEPS = 50
UUIDS = [f"0000000{n}-0000-4000-8000-000000000000" for n in (1, 2)]
USERS = ["ada", "ben", "Cy@x.org", "cy@x.org", "\uff23y@x.org", "zo\u00e9", "zoe\u0301", "\ufb01", *UUIDS]
DEVICES = ["d1", "D1", "d\u00e9", "de\u0301", UUIDS[0]]
EVERYBODY = [*USERS, *(f"$device:{each}" for each in DEVICES)]
anybody, user, device = st.sampled_from(EVERYBODY), st.sampled_from(USERS), st.sampled_from(DEVICES)


class _Over(Exception):
    """The end of a run."""


class _OneTransaction:
    """A database all of whose units of work are the one transaction of a run, which is rolled back at its end."""

    def __init__(self, tx: Connection) -> None:
        self._tx = tx

    @contextmanager
    def write(self) -> Iterator[Connection]:
        yield self._tx

    read = write


class Identities(RuleBasedStateMachine):
    """One project, and the model of it."""

    home: ClassVar[Installation]
    steps: ClassVar[int] = 0

    @initialize(mode=st.sampled_from(list(IdentityMode)))
    def begin(self, mode: IdentityMode) -> None:
        services = self.home.services
        self.unit = services.database.write()
        self.tx = self.unit.__enter__()
        self.project = services.access.create_project(self.tx, "model", actor="test")
        version = services.rulebook.add(self.tx, self.project.id, KEEP_EVERYTHING, author="test").version
        services.rulebook.activate(self.tx, self.project.id, version, actor="test")
        self.policy, self.keys = services.rulebook.active(self.tx, self.project.id), services.keyring.of(self.tx, self.project.id)
        self.by = Principal("test", self.project, Role.OFFICER)
        base: Any = _OneTransaction(self.tx)
        rest = (services.audit, services.clock)
        self.choices = Choices(base, services.keyring, services.rulebook, *rest)
        self.subjects = Subjects(
            base, services.keyring, services.stores, services.audit, self.home.bell, services.clock, services.settings
        )
        self.mode, self.model, self.sent = mode, Model(), 0

    def teardown(self) -> None:
        if hasattr(self, "unit"):
            # Leaves the unit of work by an error of its own: everything is rolled back.
            with suppress(_Over):
                self.unit.__exit__(_Over, _Over(), None)

    def _take(self, verb: str | None, properties: dict[str, Any], named: list[str], subject: str, claim: Any) -> None:
        self.sent += 1
        name = verb or f"e{self.sent}"
        if verb is not None and verb not in VERBS[self.mode]:
            return
        # Each event is told apart by its time, since a verb has but one name.
        event = Event(name, properties, self.sent, None, None)
        services = self.home.services
        append.append_events(
            self.tx,
            self.project.id,
            self.keys,
            self.policy,
            services.lexicon.entrance(self.tx, self.project.id),
            services.stores.of(None),
            services.quarantine,
            services.ingest._counting,
            [[event]],
            services.clock(),
            self.keys.check_context(services.clock()),
            self.mode,
        )
        self.model.take(str(self.sent), subject, named, claim)

    # --- what senders do

    @rule(who=anybody)
    def send(self, who: str) -> None:
        self._take(None, {"distinct_id": who}, [who], who, None)

    @rule(who=user, what=device)
    def send_both(self, who: str, what: str) -> None:
        on = f"$device:{what}"
        claim = ("device", who, on) if self.mode is IdentityMode.SIMPLIFIED else None
        self._take(None, {"$user_id": who, "$device_id": what}, [who, on], who, claim)

    @rule(who=user, anonymous=anybody, browser=st.booleans())
    def identify(self, who: str, anonymous: str, browser: bool) -> None:
        names = {"$anon_distinct_id": anonymous} if browser else {"$identified_id": who, "$anon_id": anonymous}
        self._verb("$identify", {"distinct_id": who, **names}, "identify", who, anonymous)

    @rule(who=anybody, other=anybody)
    def alias(self, who: str, other: str) -> None:
        kind = "legacy_alias" if self.mode is IdentityMode.LEGACY else "alias"
        self._verb("$create_alias", {"distinct_id": who, "alias": other}, kind, who, other)

    @rule(who=anybody, other=anybody)
    def merge(self, who: str, other: str) -> None:
        if who != other:
            self._verb("$merge", {"$distinct_ids": [who, other]}, "merge", who, other)

    def _verb(self, verb: str, properties: dict[str, Any], kind: str, keep: str, join: str) -> None:
        claim = None if keep == join else (kind, keep, join)
        self._take(verb, properties, [keep, join], keep, claim)

    # --- what officers do

    @rule(who=anybody)
    def opt_out(self, who: str) -> None:
        self.choices.opt_out(self.by, [who])
        self.model.decide(who, ("active", "opted_in"), "opted_out")

    @rule(who=anybody)
    def opt_in(self, who: str) -> None:
        self.choices.opt_in(self.by, [who])
        self.model.decide(who, ("active", "opted_out"), "opted_in")

    @rule(who=anybody)
    def erase(self, who: str) -> None:
        self.subjects.create_erasure(self.by, [who], "GDPR")
        self.model.erase(who)

    @rule()
    def finish(self) -> None:
        going = sa.select(table.c.uid).where(table.c.project_id == self.project.id, table.c.state == "erasing")
        uids = list(self.tx.execute(going).scalars())
        store = self.home.services.stores.of(None)
        store.delete_subjects(self.tx, self.project.id, "event", uids, 1_000)
        register.entomb(self.tx, self.project.id, uids)
        self.model.finish()

    @rule(who=anybody)
    def lift(self, who: str) -> None:
        self.subjects.lift_tombstones(self.by, [who], "consent")
        self.model.lift(who)

    @rule(mode=st.sampled_from(list(IdentityMode)))
    def change_mode(self, mode: IdentityMode) -> None:
        self.mode = mode

    # --- what must be so

    @invariant()
    def events_read_as_the_model_says(self) -> None:
        if not hasattr(self, "model"):
            return
        type(self).steps += 1
        services = self.home.services
        sight = services.sights.internal(self.tx, self.project)
        rows = list(services.stores.of(None).scan(self.tx, sight, EventQuery()))
        revealed = register.reveal(self.tx, self.keys, {row.uid for row in rows})
        shown = {str(row.time_ms): revealed[row.uid] for row in rows if row.uid in revealed}
        # Which of two spellings of one key is kept, when both are new in one event, is nobody's promise.
        told = {name: key(who.canonical) for name, who in shown.items() if not who.hidden}
        assert told == {name: key(who) for name, who in self.model.readings().items()}

    @invariant()
    def every_id_stands_as_the_model_says(self) -> None:
        if hasattr(self, "model"):
            found = {key(each): row.state.value for each, row in register.resolve(self.tx, self.keys, EVERYBODY).items()}
            assert found == {each: known.state for each, known in self.model.ids.items()}

    @rule(who=anybody)
    def the_closure_is_the_one_of_the_model(self, who: str) -> None:
        found = closure(self.tx, self.keys, [who])
        names = register.reveal(self.tx, self.keys, found.uids)
        assert {key(names[uid].identifier) for uid in found.uids} == self.model.closure(who)


def test_identity_is_what_the_model_says(home: Installation) -> None:
    class Here(Identities):
        pass

    Here.home = home
    runs = max(RUNS // 4, 1) if home.postgres else RUNS
    chosen = settings(
        max_examples=runs,
        stateful_step_count=STEPS,
        deadline=None,
        database=None,
        derandomize=RUNS < 1_000,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(Here, settings=chosen)
    print(f"{Here.steps} steps on {'PostgreSQL' if home.postgres else 'SQLite'}")
    assert Here.steps > runs
