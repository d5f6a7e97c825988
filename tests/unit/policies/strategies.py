"""Random policies and random records, for the properties that hold for all of them."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import strategies as st

from policies.model import (
    ActionKind,
    Condition,
    Consent,
    Consented,
    DateUnit,
    Detector,
    DetectorTerms,
    Drop,
    DropEvent,
    DropFilter,
    Encrypt,
    Fallback,
    Generalise,
    Geolocation,
    Hash,
    Keep,
    Mask,
    Period,
    Policy,
    Purpose,
    Quarantine,
    Record,
    Redact,
    Replace,
    Rule,
    Scope,
    Sensitivity,
    Signal,
    SubjectState,
    Tokenise,
    Truncate,
    Unknown,
)

NAMES = (
    "a",
    "b",
    "email",
    "user_email",
    "userEmail",
    "zip",
    "age",
    "born",
    "note",
    "$city",
    "$latitude",
    "mp_country_code",
    "ip",
    "time",
    "alias",
)
PATTERNS = ("a", "b", "*", "a?", "*_email", "email", "zip", "age", "born", "note", "a.b", "b.*", "items[].a", "user.email")
EVENTS = ("Page Viewed", "Sign Up", "sign up", "Ad Clicked", "$opt_in")
TEXTS = (
    "",
    " ",
    "blue",
    "34",
    "-7.5",
    "1985-04-12",
    "94107",
    "SW1A 1AA",
    "jane@example.com",
    "call (415) 555-2671",
    "4111 1111 1111 1111",
    "from 203.0.113.9 and 2001:db8::1",
    "jane%40example.com",
    "[email]",
    "[name]",
    "***",
    "18-24",
    "<18",
    "p1." + "a" * 32,
    "t1." + "A" * 30,
    "e1." + "A" * 30,
    "[encrypted]",
    "Å b̈ ｃ",
    "\ud800",
    '{"email": "jane@example.com", "a": [1, {"b": "x"}]}',
    '["jane@example.com", 34]',
    '{"a": 1, "a": 2}',
)
_COUNTS = st.integers(0, 6)
_WIDTHS = st.sampled_from([0.1, 0.25, 1, 5, 10, 1000, 3.7])
_BOUNDS = st.lists(st.sampled_from([0, 1.5, 13, 18, 25, 40, 65, 1000, 10**7]), min_size=1, max_size=5, unique=True)

GENERALISE = st.one_of(
    st.builds(lambda width: Generalise(bucket=width), _WIDTHS),
    st.builds(lambda bounds: Generalise(bands=tuple(sorted(bounds))), _BOUNDS),
    st.builds(lambda unit: Generalise(date=unit), st.sampled_from(DateUnit)),
    st.builds(lambda length: Generalise(postal=length), st.integers(1, 10)),
)
CHANGING = st.one_of(
    st.builds(Hash, st.sampled_from([None, "device"]), st.sampled_from([None, *Period])),
    st.builds(Mask, _COUNTS, _COUNTS),
    st.builds(Truncate, st.integers(0, 30)),
    GENERALISE,
    st.builds(Replace, st.sampled_from(["unknown", "", 0, 1.5, True, False])),
    st.just(Redact()),
    st.just(Encrypt()),
    st.builds(Tokenise, st.sampled_from([None, "loyalty"])),
)
ACTIONS = st.one_of(CHANGING, CHANGING, CHANGING, st.just(Keep()), st.just(Drop()), st.just(DropEvent()), st.just(Quarantine()))
CATEGORIES = st.sampled_from(
    [
        "user",
        "user.contact.email",
        "user.contact.phone_number",
        "user.demographic.age",
        "user.demographic.date_of_birth",
        "user.name",
        "user.unique_id",
    ]
)


@st.composite
def rules(draw: st.DrawFn, actions: st.SearchStrategy[Any] = ACTIONS) -> tuple[Rule, ...]:
    """Up to five rules with ids of their own."""
    found = []
    for number in range(draw(st.integers(0, 5))):
        action = draw(actions)
        scopes = draw(st.sampled_from([tuple(Scope), tuple(Scope), (Scope.EVENT,), (Scope.PROFILE,)]))
        events = draw(st.sampled_from([(), (), ("Sign*",)])) if scopes == (Scope.EVENT,) else ()
        properties = tuple(draw(st.lists(st.sampled_from(PATTERNS), min_size=1, max_size=3)))
        scan = not isinstance(action, Keep) or draw(st.booleans())
        found.append(
            Rule(
                f"r{number}", properties, draw(CATEGORIES), draw(st.sampled_from(Sensitivity)), action, scopes, events, scan=scan
            )
        )
    return tuple(found)


_DETECTOR_ACTIONS = [
    ActionKind(name) for name in ("keep", "drop", "drop_event", "quarantine", "hash", "redact", "redact", "redact")
]
UNKNOWN = st.builds(
    Unknown,
    st.sampled_from([Fallback.ALLOW, Fallback.ALLOW, *Fallback]),
    st.lists(st.tuples(st.sampled_from(Sensitivity), st.sampled_from(Fallback)), max_size=2, unique_by=lambda pair: pair[0]).map(
        tuple
    ),
)
FILTERS = st.lists(
    st.builds(
        lambda number, name, test: DropFilter(f"f{number}", ("*",), (Condition(name, *test),)),
        st.integers(0, 9**9),
        st.sampled_from(["a", "items[].a", "email"]),
        st.sampled_from(
            [("is", ("blue",)), ("exists", (True,)), ("above", (10**9,)), ("contains", ("@",)), ("is_not", ("x", None))]
        ),
    ),
    max_size=2,
    unique_by=lambda each: each.id,
).map(tuple)
CONSENT = st.builds(
    Consent,
    st.sampled_from([Consented.OPTED_IN, Consented.OPTED_IN, Consented.OPTED_OUT]),
    st.sampled_from([(), (Signal.GPC,), (Signal.GPC, Signal.DNT)]),
    st.sampled_from(
        [
            (),
            (Purpose("ads", ("Ad *",)), Purpose("measure", ("*",))),
            (Purpose("ads", ("Ad *",), (Signal.GPC,)), Purpose("measure")),
        ]
    ),
)


@st.composite
def policies(draw: st.DrawFn, actions: st.SearchStrategy[Any] = ACTIONS, filters: bool = True) -> Policy:
    """A whole policy, well-formed by construction."""
    return Policy(
        "random",
        rules=draw(rules(actions)),
        detectors=tuple((each, DetectorTerms(draw(st.sampled_from(_DETECTOR_ACTIONS)))) for each in Detector),
        default_region=draw(st.sampled_from(["US", "DE"])),
        geolocation=draw(st.sampled_from(Geolocation)),
        unknown_properties=draw(UNKNOWN),
        unknown_events=draw(UNKNOWN),
        allowed_events=draw(st.sampled_from([(), ("Page *",), ("*",)])),
        blocked_events=draw(st.sampled_from([(), (), ("Ad *",)])),
        drop_filters=draw(FILTERS) if filters else (),
        consent=draw(CONSENT),
    )


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-200, 3000),
    st.integers(),
    st.sampled_from(
        [
            10**30,
            -(2**70),
            4111111111111111,
            4.111111111111111e15,
            1e300,
            -0.0,
            0.1,
            0.7,
            float("nan"),
            float("inf"),
            1781524800,
            482112000000,
        ]
    ),
    st.floats(),
    st.sampled_from(TEXTS),
    st.sampled_from(TEXTS),
    st.text(max_size=12),
)
KEYS = st.sampled_from(NAMES) | st.text(st.sampled_from("abAB_.- é"), max_size=4)
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=8)
EMBEDDED = st.dictionaries(
    st.sampled_from(["a", "b", "email"]), st.sampled_from(["x", 1, None, "jane@example.com", ["94107"]]), max_size=3
)
PROPERTIES = st.dictionaries(KEYS, VALUES | EMBEDDED.map(lambda value: msgspec.json.encode(value).decode()), max_size=5)
STATES = st.sampled_from([*[SubjectState.ACTIVE, SubjectState.OPTED_IN] * 4, *SubjectState])
TIMES = st.sampled_from([0, 1_781_524_800_000, 951_782_400_000, -1, 10**15, 1_767_225_599_999])
REFUSED = st.sampled_from([frozenset[str](), frozenset({"ads"}), frozenset({"ads", "measure"})])


@st.composite
def records(draw: st.DrawFn) -> Record:
    """A record of any scope, with and without a key of its person."""
    scope = draw(st.sampled_from([Scope.EVENT, Scope.EVENT, *Scope]))
    name = draw(st.sampled_from(EVENTS)) if scope is Scope.EVENT else "$set"
    key = draw(st.sampled_from([None, bytes(range(32))]))
    return Record(scope, name, draw(PROPERTIES), draw(STATES), draw(TIMES), draw(REFUSED), key)
