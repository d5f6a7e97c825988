"""What is said about patterns agrees with the engine that matches them."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings, strategies as st

from policies.classify import Classifier, EventPatterns, Part
from policies.model import Drop, Reason, Rule, Scope, Sensitivity
from policies.patterns import Patterns, TooMuch, example, is_wild

GLOB = st.text("ab*?", min_size=1, max_size=4)
PATTERN = st.lists(GLOB, min_size=1, max_size=2).map(".".join)
NAMES = ["".join(each) for n in range(1, 5) for each in itertools.product("ab", repeat=n)]
PATHS = [*NAMES[:14], *(f"{one}.{two}" for one in NAMES[:6] for two in NAMES[:14]), *(f"b.{one}.a" for one in NAMES[:6])]


def names_it(pattern: str, path: str) -> bool:
    rule = Rule("r", (pattern,), "user", Sensitivity.PUBLIC, Drop())
    return bool(Classifier([(rule, Reason.CLASSIFIED)], lambda _: False, Part.SCANNED, ()).candidates(path, Scope.EVENT))


def named(pattern: str) -> set[str]:
    """The paths that a rule of this pattern is about, says the classifier."""
    rule = Rule("r", (pattern,), "user", Sensitivity.PUBLIC, Drop())
    classifier = Classifier([(rule, Reason.CLASSIFIED)], lambda _: False, Part.SCANNED, ())
    return {path for path in PATHS if classifier.candidates(path, Scope.EVENT)}


@given(PATTERN, PATTERN)
@settings(max_examples=200, deadline=None)
def test_what_is_covered_is_matched_and_what_never_meets_is_not(one: str, other: str) -> None:
    first, second = named(one), named(other)
    if Patterns().path_covers(one, other):
        assert second <= first
        assert names_it(one, example(other))
    elif not is_wild(other):
        assert not names_it(one, example(other))
    if not Patterns().paths_meet(one, other):
        assert not first & second


@given(GLOB, GLOB)
@settings(max_examples=200, deadline=None)
def test_the_same_for_events(one: str, other: str) -> None:
    first, second = ({name for name in NAMES if EventPatterns([glob]).match(name)} for glob in (one, other))
    if Patterns().event_covers(one, other):
        assert second <= first
    if not Patterns().events_meet([one], [other]):
        assert not first & second


@pytest.mark.parametrize(
    ("wide", "narrow", "covered"),
    [
        ("email", "Email", True),
        ("email", "user.email", True),
        ("user.email", "email", False),
        ("*email*", "$email", True),
        ("*", "a.b", True),
        ("a.*", "a.b", True),
        ("a.*", "items[].a.b", True),
        ("*_email", "*email", False),
        ("*?", "?*", True),
        ("a?", "a*", False),
        ("*a*", "*aa*", True),
        ("*ab", "*aab", True),
    ],
)
def test_paths_by_hand(wide: str, narrow: str, covered: bool) -> None:
    assert Patterns().path_covers(wide, narrow) is covered


def test_lists_of_events() -> None:
    assert Patterns().events_cover((), ("A",))
    assert Patterns().events_cover(("A*", "B*"), ("Apple", "Bee"))
    assert not Patterns().events_cover(("A*",), ())
    assert Patterns().events_cover(("*",), ())
    assert not Patterns().events_cover(("A?C",), ("A.C",))


def test_the_work_is_bounded() -> None:
    patterns = Patterns(budget=100)
    assert not patterns.path_covers("*a*a*", "*b*b*")
    with pytest.raises(TooMuch):
        patterns.events_cover(["*a*"] * 50, ["*b*"])
