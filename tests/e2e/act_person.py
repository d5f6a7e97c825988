"""The second half of the story: a person is erased, another gets their data, and the auditor reads the log (steps 5 to 7)."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

from tests.e2e import senders
from tests.e2e.act_gate import sdk_outcome, searched, track
from tests.e2e.scene import Scene
from tests.e2e.traces import search_bytes

_VERIFIER = Path(__file__).parents[2] / "app" / "audit" / "verify.py"
_LIFE = ("PENDING", "STAGING", "STARTED", "SUCCESS")
_PATIENCE = 30.0


def erase(scene: Scene) -> None:
    """Ada asks to be erased: hidden at once, gone soon, proven, and refused from then on."""
    tell, gate, ada = scene.tell, scene.gate, scene.people.ada
    mine = scene.stored.uids_of(ada.mark)
    others = scene.stored.digest(without=mine)
    tell.say(
        "Ada asks to be forgotten. The officer submits her id through Mixpanel's GDPR API. Ada's rows are hidden by the answer itself."
    )
    path = f"/api/app/data-deletions/v3.0/?token={scene.credentials.project_token}"
    reply = gate.post(path, {"distinct_ids": [ada.id], "compliance_type": "GDPR"}, scene.credentials.officer_token)
    seen_events = [each for each in gate.export() if each["properties"].get("likes") == ada.mark]
    seen_profiles = [each for each in gate.profiles() if each["$properties"].get("likes") == ada.mark]
    tell.claim(
        "the deletion is accepted, and the reads that follow at once show nothing of Ada",
        reply.status == 201 and not seen_events and not seen_profiles,
        f"answered {reply.status}; {len(seen_events)} of her events in export, {len(seen_profiles)} profiles in engage",
    )
    request_id = str(reply.json()["results"]["task_id"])
    states = _follow(scene, f"/api/app/data-deletions/v3.0/{request_id}?token={scene.credentials.project_token}")
    tell.claim(
        "the status goes PENDING → STARTED → SUCCESS",
        states[-1] == "SUCCESS" and [_LIFE.index(each) for each in states] == sorted(_LIFE.index(each) for each in states),
        "seen: " + " → ".join(states),
    )
    left = scene.stored.holding("event", ada.mark) + scene.stored.holding("profile", ada.mark)
    tell.claim(
        "no row of event or profile holds anything of hers", left == 0 and bool(mine), f"{left} rows left, of {len(mine)} ids"
    )
    found = searched(scene, {"her likes": ada.mark, "Ben's likes": scene.people.ben.mark})
    bens = found.of("Ben's likes")
    tell.claim(
        "her ordinary data is out of every file as well, while Ben's is found",
        found.of("her likes") == 0 and bens > 0,
        f"{found.scope}; hers {found.of('her likes')} times, Ben's {bens} times",
    )
    _certificate(scene, request_id)
    _stays_gone(scene)
    now = scene.stored.digest(without=scene.stored.uids_of(ada.mark))
    tell.claim(
        "the rows of everybody else are byte for byte what they were", now == others, f"{now[0]} rows, SHA-256 {now[1][:16]}…"
    )


def _certificate(scene: Scene, request_id: str) -> None:
    tell, officer = scene.tell, scene.credentials.officer_token
    note = scene.gate.get(f"/v1/requests/{request_id}/certificate", officer)
    key = scene.gate.get("/v1/certificate-key", officer).body.decode().strip()
    held = scene.one.data.parent / "certificate.txt"
    held.write_bytes(note.body)
    code, said = _verify("certificate", str(held), "--key", key)
    tell.show(said, most=20)
    tell.claim("the certificate verifies offline, with the public key alone", code == 0, f"verify.py exits {code}")
    changed = scene.one.data.parent / "changed.txt"
    changed.write_bytes(note.body.replace(b'"after":0', b'"after":1', 1))
    code, said = _verify("certificate", str(changed), "--key", key)
    tell.claim("a certificate with one digit changed is refused", code == 1, said.strip())
    named = search_bytes(note.body, scene.people.ada.identifying() | {"her likes": scene.people.ada.mark}, "certificate")
    tell.claim("the certificate names nobody", not named, f"{len(named)} of her values in it")


def _stays_gone(scene: Scene) -> None:
    tell, before = scene.tell, scene.gate.refused("erased")
    sdk, stored = senders.python_sdk(scene.credentials), scene.stored.counts()["event"]
    again = scene.of(scene.people.ada)
    fine = sdk_outcome(lambda: [track(sdk, each) for each in again])
    refused = scene.gate.refused("erased") - before
    tell.claim(
        "her old events sent again succeed for the SDK, and not one is stored",
        fine and scene.stored.counts()["event"] == stored and refused == len(again),
        f"{len(again)} sent, {refused} refused as `erased`, {scene.stored.counts()['event'] - stored} stored",
    )


def retrieve(scene: Scene) -> None:
    """Cleo asks for her data and gets all of it, and nobody else's."""
    tell, gate, cleo = scene.tell, scene.gate, scene.people.cleo
    tell.say("Cleo asks for a copy. The officer submits a retrieval, follows it, and downloads the archive with the same token.")
    path = f"/api/app/data-retrievals/v3.0/?token={scene.credentials.project_token}"
    reply = gate.post(path, {"distinct_ids": [cleo.id]}, scene.credentials.officer_token)
    request_id = str(reply.json()["results"]["task_id"])
    status = f"/api/app/data-retrievals/v3.0/{request_id}?token={scene.credentials.project_token}"
    states = _follow(scene, status)
    results = gate.get(status, scene.credentials.officer_token).json()["results"]
    tell.claim("the retrieval succeeds", states[-1] == "SUCCESS" and bool(results["result"]), "seen: " + " → ".join(states))
    denied = gate.get(results["result"])
    tell.claim("nobody downloads it without a credential", denied.status == 401, f"answered {denied.status}")
    archive = zipfile.ZipFile(io.BytesIO(gate.get(results["result"], scene.credentials.officer_token).body))
    events, profiles = _lines(archive, "events.ndjson"), _lines(archive, "profiles.ndjson")
    tell.show("\n".join(json.dumps(each, ensure_ascii=False) for each in [*events, *profiles]))
    wanted = {each.trace for each in scene.of(cleo)}
    tell.claim(
        "it holds every event of hers and her profile",
        {each["properties"]["trace"] for each in events} == wanted and [each["$distinct_id"] for each in profiles] == [cleo.id],
        f"{len(events)} events of {len(wanted)} sent, {len(profiles)} profile",
    )
    everything = b"".join(archive.read(name) for name in archive.namelist())
    foreign = [
        each.name
        for each in scene.people
        if each is not cleo and (each.mark.encode() in everything or each.id.encode() in everything)
    ]
    tell.claim(
        "it holds nothing of anyone else",
        not foreign,
        f"searched for {len(list(scene.people)) - 1} others: {foreign or 'none found'}",
    )


def audit(scene: Scene) -> None:
    """The auditor pulls the log, sees each act, and checks it without us."""
    tell, gate = scene.tell, scene.gate
    tell.say("The auditor pulls the log and checks it on a machine of their own: no network, no database, no secret.")
    reply = gate.get("/v1/audit/entries?limit=10000", scene.credentials.auditor_token)
    entries = [json.loads(line)["entry"] for line in reply.body.decode().splitlines()]
    tell.show("\n".join(json.dumps(each) for each in entries[-6:]))
    acts = {each["action"] for each in entries}
    wanted = {
        "project.created", "policy.activated", "ingest.accepted", "profiles.changed", "opt_out.set", "request.created",
        "request.started", "erasure.verified", "erasure.shredded", "erasure.certified", "archive.ready",
        "archive.downloaded", "events.exported", "profiles.read",
    }  # fmt: skip
    tell.claim(
        "each of these acts stands in the log",
        wanted <= acts,
        f"{len(entries)} entries; missing: {sorted(wanted - acts) or 'none'}",
    )
    values = scene.people.identifying() | {f"{each.name}'s likes": each.mark for each in scene.people}
    named = search_bytes(reply.body, values, "log")
    tell.claim("the log names nobody", not named, f"{len(values)} values sought, {len(named)} found")
    held = scene.one.data.parent / "entries.ndjson"
    held.write_bytes(reply.body)
    code, said = _verify("log", str(held))
    tell.claim("the log verifies offline, line by line", code == 0, said.strip())
    held.write_bytes(reply.body.replace(b'"opt_out.set"', b'"opt_in.sets"', 1))
    code, said = _verify("log", str(held))
    tell.claim("a log with one word changed does not", code == 1, said.strip())
    refused = gate.get("/v1/audit/entries", scene.credentials.officer_token)
    tell.claim("the officer, who may erase, may not read the log", refused.status == 403, f"answered {refused.status}")


def _follow(scene: Scene, path: str) -> list[str]:
    """The distinct states seen, in order, until the request ends."""
    seen: list[str] = []
    until = time.monotonic() + _PATIENCE
    while time.monotonic() < until:
        state = str(scene.gate.get(path, scene.credentials.officer_token).json()["results"]["status"])
        if not seen or seen[-1] != state:
            seen.append(state)
        if state in ("SUCCESS", "FAILURE", "REVOKED"):
            break
        time.sleep(0.01)
    return seen


def _verify(*arguments: str) -> tuple[int, str]:
    """Run the verifier as a stranger would: the file by itself, in a process that knows nothing of the service."""
    done = subprocess.run([sys.executable, "-I", str(_VERIFIER), *arguments], capture_output=True, text=True, timeout=30)
    return done.returncode, done.stdout or done.stderr


def _lines(archive: zipfile.ZipFile, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in archive.read(name).splitlines()]
