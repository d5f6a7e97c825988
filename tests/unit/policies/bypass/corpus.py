"""The stream of mutants over every policy, and what became of them.

Seeded and lazy: the same arguments give the same mutants, one at a time.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final

from policies import library
from policies.cipher import TokenKey
from policies.compile import compile_policy
from policies.context import CheckContext
from policies.load import load
from policies.model import ActionKind, Detector, DetectorTerms, Geolocation, Policy, Record, Scope
from policies.pseudonym import PseudonymKey
from tests.unit.policies.bypass import mutations
from tests.unit.policies.bypass.oracle import readable
from tests.unit.policies.bypass.plants import AGREED, PLANTS, Seed, seeds

_TARGETS = {
    "drop": "drop",
    "drop_event": "drop_event",
    "quarantine": "quarantine",
    "hash": "hash",
    "period": "{hash: {period: month}}",
    "mask": "{mask: {keep_first: 1, keep_last: 2}}",
    "truncate": "{truncate: {length: 3}}",
    "redact": "redact",
    "bucket": "{generalise: {bucket: 10}}",
    "band": "{generalise: {bands: [18, 25, 65]}}",
    "month": "{generalise: {date: month}}",
    "area": "{generalise: {postal: 2}}",
    "replace": "{replace: {with: gone}}",
    "encrypt": "encrypt",
    "tokenise": "tokenise",
}
_EVERY_ACTION = "policy: every-action\ngeolocation: city\nrules:\n" + "".join(
    f"  - id: a-{name.replace('_', '-')}\n    properties: ['{name}_target', '*_{name}_x', 'home.{name}', 'items[].{name}y']\n"
    f"    category: user.contact.email\n    sensitivity: confidential\n    action: {action}\n"
    for name, action in _TARGETS.items()
)
_PER_EVENT = """
policy: per-event
rules:
  - {id: only-checkout, properties: [secretive], scope: event, events: ["Checkout*"], category: user.name, sensitivity: restricted, action: drop}
  - {id: exception, properties: [harmless_token], category: user.behavior, sensitivity: internal, action: keep}
  - {id: tokens, properties: ["*token*"], scope: profile, category: user.name, sensitivity: restricted, action: hash}
"""


def synthetic() -> dict[str, Policy]:
    """Small policies that use every action, of rules and of detectors."""
    found = {"(every action)": load(_EVERY_ACTION), "(per event)": load(_PER_EVENT)}
    for action in ("hash", "drop", "drop_event", "quarantine"):
        text = "".join(f"  {detector}: {action}\n" for detector in Detector)
        found[f"(detectors {action})"] = load(f"policy: detectors-{action.replace('_', '-')}\ndetectors:\n{text}")
    return found


def policies() -> dict[str, Policy]:
    """Every policy that ships, by name, and the synthetic ones."""
    return {name: load(library.text(name)) for name in library.names()} | synthetic()


KEEPS_ALL: Final = Policy(
    "keeps-all", detectors=tuple((each, DetectorTerms(ActionKind.KEEP)) for each in Detector), geolocation=Geolocation.CITY
)
CONTEXT: Final = CheckContext(PseudonymKey(1, bytes(range(32))), identifiers="exposed", tokens=TokenKey(1, bytes(range(32))))


@dataclass(frozen=True)
class Mutant:
    """One record that holds something forbidden. ``kept`` says that a policy which keeps everything keeps it."""

    family: str
    seed: Seed
    record: Record
    needles: tuple[str, ...]
    kept: bool = True


@dataclass
class Tally:
    """What became of mutants: of each family or policy, how many were tried, leaked, refused whole, and seen by the
    oracle where nothing was taken out."""

    tried: Counter[str] = field(default_factory=Counter)
    leaked: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    seen: Counter[str] = field(default_factory=Counter)
    leaks: list[Mutant] = field(default_factory=list)
    blind: list[Mutant] = field(default_factory=list)


class Attack:
    """One policy under attack, beside the gate that keeps everything."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.gate = compile_policy(policy)
        self.control = compile_policy(KEEPS_ALL)

    def judge(self, mutant: Mutant, tally: Tally, policy: str) -> None:
        """Send one mutant through both gates and count."""
        (decision,) = self.gate.check([mutant.record], CONTEXT)
        keys = (mutant.family, f"policy {policy}")
        tally.tried.update(keys)
        if decision.properties is None:
            tally.refused.update(keys)
            tally.failed.update(keys if decision.remarks[-1].reason == "check_failed" else ())
        elif readable(mutant.needles, [decision.name, decision.properties]):
            tally.leaked.update(keys)
            tally.leaks.append(mutant)
        if self._is_seen(mutant):
            tally.seen.update(keys)
        else:
            tally.blind.append(mutant)

    def _is_seen(self, mutant: Mutant) -> bool:
        record = mutant.record
        if not mutant.kept:
            return readable(mutant.needles, [record.name, record.properties])
        (decision,) = self.control.check([record], CONTEXT)
        return decision.properties is not None and readable(mutant.needles, [decision.name, decision.properties])


def stream(policy: Policy, count: int, seed: int = 5) -> Iterator[Mutant]:
    """``count`` mutants: first every family for every seed, in a drawn order, then mixtures without end."""
    rng = random.Random(seed)
    sources = list(seeds(policy))
    return islice(_endless(rng, sources), count) if sources else iter(())


def _endless(rng: random.Random, sources: list[Seed]) -> Iterator[Mutant]:
    for source in rng.sample(sources, len(sources)):
        for mutate in (_of_text, _of_name, _of_object, _of_type, _elsewhere):
            yield from mutate(rng, source)
    while True:
        yield from _mixture(rng, rng.choice(sources))


def not_promised(policy: Policy, seed: int = 5) -> Iterator[Mutant]:
    """Mutants that docs/policy.md says a policy does not see through."""
    rng = random.Random(seed)
    for source in seeds(policy):
        if source.kind == "detector":
            for family, text in mutations.NOT_PROMISED_TEXTS.items():
                yield _mutant(source, f"not promised: {family}", {source.path[-1]: text(rng, source.value)})
        if source.kind == "rule":
            for family, name in mutations.NOT_PROMISED_NAMES.items():
                path = (*source.path[:-1], name(rng, source.path[-1]))
                yield _mutant(source, f"not promised: {family}", _at(path, source.value))
            yield _mutant(source, "not promised: a name below the property", _at(source.path, {source.value: True}))


def _mutant(source: Seed, family: str, properties: dict[str, Any], kept: bool = True, **changes: Any) -> Mutant:
    needles = changes.pop("needles", source.needles)
    scope = changes.pop("scope", source.scope)
    name = changes.pop("name", source.event if scope is Scope.EVENT else "$set")
    record = Record(scope, name, {"plan": "pro", **properties, "count": 3}, AGREED, 1_795_450_828_000, subject_key=bytes(32))
    return Mutant(family, source, record, needles, kept and source.kept)


def _at(path: tuple[str, ...], value: Any) -> dict[str, Any]:
    for name in reversed(path):
        value = {name: value}
    found: dict[str, Any] = value
    return found


def _of_text(rng: random.Random, source: Seed) -> Iterator[Mutant]:
    if source.kind != "detector":
        yield _mutant(source, "plain", _at(source.path, source.value))
        return
    for family, change in mutations.TEXTS.items():
        yield _mutant(source, family, _at(source.path, change(rng, source.value)))
    bare = next(plant.value for plant in PLANTS if source.value == plant.before + plant.value)
    for _ in range(3 if source.splits else 0):
        yield _mutant(source, "value.split", _at(source.path, mutations.split(rng, bare, source.splits)))
    if source.glues:
        for text in (f"日本{bare}語", f"name={bare}&x=1", f"<{bare}>", f"mailto:{bare}?subject=x", f'"{bare}"', f"{bare};{bare}"):
            yield _mutant(source, "value.glued", _at(source.path, text))


def _of_name(rng: random.Random, source: Seed) -> Iterator[Mutant]:
    if source.kind == "detector":
        # The value itself becomes a name, at the top and below, and the name of the event.
        yield _mutant(source, "value as a name", {source.value: 1})
        yield _mutant(source, "value as a name", {"zqa": [{source.value: {"zqb": 1}}]})
        yield _mutant(source, "value as event name", {}, name=f"{source.event} {source.value}")
        return
    if source.kind == "place":
        return
    for family, change in mutations.NAMES.items():
        for _ in range(2):
            yield _mutant(source, family, _at(_renamed(source.path, change, rng), source.value))
    yield _mutant(source, "name.dotted", {".".join(("zqa", *source.path)): source.value})


def _renamed(path: tuple[str, ...], change: mutations.OfName, rng: random.Random) -> tuple[str, ...]:
    """The path with one name in disguise: a prefix only before the first, because a rule names neighbours."""
    at = 0 if change is mutations.NAMES["name.dotted"] else rng.randrange(len(path))
    return (*path[:at], change(rng, path[at]), *path[at + 1 :])


def _of_object(rng: random.Random, source: Seed) -> Iterator[Mutant]:
    inner = _at(source.path, source.value)
    for family, change in mutations.OBJECTS.items():
        if source.kind == "place" and family == "around.too deep":
            continue
        kept = family not in ("around.too deep", "around.duplicate names")
        yield _mutant(source, family, change(rng, inner), kept)


def _of_type(rng: random.Random, source: Seed) -> Iterator[Mutant]:
    value = source.value
    forms: list[tuple[str, Any, tuple[str, ...]]] = [
        ("type.list", [value, [value], None], source.needles),
        ("type.nested", {"zqa": {"zqb": [value]}}, source.needles),
        ("type.tuple", (value, 1), source.needles),
    ]
    if source.number is not None:
        number = source.number
        forms += [
            ("type.number", number, source.number_needles),
            ("type.number", [number, {"zqa": -number}], source.number_needles),
            ("type.float", float(number), source.number_needles),
            ("type.float", number + 0.5, source.number_needles),
            ("type.huge number", number * 10**12, source.number_needles),
            ("type.stringified", f'"{value}"', source.needles),
            ("type.stringified", f'["{value}"]', source.needles),
        ]
        if source.action not in (ActionKind.TRUNCATE, ActionKind.MASK):
            forms.append(("type.list of digits", [int(digit) for digit in str(number)], source.number_needles))
    for family, changed, needles in forms:
        yield _mutant(source, family, _at(source.path, changed), needles=needles)


def _elsewhere(rng: random.Random, source: Seed) -> Iterator[Mutant]:
    """Profile and group operations, identifiers, clocks, insert ids: wherever else a value may stand."""
    if source.kind == "rule":
        return
    for operation in ("$set", "$set_once", "$append", "$union", "$remove"):
        value = [source.value] if operation == "$union" else source.value
        for scope in (Scope.PROFILE, Scope.GROUP):
            yield _mutant(source, "profile operation", _at(source.path, value), scope=scope, name=operation)
    if source.kind == "detector":
        for name in (
            "distinct_id",
            "$user_id",
            "$device_id",
            "alias",
            "$distinct_ids",
            "$anon_id",
            "$insert_id",
            "time",
            "$time",
        ):
            yield _mutant(source, "housekeeping property", {name: source.value})
            yield _mutant(source, "housekeeping property", {name: [source.value, {"zqa": source.value}]})
        yield _mutant(source, "names that are no text", {"zqa": {7: source.value, None: source.value, (1,): source.value}}, False)


def _mixture(rng: random.Random, source: Seed) -> Iterator[Mutant]:
    """Two or three disguises at once."""
    value, path, kept, needles = source.value, source.path, True, source.needles
    used = []
    if source.kind == "detector":
        for family in rng.sample(_MIXABLE_TEXTS, rng.randrange(1, 3)):
            value = mutations.TEXTS[family](rng, value)
            used.append(family)
    elif source.kind == "rule":
        family = rng.choice(tuple(mutations.NAMES))
        path = _renamed(path, mutations.NAMES[family], rng)
        used.append(family)
        if rng.random() < 0.3:
            value = rng.choice(([value], {"zqa": value}, [[{"zqb": value}]], f'["{value}"]'))
    properties = _at(path, value)
    for family in rng.sample(_MIXABLE_OBJECTS, rng.randrange(1, 3)):
        if family == "around.broken JSON" or (family == "around.duplicate names" and len(properties) != 1):
            continue
        try:
            properties = mutations.OBJECTS[family](rng, properties)
        except TypeError:
            continue  # Bytes and sets, which only a caller in the same process can send, have no JSON text.
        kept = kept and family != "around.duplicate names"
        used.append(family)
    scope = rng.choice(tuple(Scope)) if source.kind != "rule" else source.scope
    yield _mutant(source, "mixtures", properties, kept, scope=scope, needles=needles)


# At most one layer of encoding around plain dress: three kinds inside each other are nobody's promise.
_MIXABLE_TEXTS: Final = tuple(
    name
    for name in mutations.TEXTS
    if name not in ("value.entities", "value.backslash-u", "value.long text") and "base64" not in name
)
_MIXABLE_OBJECTS: Final = ("around.nested", "around.lists", "around.mixed", "around.JSON in text", "around.duplicate names",
                           "around.many neighbours", "around.surrogate neighbour")  # fmt: skip


def report(tally: Tally, families: Callable[[str], bool] = lambda _: True) -> Iterator[str]:
    """One line a family and a policy: tried, leaked, refused whole, could not be judged, found by the control."""
    yield f"{'':42} {'tried':>8} {'leaked':>7} {'refused':>8} {'failed':>7} {'control':>8}"
    for name in sorted(filter(families, tally.tried)):
        counts = (tally.tried, tally.leaked, tally.refused, tally.failed, tally.seen)
        tried, leaked, refused, failed, seen = (count[name] for count in counts)
        yield f"{name:42} {tried:8} {leaked:7} {refused:8} {failed:7} {seen:8}"
