"""Who is who, told slowly and obviously: plain dicts and sets, nothing shared with the code under test."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

GRAVITY = ("active", "opted_in", "opted_out", "restricted", "erasing", "erased")
ACCEPTED, LEAVING = ("active", "opted_in"), ("erasing", "erased")
UUID4 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


@dataclass
class Known:
    """One id: how it was first spelled, whose head it has, what was decided, and as whom it is read aside."""

    spelled: str
    head: str
    state: str = "active"
    aside: str | None = None


def key(identifier: str) -> str:
    return unicodedata.normalize("NFC", identifier)


def form(identifier: str) -> str:
    plain = unicodedata.normalize("NFKC", identifier)
    return plain.lower() if "@" in plain else plain


class Model:
    """A project."""

    def __init__(self) -> None:
        self.ids: dict[str, Known] = {}
        self.events: list[tuple[str, str]] = []

    # --- what holds

    def gravest(self, states: Iterable[str]) -> str:
        return max(states, key=GRAVITY.index, default="active")

    def standing(self, one: str) -> str:
        if key(one) in self.ids:
            return self.ids[key(one)].state
        state = self.gravest(known.state for other, known in self.ids.items() if form(other) == form(one))
        return "active" if state in ACCEPTED else state

    def members(self, head: str) -> list[str]:
        return [other for other, known in self.ids.items() if known.head == head and known.state != "erased"]

    def closure(self, one: str) -> set[str]:
        living = {other for other, known in self.ids.items() if known.state not in LEAVING}
        found = {other for other in living if other == key(one) or form(other) == form(one)}
        while True:
            heads, forms = {self.ids[other].head for other in found}, {form(other) for other in found}
            more = {other for other in living if self.ids[other].head in heads or form(other) in forms}
            if more <= found:
                return found
            found |= more

    def readings(self) -> dict[str, str]:
        """By event, the id under which a reader sees it; hidden events are left out."""
        shown = {}
        for name, owner in self.events:
            known = self.ids.get(owner)
            if known is not None and known.state not in ("restricted", *LEAVING):
                shown[name] = self.ids[known.aside or known.head].spelled
        return shown

    # --- what is done

    def enrol(self, one: str, state: str | None = None) -> None:
        if key(one) not in self.ids:
            self.ids[key(one)] = Known(one, key(one), self.standing(one) if state is None else state)

    def take(self, name: str, subject: str, named: list[str], claim: tuple[str, str, str] | None) -> None:
        if self.gravest(map(self.standing, named)) in ACCEPTED:
            for one in named:
                self.enrol(one)
            if claim:
                self.claim(*claim)
            known = self.ids[key(subject)]
            self.events.append((name, known.head if known.aside else key(subject)))
        elif claim:
            states = [self.standing(one) for one in claim[1:]]
            if "opted_out" in states and not set(states) & set(LEAVING):
                for one in claim[1:]:
                    self.enrol(one)
                self.claim(*claim)

    def claim(self, kind: str, keep: str, join: str) -> None:
        kept, joined = self.ids[key(keep)], self.ids[key(join)]
        if kept.head == joined.head:
            return
        moved, alone = joined.head != key(join), len(self.members(joined.head)) == 1
        bare = join.removeprefix("$device:")
        allowed = {
            "device": not moved and alone,
            "identify": bool(UUID4.fullmatch(bare)) and not moved and alone,
            "alias": not moved,
            "legacy_alias": not moved,
            "merge": True,
        }
        if not allowed[kind]:
            return
        state, old = self.gravest((kept.state, joined.state)), joined.head
        for other in self.members(old):
            if kind == "legacy_alias" and self.ids[other].aside is None:
                self.ids[other].aside = old
            self.ids[other].head = kept.head
        for other in self.members(kept.head):
            self.ids[other].state = state

    def decide(self, one: str, before: tuple[str, ...], after: str) -> None:
        if key(one) not in self.ids and self.standing(one) not in LEAVING:
            self.enrol(one)
        for other in self.closure(one):
            if self.ids[other].state in before:
                self.ids[other].state = after

    def erase(self, one: str) -> None:
        self.enrol(one, "active")
        for other in self.closure(one):
            self.ids[other].state = "erasing"

    def finish(self) -> None:
        gone = {other for other, known in self.ids.items() if known.state == "erasing"}
        for other in gone:
            self.ids[other].state = "erased"
        self.events = [(name, owner) for name, owner in self.events if owner not in gone]

    def lift(self, one: str) -> None:
        back = [other for other, known in self.ids.items() if known.state == "erased" and form(other) == form(one)]
        for other in back:
            del self.ids[other]
