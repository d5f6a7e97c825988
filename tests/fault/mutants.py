"""Break the service on purpose, one promise at a time, and see that a test notices: `make mutants [NAMES="fence-track …"]`.

Each mutant is one small change of the source in a copy of the checkout, with the tests that must turn red. It prints
how many were tried and killed, and exits 1 when one lives, when its text is no longer in the source (then the mutant
must follow the code), or when its tests did not run. Not part of `make test`: it takes some minutes.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
_COPIED = ("app", "jobs", "policies", "tests", "docs", "benchmarks")
_FILES = ("pyproject.toml", "README.md", "CHANGELOG.md", "Makefile", "wsgi.py")
_TIMEOUT = 300
# What pytest's exit code says: some test failed. Any other code but 0 means that the tests did not run.
_FAILED = 1


@dataclass(frozen=True, slots=True)
class Mutant:
    """One promise broken: in `file`, the one occurrence of `old` becomes `new`; `tests` is what pytest is given."""

    name: str
    promise: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]


_AUDIT = "tests/contract/test_audit.py"
_PROMISES = "tests/integration/test_promises.py"
_LIFE = "tests/integration/test_life_of_a_request.py"
_QUERY = "tests/integration/test_query.py"
_READING = "tests/integration/test_reading.py"
_SIGHT = "tests/contract/test_sight.py"
_BAD = "tests/e2e/test_bad_input.py"
_GONE = "tests/fault/test_database_gone.py"
_HELD = "tests/integration/test_quarantine.py"
_WHO = "tests/contract/test_identity.py"
_OBSERVED = "tests/integration/test_observe.py"
_DICTIONARY = "tests/contract/test_lexicon.py"
_AT_ONCE = "tests/contract/test_at_once.py"
_ACCOUNTS = "tests/contract/test_service_accounts.py"

MUTANTS = (
    # --- what happens at once, and who may make whom
    Mutant(
        "first-updates",
        "two first updates of one profile both stand",
        "app/ingest/profiles.py",
        "    register.hold(tx, project_id, uids)\n",
        "",
        (_AT_ONCE, "-k", "first_updates"),
    ),
    Mutant(
        "grant-up",
        "nobody grants a role that holds more than his own",
        "app/access/accounts.py",
        "return self.reach is None or PERMISSIONS[role] <= self.reach.get(project_id, frozenset())",
        "return True",
        (_ACCOUNTS, "-k", "nobody_makes"),
    ),
    Mutant(
        "old-secret",
        "a rotated secret is good for the overlap and no longer",
        "app/access/service.py",
        'principal.c.previous_digest == sa.bindparam("digest"), principal.c.previous_until_ms > sa.bindparam("now")',
        'principal.c.previous_digest == sa.bindparam("digest"), sa.bindparam("now") > 0',
        (_ACCOUNTS, "-k", "good_for_a_while"),
    ),
    # --- the dictionary
    Mutant(
        "blocked-name",
        "a blocked event is refused",
        "app/lexicon/reading.py",
        "        if name in self.blocked_events:\n            return BLOCKED\n",
        "",
        (_DICTIONARY, "-k", "blocked_event or check_says"),
    ),
    Mutant(
        "stale-dictionary",
        "no process goes by an old dictionary",
        "app/lexicon/service.py",
        "if held is None or held[0] != version:",
        "if held is None:",
        (_DICTIONARY, "-k", "every_process"),
    ),
    Mutant(
        "mark-lifts",
        "a mark only makes the policy stricter",
        "app/lexicon/reading.py",
        "    return any(each is not None and each.rule.classified for each in governing)",
        "    return False",
        (_DICTIONARY, "-k", "stricter"),
    ),
    # --- the fence
    Mutant(
        "fence-events",
        "events wait for an erasure that is being accepted",
        "app/ingest/service.py",
        "        actor: str,\n        tally: Tally,\n        circumstances: Circumstances,\n    ) -> Seen:\n        fence.enter_shared(tx, project.id)",
        "        actor: str,\n        tally: Tally,\n        circumstances: Circumstances,\n    ) -> Seen:",
        (_PROMISES, "-k", "waits"),
    ),
    Mutant(
        "fence-profiles",
        "profile updates wait for it too",
        "app/ingest/service.py",
        "Parcel[Update],\n        tally: Tally,\n        circumstances: Circumstances,\n    ) -> Seen:\n        fence.enter_shared(tx, project.id)",
        "Parcel[Update],\n        tally: Tally,\n        circumstances: Circumstances,\n    ) -> Seen:",
        (_PROMISES, "-k", "waits"),
    ),
    Mutant(
        "fence-erasure",
        "an erasure waits for the batches under way",
        "app/subjects/service.py",
        "            else:\n                fence.enter_exclusive(tx, by.project.id)",
        "",
        (_PROMISES, "-k", "waits"),
    ),
    # --- once
    Mutant(
        "dedup",
        "an event that is sent twice is stored once",
        "app/keys/service.py",
        "        if not insert_id:\n            return secrets.randbits(63)",
        "        return secrets.randbits(63)",
        (_PROMISES, "-k", "stored_once"),
    ),
    Mutant(
        "dedup-by-version",
        "a new policy version does not double what is sent again",
        "app/ingest/append.py",
        "dedup=keys.dedup_of(event.sent_name, event.time_ms, uid, event.insert_id),",
        'dedup=keys.dedup_of(f"{version}{event.sent_name}", event.time_ms, uid, event.insert_id),',
        (_PROMISES, "-k", "stored_once"),
    ),
    # --- refused people
    Mutant(
        "tombstone",
        "an erased person's events are refused",
        "policies/consent.py",
        "    return None if state in _ACCEPTED else",
        "    return None if state in _ACCEPTED or state is SubjectState.ERASED else",
        (_LIFE, "-k", "hides_at_once"),
    ),
    Mutant(
        "tombstone-of-any-id",
        "the state that forbids most among an event's ids decides",
        "app/identity/register.py",
        "    return max(states, key=_SEVERITY.__getitem__, default=SubjectState.ACTIVE)",
        "    return min(states, key=_SEVERITY.__getitem__, default=SubjectState.ACTIVE)",
        (_LIFE, "-k", "device_of_the_person or any_of_its_ids"),
    ),
    Mutant(
        "stray-id",
        "a distinct_id that is not kept is judged all the same",
        "app/ingest/judging.py",
        "        named = [each.judged() for each in ids]\n        known, unseen",
        "        named = [each.all() for each in ids]\n        known, unseen",
        (_LIFE, "-k", "device_of_the_person or any_of_its_ids"),
    ),
    Mutant(
        "consent",
        "the gate refuses everyone who is not active",
        "policies/consent.py",
        "        if record.state is not SubjectState.ACTIVE:",
        "        if record.state is SubjectState.RESTRICTED:",
        (_LIFE, "-k", "hides_at_once or opt_out"),
    ),
    Mutant(
        "opt-out",
        "an opted-out person's events are refused",
        "policies/consent.py",
        "    return None if state in _ACCEPTED else",
        "    return None if state in _ACCEPTED or state is SubjectState.OPTED_OUT else",
        (_LIFE, "-k", "opt_out"),
    ),
    Mutant(
        "unknown-tombstone",
        "an id that nobody has seen gets a tombstone when its erasure is asked",
        "app/subjects/service.py",
        "            register.enrol(tx, keys, unseen, self._clock())\n",
        "",
        (_LIFE, "-k", "unknown_id"),
    ),
    # --- who is who
    Mutant(
        "link-state",
        "what was decided holds for ids that are linked later",
        "app/identity/linking.py",
        "state, refused = gravest((kept.state, join.state))",
        "state, refused = (kept.state)",
        (_WHO, "-k", "opt_out_holds"),
    ),
    Mutant(
        "device-once",
        "a device keeps its first person",
        "app/identity/linking.py",
        "return Outcome.DEVICE_TAKEN if moved or self._size(join.person) > 1 else None",
        "return None",
        (_WHO, "-k", "keeps_the_first"),
    ),
    Mutant(
        "alias-looks-forward",
        "a legacy alias leaves what was sent before",
        "app/identity/linking.py",
        'moving["read_as"] = sa.func.coalesce(table.c.read_as, old)',
        "pass",
        (_WHO, "-k", "legacy_alias_leads"),
    ),
    Mutant(
        "spelling-tombstone",
        "an erased person does not come back in another spelling",
        "app/identity/register.py",
        "if refused or state is not SubjectState.ACTIVE:",
        "if refused:",
        (_WHO, "-k", "another_spelling"),
    ),
    Mutant(
        "spelling-closure",
        "spellings are followed from whatever is found",
        "app/identity/closure.py",
        "            self.take_forms(set(self._forms_of(fresh)))\n",
        "",
        (_WHO, "-k", "whole_person"),
    ),
    Mutant(
        "former-head",
        "values encrypted before a merge open after it",
        "app/identity/linking.py",
        "led=True",
        "led=False",
        (_WHO, "-k", "encrypted_before"),
    ),
    Mutant(
        "preview-ids",
        "ids of a closure are for who may see them",
        "app/subjects/views.py",
        "shown = Permission.IDS_REVEAL in who.permissions",
        "shown = True",
        (_WHO, "-k", "auditor"),
    ),
    # --- hidden
    Mutant(
        "hidden-export",
        "an export leaves hidden people out",
        "app/query/render.py",
        "    return None if found is None or found.hidden else found",
        "    return found",
        (_QUERY, _LIFE, "-k", "hidden or hides"),
    ),
    Mutant(
        "hidden-profiles",
        "a page of profiles does not count hidden people",
        "app/sight/people.py",
        "for uid, row in known.items() if not row.hidden}",
        "for uid, row in known.items()}",
        (_QUERY, "-k", "visible or hidden or hide or go"),
    ),
    Mutant(
        "rule-unheeded",
        "no route shows an event or a profile that a rule leaves out",
        "app/events/sql.py",
        "whole = conjunction(sight.demanded(about), asked)",
        "whole = asked",
        (_SIGHT, "-k", "out_of_sight"),
    ),
    Mutant(
        "withheld-asked",
        "an expression cannot ask for a property that is withheld",
        "app/access/sight.py",
        "if isinstance(node, Property) and node.name in withheld:",
        "if False:",
        (_READING, "-k", "withheld"),
    ),
    Mutant(
        "withheld-shown",
        "a property that is withheld is in no row",
        "app/access/sight.py",
        "if name not in names}",
        "}",
        (_READING, "-k", "withheld"),
    ),
    Mutant(
        "filter-names",
        "a saved filter names no person",
        "app/query/cohorts.py",
        "if isinstance(node, Holder):",
        "if False:",
        (_READING, "-k", "names_no_person"),
    ),
    Mutant(
        "hidden-found",
        "an expression finds nobody who is hidden by their id",
        "app/sight/ids.py",
        "if not row.hidden}",
        "}",
        (_SIGHT, "-k", "bound_to_nobody"),
    ),
    Mutant(
        "hidden-at-once",
        "a person is hidden when their erasure is accepted, not when it is done",
        "app/identity/register.py",
        "_HIDDEN = (SubjectState.RESTRICTED, SubjectState.ERASING, SubjectState.ERASED)",
        "_HIDDEN = (SubjectState.RESTRICTED, SubjectState.ERASED)",
        (_LIFE, "-k", "hides_at_once"),
    ),
    # --- requests
    Mutant(
        "claim-fence",
        "a worker that was replaced changes nothing",
        "app/subjects/queue.py",
        "            subject_request.c.fence == claim.fence,\n            subject_request.c.state.in_(_OPEN),",
        "            subject_request.c.state.in_(_OPEN),",
        (_PROMISES, _LIFE, "-k", "replaced or lost_its_claim"),
    ),
    Mutant(
        "claim-hold",
        "every effect begins by holding the claim",
        "app/subjects/queue.py",
        "        self._set(tx, claim, lease_until_ms=self._clock() + self._lease_ms)",
        "        return",
        (_PROMISES, _LIFE, "-k", "replaced or lost_its_claim"),
    ),
    Mutant(
        "claim-taken",
        "a request that somebody works on is not claimed again",
        "app/subjects/queue.py",
        "            subject_request.c.lease_until_ms <= now,\n",
        "",
        (_LIFE, "-k", "lost_its_claim"),
    ),
    Mutant(
        "verify",
        "nothing is certified while rows are left",
        "jobs/erasure.py",
        "        if reached or any(found.values()):",
        "        if reached:",
        (_LIFE, "-k", "never_certified"),
    ),
    Mutant(
        "purge",
        "what was shredded is in no file",
        "jobs/purge.py",
        "    return (_purge_sqlite if database.sqlite else _purge_postgres)(database, tables)",
        "    return {table.name: PurgeMethod.CHECKPOINTED for table in tables}",
        (_PROMISES, "-k", "shredded"),
    ),
    Mutant(
        "secure-delete",
        "SQLite overwrites what it deletes",
        "app/database.py",
        '        "secure_delete=ON",',
        '        "secure_delete=OFF",',
        (_PROMISES, "-k", "shredded"),
    ),
    Mutant(
        "shred",
        "a tombstone keeps a digest and nothing else",
        "app/identity/register.py",
        '("uid", "person", "prior_state", "sealed_id", "wrapped_key", "audit_ref", "refused_purposes", "read_as", "led")',
        '("uid", "person", "prior_state")',
        (_LIFE, "-k", "hides_at_once"),
    ),
    Mutant(
        "delete-a-place",
        "an erasure deletes in every place of the data map",
        "jobs/erasure.py",
        "    return (*stored, *mapped)",
        "    return tuple(stored)",
        ("tests/contract/test_data_map.py",),
    ),
    Mutant(
        "hold-kept",
        "what a legal hold names outlives the erasure",
        "jobs/withholding.py",
        "    return [uid for uid in uids if uid not in held]",
        "    return uids",
        ("tests/integration/test_holds.py", "-k", "sqlite"),
    ),
    Mutant(
        "pause-fence",
        "a worker at a request that was paused and resumed changes nothing",
        "app/subjects/acts.py",
        '"lease_until_ms": 0, "fence": subject_request.c.fence + 1}',
        '"lease_until_ms": 0}',
        ("tests/contract/test_workflow_model.py",),
    ),
    Mutant(
        "waiting-has-no-effect",
        "nobody is hidden for the word of a stranger",
        "app/subjects/service.py",
        "            if request.state is RequestState.PENDING:\n                self._effects.apply",
        "            if True:\n                self._effects.apply",
        ("tests/integration/test_requests.py", "-k", "stranger"),
    ),
    Mutant(
        "archive-revoked",
        "an archive ends with the person",
        "app/subjects/effects.py",
        "            self._stage_revoked(tx, by, revoke_archives(tx, by.project.id, uids))\n",
        "",
        (_LIFE, "-k", "archive_ends"),
    ),
    # --- acknowledged means durable and policy-enforced
    Mutant(
        "answer-before-commit",
        "a batch is answered after its commit",
        "app/ingest/views.py",
        "    tally = work(batch, circumstances(batch.controls))\n",
        "    import threading\n\n    tally = Tally(valid=len(batch.records))\n    threading.Thread(target=work, args=(batch, circumstances(batch.controls))).start()\n",
        (_PROMISES, "-k", "cannot_be_committed"),
    ),
    Mutant(
        "commit-failure-swallowed",
        "a commit that fails is told",
        "app/database.py",
        '    except (OperationalError, InterfaceError, PoolTimeout):\n        raise Unavailable("the database does not answer", retry_after=_RETRY_AFTER) from None',
        "    except (OperationalError, InterfaceError, PoolTimeout):\n        return",
        (_PROMISES, "-k", "cannot_be_committed"),
    ),
    Mutant(
        "unchecked",
        "a record that cannot be judged does not pass",
        "policies/gate.py",
        "            return _FAILED\n",
        "            return Decision(Verdict.PASS, record.name, dict(record.properties), ())\n",
        ("tests/unit/policies/test_gate.py",),
    ),
    Mutant(
        "unchecked-early",
        "nor does one that fails before its values are read",
        "policies/gate.py",
        "decisions = [_FAILED] * len(records)",
        "decisions = [Decision(Verdict.PASS, record.name, {}, ()) for record in records]",
        ("tests/unit/policies/test_gate.py",),
    ),
    Mutant(
        "unchecked-batch",
        "who sent only what was dropped is not enrolled",
        "app/ingest/judging.py",
        "            return\n        if _waits(decision, ids):",
        "        if _waits(decision, ids):",
        (_HELD, "-k", "enrols_nobody and sqlite"),
    ),
    Mutant(
        "audit-apart",
        "an act and its audit entry are one transaction",
        "app/audit/service.py",
        "        tx.execute(sa.insert(audit_staging).values(project_id=entry.project_id, body=entry.canonical()))",
        "        with self._database.engine.begin() as apart:\n"
        "            apart.execute(sa.insert(audit_staging).values(project_id=entry.project_id, body=entry.canonical()))",
        (_PROMISES, "-k", "no_audit_entry"),
    ),
    Mutant(
        "audit-missing",
        "every act is in the log",
        "app/ingest/service.py",
        "        self._audit.stage(tx, entry)\n        if part.honoured",
        "        if part.honoured",
        (_LIFE, "-k", "the_log_has_each_act"),
    ),
    Mutant(
        "audit-fork",
        "no checkpoint is signed over a log that does not extend the last one",
        "app/audit/sequencer.py",
        "            _refuse_fork(tx, project_id, size, root, tree)",
        "            pass",
        (_AUDIT, "-k", "no_checkpoint_is_signed and sqlite"),
    ),
    Mutant(
        "audit-held",
        "a log that was rewritten under its own key does not extend a checkpoint held",
        "app/audit/verify.py",
        "        _compare(older, tree)\n    if tree.size",
        "    if tree.size",
        ("tests/unit/audit/test_verify.py",),
    ),
    Mutant(
        "audit-witness",
        "a database older than its witness is not served",
        "app/cli.py",
        "        _refuse_older(settings, database, keyring)",
        "        pass",
        (_AUDIT, "-k", "no_process_starts and sqlite"),
    ),
    # --- values
    Mutant(
        "log-a-field",
        "a log line holds fields of the allow-list only",
        "app/logs.py",
        "        del entry[name]",
        "        pass",
        ("tests/unit/app/test_logs.py",),
    ),
    Mutant(
        "log-a-library",
        "another library's message is not logged",
        "app/logs.py",
        'record.levelno, "library_message", name=record.name)',
        "record.levelno, record.getMessage(), name=record.name)",
        ("tests/unit/app/test_logs.py",),
    ),
    Mutant(
        "log-a-fault",
        "an unexpected failure is logged without its text",
        "app/http.py",
        "fault=type(error).__name__, frames",
        "fault=str(error), frames",
        ("tests/contract/test_errors.py", "-k", "unexpected"),
    ),
    Mutant(
        "log-the-body",
        "nothing of a refused request is logged",
        "app/http.py",
        "        problem = describe(error)\n",
        "        problem = describe(error)\n        print(request.get_data(), flush=True)\n",
        (_BAD,),
    ),
    Mutant(
        "echo",
        "an error answer does not echo what was sent",
        "app/ingest/views.py",
        "Problem(fault.status, fault.code, fault.message, fault.field, fault.remedy)",
        "Problem(fault.status, fault.code, fault.message + repr(request.get_data()[:400]), fault.field, fault.remedy)",
        (_BAD,),
    ),
    # --- doors
    Mutant(
        "permission",
        "a role does what its permissions say",
        "app/http.py",
        "    if need not in g.caller.permissions:",
        "    if False:",
        ("tests/contract/test_routes.py",),
    ),
    Mutant(
        "bomb",
        "inflation stops at its bound",
        "app/ingest/wire.py",
        "        inflated = inflater.decompress(request.body, limits.inflated_bytes + 1)",
        "        inflated = inflater.decompress(request.body)",
        ("tests/unit/ingest/test_wire.py", "-k", "bomb"),
    ),
    Mutant(
        "retry-after",
        "what is down says when to come back",
        "app/http.py",
        "        if problem.retry_after is not None:",
        "        if False:",
        ("tests/contract/test_errors.py", _GONE, "-k", "come_back or postgresql"),
    ),
    Mutant(
        "ready-though-gone",
        "readiness says that the database is gone",
        "app/web.py",
        "        database = fault.code\n",
        '        database = "ok"\n',
        (_GONE,),
    ),
    Mutant(
        "no-pre-ping",
        "connections that the database dropped are replaced, not handed out",
        "app/database.py",
        "        pool_pre_ping=True,",
        "        pool_pre_ping=False,",
        (_GONE, "-k", "postgresql"),
    ),
    # --- living with policies
    Mutant(
        "release-state",
        "a held event of a person who opted out is not released",
        "app/quarantine/service.py",
        "_state(held, named, people), held.time_ms, refused)",
        "SubjectState.ACTIVE, held.time_ms, refused)",
        (_HELD, "-k", "opted_out"),
    ),
    Mutant(
        "release-unseen",
        "a release accepts only what the officer could see",
        "app/quarantine/service.py",
        "elif unseen and held.held_by:",
        "elif False:",
        (_HELD, "-k", "did_not_see"),
    ),
    Mutant(
        "release-purposes",
        "nor is one for a purpose that they refused meanwhile",
        "app/quarantine/service.py",
        "_state(held, named, people), held.time_ms, refused)",
        "_state(held, named, people), held.time_ms)",
        (_HELD, "-k", "refused_purpose and sqlite"),
    ),
    Mutant(
        "release-encrypted-twice",
        "a value under a device's own key is not encrypted once more on release",
        "app/identity/keyed.py",
        "    first, *others = secrets\n",
        "    first, *others = secrets[:1]\n",
        (_HELD, "-k", "encrypted_alone and sqlite"),
    ),
    Mutant(
        "release-dedup",
        "a released event that is sent again is one event",
        "app/quarantine/service.py",
        "dedup=held.dedup,",
        "dedup=held.dedup ^ 1,",
        (_HELD, "-k", "never_doubled and sqlite"),
    ),
    Mutant(
        "simulation-fence",
        "a worker that was replaced keeps nothing of its slice",
        "app/observe/simulations.py",
        "simulation.c.fence == claimed.fence, ",
        "",
        (_OBSERVED, "-k", "replaced and sqlite"),
    ),
    Mutant(
        "simulation-checkpoint",
        "a slice that is done again counts once",
        "jobs/simulate.py",
        "after=standing.after, limit=_PAGE",
        "limit=_PAGE",
        (_OBSERVED, "-k", "tried_on_history and sqlite"),
    ),
    Mutant(
        "finding-threshold",
        "a property that starts to carry personal data is a finding within five minutes",
        "app/observe/findings.py",
        "found = tx.execute(_carriers(since, SHARE, HITS)",
        "found = tx.execute(_carriers(since, SHARE * 20, HITS)",
        (_OBSERVED, "-k", "within_five_minutes and sqlite"),
    ),
)


def main(names: Sequence[str]) -> int:
    """Try the mutants of these names, or all. Returns 0 when every one was killed."""
    chosen = [mutant for mutant in MUTANTS if not names or mutant.name in names]
    if unknown := set(names) - {mutant.name for mutant in chosen}:
        print(f"no such mutant: {', '.join(sorted(unknown))}; there are {', '.join(m.name for m in MUTANTS)}")
        return 2
    with tempfile.TemporaryDirectory(prefix="portcullis-mutants-") as folder:
        copy = _copy(Path(folder))
        verdicts = [_tried(mutant, copy) for mutant in chosen]
    killed = verdicts.count("killed")
    print(f"{len(verdicts)} tried, {killed} killed, {len(verdicts) - killed} not")
    return 0 if killed == len(verdicts) else 1


def _copy(folder: Path) -> Path:
    copy = folder / "checkout"
    copy.mkdir()
    for name in _COPIED:
        shutil.copytree(CHECKOUT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__", "node_modules"))
    for name in _FILES:
        shutil.copy2(CHECKOUT / name, copy / name)
    return copy


def _tried(mutant: Mutant, copy: Path) -> str:
    began, path = time.monotonic(), copy / mutant.file
    whole = path.read_text()
    if whole.count(mutant.old) != 1:
        verdict = f"STALE: its text stands {whole.count(mutant.old)} times in {mutant.file}"
    else:
        healthy = _healthy(mutant.tests, copy)
        path.write_text(whole.replace(mutant.old, mutant.new))
        broken = _pytest(mutant.tests, copy) if healthy == 0 else None
        path.write_text(whole)
        verdict = _verdict(healthy, broken)
    print(f"{mutant.name:24} {time.monotonic() - began:5.1f} s  {verdict:8}  {mutant.promise}", flush=True)
    return verdict


def _verdict(healthy: int, broken: int | None) -> str:
    if healthy != 0:
        return f"NOT TRIED: its tests fail on the healthy source (pytest exit code {healthy})"
    return {_FAILED: "killed", 0: "LIVES"}.get(broken or 0, f"NOT RUN: pytest exit code {broken}")


@cache
def _healthy(tests: tuple[str, ...], copy: Path) -> int:
    return _pytest(tests, copy)


def _pytest(tests: tuple[str, ...], copy: Path) -> int:
    # No bytecode: a source that changes within a second would otherwise be taken for the one before.
    command = [sys.executable, "-B", "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests]
    try:
        return subprocess.run(command, cwd=copy, capture_output=True, timeout=_TIMEOUT, check=False).returncode
    except subprocess.TimeoutExpired:
        return _FAILED


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
