"""The stored log on both engines: the tree that is signed, what auditors pull, and every way to tamper with the database."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from click.testing import CliRunner
from sqlalchemy.engine import Connection
from werkzeug.test import TestResponse

import app.audit.verify as verifying
import app.cli as cli_module
from app.access.roles import Role
from app.audit import fsck, merkle
from app.audit.checkpoint import Checkpoint, parse
from app.audit.entry import AuditAction, Entry
from app.audit.note import open_note, sign
from app.audit.stored import origin
from app.audit.tables import audit_entry, audit_head, audit_node, audit_staging
from app.audit.tree import Tree
from app.audit.witness import Witness
from app.cli import cli
from app.database import DatabaseFault
from app.errors import StartupRefused
from tests.installation import Installation, Tenant, count, in_threads


def act(tenant: Tenant, n: int, start: int = 0) -> None:
    services = tenant.home.services
    with services.database.write() as tx:
        for i in range(start, start + n):
            services.audit.stage(tx, Entry(AuditAction.AUDIT_READ, tenant.id, "an actor", 1_795_000_000_000 + i, counts={"i": i}))
    services.audit.sequence()


def get(tenant: Tenant, path: str, role: Role = Role.AUDITOR) -> TestResponse:
    return tenant.client.get(path, headers=tenant.auth(role))


def wrong(tenant: Tenant) -> list[str]:
    return list(fsck.check(tenant.home.services.database, tenant.home.services.keyring, tenant.id))


def bodies(tenant: Tenant) -> list[bytes]:
    mine = sa.select(audit_entry.c.body).where(audit_entry.c.project_id == tenant.id).order_by(audit_entry.c.idx)
    with tenant.home.services.database.read() as tx:
        return [bytes(body) for body in tx.execute(mine).scalars()]


def computed(entries: list[bytes]) -> bytes:
    tree = merkle.Frontier()
    for body in entries:
        tree.append(merkle.leaf_hash(body))
    return tree.root()


@contextmanager
def triggers_off(home: Installation) -> Iterator[Connection]:
    """A transaction of somebody who owns the database, and to whom triggers are no obstacle."""
    with home.services.database.write() as tx:
        tables = ("audit_entry", "audit_node", "audit_head")
        if home.postgres:
            for table in tables:
                tx.execute(sa.text(f"ALTER TABLE {table} DISABLE TRIGGER ALL"))
            yield tx
            for table in tables:
                tx.execute(sa.text(f"ALTER TABLE {table} ENABLE TRIGGER ALL"))
            return
        made = list(tx.execute(sa.text("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'")).all())
        for name, _ in made:
            tx.execute(sa.text(f"DROP TRIGGER {name}"))
        yield tx
        for _, sql in made:
            tx.exec_driver_sql(sql)


# --- the tree -----------------------------------------------------------------------------------------------------------


def test_every_checkpoint_is_signed_over_the_entries_that_it_covers(home: Installation) -> None:
    tenant = home.tenant()
    for n in (1, 254, 1, 700, 3):
        act(tenant, n)
        note = get(tenant, "/v1/audit/checkpoint").text
        said = parse(open_note(note, [get(tenant, "/v1/audit/key").text]))
        entries = bodies(tenant)
        assert (said.origin, said.size, said.root) == (f"portcullis/{tenant.id}/audit", len(entries), computed(entries))
    assert wrong(tenant) == []
    assert count(home, audit_node, audit_node.c.project_id == tenant.id, audit_node.c.tier == 1) == len(bodies(tenant)) // 256


def test_a_tree_with_two_tiers_of_tiles(home: Installation) -> None:
    tenant = home.tenant()
    home.services.audit.sequence()
    start = len(bodies(tenant))
    made = [Entry(AuditAction.AUDIT_READ, tenant.id, "a", 1, counts={"i": i + 1}).canonical() for i in range(66_000)]
    with home.services.database.write() as tx:
        tx.execute(sa.insert(audit_staging), [{"project_id": tenant.id, "body": body} for body in made])
    home.services.audit.sequence()
    entries = bodies(tenant)
    size = len(entries)
    assert size == start + 66_000
    sizes, grown, roots = (1, 255, 256, 257, 65_535, 65_536, 65_537, size), merkle.Frontier(), dict[int, bytes]()
    for body in entries:
        grown.append(merkle.leaf_hash(body))
        if grown.size in sizes:
            roots[grown.size] = grown.root()
    with home.services.database.read() as tx:
        tree = Tree(tx, tenant.id)
        for n in sizes:
            assert tree.root(n) == roots[n]
            merkle.verify_consistency(n, size, roots[n], roots[size], tree.consistency_proof(n, size))
        for index in (0, 255, 256, 65_535, 65_536, size - 1):
            proof = tree.inclusion_proof(index, size)
            merkle.verify_inclusion(merkle.leaf_hash(entries[index]), index, size, proof, roots[size])
    assert wrong(tenant) == []
    assert count(home, audit_node, audit_node.c.project_id == tenant.id, audit_node.c.tier == 2) == 1


def test_a_log_of_an_earlier_release_gets_its_tree_with_the_next_entry(home: Installation) -> None:
    tenant = home.tenant()
    act(tenant, 600)
    with triggers_off(home) as tx:
        tx.execute(sa.delete(audit_node).where(audit_node.c.project_id == tenant.id))
        tx.execute(sa.delete(audit_head).where(audit_head.c.project_id == tenant.id))
    act(tenant, 1)
    assert wrong(tenant) == []
    assert count(home, audit_head, audit_head.c.project_id == tenant.id) == 1


def test_sequencers_at_once_make_one_log(home: Installation) -> None:
    tenant = home.tenant()
    in_threads([lambda i=i: act(tenant, 5, i * 5) for i in range(6)])  # type: ignore[misc]
    home.services.audit.sequence()
    assert count(home, audit_staging, audit_staging.c.project_id == tenant.id) == 0
    found = [json.loads(body).get("n", {}).get("i") for body in bodies(tenant)]
    assert sorted(i for i in found if i) == list(range(1, 30))
    assert wrong(tenant) == []


# --- what auditors pull -------------------------------------------------------------------------------------------------


def test_proofs_and_tiles_verify_against_the_checkpoint(home: Installation) -> None:
    tenant = home.tenant()
    act(tenant, 300)
    older = parse(get(tenant, "/v1/audit/checkpoint").text.partition("\n\n")[0] + "\n")
    act(tenant, 300)
    newer = parse(get(tenant, "/v1/audit/checkpoint").text.partition("\n\n")[0] + "\n")
    entries = bodies(tenant)
    found: Any = get(tenant, f"/v1/audit/proof/consistency?from={older.size}&to={newer.size}").json
    steps = [bytes.fromhex(each) for each in found["proof"]]
    merkle.verify_consistency(older.size, newer.size, older.root, newer.root, steps)
    found = get(tenant, f"/v1/audit/proof/inclusion?index=299&size={newer.size}").json
    leaf = bytes.fromhex(found["leaf"])
    assert leaf == merkle.leaf_hash(entries[299])
    merkle.verify_inclusion(leaf, 299, newer.size, [bytes.fromhex(each) for each in found["proof"]], newer.root)
    full = get(tenant, "/v1/audit/tile/0/000").data
    assert full == b"".join(merkle.leaf_hash(body) for body in entries[:256])
    assert get(tenant, "/v1/audit/tile/1/000.p/1").data == merkle.perfect([full[i : i + 32] for i in range(0, 8192, 32)])
    packed = get(tenant, "/v1/audit/tile/entries/001.p/2").data
    assert packed == b"".join(len(body).to_bytes(2, "big") + body for body in entries[256:258])


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("proof/inclusion?index=5&size=5", "index"),
        ("proof/inclusion?index=0&size=999999", "size"),
        ("proof/inclusion?index=0", "size"),
        ("proof/consistency?from=4&to=3", "from"),
        ("proof/consistency?from=0&to=999999", "to"),
        ("tile/0/001", "tile"),
        ("tile/0/000.p/256", "tile"),
        ("tile/0/000.p/0", "tile"),
        ("tile/0/1", "tile"),
        ("tile/0/x001", "tile"),
        ("tile/9/000", "tier"),
        ("tile/0/x999/x999/x999/x999/x999/x999/999", "tile"),
        ("tile/entries/x999/999", "tile"),
        ("entries?since=yesterday", "since"),
        ("entries?format=xml", "format"),
        ("entries?limit=0", "limit"),
    ],
)
def test_what_is_asked_wrongly_is_told_by_name(home: Installation, path: str, field: str) -> None:
    tenant = home.tenant()
    act(tenant, 3)
    answer = get(tenant, f"/v1/audit/{path}")
    assert answer.status_code in {400, 422}, answer.text
    assert answer.json
    told = answer.json["error"]
    assert field in (told.get("field"), *told.get("problems", {}).get("query", {}))
    assert told["remedy"]


def test_entries_are_found_by_action_actor_object_and_time(home: Installation) -> None:
    tenant = home.tenant()
    tenant.put_in_force("policy: two\ngeolocation: off\nrules: []\n")
    act(tenant, 4)

    def actions(query: str) -> set[str]:
        lines = get(tenant, f"/v1/audit/entries?{query}").text.splitlines()
        return {json.loads(each)["entry"]["action"] for each in lines}

    assert actions("action=policy.activated") == {"policy.activated"}
    assert actions("action=policy") == {"policy.added", "policy.activated"}
    assert actions("actor=an actor") == {"audit.read"}
    assert actions(f"actor={tenant.ids['admin']}&action=policy") == {"policy.added", "policy.activated"}
    assert actions("object=nothing") == set()
    assert actions("since=2026-11-18T00:00:00Z&before=2026-11-18T23:59:59Z&actor=an actor") == {"audit.read"}
    assert actions("before=1999-01-01") == set()
    answer = get(tenant, "/v1/audit/entries?action=policy&limit=1")
    following = int(answer.headers["X-Next-Index"])
    again = get(tenant, f"/v1/audit/entries?action=policy&start={following}").text.splitlines()
    assert json.loads(again[0])["index"] >= following
    rows = get(tenant, "/v1/audit/entries?action=policy.activated&format=csv").text.splitlines()
    assert rows[0] == "index,t,actor,action,obj,ref,n,facts,leaf"
    assert "policy.activated" in rows[1]


def test_a_bundle_verifies_offline_from_four_files_alone(home: Installation, tmp_path: Path) -> None:
    tenant = home.tenant()
    act(tenant, 5)
    (tmp_path / "held").write_text(get(tenant, "/v1/audit/checkpoint").text)
    act(tenant, 2_100)
    answer = get(tenant, "/v1/audit/bundle")
    (tmp_path / "bundle").write_bytes(answer.data)
    for name in ("verify", "note", "merkle", "checkpoint"):
        shutil.copy(Path(verifying.__file__).with_name(f"{name}.py"), tmp_path)

    def verify(*more: str) -> subprocess.CompletedProcess[str]:
        key = get(tenant, "/v1/audit/key").text.strip()
        command = [sys.executable, "-I", "verify.py", "bundle", "bundle", "--key", key, *more]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=tmp_path, check=False)

    assert "no older checkpoint was given" in verify().stdout
    done = verify("--held", "held")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"HOLDS: {answer.data.count(10) - 1} entries of portcullis/{tenant.id}/audit")
    assert "it extends the checkpoint that you held" in done.stdout
    lines = answer.data.splitlines(keepends=True)
    (tmp_path / "bundle").write_bytes(b"".join(lines[:-1]))
    done = verify("--held", "held")
    assert done.returncode == 1
    assert done.stderr.startswith("DOES NOT HOLD: the checkpoint covers")
    (tmp_path / "bundle").unlink()
    assert verify().returncode == 2


@pytest.mark.parametrize("path", ["checkpoint", "key", "bundle", "entries", "tile/0/000.p/1", "proof/inclusion?index=0&size=1"])
def test_one_projects_log_is_nobody_elses(home: Installation, path: str) -> None:
    one, other = home.tenant(), home.tenant()
    act(one, 2)
    act(other, 2)
    assert str(one.id).encode() not in get(other, f"/v1/audit/{path}").data
    assert get(one, f"/v1/audit/{path}", Role.OFFICER).status_code == 403
    assert one.client.get(f"/v1/audit/{path}").status_code == 401


# --- tampering ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("table", [audit_entry, audit_node, audit_head], ids=str)
@pytest.mark.parametrize("how", ["update", "delete"])
def test_the_service_itself_can_change_nothing_that_is_in_its_place(home: Installation, table: sa.Table, how: str) -> None:
    tenant = home.tenant()
    act(tenant, 300)
    mine = table.c.project_id == tenant.id
    statement = sa.delete(table).where(mine) if how == "delete" else sa.update(table).where(mine).values(project_id=0)
    with pytest.raises(DatabaseFault), home.services.database.write() as tx:
        tx.execute(statement)
    assert wrong(tenant) == []


def edit(tx: Connection, of: int) -> None:
    tx.execute(sa.update(audit_entry).where(audit_entry.c.project_id == of, audit_entry.c.idx == 7).values(body=b'{"t":"x"}'))


def edit_and_hash(tx: Connection, of: int) -> None:
    body = b'{"t":"x"}'
    changed = {"body": body, "leaf": merkle.leaf_hash(body)}
    tx.execute(sa.update(audit_entry).where(audit_entry.c.project_id == of, audit_entry.c.idx == 7).values(changed))


def remove(tx: Connection, of: int) -> None:
    tx.execute(sa.delete(audit_entry).where(audit_entry.c.project_id == of, audit_entry.c.idx == 7))


def close_the_gap(tx: Connection, of: int) -> None:
    remove(tx, of)
    for index in range(8, tx.execute(sa.select(sa.func.max(audit_entry.c.idx))).scalar_one() + 1):
        moved = sa.update(audit_entry).where(audit_entry.c.project_id == of, audit_entry.c.idx == index)
        tx.execute(moved.values(idx=index - 1))


def truncate(tx: Connection, of: int) -> None:
    last = sa.select(sa.func.max(audit_entry.c.idx)).where(audit_entry.c.project_id == of).scalar_subquery()
    tx.execute(sa.delete(audit_entry).where(audit_entry.c.project_id == of, audit_entry.c.idx == last))


def another_tile(tx: Connection, of: int) -> None:
    tx.execute(sa.update(audit_node).where(audit_node.c.project_id == of).values(hash=bytes(32)))


def no_tile(tx: Connection, of: int) -> None:
    tx.execute(sa.delete(audit_node).where(audit_node.c.project_id == of))


def another_root(tx: Connection, of: int) -> None:
    tx.execute(sa.update(audit_head).where(audit_head.c.project_id == of).values(root=bytes(32)))


def unsigned(tx: Connection, of: int) -> None:
    tx.execute(sa.update(audit_head).where(audit_head.c.project_id == of).values(note="forged"))


TAMPERED = [edit, edit_and_hash, remove, close_the_gap, truncate, another_tile, no_tile, another_root, unsigned]


@pytest.mark.parametrize("tampering", TAMPERED, ids=lambda each: each.__name__)
def test_whoever_changes_the_database_is_told_of(home: Installation, tampering: Callable[[Connection, int], None]) -> None:
    tenant, other = home.tenant(), home.tenant()
    act(tenant, 300)
    act(other, 3)
    assert wrong(tenant) == []
    with triggers_off(home) as tx:
        tampering(tx, tenant.id)
    assert wrong(tenant)
    assert wrong(other) == []


@pytest.mark.parametrize("tampering", [edit_and_hash, truncate], ids=lambda each: each.__name__)
def test_no_checkpoint_is_signed_over_a_log_that_was_changed(
    home: Installation, tampering: Callable[[Connection, int], None]
) -> None:
    tenant, other = home.tenant(), home.tenant()
    act(tenant, 20)
    with triggers_off(home) as tx:
        tampering(tx, tenant.id)
    signed = count(home, audit_head, audit_head.c.project_id == tenant.id)
    act(tenant, 1)
    act(other, 1)
    assert count(home, audit_head, audit_head.c.project_id == tenant.id) == signed
    assert count(home, audit_staging, audit_staging.c.project_id == tenant.id) == 1
    assert count(home, audit_staging, audit_staging.c.project_id == other.id) == 0
    with home.services.database.write() as tx:  # Other tests share the database, and need not hear of this log.
        tx.execute(sa.delete(audit_staging).where(audit_staging.c.project_id == tenant.id))


# --- the witness --------------------------------------------------------------------------------------------------------


@pytest.fixture
def witnessed(home: Installation, tmp_path: Path) -> Iterator[tuple[Tenant, Witness]]:
    witness = Witness(tmp_path / "witness")
    sequencer = home.services.audit._sequencer
    home.services.audit.sequence()
    sequencer._witness = witness
    tenant = home.tenant()
    act(tenant, 10)
    yield tenant, witness
    sequencer._witness = None


def refuse_older(home: Installation, witness: Witness) -> None:
    fsck.refuse_older(home.services.database, home.services.keyring, witness)


def test_a_database_that_extends_its_witness_starts(
    home: Installation, witnessed: tuple[Tenant, Witness], tmp_path: Path
) -> None:
    tenant, witness = witnessed
    act(tenant, 300)
    assert len(list(witness.notes())) == count(home, audit_head, audit_head.c.project_id == tenant.id)
    with witness.path.open("a") as file:
        file.write('{"checkpoint": "cut sho')
    refuse_older(home, witness)
    act(tenant, 1)
    refuse_older(home, witness)
    refuse_older(home, Witness(tmp_path / "none yet"))


@pytest.mark.parametrize("tampering", [truncate, edit_and_hash], ids=lambda each: each.__name__)
def test_an_older_or_another_database_is_refused(
    home: Installation, witnessed: tuple[Tenant, Witness], tampering: Callable[[Connection, int], None]
) -> None:
    tenant, witness = witnessed
    with triggers_off(home) as tx:
        tampering(tx, tenant.id)
    with pytest.raises(StartupRefused, match="it is older") as refused:
        refuse_older(home, witness)
    assert refused.value.field == "PORTCULLIS_WITNESS"


def test_a_witness_of_something_else_is_refused(home: Installation, tmp_path: Path) -> None:
    tenant = home.tenant()
    act(tenant, 1)
    with home.services.database.read() as tx:
        key = home.services.keyring.of(tx, tenant.id).signing
    forged = Checkpoint(origin(tenant.id), 1, bytes(32)).text()
    stranger = Checkpoint("portcullis/77/audit", 1, bytes(32)).text()
    for name, text in (
        ("forged", json.dumps({"checkpoint": sign(forged, origin(tenant.id), key)})),
        ("stranger", json.dumps({"checkpoint": sign(stranger, "portcullis/77/audit", key)})),
        ("no note", json.dumps({"checkpoint": "nothing"})),
        ("no line", "nothing"),
    ):
        (tmp_path / name).write_text(text + "\n")
        with pytest.raises(StartupRefused):
            refuse_older(home, Witness(tmp_path / name))


def test_a_witness_that_cannot_be_written_stops_nothing_but_itself(home: Installation, witnessed: tuple[Tenant, Witness]) -> None:
    tenant, witness = witnessed
    witness.path.unlink()
    witness.path.mkdir()
    act(tenant, 3)
    assert count(home, audit_staging, audit_staging.c.project_id == tenant.id) == 0


# --- the command line ---------------------------------------------------------------------------------------------------


def test_fsck_says_what_holds_and_what_does_not(home: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    tenant = home.tenant()
    act(tenant, 5)
    monkeypatch.setattr("app.cli_audit.bootstrap", lambda _settings: home.services)
    monkeypatch.setattr("app.cli_audit.configure", lambda _level: None)
    done = CliRunner().invoke(cli, ["audit", "fsck", str(tenant.id)])
    assert done.exit_code == 0, done.output
    assert "HOLDS: " in done.output
    with triggers_off(home) as tx:
        edit(tx, tenant.id)
    done = CliRunner().invoke(cli, ["audit", "fsck", str(tenant.id)])
    assert done.exit_code == 1
    assert "entry 7 was changed" in done.output


def test_no_process_starts_on_a_database_older_than_its_witness(home: Installation, witnessed: tuple[Tenant, Witness]) -> None:
    tenant, witness = witnessed
    settings = replace(home.services.settings, witness=witness.path)
    cli_module._refuse_unsafe(settings)
    with triggers_off(home) as tx:
        truncate(tx, tenant.id)
    with pytest.raises(StartupRefused, match="it is older"):
        cli_module._refuse_unsafe(settings)


class Watched:
    """The command of an auditor who runs it by the clock, against this application instead of the network."""

    def __init__(self, tenant: Tenant, keep: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.tenant, self.keep, self.answers = tenant, keep, 200
        self.key = get(tenant, "/v1/audit/key").text.strip()
        monkeypatch.setattr("app.cli_audit._fetch", self.fetch)

    def fetch(self, _url: str, _token: str, path: str) -> str:
        answer = get(self.tenant, path)
        if answer.status_code != 200:
            raise OSError
        return str(answer.text)

    def run(self) -> tuple[int, str]:
        words = ["audit", "watch", "--url", "http://127.0.0.1", "--key", self.key, "--keep", str(self.keep)]
        done = CliRunner().invoke(cli, words)
        return done.exit_code, done.output


def test_whoever_watches_sees_that_the_log_only_grows(
    home: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant = home.tenant()
    act(tenant, 5)
    watched = Watched(tenant, tmp_path / "kept", monkeypatch)
    code, said = watched.run()
    assert (code, "the first checkpoint kept" in said) == (0, True)
    act(tenant, 500)
    code, said = watched.run()
    assert (code, "extends the" in said) == (0, True)
    kept = (tmp_path / "kept").read_text()
    assert parse(kept.partition("\n\n")[0] + "\n").size == len(bodies(tenant))
    with home.services.database.read() as tx:
        key = home.services.keyring.of(tx, tenant.id).signing
    size = len(bodies(tenant))
    for forged in (Checkpoint(origin(tenant.id), size, bytes(32)), Checkpoint(origin(tenant.id), size + 1, bytes(32))):
        (tmp_path / "kept").write_text(sign(forged.text(), origin(tenant.id), key))
        code, said = watched.run()
        assert (code, said.startswith("DOES NOT HOLD")) == (1, True)
        # What contradicts the log is the evidence: it is not written over.
        assert (tmp_path / "kept").read_text() == sign(forged.text(), origin(tenant.id), key)


def test_nobody_answers_the_watch(tmp_path: Path) -> None:
    words = ["audit", "watch", "--url", "http://127.0.0.1:9", "--key", "x", "--keep", str(tmp_path / "kept")]
    done = CliRunner().invoke(cli, words)
    assert (done.exit_code, done.output.startswith("cannot watch")) == (2, True)
