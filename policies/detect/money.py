"""Bank accounts (ISO 13616) and addresses of crypto-currencies."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from itertools import groupby

from policies.detect.checksums import mod_97
from policies.detect.kinds import BEGIN, END, NOT_AFTER, NOT_BEFORE, Candidate, Form, digits_of, judged
from policies.model import Detector

# The structure of each country's account, from the ISO 13616 registry: one letter for each character, n a digit,
# a a letter, c either.
_STRUCTURES = (
    ("n" * 8 + "c" * 12, "AD"), ("n" * 19, "AE"), ("n" * 8 + "c" * 16, "AL"), ("n" * 16, "AT"),
    ("aaaa" + "c" * 20, "AZ"), ("n" * 16, "BA"), ("n" * 12, "BE"), ("aaaa" + "n" * 6 + "c" * 8, "BG"), ("aaaa" + "c" * 14, "BH"),
    ("n" * 23, "BI"), ("n" * 23 + "ac", "BR"), ("aaaa" + "n" * 20, "BY"), ("n" * 5 + "c" * 12, "CH"), ("n" * 18, "CR"),
    ("n" * 8 + "c" * 16, "CY"), ("n" * 20, "CZ"), ("n" * 18, "DE"), ("n" * 23, "DJ"), ("n" * 14, "DK"),
    ("c" * 4 + "n" * 20, "DO"), ("n" * 16, "EE"), ("n" * 25, "EG"), ("n" * 20, "ES"), ("n" * 14, "FI"),
    ("aa" + "n" * 12, "FK"), ("n" * 14, "FO"), ("n" * 10 + "c" * 11 + "nn", "FR"), ("aaaa" + "n" * 14, "GB"), ("aa" + "n" * 16, "GE"),
    ("aaaa" + "c" * 15, "GI"), ("n" * 14, "GL"), ("n" * 7 + "c" * 16, "GR"), ("c" * 24, "GT"), ("aaaa" + "n" * 20, "HN"),
    ("n" * 17, "HR"), ("n" * 24, "HU"), ("aaaa" + "n" * 14, "IE"), ("n" * 19, "IL"), ("aaaa" + "n" * 15, "IQ"), ("n" * 22, "IS"),
    ("a" + "n" * 10 + "c" * 12, "IT"), ("aaaa" + "n" * 4 + "c" * 18, "JO"), ("aaaa" + "c" * 22, "KW"), ("n" * 3 + "c" * 13, "KZ"),
    ("n" * 4 + "c" * 20, "LB"), ("aaaa" + "c" * 24, "LC"), ("n" * 5 + "c" * 12, "LI"), ("n" * 16, "LT"), ("n" * 3 + "c" * 13, "LU"),
    ("aaaa" + "c" * 13, "LV"), ("n" * 21, "LY"), ("n" * 10 + "c" * 11 + "nn", "MC"), ("cc" + "c" * 18, "MD"), ("n" * 18, "ME"),
    ("n" * 3 + "c" * 10 + "nn", "MK"), ("n" * 16, "MN"), ("n" * 23, "MR"), ("aaaa" + "n" * 5 + "c" * 18, "MT"),
    ("aaaa" + "n" * 19 + "aaa", "MU"), ("aaaa" + "n" * 20, "NI"), ("aaaa" + "n" * 10, "NL"), ("n" * 11, "NO"), ("n" * 3 + "c" * 16, "OM"),
    ("aaaa" + "c" * 16, "PK"), ("n" * 24, "PL"), ("aaaa" + "c" * 21, "PS"), ("n" * 21, "PT"), ("aaaa" + "c" * 21, "QA"),
    ("aaaa" + "c" * 16, "RO"), ("n" * 18, "RS"), ("n" * 14 + "c" * 15, "RU"), ("nn" + "c" * 18, "SA"), ("aaaa" + "n" * 20 + "aaa", "SC"),
    ("n" * 14, "SD"), ("n" * 20, "SE"), ("n" * 15, "SI"), ("n" * 20, "SK"), ("a" + "n" * 10 + "c" * 12, "SM"), ("n" * 19, "SO"),
    ("n" * 21, "ST"), ("aaaa" + "n" * 20, "SV"), ("n" * 19, "TL"), ("n" * 20, "TN"), ("n" * 6 + "c" * 16, "TR"), ("n" * 25, "UA"),
    ("n" * 18, "VA"), ("aaaa" + "n" * 16, "VG"), ("n" * 16, "XK"), ("aaaa" + "n" * 18, "YE"),
)  # fmt: skip
_GAP = "[ .\\-]?"
_KINDS = {"n": "[0-9]", "a": "[A-Za-z]", "c": "[0-9A-Za-z]"}


def _cased(country: str) -> str:
    return "".join(f"[{char}{char.lower()}]" for char in country)


def _written(structure: str, most: int) -> str:
    """The first ``most`` characters of an account, with at most one separator before each."""
    return "".join(f"(?:{_GAP}{_KINDS[kind]}){{{len(list(run))}}}" for kind, run in groupby(structure[:most]))


def _pattern(most: int) -> str:
    """All countries; those of one structure share a branch."""
    together: dict[str, list[str]] = {}
    for structure, country in _STRUCTURES:
        together.setdefault(_written(structure, most), []).append(_cased(country))
    return "|".join(f"(?:{'|'.join(names)}){_GAP}[0-9]{_GAP}[0-9]{body}" for body, names in together.items())


_IBAN = re.compile(rf"{NOT_AFTER}[A-Za-z]{{2}}{_GAP}[0-9]{_GAP}[0-9](?={_GAP}[0-9A-Za-z])")
_ACCOUNTS = {
    country: re.compile(f"{_GAP}[0-9]{_GAP}[0-9]{_written(structure, 99)}{NOT_BEFORE}") for structure, country in _STRUCTURES
}


def _ibans(text: str) -> Iterator[Candidate]:
    for match in _IBAN.finditer(text):
        structure = _ACCOUNTS.get(text[match.start() : match.start() + 2].upper())
        whole = structure.match(text, match.start() + 2) if structure else None
        if whole is None:
            yield match.start(), match.end(), None
            continue
        account = digits_of(text[match.start() : whole.end()])
        yield match.start(), whole.end(), account if mod_97(account) else None


_ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
# First characters of Bitcoin, Litecoin, Dogecoin and Tron, and the version bytes behind them.
# Sixteen characters that hexadecimal could hold begin one address in a billion, and one hash in fifty: those are hashes.
_BASE58_START = "[13LMDT][1-9a-f]{0,15}[A-HJ-NP-Zg-km-z]"
_BASE58 = re.compile(rf"{NOT_AFTER}(?={_BASE58_START})[13LMDT][1-9A-HJ-NP-Za-km-z]{{25,34}}{NOT_BEFORE}")
_VERSIONS = frozenset({0x00, 0x05, 0x30, 0x32, 0x1E, 0x41})
_BECH32 = re.compile(rf"{NOT_AFTER}(?:bc1|ltc1|tb1|BC1|LTC1|TB1)[02-9ac-hj-np-zAC-HJ-NP-Z]{{11,71}}{NOT_BEFORE}")
_BECH32_ALPHABET = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_GENERATORS = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
_ETHEREUM = re.compile(rf"{NOT_AFTER}0[xX][0-9a-fA-F]{{40}}{NOT_BEFORE}")


def is_base58_address(text: str) -> bool:
    """Whether Base58Check holds: the first four bytes of the double SHA-256 close the payload."""
    number = 0
    for char in text:
        number = number * 58 + _ALPHABET.index(char)
    if number >= 1 << 200:
        return False
    raw = number.to_bytes(25, "big")
    return raw[0] in _VERSIONS and hashlib.sha256(hashlib.sha256(raw[:21]).digest()).digest()[:4] == raw[21:]


def is_bech32_address(text: str) -> bool:
    """Whether the checksum of BIP-173 (bech32) or BIP-350 (bech32m) holds."""
    if text not in (text.lower(), text.upper()):
        return False
    human, _, rest = text.lower().rpartition("1")
    if any(char not in _BECH32_ALPHABET for char in rest):
        return False
    values = [ord(char) >> 5 for char in human] + [0] + [ord(char) & 31 for char in human]
    values += [_BECH32_ALPHABET.index(char) for char in rest]
    check = 1
    for value in values:
        top = check >> 25
        check = (check & 0x1FFFFFF) << 5 ^ value
        for i, generator in enumerate(_GENERATORS):
            check ^= generator if top >> i & 1 else 0
    return check in (1, 0x2BC830A3)


def _base58(text: str) -> Iterator[Candidate]:
    return judged(_BASE58, text, lambda match: match.group() if is_base58_address(match.group()) else None)


def _bech32(text: str) -> Iterator[Candidate]:
    return judged(_BECH32, text, lambda match: match.group().lower() if is_bech32_address(match.group()) else None)


def _ethereum(text: str) -> Iterator[Candidate]:
    return ((match.start(), match.end(), match.group().lower()) for match in _ETHEREUM.finditer(text))


MONEY_FORMS = (
    Form(Detector.IBAN, _ibans, f"{BEGIN}(?:{_pattern(11)})", 0.99),
    Form(
        Detector.CRYPTO_ADDRESS,
        _base58,
        rf"{BEGIN}(?:{_BASE58_START}[1-9A-HJ-NP-Za-km-z]{{9,33}}{END}|(?i:bc1|ltc1|tb1)[02-9ac-hj-np-zAC-HJ-NP-Z]{{11}})",
        0.97,
        others=(_bech32,),
    ),
    # A SHA-1 has no sign before it and other hashes are longer, so the form alone tells. The capitals of EIP-55 are not
    # asked for: wallets write addresses without them, and a slip in one makes it no less of an address.
    Form(Detector.CRYPTO_ADDRESS, _ethereum, rf"{BEGIN}0[xX][0-9a-fA-F]{{40}}{END}", 0.85),
)
"""Accounts, then addresses with a checksum, then those of Ethereum and its kin, which need none."""
