"""docs/identity.md tells the truth: it names every mode, outcome and verb, its links lead somewhere, and its tables are whole."""

import re
from pathlib import Path

from app.access.modes import IdentityMode
from app.identity.closure import Means
from app.identity.derive import VERBS
from app.identity.linking import Outcome

TEXT = (Path(__file__).parents[3] / "docs/identity.md").read_text()


def test_every_outcome_is_in_the_table_and_no_other():
    told = re.findall(r"^\| `([a-z0-9_]+)` \|", TEXT, re.MULTILINE)
    assert sorted(told) == sorted(each.value for each in Outcome)


def test_every_mode_verb_and_means_is_named():
    for name in (*IdentityMode, *Means, *VERBS[IdentityMode.ORIGINAL]):
        assert re.search(rf"`{re.escape(str(name))}`|### {name}|## {name}", TEXT, re.IGNORECASE), name


def test_the_contents_lead_to_every_heading():
    links = re.findall(r"^- \[(.+?)\]\(#(.+?)\)$", TEXT, re.MULTILINE)
    headings = re.findall(r"^## (.+)$", TEXT, re.MULTILINE)
    assert [title for title, _ in links] == headings
    assert [anchor for _, anchor in links] == [title.lower().replace(" ", "-") for title in headings]
