"""docs/consent.md tells the truth: its example holds, and every name in it exists."""

from __future__ import annotations

import re
from pathlib import Path

from policies.cases import disagreements
from policies.compile import compile_policy
from policies.context import CheckContext
from policies.load import load
from policies.model import Reason

TEXT = (Path(__file__).parents[3] / "docs" / "consent.md").read_text(encoding="utf-8")


def test_the_example_is_a_policy_and_its_cases_hold(context: CheckContext) -> None:
    (example,) = re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)
    policy = load(example)
    gate = compile_policy(policy)
    assert len(policy.cases) == 3
    for case in policy.cases:
        asked = CheckContext(context.pseudonyms, signals=case.signals)
        (decision,) = gate.check([case.record], asked)
        assert disagreements(case, decision) == (), case.name


def test_every_reason_of_consent_is_told() -> None:
    told = set(re.findall(r"`(\w+)`", TEXT))
    consent = {Reason.NOT_OPTED_IN, Reason.OPTED_OUT, Reason.RESTRICTED, Reason.ERASED, Reason.GPC_SIGNAL, Reason.DNT_SIGNAL}
    assert told >= {str(each) for each in consent | {Reason.PURPOSE_REFUSED}}


def test_every_heading_of_the_list_is_there() -> None:
    listed = re.findall(r"^- \[(.+)\]\(#(.+)\)$", TEXT, re.MULTILINE)
    headings = re.findall(r"^## (.+)$", TEXT, re.MULTILINE)
    assert [title for title, _ in listed] == headings
    assert [anchor for _, anchor in listed] == [re.sub(r"[^a-z0-9 -]", "", title.lower()).replace(" ", "-") for title in headings]
