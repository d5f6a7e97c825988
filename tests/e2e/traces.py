"""A byte search for personal values in every file of a folder, in every spelling that a store or a log might give them."""

from __future__ import annotations

import base64
import re
import urllib.parse
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

_DIGITS = re.compile(r"\d")
# Below this many bytes a spelling could stand in a file of random bytes by chance.
_SHORTEST = 8


@dataclass(frozen=True, slots=True)
class Trace:
    """One value found in one file: which value, in which spelling, how often. Never the value itself."""

    label: str
    spelling: str
    file: str
    times: int

    def __str__(self) -> str:
        return f"{self.label} as {self.spelling} in {self.file}" + (f" ({self.times} times)" if self.times > 1 else "")


@dataclass(frozen=True, slots=True)
class Search:
    """What a search read and what it found."""

    files: int
    size: int
    spellings: int
    traces: tuple[Trace, ...]

    def of(self, label: str) -> int:
        """How often the value of this label was found in any spelling."""
        return sum(trace.times for trace in self.traces if trace.label == label)

    @property
    def scope(self) -> str:
        """What was read, for the evidence line."""
        return f"{self.spellings} spellings sought in {self.files} files, {self.size / 1e6:.1f} MB"


def search(folder: Path, values: Mapping[str, str], also: Iterable[Path] = ()) -> Search:
    """Look for every value in every file under `folder`, and in the files `also`. Sockets hold no bytes."""
    wanted = {label: spellings(value) for label, value in values.items()}
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and not path.is_socket()]
    traces: list[Trace] = []
    size = read = 0
    for path in [*files, *also]:
        content = path.read_bytes()
        read, size = read + 1, size + len(content)
        traces += _traces(content, wanted, path.name)
    return Search(read, size, sum(map(len, wanted.values())), tuple(traces))


def search_bytes(content: bytes, values: Mapping[str, str], name: str) -> list[Trace]:
    """The same for bytes at hand, such as the entries of a log."""
    return _traces(content, {label: spellings(value) for label, value in values.items()}, name)


def _traces(content: bytes, wanted: Mapping[str, Mapping[str, bytes]], name: str) -> list[Trace]:
    lowered = content.lower()
    found = []
    for label, forms in wanted.items():
        for spelling, form in forms.items():
            # Base64 is the one spelling in which case carries meaning.
            times = (content if spelling.startswith("base64") else lowered).count(form)
            if times:
                found.append(Trace(label, spelling, name, times))
    return found


def spellings(value: str) -> dict[str, bytes]:
    """Every spelling of a value, by name. All but base64 are in lower case and are sought without regard to case."""
    forms = {"text": value}
    digits = "".join(_DIGITS.findall(value))
    if value and re.fullmatch(r"[+\d\s().-]+", value) and len(digits) >= 10:
        # A card or a telephone number is the same however its digits are grouped.
        forms |= {"digits": digits, "national digits": digits[-10:], "dashes": re.sub(r"[\s.]+", "-", value)}
    found: dict[str, bytes] = {}
    for name, form in forms.items():
        found |= _encodings(name, form)
    return {name: form for name, form in found.items() if len(form) >= _SHORTEST}


def _encodings(name: str, form: str) -> dict[str, bytes]:
    raw = form.encode()
    found = {
        name: form.lower().encode(),
        f"{name}, UTF-16LE": form.lower().encode("utf-16-le"),
        f"{name}, hex": raw.hex().encode(),
        f"{name}, hex of lower case": form.lower().encode().hex().encode(),
        f"{name}, URL": urllib.parse.quote(form, safe="").lower().encode(),
        f"{name}, URL with @": urllib.parse.quote(form, safe="@").lower().encode(),
        f"{name}, URL form": urllib.parse.quote_plus(form).lower().encode(),
    }
    for text in dict.fromkeys((form, form.lower())):
        for shift in range(3):
            core = _base64_core(text.encode(), shift)
            found[f"base64, {name} {text == form:d}{shift}"] = core
            found[f"base64, {name} {text == form:d}{shift} for URLs"] = core.translate(bytes.maketrans(b"+/", b"-_"))
    return _distinct(found)


def _base64_core(raw: bytes, shift: int) -> bytes:
    """What the base64 of any text that holds `raw` at this alignment holds: the groups that `raw` alone decides."""
    encoded = base64.b64encode(b"\0" * shift + raw)
    start = {0: 0, 1: 2, 2: 3}[shift]
    whole = (shift + len(raw)) // 3 * 4
    return encoded[start:whole]


def _distinct(forms: Mapping[str, bytes]) -> dict[str, bytes]:
    seen: dict[bytes, str] = {}
    for name, form in forms.items():
        seen.setdefault(form, name)
    return {name: form for form, name in seen.items()}
