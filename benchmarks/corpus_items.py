"""What is planted in the corpus, and what only looks like it."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import random
import string
import uuid
from collections.abc import Callable
from typing import TypeAlias

from benchmarks.corpus_locales import Locale

Made: TypeAlias = tuple[str, str]
"""The value, and the word that stands before it, if any."""

_ALNUM = string.ascii_letters + string.digits
_B58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"


def _digits(rng: random.Random, count: int) -> str:
    return "".join(rng.choices(string.digits, k=count))


def _drawn(rng: random.Random, alphabet: str, count: int) -> str:
    return "".join(rng.choices(alphabet, k=count))


def _filled(rng: random.Random, form: str) -> str:
    return "".join(rng.choice("23456789") if char == "N" else rng.choice(string.digits) if char == "#" else char for char in form)


def _luhn_digit(body: str) -> str:
    total = 0
    for place, char in enumerate(reversed(body)):
        value = int(char) * (2 if place % 2 == 0 else 1)
        total += value - 9 if value > 9 else value
    return str(-total % 10)


def _email(rng: random.Random, locale: Locale) -> Made:
    plain = ["".join(filter(str.isalnum, part.lower())) for part in rng.choice(locale.names).split()]
    first, last = plain[0], plain[-1]
    local = rng.choice(
        (
            f"{first}.{last}",
            f"{first}{rng.randrange(99)}",
            f"{first[:1]}{last}",
            f"{last}_{first}",
            f"{first}+shop",
            f"{first}-{last}",
        )
    )
    host = rng.choice(
        (
            "example.com",
            "mail.example.org",
            "example.co.uk",
            "firma-beispiel.de",
            "sub.dept.uni.example.edu",
            "example.io",
            "tienda.es",
            "xn--bcher-kva.example.net",
        )
    )
    address = f"{local}@{host}"
    form = rng.random()
    if form < 0.04:
        address = address.replace("@", "%40")
    elif form < 0.08:
        address = address.replace("@", rng.choice((" [at] ", " (at) ", "[at]")))
    elif form < 0.12:
        address = address.upper()
    return address, rng.choice(("", "", "email:", "mail"))


def _phone(rng: random.Random, locale: Locale) -> Made:
    return _filled(rng, rng.choice(locale.phones)), ""


def _card(rng: random.Random, _locale: Locale) -> Made:
    prefix, length = rng.choice(
        (
            ("4", 16),
            ("51", 16),
            ("55", 16),
            ("2221", 16),
            ("34", 15),
            ("37", 15),
            ("6011", 16),
            ("3530", 16),
            ("36", 14),
            ("62", 16),
        )
    )
    body = prefix + _digits(rng, length - len(prefix) - 1)
    number = body + _luhn_digit(body)
    gap = rng.choice(("", "", " ", "-", "."))
    if gap:
        sizes = (4, 6, 5) if length == 15 else (4, 6, 4) if length == 14 else (4, 4, 4, 4)
        groups, at = [], 0
        for size in sizes:
            groups.append(number[at : at + size])
            at += size
        number = gap.join(groups)
    return number, rng.choice(("", "card", "cc:", "visa"))


def _iban(rng: random.Random, _locale: Locale) -> Made:
    country, structure = rng.choice((
        ("DE", "n" * 18), ("FR", "n" * 23), ("GB", "aaaa" + "n" * 14), ("NL", "aaaa" + "n" * 10), ("ES", "n" * 20), ("IT", "a" + "n" * 22), ("BE", "n" * 12),
        ("PL", "n" * 24), ("CH", "n" * 17), ("NO", "n" * 11), ("SE", "n" * 20), ("PT", "n" * 21), ("AT", "n" * 16), ("IE", "aaaa" + "n" * 14), ("FI", "n" * 14),
        ("DK", "n" * 14), ("SA", "n" * 20), ("AE", "n" * 19), ("TR", "n" * 22), ("MT", "aaaa" + "n" * 5 + "c" * 18), ("RO", "aaaa" + "c" * 16),
    ))  # fmt: skip
    pick = {"n": string.digits, "a": string.ascii_uppercase, "c": string.ascii_uppercase + string.digits}
    body = "".join(rng.choice(pick[kind]) for kind in structure)
    number = int("".join(str(int(char, 36)) for char in f"{body}{country}00"))
    iban = f"{country}{98 - number % 97:02}{body}"
    if rng.random() < 0.5:
        iban = " ".join(iban[i : i + 4] for i in range(0, len(iban), 4))
    return (iban.lower() if rng.random() < 0.06 else iban), rng.choice(("", "IBAN", "iban:", "account"))


def _ssn(rng: random.Random, _locale: Locale) -> Made:
    area = rng.choice([n for n in (rng.randrange(1, 900) for _ in range(9)) if n != 666])
    parts = f"{area:03}", f"{rng.randrange(1, 100):02}", f"{rng.randrange(1, 10_000):04}"
    if rng.random() < 0.6:
        return "-".join(parts), rng.choice(("", "SSN", "ssn:"))
    return rng.choice((" ", "", ".")).join(parts), rng.choice(
        ("SSN", "my social security number is", "ssn:", "Social Security #")
    )


def _national(rng: random.Random, _locale: Locale) -> Made:
    return rng.choice(_NATIONAL)(rng)


def _dni(rng: random.Random) -> Made:
    number = _digits(rng, 8)
    return number + "TRWAGMYFPDXBNJZSQVHLCKE"[int(number) % 23], rng.choice(("", "DNI"))


def _nhs(rng: random.Random) -> Made:
    while True:
        body = str(rng.randrange(1, 10)) + _digits(rng, 8)
        check = 11 - sum(int(char) * (10 - i) for i, char in enumerate(body)) % 11
        if check != 10:
            number = body + str(check % 11)
            return rng.choice((number, f"{number[:3]} {number[3:6]} {number[6:]}")), rng.choice(("NHS number", "nhs no:"))


def _nino(rng: random.Random) -> Made:
    return rng.choice(("AB {} {} {} C", "JG{}{}{}A", "CE {} {} {} D")).format(
        _digits(rng, 2), _digits(rng, 2), _digits(rng, 2)
    ), ""


def _sin(rng: random.Random) -> Made:
    body = rng.choice("1234567") + _digits(rng, 7)
    number = body + _luhn_digit(body)
    return rng.choice(
        (number, f"{number[:3]} {number[3:6]} {number[6:]}", f"{number[:3]}-{number[3:6]}-{number[6:]}")
    ), rng.choice(("SIN:", "social insurance number"))


def _cpf(rng: random.Random) -> Made:
    number = _digits(rng, 9)
    for _ in range(2):
        total = sum(int(char) * (len(number) + 1 - i) for i, char in enumerate(number))
        number += str(total * 10 % 11 % 10)
    written = f"{number[:3]}.{number[3:6]}.{number[6:9]}-{number[9:]}"
    return (written, rng.choice(("", "CPF"))) if rng.random() < 0.7 else (number, "CPF")


def _bsn(rng: random.Random) -> Made:
    while True:
        number = rng.choice("123456789") + _digits(rng, 8)
        if (sum(int(char) * (9 - i) for i, char in enumerate(number[:8])) - int(number[8])) % 11 == 0:
            return number, rng.choice(("BSN", "burgerservicenummer:"))


def _pesel(rng: random.Random) -> Made:
    body = f"{rng.randrange(50, 99)}{rng.randrange(1, 13):02}{rng.randrange(1, 29):02}" + _digits(rng, 4)
    return body + str(-sum(int(char) * weight for char, weight in zip(body, (1, 3, 7, 9) * 3, strict=False)) % 10), "PESEL"


def _hetu(rng: random.Random) -> Made:
    date, serial = f"{rng.randrange(1, 29):02}{rng.randrange(1, 13):02}{rng.randrange(30, 99)}", f"{rng.randrange(2, 900):03}"
    return f"{date}-{serial}{'0123456789ABCDEFHJKLMNPRSTUVWXY'[int(date + serial) % 31]}", rng.choice(("", "hetu"))


def _china(rng: random.Random) -> Made:
    body = (
        f"{rng.choice(('110101', '310104', '440305'))}{rng.randrange(1950, 2010)}{rng.randrange(1, 13):02}{rng.randrange(1, 29):02}"
        + _digits(rng, 3)
    )
    total = sum(int(char) * pow(2, 17 - i, 11) for i, char in enumerate(body))
    return body + "10X98765432"[total % 11], rng.choice(("", "身份证"))


def _nir(rng: random.Random) -> Made:
    body = f"{rng.choice('12')}{rng.randrange(30, 99)}{rng.randrange(1, 13):02}{rng.randrange(1, 96):02}" + _digits(rng, 6)
    key = f"{97 - int(body) % 97:02}"
    return rng.choice((body + key, f"{body[0]} {body[1:3]} {body[3:5]} {body[5:7]} {body[7:10]} {body[10:]} {key}")), rng.choice(
        ("", "numéro de sécurité sociale")
    )


def _personnummer(rng: random.Random) -> Made:
    body = f"{rng.randrange(30, 99)}{rng.randrange(1, 13):02}{rng.randrange(1, 29):02}" + _digits(rng, 3)
    return f"{body[:6]}-{body[6:]}{_luhn_digit(body)}", rng.choice(("", "personnummer"))


def _rut(rng: random.Random) -> Made:
    number = str(rng.randrange(5_000_000, 25_000_000))
    check = -sum(int(char) * (2 + i % 6) for i, char in enumerate(reversed(number))) % 11
    return f"{int(number):,}".replace(",", ".") + "-" + "0123456789K"[check], rng.choice(("", "RUT"))


_NATIONAL: tuple[Callable[[random.Random], Made], ...] = (
    _dni, _nhs, _nino, _sin, _cpf, _bsn, _pesel, _hetu, _china, _nir, _personnummer, _rut,
)  # fmt: skip


def _ip(rng: random.Random, _locale: Locale) -> Made:
    if rng.random() < 0.65:
        address = ".".join(str(rng.randrange(1, 255)) for _ in range(4))
        return address + rng.choice(("", "", ":8080", "/24"))[: 0 if rng.random() < 0.7 else 9], rng.choice(
            ("", "from", "ip:", "client")
        )
    groups = [f"{rng.randrange(1, 65536):x}" for _ in range(8)]
    groups[0] = rng.choice(("2001", "2a02", "fe80", "2606"))
    return rng.choice(
        (
            ":".join(groups),
            f"{':'.join(groups[:3])}::{groups[7]}",
            f"{groups[0]}::{groups[6]}:{groups[7]}",
            "::ffff:203.0.113." + str(rng.randrange(1, 255)),
        )
    ), ""


def _mac(rng: random.Random, _locale: Locale) -> Made:
    octets = [f"{rng.randrange(256):02x}" for _ in range(6)]
    octets[0] = rng.choice(("00", "3c", "a4", "f0", "5e"))
    octets[3] = rng.choice(("a1", "fe", "9c"))
    plain = "".join(octets)
    form = rng.choice((":".join(octets), "-".join(octets), ":".join(octets).upper(), f"{plain[:4]}.{plain[4:8]}.{plain[8:]}"))
    return form, rng.choice(("", "MAC", "device"))


def _base64url(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def _jwt(rng: random.Random, _locale: Locale) -> Made:
    header = json.dumps(
        {"alg": rng.choice(("HS256", "RS256", "ES256")), "typ": "JWT"}, separators=rng.choice(((",", ":"), (", ", ": ")))
    )
    payload = json.dumps({"sub": str(rng.randrange(10**9)), "iat": 1_795_000_000 + rng.randrange(10**6)})
    signed = f"{_base64url(header.encode())}.{_base64url(payload.encode())}"
    return f"{signed}.{_base64url(hmac.digest(b'k', signed.encode(), 'sha256'))}", rng.choice(("", "Bearer", "token"))


def _secret(rng: random.Random, _locale: Locale) -> Made:
    return rng.choice((
        ("AKIA" + _drawn(rng, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", 16), ""), ("ghp_" + _drawn(rng, _ALNUM, 36), ""),
        (f"xoxb-{_digits(rng, 12)}-{_digits(rng, 12)}-{_drawn(rng, _ALNUM, 24)}", ""), ("sk_live_" + _drawn(rng, _ALNUM, 24), ""),
        ("AIza" + _drawn(rng, _ALNUM + "_-", 34) + "a", ""), ("sk-ant-api03-" + _drawn(rng, _ALNUM, 60), ""), ("npm_" + _drawn(rng, _ALNUM, 36), ""),
        ("glpat-" + _drawn(rng, _ALNUM, 20), ""), (f"SG.{_drawn(rng, _ALNUM, 22)}.{_drawn(rng, _ALNUM, 43)}", ""),
        (_drawn(rng, _ALNUM, 32), "api_key ="), (_drawn(rng, _ALNUM + "!#%", 12) + "9!a", "password ="),
    ))  # fmt: skip


def _url_credentials(rng: random.Random, _locale: Locale) -> Made:
    # The label is the whole URL; what matters is that the credential in it is found.
    token = _drawn(rng, _ALNUM, 24)
    return rng.choice((
        f"https://app.example/reset?token={token}", f"postgres://svc:{token[:10]}@db.example:5432/x", f"https://x.example/cb?code={token}&state=1",
        f"https://x.example/#access_token={token}&expires_in=3600", f"https://bucket.example/f.pdf?X-Amz-Signature={hashlib.sha256(token.encode()).hexdigest()}",
        f"/api/v1/items?api_key={token}&page=2",
    )), ""  # fmt: skip


def _coordinates(rng: random.Random, _locale: Locale) -> Made:
    lat, lon = rng.uniform(-60, 70), rng.uniform(-170, 170)
    return rng.choice((
        (f"{lat:.5f}, {lon:.5f}", "location"), (f"{lat:.4f},{lon:.4f}", "GPS"), (f"geo:{lat:.4f},{lon:.4f}", ""), (f"https://maps.example/@{lat:.5f},{lon:.5f},15z", ""),
        (f"lat={lat:.5f}&lon={lon:.5f}", ""), (f"40°{rng.randrange(10, 60)}′{rng.randrange(10, 60)}″N 79°{rng.randrange(10, 60)}′{rng.randrange(10, 60)}″W", ""),
    ))  # fmt: skip


def _birth_date(rng: random.Random, _locale: Locale) -> Made:
    year, month, day = rng.randrange(1930, 2012), rng.randrange(1, 13), rng.randrange(1, 29)
    written = rng.choice(
        (
            f"{year}-{month:02}-{day:02}",
            f"{day:02}/{month:02}/{year}",
            f"{day}.{month}.{year}",
            f"{month}/{day}/{year}",
            f"{day} March {year}",
            f"March {day}, {year}",
        )
    )
    return written, rng.choice(("date of birth", "DOB:", "born", "geboren am", "né le", "fecha de nacimiento"))


def _crypto_address(rng: random.Random, _locale: Locale) -> Made:
    if rng.random() < 0.5:
        return "0x" + f"{rng.getrandbits(160):040x}", "wallet"
    raw = bytes([rng.choice((0, 5))]) + rng.randbytes(20)
    number = int.from_bytes(raw + hashlib.sha256(hashlib.sha256(raw).digest()).digest()[:4], "big")
    text = ""
    while number:
        number, rest = divmod(number, 58)
        text = _B58[rest] + text
    return "1" * (len(raw) - len(raw.lstrip(b"\0"))) + text, rng.choice(("", "btc"))


MAKERS: dict[str, Callable[[random.Random, Locale], Made]] = {
    "email": _email, "phone": _phone, "card": _card, "iban": _iban, "ssn": _ssn, "national_id": _national, "ip": _ip, "mac": _mac, "jwt": _jwt,
    "secret": _secret, "url_credentials": _url_credentials, "coordinates": _coordinates, "birth_date": _birth_date, "crypto_address": _crypto_address,
}  # fmt: skip
"""How each kind is made."""


def _image(rng: random.Random) -> str:
    return base64.b64encode(b"\x89PNG" + rng.randbytes(90)).decode()


_DECOYS: tuple[Callable[[random.Random], str], ...] = (
    lambda r: f"order {_digits(r, r.randrange(6, 13))}",
    lambda r: f"order #{_digits(r, 3)}-{_digits(r, 7)}-{_digits(r, 7)}",
    lambda r: hashlib.md5(r.randbytes(8), usedforsecurity=False).hexdigest(),
    lambda r: hashlib.sha256(r.randbytes(8)).hexdigest(),
    lambda r: f"sha1:{hashlib.sha1(r.randbytes(8), usedforsecurity=False).hexdigest()}",
    lambda r: f"v{r.randrange(9)}.{r.randrange(30)}.{r.randrange(99)}",
    lambda r: f"version {r.randrange(20)}.{r.randrange(30)}.{r.randrange(99)}.{r.randrange(200)}",
    lambda r: f"Chrome/{r.randrange(90, 140)}.0.{r.randrange(256)}.{r.randrange(200)}",
    lambda r: f"app build {r.randrange(9)}.{r.randrange(9)}.{r.randrange(9)}.{r.randrange(200)}",
    lambda r: str(uuid.UUID(int=r.getrandbits(128), version=4)),
    lambda r: (
        f"2026-{r.randrange(1, 13):02}-{r.randrange(1, 29):02}T{r.randrange(24):02}:{r.randrange(60):02}:{r.randrange(60):02}Z"
    ),
    lambda r: f"{r.randrange(1, 29):02}.{r.randrange(1, 13):02}.2026 {r.randrange(24):02}:{r.randrange(60):02}",
    lambda r: f"{r.randrange(1, 13)}/{r.randrange(1, 29)}/2026",
    lambda r: str(1_700_000_000_000 + r.randrange(10**11)),
    lambda r: str(1_700_000_000 + r.randrange(10**8)),
    lambda r: f"{1_700_000_000 + r.randrange(10**8)}.{_digits(r, 6)}",
    lambda r: f"ISBN 978-{r.randrange(10)}-{_digits(r, 2)}-{_digits(r, 6)}-{r.randrange(10)}",
    lambda r: f"tracking 1Z{_drawn(r, string.ascii_uppercase + string.digits, 16)}",
    lambda r: f"{r.choice(('€', '$', '£'))}{r.randrange(1, 10**6):,}.{_digits(r, 2)}",
    lambda r: f"{r.randrange(1, 99)} {_digits(r, 3)} {_digits(r, 3)} kr",
    lambda r: "10 000 000",
    lambda r: f"SKU {_drawn(r, string.ascii_uppercase, 3)}-{_digits(r, 5)}-{_drawn(r, string.ascii_uppercase, 2)}",
    lambda r: (
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36 Edg/131.0.2903.51"
    ),
    lambda r: ".btn-primary:hover { margin: 0 10px 20px 30px; color: #3b5998; transition: 0.25s }",
    lambda r: "for (let i = 0; i < arr.length; i++) { sum += arr[i] * 1.25; } // std::vector<int> a::b",
    lambda r: f"score {r.randrange(5)}:{r.randrange(5)}, ratio 16:9, {r.randrange(100)}.{_digits(r, 4)} %",
    lambda r: f"data:image/png;base64,{_image(r)}",
    lambda r: (
        f"https://shop.example/p/{r.randrange(10**6)}?utm_source=mail&ref={_drawn(r, string.ascii_lowercase, 6)}&page={r.randrange(9)}#top"
    ),
    lambda r: f"{_digits(r, 3)}x{_digits(r, 3)}@2x.png",
    lambda r: f"@{_drawn(r, string.ascii_lowercase, 8)} thanks, react@18.{r.randrange(9)}.0 works",
    lambda r: f"range {r.randrange(1900, 2000)}-{r.randrange(2000, 2030)}, pages {r.randrange(99)}-{r.randrange(100, 300)}",
    lambda r: f"[{r.random():.6f}, {r.random():.6f}, {r.random():.6f}]",
    lambda r: f"invoice 2026-{_digits(r, 6)} / PO {_digits(r, 8)}",
    lambda r: f"EAN {_digits(r, 13)}",
    lambda r: f"{r.randrange(24):02}:{r.randrange(60):02}:{r.randrange(60):02} elapsed {_digits(r, 5)} ms",
    lambda r: f"commit {r.getrandbits(28):07x} at line {r.randrange(999)}:{r.randrange(80)}",
    lambda r: f"the {r.choice(('quick', 'lazy'))} meeting at noon; 100% sure; key=value; code=US; token limit {r.randrange(9)}k",
    lambda r: f"trace_id={r.getrandbits(128):032x} span={r.getrandbits(64):016x}",
    lambda r: (
        f"{r.randrange(1, 5)}.{r.randrange(1, 9)}.{r.randrange(1, 9)} Section {r.randrange(9)}.{r.randrange(9)}.{r.randrange(9)}.{r.randrange(9)}"
    ),
    lambda r: f"resolution {r.choice(('1920x1080', '2560 x 1440', '390x844'))} dpr {r.randrange(1, 4)}",
)


def decoy(rng: random.Random) -> str:
    """Something that is no personal data and may look like it."""
    return rng.choice(_DECOYS)(rng)
