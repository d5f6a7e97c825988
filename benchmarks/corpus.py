"""A labelled corpus for the detectors, made here from nothing but a seed: texts in many languages, places where personal
data really turns up, things planted in them, and things that only look like personal data.

Nothing in it is real: numbers are drawn and given their check digits here, names are common ones, hosts are reserved.
The generators of numbers are written anew rather than taken from the detectors, so that a mistake shows on one side.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.corpus_items import MAKERS, decoy
from benchmarks.corpus_locales import LOCALES, Locale

SIZE = 9_000


@dataclass(frozen=True, slots=True)
class Text:
    """One text, the region its phone numbers are of, and what stands where: kind, start, end."""

    text: str
    region: str
    labels: tuple[tuple[str, int, int], ...]


def corpus(seed: int = 7, size: int = SIZE) -> list[Text]:
    """The whole corpus; the same seed gives the same texts."""
    rng = random.Random(seed)
    return [_one(rng, LOCALES[i % len(LOCALES)]) for i in range(size)]


def _one(rng: random.Random, locale: Locale) -> Text:
    parts: list[tuple[str, str | None]] = []
    roll = rng.random()
    if roll < 0.30:
        parts = [(rng.choice(_SURROUNDINGS)(rng, locale, decoy(rng), ""), None)]
    else:
        for _ in range(1 if roll < 0.85 else 2):
            kind = rng.choice(_WEIGHTED)
            value, before = MAKERS[kind](rng, locale)
            if kind == "phone" and rng.random() < 0.4:
                before = rng.choice(locale.phone_words)
            shell = rng.choice(_SURROUNDINGS)(rng, locale, "\x00", before)
            head, _, tail = shell.partition("\x00")
            parts += [(head, None), (value, kind), (tail + (rng.choice(("\n", " ", " | ")) if roll >= 0.85 else ""), None)]
        if rng.random() < 0.25:
            parts.append((" " + decoy(rng), None))
    text, labels = "", []
    for part, label in parts:
        if label:
            labels.append((label, len(text), len(text) + len(part)))
        text += part
    return Text(text, locale.region, tuple(labels))


def _sentence(rng: random.Random, locale: Locale, value: str, before: str) -> str:
    sentence = rng.choice(locale.sentences)
    return sentence.format(name=rng.choice(locale.names), value=f"{before} {value}".strip())


def _alone(_rng: random.Random, _locale: Locale, value: str, before: str) -> str:
    return f"{before} {value}".strip()


def _labelled(rng: random.Random, _locale: Locale, value: str, before: str) -> str:
    return f"{before or rng.choice(('value', 'note', 'info', 'contact', 'data'))}{rng.choice((': ', '=', ' - ', ':'))}{value}"


def _json(rng: random.Random, locale: Locale, value: str, before: str) -> str:
    key = before.replace('"', "") or rng.choice(("value", "note", "info", "contact", "field_3"))
    return f'{{"user": "{rng.choice(locale.names)}", "{key}": "{value}", "ok": true, "n": {rng.randrange(10_000)}}}'


def _csv(rng: random.Random, locale: Locale, value: str, before: str) -> str:
    return f"{rng.randrange(10_000)},{rng.choice(locale.names)},{before + ' ' if before else ''}{value},{rng.random():.2f},active"


def _log(rng: random.Random, _locale: Locale, value: str, before: str) -> str:
    stamp = f"2026-{rng.randrange(1, 13):02}-{rng.randrange(1, 29):02}T{rng.randrange(24):02}:{rng.randrange(60):02}:{rng.randrange(60):02}.{rng.randrange(1000):03}Z"
    return f"{stamp} {rng.choice(('INFO', 'WARN', 'ERROR'))} [worker-{rng.randrange(9)}] failed for {before} {value} after {rng.randrange(900)}ms"


def _ticket(rng: random.Random, locale: Locale, value: str, before: str) -> str:
    return f"{_sentence(rng, locale, value, before)}\n\n{rng.choice(locale.names)}\nTicket #{rng.randrange(10**6)}"


def _quoted(rng: random.Random, locale: Locale, value: str, before: str) -> str:
    mark = rng.choice(("()", "[]", '""', "''", "<>", "**", "«»"))
    return f"{rng.choice(locale.names)} {before} {mark[0]}{value}{mark[1]}."


_SURROUNDINGS: tuple[Callable[[random.Random, Locale, str, str], str], ...] = (
    _sentence, _sentence, _sentence, _ticket, _alone, _labelled, _json, _csv, _log, _quoted,
)  # fmt: skip
_WEIGHTED = tuple(kind for kind, weight in (
    ("email", 5), ("phone", 7), ("card", 4), ("iban", 4), ("ssn", 3), ("national_id", 5), ("ip", 5), ("mac", 3), ("jwt", 2),
    ("secret", 3), ("url_credentials", 2), ("coordinates", 2), ("birth_date", 2), ("crypto_address", 2),
) for _ in range(weight))  # fmt: skip
