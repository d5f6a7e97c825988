"""The byte search finds what it says it seeks; a search that cannot find proves nothing."""

from __future__ import annotations

import base64
import urllib.parse
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.traces import search, spellings

_MAIL = "Ada.Example+x@canary.example"
_PHONE = "+1 415 555 0142"

_WAYS: dict[str, Callable[[str], bytes]] = {
    "as it is": str.encode,
    "lower case": lambda value: value.lower().encode(),
    "UTF-16": lambda value: value.encode("utf-16-le"),
    "hex": lambda value: value.encode().hex().encode(),
    "upper-case hex": lambda value: value.encode().hex().upper().encode(),
    "URL": lambda value: urllib.parse.quote(value, safe="").encode(),
    "lower-case base64": lambda value: base64.b64encode(b"__" + value.lower().encode() + b"__"),
    **{
        f"base64 at {shift}": lambda value, shift=shift: base64.b64encode(b"_" * shift + value.encode() + b"___")
        for shift in range(3)
    },
    **{
        f"URL-safe base64 at {shift}": lambda value, shift=shift: base64.urlsafe_b64encode(b"_" * shift + value.encode())
        for shift in range(3)
    },
}


@pytest.mark.parametrize("value", [_MAIL, _PHONE], ids=["mail", "phone"])
@pytest.mark.parametrize("way", _WAYS)
def test_a_value_is_found_in_every_spelling(tmp_path: Path, value: str, way: str) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "file").write_bytes(b"\x00\xff" * 50 + _WAYS[way](value) + b"\x00" * 50)

    assert search(tmp_path, {"planted": value}).of("planted") > 0


@pytest.mark.parametrize("spelling", ["14155550142", "+1-415-555-0142", "4155550142"])
def test_a_number_is_found_however_it_is_grouped(tmp_path: Path, spelling: str) -> None:
    (tmp_path / "file").write_text(f"x{spelling}x")

    assert search(tmp_path, {"planted": _PHONE}).of("planted") > 0


def test_nothing_is_found_where_nothing_is(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"ada at canary dot example" * 1000)

    found = search(tmp_path, {"planted": _MAIL})

    assert (found.files, found.traces) == (1, ())


def test_no_spelling_is_short_enough_to_occur_by_chance() -> None:
    assert min(len(form) for form in spellings("198.51.100.7").values()) >= 8
