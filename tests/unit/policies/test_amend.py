"""A drop filter put into and taken out of a policy as its author wrote it."""

from __future__ import annotations

import pytest

from policies import library
from policies.amend import read_filter, with_filter, without_filter
from policies.errors import PolicyInvalid
from policies.load import load

NEW = {"id": "own-people", "events": ["Page *"], "where": [{"property": "role", "is": ["staff", 'a "quoted" one']}]}
TEXTS = {
    "no events": "policy: a\n# a comment\nrules: []",
    "events without drop": "policy: a\nevents:\n  # why\n  block: [x]\nrules: []\n",
    "block list": "policy: a\nevents:\n  drop:\n    # bots\n    - id: bots\n      where:\n        - {property: p, exists: true}\nrules: []\n",
    "flow entries": "policy: a\nevents:\n  drop:\n  - {id: bots, where: [{property: p, is: [1]}]}\n  block: [x]\nrules: []\n",
}


@pytest.mark.parametrize("text", [*TEXTS.values(), *map(library.text, library.names())])
def test_a_filter_goes_in_and_out_again_and_nothing_else_changes(text: str) -> None:
    before = load(text)
    longer = with_filter(text, NEW)
    assert longer is not None
    assert load(longer).drop_filters == (read_filter(NEW), *before.drop_filters)
    assert all(line in longer.splitlines() for line in text.splitlines()), "every line of the author's stays"
    shorter = without_filter(longer, "own-people")
    assert shorter is not None
    assert load(shorter) == before


def test_a_list_written_in_one_line_is_left_to_its_author() -> None:
    text = "policy: a\nevents: {drop: [{id: bots, where: [{property: p, is: [1]}]}]}\n"
    assert with_filter(text, NEW) is None
    assert without_filter(text, "bots") is None


def test_an_id_that_is_taken_or_unknown_is_refused() -> None:
    text = with_filter("policy: a\n", NEW) or ""
    with pytest.raises(KeyError):
        with_filter(text, NEW)
    with pytest.raises(KeyError):
        without_filter(text, "nobody")
    with pytest.raises(PolicyInvalid):
        with_filter(text, {"id": "x", "where": [{"property": "p", "resembles": 1}]})
