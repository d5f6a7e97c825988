"""What every step of the story has at hand, and how sent and stored are laid beside each other."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.e2e.cast import Cast, Person, Sent, cast, profiles, script
from tests.e2e.client import Gate
from tests.e2e.installation import Credentials, Installation
from tests.e2e.stored import Stored, properties_of
from tests.e2e.telling import Change, Teller

Remark = dict[str, str]
_ABSENT = object()
_NOTHING = "— not stored"


@dataclass(frozen=True, slots=True)
class Scene:
    """The installation, who is about to send what, and where to look."""

    tell: Teller
    one: Installation
    credentials: Credentials
    gate: Gate
    stored: Stored
    people: Cast
    sent: Sequence[Sent]
    profiles: Mapping[str, Mapping[str, Any]]

    @classmethod
    def set_up(cls, tell: Teller, one: Installation) -> Scene:
        """New people in front of a running installation."""
        credentials, people = one.credentials, cast()
        stored = Stored(one.database)
        return cls(tell, one, credentials, Gate(credentials), stored, people, script(people), profiles(people))

    def planted(self) -> dict[str, str]:
        """The personal values that were really sent, by label."""
        told = json.dumps([[each.ids, each.properties] for each in self.sent], ensure_ascii=False)
        told += json.dumps(self.profiles, ensure_ascii=False)
        return {label: value for label, value in self.people.identifying().items() if value in told}

    def of(self, person: Person) -> list[Sent]:
        """What this person's senders sent."""
        return [each for each in self.sent if each.person is person]

    def exported(self) -> dict[str, dict[str, Any]]:
        """The events of the story as raw export gives them, by trace."""
        found = self.gate.export()
        return {each["properties"]["trace"]: each for each in found if "trace" in each["properties"]}

    def check(self) -> dict[str, Any]:
        """What `/v1/check` says of everything that was sent, in order."""
        return self.gate.check([each.record() for each in self.sent])


def differences(sent: Mapping[str, Any], stored: Mapping[str, Any]) -> set[str]:
    """The properties of `sent` that are stored otherwise, or not at all."""
    return {name for name, value in sent.items() if stored.get(name, _ABSENT) != value}


def remarked(remarks: Sequence[Remark], names: Mapping[str, Any]) -> set[str]:
    """The properties among `names` that a remark is about."""
    return {name for name in names if any(_within(remark["path"], name) for remark in remarks)}


def changes(sent: Sent, row: Mapping[str, Any], remarks: Sequence[Remark]) -> list[Change]:
    """An event as it was sent beside its stored row."""
    stored = properties_of(row)
    shown = [Change("event", sent.event, row["name"], "")]
    for name, value in sent.ids.items():
        held = row["uid"] if name == "distinct_id" else stored[name]
        shown.append(Change(name, value, f"uid {held}", "register: id sealed apart"))
    return shown + property_changes(sent.properties, stored, remarks)


def property_changes(sent: Mapping[str, Any], stored: Mapping[str, Any], remarks: Sequence[Remark]) -> list[Change]:
    """Each property beside what is stored of it, with every remark about it."""
    return [
        Change(
            name,
            _text(value),
            _text(stored.get(name, _ABSENT)),
            "; ".join(_why(r, name) for r in remarks if _within(r["path"], name)),
        )
        for name, value in sent.items()
    ]


def _within(path: str, name: str) -> bool:
    inner = path.removeprefix("properties.")
    return inner == name or inner.startswith((f"{name}.", f"{name}["))


def _why(remark: Remark, name: str) -> str:
    inner = remark["path"].removeprefix("properties.")
    place = "" if inner == name else f"{inner}: "
    return f"{place}{remark['rule']} → {remark['action']} ({remark['reason']})"


def _text(value: Any) -> str:
    if value is _ABSENT:
        return _NOTHING
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
