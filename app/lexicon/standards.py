"""Data standards: what an entry lacks, by the project's own rules (wire section 17). Pure; nothing is refused for it."""

from __future__ import annotations

from functools import cache

import re2

from app.errors import InvalidInput
from app.lexicon.model import Entry, Standards

STYLES = {
    "any": r".*",
    "snake_case": r"[a-z0-9]+(?:_[a-z0-9]+)*",
    "kebab-case": r"[a-z0-9]+(?:-[a-z0-9]+)*",
    "camelCase": r"[a-z][a-z0-9]*(?:[A-Z][a-z0-9]*)*",
    "PascalCase": r"(?:[A-Z][a-z0-9]*)+",
    "Title Case": r"[A-Z0-9][A-Za-z0-9]*(?: [A-Z0-9][A-Za-z0-9]*)*",
    "Sentence case": r"[A-Z][^A-Z]*",
}
"""Named styles of naming, as RE2 over the whole name."""
PATTERN = "pattern"
_LONGEST_PATTERN = 300


def checked_standards(standards: Standards) -> Standards:
    """The standards. Raises `InvalidInput` for an unknown style or a pattern that is none."""
    if standards.naming != PATTERN:
        if standards.naming not in STYLES or standards.pattern:
            styles = ", ".join((*STYLES, PATTERN))
            raise InvalidInput("naming is no style that is known here", field="naming", remedy=f"one of {styles}")
        return standards
    try:
        if not 0 < len(standards.pattern) <= _LONGEST_PATTERN:
            raise ValueError
        _pattern(standards.pattern)
    except (re2.error, ValueError):
        raise InvalidInput("pattern is no RE2 expression", field="pattern", remedy="see RE2's syntax page") from None
    return standards


def lacks(standards: Standards, entry: Entry) -> tuple[str, ...]:
    """What the entry lacks: `naming`, `description`, `owner`. The display name is looked at where there is one.

    Names that begin with `$` or `mp_` are the SDKs' own, and nobody's to rename.
    """
    found = []
    shown = entry.display_name or entry.key.name
    if not entry.key.name.startswith(("$", "mp_")) and not _fits(standards, shown):
        found.append("naming")
    if standards.description and not entry.description:
        found.append("description")
    if standards.owner and not (entry.owners or entry.teams):
        found.append("owner")
    return tuple(found)


def _fits(standards: Standards, name: str) -> bool:
    text = standards.pattern if standards.naming == PATTERN else STYLES[standards.naming]
    return _pattern(text).fullmatch(name) is not None


@cache
def _pattern(text: str) -> re2._Regexp:
    options = re2.Options()
    options.log_errors = False
    return re2.compile(text, options)
