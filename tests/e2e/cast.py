"""Who the story is about, and the personal values planted in what they send: new ones every time, so that none can be
in a file by chance.
"""

from __future__ import annotations

import random
import string
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

_PLAIN = string.ascii_lowercase


@dataclass(frozen=True, slots=True)
class Person:
    """A person: the id they are known under, a device, what identifies them, and an ordinary property of their own.

    `mark` is ordinary data: policy must leave it alone. It stands in each of their events and in their profile, so it
    also shows whose row is whose without asking the register.
    """

    name: str
    id: str = field(repr=False)
    device: str = field(repr=False)
    email: str = field(repr=False)
    phone: str = field(repr=False)
    card: str = field(repr=False)
    ip: str = field(repr=False)
    mark: str

    def identifying(self) -> dict[str, str]:
        """Every value that must not be found anywhere, by label."""
        kinds = ("id", "device", "email", "phone", "card", "ip")
        return {f"{self.name}'s {kind}": str(getattr(self, kind)) for kind in kinds}


@dataclass(frozen=True, slots=True)
class Cast:
    """Ada is opted out and then erased; Cleo asks for her data; Ben and Dora are the others."""

    ada: Person
    ben: Person
    cleo: Person
    dora: Person

    def __iter__(self) -> Iterator[Person]:
        return iter((self.ada, self.ben, self.cleo, self.dora))

    def identifying(self) -> dict[str, str]:
        """Every planted value that must not be found anywhere."""
        return {label: value for person in self for label, value in person.identifying().items()}


def cast(chance: random.Random | None = None) -> Cast:
    """New people."""
    draw = chance or random.SystemRandom()
    addresses = iter(draw.sample(range(1, 255), 2))
    return Cast(
        # An id that is itself an e-mail address: the register must keep it out of every file.
        ada=_person(draw, "Ada", "{name}.{word}@canary.example", f"198.51.100.{next(addresses)}"),
        ben=_person(draw, "Ben", "user-{name}-{word}", f"203.0.113.{next(addresses)}"),
        cleo=_person(
            draw, "Cleo", "{name}%_'{word}", f"2001:db8:{draw.randrange(4096, 65536):x}:{draw.randrange(4096, 65536):x}::7"
        ),
        dora=_person(
            draw,
            "Dora",
            "+{name}.{word}@canary.example",
            f"2001:db8::{draw.randrange(4096, 65536):x}:{draw.randrange(4096, 65536):x}",
        ),
    )


def _person(draw: random.Random, name: str, identifier: str, ip: str) -> Person:
    first = name.lower()
    return Person(
        name=name,
        id=identifier.format(name=first, word=_word(draw)),
        device=f"dev-{_word(draw)}-{_word(draw)}",
        email=f"{first}.{_word(draw)}@mail.example",
        # 555-01xx is kept for fiction.
        phone=f"+1 {draw.randrange(201, 990) // 10}{draw.randrange(2, 9)} 555 01{draw.randrange(100):02}",
        card=test_card(draw),
        ip=ip,
        mark=f"{first}-likes-{_word(draw)}",
    )


def test_card(draw: random.Random) -> str:
    """A card number that no bank has issued to anyone we know of, with a valid check digit (ISO/IEC 7812-1, Luhn)."""
    digits = [4, 1, 1, 1, *(draw.randrange(10) for _ in range(11))]
    doubled = sum(sum(divmod(2 * d, 10)) for d in digits[::-2])
    digits.append(-(doubled + sum(digits[-2::-2])) % 10)
    text = "".join(map(str, digits))
    return " ".join(text[i : i + 4] for i in range(0, 16, 4))


def _word(draw: random.Random) -> str:
    # Letters only: digits in a row could be taken for a telephone number, and would then be right to go.
    return "".join(draw.choice(_PLAIN) for _ in range(10))


@dataclass(slots=True)
class Sent:
    """One record as its sender was told to send it. `trace` is an ordinary property that finds it again."""

    by: str
    person: Person
    event: str
    properties: dict[str, Any] = field(repr=False)
    ids: dict[str, str] = field(repr=False)
    trace: str
    time: float

    @property
    def insert_id(self) -> str:
        """The same for a record that is sent again."""
        return self.trace

    def record(self, token: str | None = None, **more: Any) -> dict[str, Any]:
        """The event as JSON senders write it."""
        properties = self.ids | self.properties | {"time": self.time, "$insert_id": self.insert_id} | more
        return {"event": self.event, "properties": properties | ({"token": token} if token else {})}


def script(people: Cast) -> list[Sent]:
    """What is sent, in order; `by` says by whom."""
    ada, ben, cleo, dora = people
    now = datetime.now(UTC).timestamp()
    lines = [
        ("mixpanel (Python)", ada, "Sign Up", {"email": ada.email, "phone": ada.phone, "plan": "pro", "seats": 3}, 0),
        ("browser form", ada, "Page Viewed", {"page": "pricing", "ip": ada.ip, "$city": "Lyon"}, 0),
        (
            "Node-style GET",
            ben,
            "Support Asked",
            {"note": f"my card {ben.card} was declined, call {ben.phone}, sent from {ben.ip}", "screen": "billing"},
            0,
        ),
        (
            "browser form",
            cleo,
            "Page Viewed",
            {"page": "thanks", "$current_url": f"https://shop.example/thanks?to={cleo.email}&n=2", "ip": cleo.ip},
            0,
        ),
        ("browser beacon", cleo, "Page Left", {"seconds": 41, "last_words": f"paid with {cleo.card} at {cleo.ip}"}, 0),
        ("mixpanel-utils", dora, "Order Placed", {"email": dora.email, "amount": 42.5, "items": ["tea", "pot"]}, 7),
        ("mixpanel-utils", dora, "Order Placed", {"form": {"email": dora.email, "card": dora.card}, "amount": 9}, 6),
    ]
    sent = []
    for i, (by, person, event, properties, days) in enumerate(lines):
        trace = f"{person.name.lower()}-{_PLAIN[i] * 3}-{_word(random.SystemRandom())}"
        ids = {"distinct_id": person.id}
        if by.startswith("browser"):
            # As the SDK writes them after `identify`: the device, the user, and the user again.
            ids |= {"$device_id": person.device, "$user_id": person.id}
        told = properties | {"likes": person.mark, "trace": trace}
        sent.append(Sent(by, person, event, told, ids, trace, round(now - 86_400 * days - len(lines) + i, 3)))
    return sent


def profiles(people: Cast) -> dict[str, dict[str, Any]]:
    """What is set in each person's profile, by name."""
    ada, ben, cleo, dora = people
    return {
        "Ada": {"$name": "Ada L.", "$email": ada.email, "$phone": ada.phone, "plan": "pro", "likes": ada.mark},
        "Ben": {"plan": "free", "bio": f"write to {ben.email}", "likes": ben.mark},
        "Cleo": {"$email": cleo.email, "$phone": cleo.phone, "$city": "Lyon", "tier": 2, "likes": cleo.mark},
        "Dora": {"contact": {"mobile": dora.phone, "language": "fr"}, "zip": "69007", "likes": dora.mark},
    }
