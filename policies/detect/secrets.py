"""Credentials: tokens of known makers, JSON Web Tokens (RFC 7519), keys in PEM (RFC 7468), assignments of something
random to a telling name, and credentials inside URLs (RFC 3986, section 3.2.1; RFC 6749, 6750)."""

from __future__ import annotations

import base64
import json
import math
import re
from collections import Counter
from collections.abc import Iterator

from policies.detect.kinds import BEGIN, NOT_AFTER, Candidate, Form, judged
from policies.model import Detector

# Tokens that say themselves what they are, from their makers' documentation and secret-scanning pages.
_MADE = (
    r"(?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16}"  # AWS
    r"|gh[pousr]_[0-9A-Za-z]{20,255}|github_pat_[0-9A-Za-z_]{20,255}"
    r"|xox[abeoprs]-[0-9A-Za-z\-]{10,250}|xapp-[0-9]-[0-9A-Za-z\-]{10,250}"  # Slack
    r"|[srp]k_(?:live|test)_[0-9A-Za-z]{10,250}|whsec_[0-9A-Za-z+/=]{16,250}"  # Stripe
    r"|AIza[0-9A-Za-z_\-]{35}|ya29\.[0-9A-Za-z_\-]{20,250}|GOCSPX-[0-9A-Za-z_\-]{20,60}"  # Google
    r"|sk-(?:ant-|proj-|svcacct-|or-)?[0-9A-Za-z_\-]{20,250}"  # OpenAI, Anthropic
    r"|npm_[0-9A-Za-z]{30,60}|pypi-[0-9A-Za-z_\-]{16,250}|dop_v1_[0-9a-f]{64}|hf_[0-9A-Za-z]{30,60}"
    r"|SG\.[0-9A-Za-z_\-]{16,32}\.[0-9A-Za-z_\-]{16,64}|(?:SK|AC)[0-9a-f]{32}"  # SendGrid, Twilio
    r"|glpat-[0-9A-Za-z_\-]{16,64}|shp(?:at|ca|pa|ss)_[0-9a-fA-F]{32}|sq0[a-z]{3}-[0-9A-Za-z_\-]{22,60}"
    r"|key-[0-9a-f]{32}|EAAC[0-9A-Za-z]{30,250}|AGE-SECRET-KEY-1[0-9A-Z]{58}|hvs\.[0-9A-Za-z_\-]{20,250}"
    r"|dckr_pat_[0-9A-Za-z_\-]{20,64}|lin_api_[0-9A-Za-z]{30,60}|NRAK-[0-9A-Z]{27}|PMAK-[0-9a-f\-]{40,80}"
)
_OPEN = re.compile(r"\{([0-9]+),2[0-9]{2}\}")
# Read to its end at once, so that what is no token after all is not tried at every shorter length.
_TOKEN = re.compile(NOT_AFTER + "(?:" + _OPEN.sub(r"{\1,}+", _MADE) + r")(?![0-9A-Za-z_\-])")
_LONG_WORD = re.compile("[a-z]{12}")
_TURNS = re.compile("[a-z][A-Z]|[A-Z]{2}[a-z]")
_ORDINARY = re.compile(r"sk-[a-z\-]+")
_KEY_BLOCK = re.compile(r"-----BEGIN [A-Z0-9 ]{0,32}PRIVATE KEY(?: BLOCK)?-----")
_KEY_BODY = re.compile(r"(?:[0-9A-Za-z+/=:,;.\-\s\\]|(?<=[A-Z]) )*")
_KEY_END = re.compile(r"-----END [A-Z0-9 ]{0,32}PRIVATE KEY(?: BLOCK)?-----")

_JWT = re.compile(
    rf"{NOT_AFTER}(?<![_\-.])e[yw][0-9A-Za-z_\-]{{8,}}\.[0-9A-Za-z_\-]{{2,}}\.[0-9A-Za-z_\-]*(?:\.[0-9A-Za-z_\-]+){{0,2}}"
)

_NAMES = (
    r"(?:api|access|secret|private|signing|encryption|auth|session|client|account|master|shared|consumer|app|bot|user|refresh|id|bearer|webhook)"
    r"[ _.\-]?(?:access[ _.\-]?)?(?:keys?|tokens?|secrets?)|secret|token|apikey|passwd|password|passphrase|pwd|passwort|contraseña|"
    r"mot de passe|credentials?|key|auth|kennwort|senha|wachtwoord|hasło|пароль"
)
_ASSIGNED = re.compile(
    rf"(?i)(?<![0-9a-z])({_NAMES})[\"']?(?:[ ]{{0,3}}(?::=|=>|[:=])[\"']?[ ]{{0,3}}[:=]?[ ]{{0,3}}|[ ]is:?[ ]|[ ]?[\"'>]{{1,2}}[ ]?)[\"'`(\[{{<*«]{{0,2}}(?:bearer |basic )?"
    r"([^\s\"'`<>,;&|{}\[\]()»]{6,300})"
)
# What more a password may hold: an ampersand that begins no further parameter.
_REST = re.compile(r"(?:&(?![\w.\-%\[\]]{1,64}=)[^\s\"'`<>,;&|{}\[\]()»]{1,64})+")
_BEARER = re.compile(r"(?i)(?<![0-9a-z])(?:bearer|basic) ([0-9A-Za-z_\-.~+/]{16,600}={0,2})")
_PASSWORDS = ("pass", "pwd", "contra", "mot de", "kenn", "senha", "wacht", "has", "пар")
_WHOLE = re.compile(r"(?<!\S)[^\s\"'`<>,;&|{}\[\]()]{16,300}(?!\S)")

_PARAMETERS = (
    r"access_?token|id_?token|refresh_?token|auth_?token|session_?token|reset_?token|csrf_?token|xsrf_?token|token|jwt|assertion|"
    r"api[_\-]?key|client_?secret|secret|password|passwd|pwd|passcode|signature|sig|x-amz-signature|x-amz-credential|"
    r"x-amz-security-token|x-goog-signature|x-goog-credential|session_?id|session|sessid|phpsessid|jsessionid|sid|auth|authorization|"
    r"key|code|otp|ticket|credential|magic|invite_?token|login_?token|oauth_?token|oauth_?verifier|samlresponse"
)
_WEAK = frozenset({"key", "code", "sig", "auth", "sid", "session", "ticket", "magic", "credential", "otp", "signature"})
_PARAMETER = re.compile(rf"(?i)(?<=[?&#;])({_PARAMETERS})(?:%5B%5D|\[\])?(?:=|%3D)([^&#\s\"'<>;\\)\]}}|]{{1,4096}})")
_USERINFO = re.compile(r"(?<=://)([^\s/@:?#\"'<>\[\]]{0,128}:[^\s/?#\"'<>]{1,128})@(?=[^\s/@?#\"'<>])")
# A token alone before the host, as services hand out addresses to send to.
_USER_TOKEN = re.compile(r"(?<=://)([^\s/@:?#\"'<>\[\]]{16,128})(?=@[^\s/@?#\"'<>])")
_PLACEHOLDER = re.compile(r"\[[a-z_]+\]?|\{.*|\$.*|<.*|\*+|x+|%7B.*|%5B.*|null|undefined|none|true|false", re.IGNORECASE)


def _entropy(text: str) -> float:
    """Shannon entropy in bits a character, of the characters the text has."""
    total = len(text)
    return -sum(count / total * math.log2(count / total) for count in Counter(text).values())


def _is_random(value: str) -> bool:
    """Whether a value looks drawn by a machine: long, mixed, and no word with punctuation."""
    if len(value) < 16 or "://" in value or not any(map(str.isalpha, value)):
        return False
    if not any(map(str.isdigit, value)):
        # Letters alone must be as mixed as only a machine mixes them.
        return len(value) >= 20 and len(_TURNS.findall(value)) >= 4 and _entropy(value) >= 3.5
    return _entropy(value) >= 3.0 and not _LONG_WORD.search(value)


def _is_password(value: str) -> bool:
    """Whether a value is a password rather than a word about one: of at least two kinds of characters."""
    kinds = (any(map(test, value)) for test in (str.isdigit, str.isalpha, _is_sign))
    return len(value) >= 6 and sum(kinds) >= 2


def _is_sign(char: str) -> bool:
    return not char.isalnum() and char not in "-_./"


def _tokens(text: str) -> Iterator[Candidate]:
    return judged(_TOKEN, text, lambda match: None if _ORDINARY.fullmatch(match.group()) else match.group())


def _key_blocks(text: str) -> Iterator[Candidate]:
    position, closed = 0, True
    while block := _KEY_BLOCK.search(text, position):
        # Once no end is left there is none further on either, and the search is not repeated.
        end = _KEY_END.search(text, block.end()) if closed else None
        closed = end is not None
        # A block cut short reaches as far as its letters do.
        body = _KEY_BODY.match(text, block.end())
        position = end.end() if end else (body.end() if body else block.end())
        yield block.start(), position, text[block.start() : position]


def _assignments(text: str) -> Iterator[Candidate]:
    for match in _ASSIGNED.finditer(text):
        # The end of the sentence is no part of it.
        name, value = match.group(1).lower(), match.group(2)
        if name.startswith(_PASSWORDS) and (rest := _REST.match(text, match.end())):
            value += rest.group()
        value = value.rstrip(".:?!")
        told = not _PLACEHOLDER.fullmatch(value) and (_is_password(value) if name.startswith(_PASSWORDS) else _is_random(value))
        yield match.start(2), match.start(2) + len(value), value if told else None


def _bearers(text: str) -> Iterator[Candidate]:
    for match in _BEARER.finditer(text):
        yield match.start(1), match.end(1), match.group(1) if _is_random(match.group(1)) else None


def _whole_values(text: str) -> Iterator[Candidate]:
    return judged(_WHOLE, text, lambda match: match.group() if _is_random(match.group()) else None)


def _jwts(text: str) -> Iterator[Candidate]:
    return judged(_JWT, text, lambda match: match.group() if _has_algorithm(match.group().partition(".")[0]) else None)


def _has_algorithm(header: str) -> bool:
    """Whether the first part of a token is a JOSE header (RFC 7515, section 4): a JSON object with ``alg``."""
    if len(header) > 4_096:
        return True
    try:
        decoded = json.loads(base64.urlsafe_b64decode(header + "=" * (-len(header) % 4)))
    except (ValueError, RecursionError):
        return False
    return isinstance(decoded, dict) and "alg" in decoded


def _userinfo(text: str) -> Iterator[Candidate]:
    for match in _USERINFO.finditer(text):
        yield match.start(1), match.end(1), None if _PLACEHOLDER.fullmatch(match.group(1)) else match.group(1)


def _user_tokens(text: str) -> Iterator[Candidate]:
    return judged(_USER_TOKEN, text, lambda match: match.group() if _is_random(match.group()) else None)


def _parameters(text: str) -> Iterator[Candidate]:
    for match in _PARAMETER.finditer(text):
        name, value = match.group(1).lower(), match.group(2)
        told = not _PLACEHOLDER.fullmatch(value)
        if told and name in _WEAK and not _is_opaque(value):
            told = name == "code" and "state=" in text[max(0, match.start() - 512) : match.end() + 512].lower()
        yield match.start(2), match.end(2), value if told else None


def _is_opaque(value: str) -> bool:
    return len(value) >= 20 or (len(value) >= 8 and any(map(str.isdigit, value)) and any(map(str.isalpha, value)))


_SECRET_WORDS = tuple(
    f"={word}"
    for word in ("api key", "secret", "access token", "auth token", "token", "private key", "password", "passwd", "pwd", "access key", "bearer", "credential",
                 "authorization", "session token", "refresh token", "session key", "id token", "client secret", "jwt", "cookie")
)  # fmt: skip

URL_FORMS = (
    Form(
        Detector.URL_CREDENTIALS,
        _userinfo,
        rf"://[^\s/@?#\"'<>]+@|[?&#;](?i:{_PARAMETERS})(?:%5B%5D|%5b%5d|\[\])?(?:=|%3[Dd])",
        others=(_user_tokens, _parameters),
    ),
)
"""Credentials in URLs, which are replaced before their parts are read as anything else."""

SECRET_FORMS = (
    Form(Detector.JWT, _jwts, r"e[yw][0-9A-Za-z_\-]{8,}\.[0-9A-Za-z_\-]{2,}\.", 0.99),
    Form(Detector.SECRET, _key_blocks, r"-----BEGIN [A-Z0-9 ]{0,32}PRIVATE KEY", 0.99),
    Form(Detector.SECRET, _tokens, f"{BEGIN}(?:{_MADE})", 0.97),
    Form(
        Detector.SECRET,
        _assignments,
        rf"(?i)(?:^|[^0-9a-z]|\\(?:[nrtbf]|u00[01][0-9a-f]))(?:{_NAMES})(?:\\?[\"'])?(?: {{0,3}}[:=]| is| ?\\?[\"'>])|(?:bearer|basic) [0-9a-z_\-.~+/]{{16}}",
        0.75,
        others=(_bearers,),
    ),
    Form(Detector.SECRET, _whole_values, "", 0.1, _SECRET_WORDS, 0.7),
)
"""Tokens and keys that say what they are, assignments, and random values beside a telling word or under such a name."""
