"""Ways to hide a forbidden value from a gate: of its characters, of the name it stands under, of what stands around it.

Each family is a function of a random generator and the thing it disguises. ``PROMISED`` families must not leak;
``NOT_PROMISED`` are those that docs/policy.md says no policy undoes, run and counted all the same.
"""

from __future__ import annotations

import base64
import codecs
import json
import random
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias
from urllib.parse import quote

Rng: TypeAlias = random.Random
OfText: TypeAlias = Callable[[Rng, str], Any]
OfName: TypeAlias = Callable[[Rng, str], str]
OfObject: TypeAlias = Callable[[Rng, dict[str, Any]], dict[str, Any]]

INVISIBLE: Final = "\u200b\u200c\u200d\u2060\ufeff\u00ad\u180e\u202a\u202e\u2066\u2069\u200e\u200f\u034f\ufe0f\u061c"
_CYRILLIC = dict(zip("aceopxyijsABEKMHOPCTX", "асеорхуіјѕАВЕКМНОРСТХ", strict=True))
_GREEK = dict(zip("aoivABEHIKMNOPTXYZ", "αοινΑΒΕΗΙΚΜΝΟΡΤΧΥΖ", strict=True))
_DIGIT_BLOCKS = (0x0660, 0x06F0, 0x0966, 0xFF10, 0x1D7CE)
_NEUTRAL = ("zqa", "zqb", "ctx", "payload", "zq-c")


# --- characters


def _cased(rng: Rng, text: str) -> str:
    return "".join(rng.choice((char.upper(), char.lower())) for char in text)


def _fullwidth(_: Rng, text: str) -> str:
    return "".join(chr(ord(char) + 0xFEE0) if "!" <= char <= "~" else char for char in text)


def _sprinkled(rng: Rng, text: str, with_: str) -> str:
    return "".join(char + (rng.choice(with_) if rng.random() < 0.4 else "") for char in text)


def _invisible(rng: Rng, text: str) -> str:
    spot = rng.randrange(1, len(text)) if len(text) > 1 else 0
    return rng.choice(INVISIBLE) + _sprinkled(rng, text[:spot], INVISIBLE) + rng.choice(INVISIBLE) + text[spot:]


def _foreign_digits(rng: Rng, text: str) -> str:
    base = rng.choice(_DIGIT_BLOCKS)
    return "".join(chr(base + int(char)) if char in "0123456789" else char for char in text)


def _dashes(rng: Rng, text: str) -> str:
    return text.replace("-", rng.choice("‐‑‒–—−﹣－"))


def _alike(rng: Rng, text: str) -> str:
    table = rng.choice((_CYRILLIC, _GREEK))
    spots = [i for i, char in enumerate(text) if char in table]
    chosen = set(rng.sample(spots, min(len(spots), rng.randrange(1, 3)))) if spots else set()
    return "".join(table[char] if i in chosen else char for i, char in enumerate(text))


# --- encodings of a text


def _percent(rng: Rng, text: str, every: bool) -> str:
    for _ in range(rng.randrange(1, 4)):
        text = "".join(f"%{byte:02{rng.choice('xX')}}" for byte in text.encode()) if every else quote(text, safe="")
        every = False
    return text


def _base64(rng: Rng, text: str) -> str:
    encode = rng.choice((base64.b64encode, base64.urlsafe_b64encode))
    code = encode(text.encode()).decode()
    return code.rstrip("=") if rng.random() < 0.5 else code


def _entities(rng: Rng, text: str) -> str:
    forms: tuple[Callable[[str], str], ...] = (lambda c: f"&#{ord(c)};", lambda c: f"&#x{ord(c):x};", lambda c: f"&#0{ord(c)};")
    form = rng.choice(forms)
    every = rng.random() < 0.5
    return "".join(form(char) if every or not char.isalnum() else char for char in text)


def _backslash_u(rng: Rng, text: str) -> str:
    every = rng.random() < 0.5
    return "".join(f"\\u{ord(char):04x}" if every or not char.isalnum() else char for char in text)


def _surrounded(rng: Rng, text: str) -> str:
    edges = ("(", "[", "<", "«", "“", "é ", "日本", "; ", "= ", "\n", "\t", "| ", "x ", "…")
    return f"{rng.choice(edges)}{text}{rng.choice((')', ']', '>', '»', '”', ' é', '日本', ';', ',', chr(10), '!', ' x'))}"


TEXTS: Final[Mapping[str, OfText]] = {
    "plain": lambda _, text: text,
    "value.surrounded": _surrounded,
    "value.fullwidth": _fullwidth,
    "value.invisible": _invisible,
    "value.foreign digits": _foreign_digits,
    "value.dashes": _dashes,
    "value.percent": lambda rng, text: _percent(rng, text, False),
    "value.percent every byte": lambda rng, text: _percent(rng, text, True),
    "value.base64": _base64,
    "value.base64 in data URI": lambda rng, text: "data:text/plain;base64," + _base64(rng, text),
    "value.base64 in URL": lambda rng, text: "https://shop.example/p?blob=" + quote(_base64(rng, text), safe="") + "&page=2",
    "value.percent in URL": lambda _, text: "https://shop.example/p?q=" + quote(text, safe="") + "&page=2",
    "value.entities": _entities,
    "value.backslash-u": _backslash_u,
    "value.long text": lambda rng, text: _buried(rng, text, 20_000),
}


def _buried(rng: Rng, text: str, length: int) -> str:
    before = rng.choice((0, length // 2, length))
    filler = "lorem ipsum dolor sit amet "
    return (filler * (before // 27)) + f"{text} " + (filler * ((length - before) // 27))


def buried(text: str, length: int, place: int) -> str:
    """``text`` at the begin (0), the middle (1) or the end (2) of ``length`` characters of prose."""
    filler = ("lorem ipsum dolor sit amet " * (length // 27 + 1))[:length]
    half = length * place // 2
    return f"{filler[:half]} {text} {filler[half:]}"


def split(rng: Rng, digits: str, separators: str) -> str:
    """The number written in its own groups with another separator."""
    separator = rng.choice(separators)
    bare = "".join(char for char in digits if char.isalnum() or char == "+")
    lead = 2 if bare.startswith("+") else 0
    groups = [bare[i : i + 4] for i in range(lead, len(bare), 4)]
    return bare[:lead] + (separator if lead else "") + separator.join(groups)


# --- names


def _combining(rng: Rng, name: str) -> str:
    return _sprinkled(rng, name, "\u0335\u0337\u0338\u0323\u0332\u20d2")


def _controls(rng: Rng, name: str) -> str:
    spot = rng.randrange(len(name) + 1)
    return name[:spot] + rng.choice("\x00\x01\x07\x08\x1b\x7f\x85") + name[spot:]


def _padded(rng: Rng, name: str) -> str:
    blanks = (" ", "\t", "\n", "\u00a0", "\u2003", "\u3000", "\u2028", "\u2800", "\u3164", "\ufeff", "\u1680")
    return rng.choice((rng.choice(blanks) + name, name + rng.choice(blanks), rng.choice(blanks) + name + rng.choice(blanks)))


NAMES: Final[Mapping[str, OfName]] = {
    "name.case": _cased,
    "name.fullwidth": _fullwidth,
    "name.invisible": _invisible,
    "name.look-alike": _alike,
    "name.combining marks": _combining,
    "name.control characters": _controls,
    "name.padded": _padded,
    "name.dotted": lambda rng, name: f"{rng.choice(_NEUTRAL)}.{name}",
    "name.case and look-alike": lambda rng, name: _alike(rng, _cased(rng, name)),
}


# --- what stands around


def _nested(rng: Rng, value: dict[str, Any], most: int = 15) -> dict[str, Any]:
    for _ in range(rng.randrange(1, most)):
        value = {rng.choice(_NEUTRAL): value}
    return value


def _in_lists(rng: Rng, value: Any) -> dict[str, Any]:
    for _ in range(rng.randrange(1, 12)):
        value = [value] if rng.random() < 0.7 else [1, None, [], value, "x"]
    return {rng.choice(_NEUTRAL): value}


def _mixed(rng: Rng, value: Any) -> dict[str, Any]:
    for _ in range(rng.randrange(1, 10)):
        value = [value] if rng.random() < 0.5 else {rng.choice(_NEUTRAL): value, "n": 1}
    return {rng.choice(_NEUTRAL): value}


def _json(rng: Rng, value: Any) -> str:
    """A JSON text as no serialiser would write it."""
    text = json.dumps(value, ensure_ascii=rng.random() < 0.5, indent=rng.choice((None, None, 1, 4)))
    trick = rng.randrange(5)
    if trick == 0:
        text = rng.choice(("\ufeff", " ", "\r\n\t", "\xa0", "\u200b", "\x0b", "\u2028", "\x00")) + text
    elif trick == 1:
        text = "".join(
            f"\\u{ord(c):04x}" if c.isalpha() and rng.random() < 0.5 and _safe(text, i) else c for i, c in enumerate(text)
        )
    elif trick == 2:
        text += rng.choice((" ", "\n\n", "\x00", "\ufeff"))
    return text


def _safe(text: str, at: int) -> bool:
    """Whether a letter of a JSON text may be written as an escape: it stands in a string and in no other escape."""
    before = text[:at]
    return before.count('"') - before.count('\\"') & 1 == 1 and "\\" not in text[max(0, at - 6) : at]


def _stringified(rng: Rng, value: Any) -> dict[str, Any]:
    for _ in range(rng.randrange(1, 6)):
        value = _json(rng, value if rng.random() < 0.6 or isinstance(value, dict) else {rng.choice(_NEUTRAL): value})
    return {rng.choice(_NEUTRAL): value}


def _twice(rng: Rng, value: dict[str, Any]) -> dict[str, Any]:
    ((name, inner),) = value.items()
    pair, other = f"{json.dumps(name)}:{json.dumps(inner)}", f"{json.dumps(name)}:1"
    return {rng.choice(_NEUTRAL): "{" + ",".join(rng.choice(((pair, other), (other, pair), (pair, other, pair)))) + "}"}


def _broken(rng: Rng, value: Any) -> dict[str, Any]:
    """A JSON text that does not parse: cut, followed by something, or two of them."""
    text = json.dumps(value)
    forms = (
        json.dumps({**value, "more": "x" * 50})[:-12],
        text + " trailing",
        text + "\n" + text,
        '{"a":1}\n' + text,
        text.replace("{", "{,", 1),
        json.dumps({"zqa": text, "more": "y" * 40})[:-9],
        text.replace('"', "'"),
    )
    return {rng.choice(_NEUTRAL): rng.choice(forms)}


def _encoded_json(rng: Rng, value: Any) -> dict[str, Any]:
    text = json.dumps(value)
    return {rng.choice(_NEUTRAL): rng.choice((quote(text), quote(quote(text)), _base64(rng, text), _base64(rng, text)))}


def _too_deep(rng: Rng, value: Any) -> dict[str, Any]:
    for _ in range(rng.choice((21, 40, 300, 5_000))):
        value = [value] if rng.random() < 0.5 else {"zqa": value}
    return {"zqa": value}


OBJECTS: Final[Mapping[str, OfObject]] = {
    "around.nested": _nested,
    "around.lists": _in_lists,
    "around.mixed": _mixed,
    "around.JSON in text": _stringified,
    "around.duplicate names": _twice,
    "around.broken JSON": _broken,
    "around.encoded JSON": _encoded_json,
    "around.too deep": _too_deep,
    "around.many neighbours": lambda rng, value: {**{f"n{i}": i for i in range(rng.randrange(5, 400))}, **value},
    "around.surrogate neighbour": lambda _, value: {"s-a": "\ud800", **value, "s-b": ["\udfff", {"\ud83d": 1}]},
    "around.odd neighbours": lambda rng, value: {
        "o-a": rng.choice((float("nan"), float("inf"), 2**70, -(2**200), 10**400)),
        **value,
        "o-b": ["\x00", b"x", {1, 2}, (1, 2)],
    },
}


# --- what no policy promises to undo

NOT_PROMISED_TEXTS: Final[Mapping[str, OfText]] = {
    "base32": lambda _, text: base64.b32encode(text.encode()).decode(),
    "hexadecimal": lambda _, text: text.encode().hex(),
    "rot13": lambda _, text: codecs.encode(text, "rot13"),
    "backwards": lambda _, text: text[::-1],
    "words for signs": lambda _, text: text.replace("@", " at ").replace(".", " dot "),
    "blank after every character": lambda _, text: " ".join(text),
    "a list of characters": lambda _, text: list(text),
    "halves in a list": lambda _, text: [text[: len(text) // 2], text[len(text) // 2 :]],
    "look-alikes in a value": _alike,
}
NOT_PROMISED_NAMES: Final[Mapping[str, OfName]] = {
    "name backwards": lambda _, name: name[::-1],
    "name with blanks inside": lambda _, name: "\u00a0".join(name),
    "name of one foreign script": lambda _, name: "".join(_CYRILLIC.get(char, "ж") for char in name),
}
