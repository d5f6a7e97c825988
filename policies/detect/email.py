"""E-mail addresses (RFC 5321 and 5322 as people write them, RFC 6531 for other scripts), spelled out ones too."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator

from policies.detect.kinds import Candidate, Form
from policies.model import Detector
from policies.text import views

_AT = r"@|%40|\\u0040|&#0*64;|&#[xX]0*40;|&commat;"
_MARK = re.compile(_AT)
# What an address of other scripts may hold: anything beyond ASCII that is neither a space nor punctuation.
_OTHER = r"\x80-\x9f\xa0-\xa9\xab-\xb4\xb6-\xb9\xbb-\xbf\xd7\xf7\u2000-\u206f\u2190-\u2bff\u3000-\u3004\u3008-\u3020\ufe30-\ufe4f\uff00-\uff20"
_LETTER = rf"[^\x00-\x2f\x3a-\x40\x5b-\x60\x7b-\x7f{_OTHER}]"
_LOCAL = rf"[^\x00-\x20\"#(),/:;<=>?@\[\\\]!&{{|}}\x7f{_OTHER}]"
# Reversed: read from the sign leftwards. Where the scripts have no spaces, ASCII before the sign ends with ASCII.
_LOCAL_BACKWARDS = re.compile(rf"\"[^\"@]{{1,62}}\"|(?:(?![\u2e80-\ud7ff\uf900-\ufaff]){_LOCAL}){{1,64}}|{_LOCAL}{{1,64}}")
_DOMAIN = re.compile(
    rf"(?:{_LETTER}(?:{_LETTER}|[_\-]){{0,62}}(?:\.|%2[Ee])){{1,10}}"
    rf"([Xx][Nn]--[A-Za-z0-9\-]{{1,59}}|[A-Za-z]{{2,63}}(?![0-9])|(?:(?![\x00-\x7f]){_LETTER}){{2,63}})"
)
# Endings of files, which are no top-level domains (IANA root zone).
_FILES = frozenset(
    [
        "png",
        "jpg",
        "jpeg",
        "gif",
        "svg",
        "webp",
        "avif",
        "ico",
        "bmp",
        "css",
        "scss",
        "less",
        "js",
        "jsx",
        "ts",
        "tsx",
        "mjs",
        "json",
        "xml",
        "html",
        "htm",
        "xhtml",
        "txt",
        "pdf",
        "yaml",
        "yml",
        "exe",
        "dll",
        "woff",
        "woff2",
        "ttf",
        "eot",
        "mp4",
        "mp3",
        "wav",
        "webm",
        "gz",
        "tgz",
        "bz2",
        "jar",
        "war",
        "csv",
        "tsv",
        "docx",
        "xlsx",
        "pptx",
        "lock",
        "toml",
        "ini",
        "cfg",
        "conf",
        "log",
        "tmp",
        "bak",
    ]
)
_SPELLED_AT = re.compile(r"(?i)[ ]{0,2}[(\[{<] ?(?:at|@) ?[)\]}>][ ]{0,2}|[ ]{1,2}at[ ]{1,2}|@")
_DOT = r"(?:\.|[ ]{0,2}[(\[{<] ?(?:dot|\.) ?[)\]}>][ ]{0,2}|[ ]{1,2}dot[ ]{1,2})"
_SPELLED_DOMAIN = re.compile(
    rf"(?i)[a-z0-9][a-z0-9\-]{{0,62}}(?:{_DOT}[a-z0-9][a-z0-9\-]{{0,62}}){{0,6}}{_DOT}[a-z]{{2,24}}(?![a-z0-9])"
)
_SPELLED_LOCAL_BACKWARDS = re.compile(r"(?i)[\w%+\-]{1,64}(?:(?:\.|[ ]{1,2}tod[ ]{1,2}|[)\]}>]tod[(\[{<])[\w%+\-]{1,64}){0,5}")
_LONGEST_LOCAL = 64
_A_DOT_WORD = re.compile(r"(?i)[(\[{<] ?(?:dot|\.) ?[)\]}>]| dot ")


def _plain(text: str) -> Iterator[Candidate]:
    for mark in _MARK.finditer(text):
        domain = _DOMAIN.match(text, mark.end())
        first = max(0, mark.start() - _LONGEST_LOCAL)
        local = _LOCAL_BACKWARDS.match(text[first : mark.start()][::-1]) if domain else None
        if domain is None or local is None:
            yield first, mark.end(), None
            continue
        name = local.group()[::-1].lstrip(".'*~^`-%+$")
        start = mark.start() - len(name)
        if name and domain.group(1).lower() not in _FILES and name != "git":
            written = text[start : domain.end()]
            ordinary = mark.group() == "@" and "%" not in written
            yield start, domain.end(), written if ordinary else _decoded(written)
        else:
            yield first, domain.end(), None


def _decoded(written: str) -> str:
    return views(html.unescape(written.replace("\\u0040", "@")))[-1]


def _spelled(text: str) -> Iterator[Candidate]:
    for mark in _SPELLED_AT.finditer(text):
        first = max(0, mark.start() - _LONGEST_LOCAL)
        domain = _SPELLED_DOMAIN.match(text, mark.end())
        bare = mark.group().strip() in ("at", "AT", "At", "@")
        if domain is None or (bare and not _A_DOT_WORD.search(domain.group())):
            yield first, mark.end(), None
            continue
        local = _SPELLED_LOCAL_BACKWARDS.match(text[first : mark.start()][::-1])
        if local is None:
            yield first, domain.end(), None
            continue
        start = mark.start() - len(local.group())
        name = _spelled_out(local.group()[::-1])
        yield start, domain.end(), f"{name}@{_spelled_out(domain.group())}"


def _spelled_out(text: str) -> str:
    return re.sub(rf"(?i){_DOT}", ".", text)


_SIGN = r"(?:@|%40|\\u0040|&#0*64;|&#[xX]0*40;|&commat;)"
_BRACKETED = r"[(\[{<] ?(?:at|@) ?[)\]}>]"
_DOT_WIDE = r"(?:[(\[{<] ?(?:dot|\.) ?[)\]}>]| dot )"

EMAIL_FORMS = (
    # A JSON text writes the backslash of an escaped sign twice, and the quotes of a quoted name with one.
    Form(
        Detector.EMAIL, _plain, rf"[^\s@]{_SIGN}(?:[0-9A-Za-z\-_]+(?:\.|%2[Ee])[0-9A-Za-z\x80-\xff]|[0-9A-Za-z\-_]*[\x80-\xff])"
    ),
    Form(
        Detector.EMAIL,
        _spelled,
        rf"(?i)[a-z0-9_%+\-\x80-\xff][ ]{{0,2}}{_BRACKETED} {{0,2}}[a-z0-9]|(?: at  ?|@)[a-z0-9\-]+(?:\.[a-z0-9\-]+)* {{0,2}}{_DOT_WIDE}",
        0.8,
    ),
)
"""Addresses with their sign, and with the sign or the dots in words."""
