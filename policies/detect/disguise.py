"""Texts inside texts: percent-encoding (RFC 3986), character references (HTML), escapes of programs, Base64 (RFC 4648)."""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Iterator

import re2

from policies.text import views

_ESCAPE = re.compile(r"\\u\{([0-9A-Fa-f]{2,6})\}|\\[uU](?:0000)?([0-9A-Fa-f]{4})|\\x([0-9A-Fa-f]{2})")
_QUAD = "[I-Za-f][A-HQ-Xg-nw-z0-3][ABEFIJMNQRUVYZcdghklopstwx014589][0-9A-Za-z+/_\\-]"
_TRACE = re2.compile(f"(?:{_QUAD}){{4}}")
_TOKEN = re.compile(r"(?<![0-9A-Za-z+/_\-])[0-9A-Za-z+/_\-]{16,}={0,2}")
_LONGEST_TOKEN = 1 << 20


def plain_forms(text: str, wrapped: bool) -> Iterator[str]:
    """The text as written and every further plain form of it that differs, each at most a few times as long to
    make as to read. ``wrapped`` False means that only its characters may be in disguise."""
    if not wrapped:
        yield from views(text) if not text.isascii() else (text,)
        return
    seen = {text}
    yield text
    for start in (text, *_unescaped(text)):
        for form in views(start):
            if form not in seen:
                seen.add(form)
                yield form


def _unescaped(text: str) -> Iterator[str]:
    """Character references resolved, then escapes."""
    if "&" in text:
        resolved = html.unescape(text)
        if resolved != text:
            yield resolved
            text = resolved
    if "\\" in text:
        resolved = _ESCAPE.sub(_character, text)
        if resolved != text:
            yield resolved


def _character(match: re.Match[str]) -> str:
    code = int(match.group(1) or match.group(2) or match.group(3), 16)
    return chr(code) if code < 0x110000 and not 0xD800 <= code < 0xE000 else match.group()


def encoded_tokens(text: str) -> Iterator[tuple[int, int, str]]:
    """Start, end and contents of everything in ``text`` that is Base64 of printable text, in either alphabet."""
    for match in _TOKEN.finditer(text):
        token = match.group()
        if len(token) <= _LONGEST_TOKEN and _TRACE.search(token):
            contents = _decoded(token)
            if contents is not None:
                yield match.start(), match.end(), contents


def _decoded(token: str) -> str | None:
    body = token.rstrip("=").replace("-", "+").replace("_", "/")
    if len(body) % 4 == 1:
        body = body[:-1]
    try:
        contents = base64.b64decode(body + "=" * (-len(body) % 4)).decode()
    except ValueError:
        return None
    # Line ends and tabs are as printable as a mail is.
    return contents if contents.translate(_LAYOUT).isprintable() else None


_LAYOUT = dict.fromkeys(map(ord, "\t\r\n"), " ")
