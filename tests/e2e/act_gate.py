"""The first half of the story: what goes in, what policy makes of it, and who is refused (steps 1 to 4)."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import mixpanel

from policies import library
from policies.compile import compile_policy
from policies.context import CheckContext
from policies.load import load
from policies.model import Record, Scope
from policies.pseudonym import PseudonymKey
from tests.e2e import senders
from tests.e2e.cast import Sent
from tests.e2e.client import Reply
from tests.e2e.scene import Remark, Scene, changes, differences, property_changes, remarked
from tests.e2e.stored import properties_of
from tests.e2e.telling import Change
from tests.e2e.traces import Search, search

_POLICY = "gdpr-analytics"
_GOOD = {"error": None, "status": 1}


# --- 1: senders ------------------------------------------------------------------------------------------------------


def send(scene: Scene) -> None:
    """Unmodified SDKs send events and profiles full of personal data."""
    tell = scene.tell
    tell.say(
        "Four people use a shop. Its back ends and pages send events and profiles with the SDKs that they have; only the "
        "address is ours. What they send holds e-mail addresses, telephone and card numbers, IP addresses, and ordinary data."
    )
    tell.claim(*_by_python(scene))
    tell.claim(*_by_node(scene))
    tell.claim(*_by_form(scene))
    tell.claim(*_by_beacon(scene))
    tell.claim(*_by_utils(scene))
    counts = scene.stored.counts()
    tell.claim(
        "each event is stored once, also those that form and beacon both delivered, and each person has one profile",
        (counts["event"], counts["profile"]) == (len(scene.sent), len(scene.profiles)),
        f"{counts['event']} event rows for {len(scene.sent)} events, {counts['profile']} profile rows for {len(scene.profiles)}",
    )


Claim = tuple[str, bool, str]


def _by_python(scene: Scene) -> Claim:
    sdk, ada = senders.python_sdk(scene.credentials), scene.people.ada
    mine = [each for each in scene.sent if each.by.startswith("mixpanel (Python)")]
    told = sdk_outcome(lambda: [track(sdk, each) for each in mine])
    told = told and sdk_outcome(lambda: sdk.people_set(ada.id, scene.profiles["Ada"]))
    return (f"mixpanel {mixpanel.__version__} (Python): track and people_set succeed", told, "the SDK raised nothing")


def track(sdk: mixpanel.Mixpanel, sent: Sent) -> None:
    """One event by the Python SDK, with the `$insert_id` and time of the script so that it can be sent again."""
    sdk.track(sent.ids["distinct_id"], sent.event, sent.properties | {"$insert_id": sent.insert_id, "time": sent.time})


def sdk_outcome(work: Callable[[], object]) -> bool:
    """Whether the SDK reported success. It raises `MixpanelException` for everything else."""
    try:
        work()
    except mixpanel.MixpanelException:
        return False
    return True


def _by_node(scene: Scene) -> Claim:
    token, base = scene.credentials.project_token, scene.credentials.base_url
    replies = []
    for each in scene.sent:
        if each.by.startswith("Node"):
            # The SDK for Node adds neither time nor `$insert_id`.
            properties = each.ids | each.properties | {"token": token, "mp_lib": "node", "$lib_version": "0.24.0"}
            replies.append(senders.node_get(base, "track", {"event": each.event, "properties": properties}))
    ben = {"$token": token, "$distinct_id": scene.people.ben.id, "$set": scene.profiles["Ben"]}
    replies.append(senders.node_get(base, "engage", ben))
    return (
        "a Node-style GET with base64 is answered by the single byte that SDK wants",
        all(r.body == b"1" for r in replies),
        _seen(replies),
    )


def _by_form(scene: Scene) -> Claim:
    token, base = scene.credentials.project_token, scene.credentials.base_url
    events = [each.record(token) for each in scene.sent if each.by == "browser form"]
    cleo = scene.people.cleo
    profile = {
        "$token": token,
        "$distinct_id": cleo.id,
        "$device_id": cleo.device,
        "$user_id": cleo.id,
        "$set": scene.profiles["Cleo"],
    }
    replies = [senders.browser_post(base, "track", events), senders.browser_post(base, "engage", [profile])]
    return (
        "a browser-style form post from another origin succeeds, with the CORS headers that it needs",
        all(map(_good, replies)),
        _seen(replies),
    )


def _by_beacon(scene: Scene) -> Claim:
    token, base = scene.credentials.project_token, scene.credentials.base_url
    # A page that goes away sends what is still queued; the next page sends the queue again.
    events = [each.record(token) for each in scene.sent if each.by.startswith("browser")]
    replies = [senders.browser_beacon(base, "track", events)]
    return ("the beacon that a page sends as it goes, text/plain, succeeds", all(map(_good, replies)), _seen(replies))


def _good(reply: Reply) -> bool:
    headers = {name.lower(): value for name, value in reply.headers.items()}
    credentialed = headers.get("access-control-allow-credentials") == "true"
    return reply.status == 200 and reply.json() == _GOOD and credentialed and "*" not in headers["access-control-allow-origin"]


def _seen(replies: list[Reply]) -> str:
    return "answered " + ", ".join(sorted({f"{each.status} {each.body.decode()}" for each in replies}))


def _by_utils(scene: Scene) -> Claim:
    utils = senders.utils_sdk(scene.credentials)
    mine = [each for each in scene.sent if each.by == "mixpanel-utils"]
    utils.import_events([each.record() for each in mine], timezone_offset=0)
    # Its backup file would hold the profile in clear, in whatever folder this runs in.
    utils.people_set(scene.profiles["Dora"], profiles=[{"$distinct_id": scene.people.dora.id}], backup=False)
    # The package swallows every refusal, so success is what is there afterwards.
    there = [scene.stored.holding("event", each.trace) for each in mine] + [
        scene.stored.holding("profile", scene.people.dora.mark)
    ]
    return (
        "mixpanel-utils 2.2.7: import_events (strict, last week's) and people_set succeed",
        set(there) == {1},
        f"rows there afterwards: {there}",
    )


# --- 2: sent and stored ----------------------------------------------------------------------------------------------


def compare(scene: Scene) -> None:
    """What was sent beside what is stored, and why; then a search of every byte."""
    tell, verdicts, exported = scene.tell, scene.check(), scene.exported()
    policy = verdicts["policy"]
    tell.say(
        f"The policy {policy['name']}, version {policy['version']}, is a YAML file that ships. On the left what the sender sent, on "
        "the right the row in the SQLite file, then the remark of the gate: rule → action (reason). Geolocation is off."
    )
    unexplained, differing = [], []
    for sent, result in zip(scene.sent, verdicts["results"], strict=True):
        row = scene.stored.event(sent.trace)
        stored = properties_of(row)
        tell.compare(f"{sent.person.name} · by {sent.by} · {result['verdict']}", changes(sent, row, result["remarks"]))
        if differences(sent.properties, stored) != remarked(result["remarks"], sent.properties):
            unexplained.append(sent.event)
        if not _reads_as_stored(sent, stored, exported.get(sent.trace)):
            differing.append(sent.event)
    _profiles(scene, unexplained)
    tell.claim(
        "every change has a remark, and every remark is about a change", not unexplained, f"not so: {unexplained or 'nowhere'}"
    )
    tell.claim(
        "raw export gives every event back as it is stored, with the ids put back for a reader who may see them",
        not differing and len(exported) == len(scene.sent),
        f"{len(exported)} events read by the service account; differing: {differing or 'none'}",
    )
    _what_became_of_it(scene, exported)
    _nothing_on_disk(scene)


def _reads_as_stored(sent: Sent, stored: dict[str, Any], line: dict[str, Any] | None) -> bool:
    if line is None:
        return False
    ids = {"distinct_id": sent.person.id} | {name: sent.ids[name] for name in ("$device_id", "$user_id") if name in sent.ids}
    read = {name: value for name, value in line["properties"].items() if name != "time"}
    kept = {name: value for name, value in stored.items() if name not in ids}
    return bool(line["event"] == sent.event and read == kept | ids)


def _profiles(scene: Scene, unexplained: list[str]) -> None:
    """The check API takes events; of profiles, the same policy says why as the library that it is."""
    gate = compile_policy(load(library.text(_POLICY)))
    records = [Record(Scope.PROFILE, "$set", dict(each)) for each in scene.profiles.values()]
    decisions = gate.check(records, CheckContext(PseudonymKey(1, bytes(range(32)))))
    for (name, sent), decision in zip(scene.profiles.items(), decisions, strict=True):
        mark = next(each.mark for each in scene.people if each.name == name)
        row = scene.stored.profile(mark)
        remarks: list[Remark] = [
            {"rule": r.rule, "path": r.path, "action": str(r.action.value), "reason": r.reason.value} for r in decision.remarks
        ]
        whose = Change(
            "$distinct_id",
            next(each.id for each in scene.people if each.name == name),
            f"uid {row['uid']}",
            "register: id sealed apart",
        )
        scene.tell.compare(
            f"{name} · profile · {decision.verdict.value}", [whose, *property_changes(sent, properties_of(row), remarks)]
        )
        if differences(sent, properties_of(row)) != remarked(remarks, sent):
            unexplained.append(f"profile of {name}")


def _what_became_of_it(scene: Scene, exported: dict[str, dict[str, Any]]) -> None:
    def kept(position: int) -> dict[str, Any]:
        found: dict[str, Any] = exported[scene.sent[position].trace]["properties"]
        return found

    one, two, ada = kept(5), kept(6), kept(0)
    pseudonyms = [one["email"], two["form"].get("email"), ada["email"]]
    tell = scene.tell
    tell.claim(
        "hash: one address gives one keyed pseudonym wherever it stands, another address another",
        pseudonyms[0] == pseudonyms[1] != pseudonyms[2] and all(str(each).startswith("p1.") for each in pseudonyms),
        " · ".join(str(each)[:16] + "…" for each in pseudonyms),
    )
    tell.claim(
        "mask: of a telephone number the last two digits stay",
        str(ada["phone"]).strip("*") == scene.people.ada.phone[-2:] and "*" in str(ada["phone"]),
        str(ada["phone"]),
    )
    note = kept(2)["note"]
    tell.claim(
        "redact: free text loses card, telephone number and IP address, and stays readable",
        note == "my card [card] was declined, call [phone], sent from [ip]",
        note,
    )
    tell.claim(
        "drop: a card number, a sender's IP address and every place are gone, though the sender asked for geolocation (ip=1)",
        "card" not in two["form"]
        and not any("ip" in each or "$city" in each or "mp_country_code" in each for each in (kept(1), kept(3), kept(4))),
        f"kept of the form: {sorted(two['form'])}; of the page view: {sorted(set(kept(1)) & set(scene.sent[1].properties))}",
    )
    tell.claim(
        "ordinary data survives: " + "plan, seats, screen, page, seconds, amount, items, likes",
        all(
            exported[each.trace]["properties"].get(name) == value
            for each in scene.sent
            for name, value in each.properties.items()
            if name in {"plan", "seats", "screen", "page", "seconds", "amount", "items", "likes", "trace"}
        ),
        f"{sum(len(each.properties) for each in scene.sent)} properties sent with events",
    )


def _nothing_on_disk(scene: Scene) -> None:
    planted = scene.planted()
    controls = {f"{each.name}'s likes": each.mark for each in scene.people}
    found = searched(scene, planted | controls)
    raw = [trace for trace in found.traces if trace.label in planted]
    scene.tell.claim(
        f"a byte search of the whole data folder for {len(planted)} raw values, ids among them, finds nothing",
        not raw and len(planted) >= 12,
        "; ".join(map(str, raw))
        or found.scope + ", the write-ahead log, the queue's log and all that the service printed among them",
    )
    seen = {label: found.of(label) for label in controls}
    scene.tell.claim("and the search can find: the ordinary values are there", all(seen.values()), seen)


def searched(scene: Scene, values: dict[str, str]) -> Search:
    """A byte search over the data folder and over what the installation printed."""
    return search(scene.one.data, values, also=[scene.one.log])


# --- 3: ask before you store -----------------------------------------------------------------------------------------


def ask(scene: Scene) -> None:
    """Another service asks for a verdict and nothing is kept."""
    tell, before = scene.tell, (scene.stored.counts(), scene.stored.digest())
    answer = scene.check()
    after = (scene.stored.counts(), scene.stored.digest())
    tell.say(
        "A service that stores elsewhere asks before it does: POST /v1/check, with a token that can do nothing else but send."
    )
    tell.show(json.dumps(answer["results"][2], indent=1, ensure_ascii=False), most=26)
    same = [_same(sent, scene, result) for sent, result in zip(scene.sent, answer["results"], strict=True)]
    tell.claim(
        "it gets the verdict that the stored events got, in the order it asked", all(same), f"{sum(same)} of {len(same)} alike"
    )
    tell.claim(
        "the answer names policy and version",
        answer["policy"]["name"] == _POLICY and answer["policy"]["version"] >= 1,
        answer["policy"],
    )
    changed = {name for name in before[0] if before[0][name] != after[0].get(name)}
    tell.claim(
        "and nothing was stored: no table has another row, no row another byte",
        not changed and before == after,
        f"{len(after[0])} tables, {sum(after[0].values())} rows, digest {after[1][1][:16]}…; changed: {sorted(changed) or 'none'}",
    )
    raw = [trace for trace in searched(scene, scene.planted()).traces]
    tell.claim(
        "nor did the question leave a trace in any file", not raw, "; ".join(map(str, raw)) or "searched again, nothing found"
    )


def _same(sent: Sent, scene: Scene, result: dict[str, Any]) -> bool:
    stored = properties_of(scene.stored.event(sent.trace))
    told = result["event"]["properties"]
    names = sent.properties
    return result["event"]["event"] == sent.event and all(stored.get(name) == told.get(name) for name in names)


# --- 4: opt-out ------------------------------------------------------------------------------------------------------


def opt_out(scene: Scene) -> None:
    """Ada is opted out; her senders do not notice and nothing more of her is stored."""
    tell, gate, ada = scene.tell, scene.gate, scene.people.ada
    tell.say("Ada objects. The officer opts her out: POST /v1/opt-outs with her id. Her pages and back ends go on sending.")
    reply = gate.post("/v1/opt-outs", {"distinct_ids": [ada.id]}, scene.credentials.officer_token)
    tell.claim(
        "the officer's opt-out reaches the person and both of her ids, user and device",
        reply.status == 200 and reply.json() == {"people": 1, "ids": 2, "erased": 0},
        f"{reply.status} {reply.body.decode()}",
    )
    before, refused = (scene.stored.counts(), scene.stored.digest()), gate.refused("opted_out")
    late = {"likes": f"late-{ada.mark}", "trace": f"late-{ada.mark}"}
    sdk, token = senders.python_sdk(scene.credentials), scene.credentials.project_token
    told = sdk_outcome(lambda: sdk.track(ada.id, "Sign In", late)) and sdk_outcome(lambda: sdk.people_set(ada.id, late))
    device = {
        "event": "Page Viewed",
        "properties": late | {"token": token, "distinct_id": f"$device:{ada.device}", "$device_id": ada.device},
    }
    page = senders.browser_post(scene.credentials.base_url, "track", [device])
    tell.claim(
        "her SDKs still get success, for event, profile, and a page that knows only her device",
        told and _good(page),
        _seen([page]),
    )
    after = (scene.stored.counts(), scene.stored.digest())
    same = {name for name in ("event", "profile", "register", "quarantined") if before[0].get(name) == after[0].get(name)}
    tell.claim(
        "nothing of it is stored",
        len(same) == 4 and before[1] == after[1] and not searched(scene, late).traces,
        f"unchanged: {sorted(same)}",
    )
    now = gate.refused("opted_out")
    tell.claim(
        "each refusal is counted, with its reason",
        now - refused == 3,
        f"GET /v1/refusals: opted_out {refused} before, {now} after",
    )
    verdict = scene.check()["results"][0]
    tell.claim(
        "and a service that asks about her hears it",
        verdict["verdict"] == "dropped" and verdict["event"] is None and verdict["remarks"][-1]["reason"] == "opted_out",
        json.dumps({"verdict": verdict["verdict"], "remarks": verdict["remarks"]}),
    )
