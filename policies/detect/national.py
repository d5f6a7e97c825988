"""National identification and tax numbers, by form and check digit.

Self-identifying forms stand without a context word: United Kingdom NINO, Spain DNI and NIE, Italy codice fiscale,
France NIR, Belgium's number with its dots, Sweden personnummer with its sign, Finland HETU, Brazil CPF with its dots,
India PAN, China resident id, South Korea RRN with its dash, Mexico CURP, Chile RUT with its dots.
Only beside a context word or under a telling name, because their bare digits look like any other number: United
Kingdom NHS number, Canada SIN, Germany Steuer-ID, Netherlands BSN, Portugal NIF, Poland PESEL, Norway
fodselsnummer, Denmark CPR, India Aadhaar, Turkey TC kimlik, Australia TFN, South Africa ID, and the bare forms of
those above. Check digits are as the issuing authorities publish them; Denmark and the NINO have none.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import partial

from policies.detect.checksums import is_day, luhn, mod_11_10, verhoeff, weighted
from policies.detect.kinds import BEGIN, DIGITS, END, NOT_AFTER, NOT_BEFORE, Candidate, Form, digits_of, judged
from policies.model import Detector

_DNI = "TRWAGMYFPDXBNJZSQVHLCKE"
_HETU = "0123456789ABCDEFHJKLMNPRSTUVWXY"
_CURP = "0123456789ABCDEFGHIJKLMNÑOPQRSTUVWXYZ"
_ODD = dict(
    zip(
        "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ",
        (
            1,
            0,
            5,
            7,
            9,
            13,
            15,
            17,
            19,
            21,
            1,
            0,
            5,
            7,
            9,
            13,
            15,
            17,
            19,
            21,
            2,
            4,
            18,
            20,
            11,
            3,
            6,
            8,
            12,
            14,
            16,
            10,
            22,
            25,
            24,
            23,
        ),
        strict=True,
    )
)


def _nhs(n: str) -> bool:
    return n[0] != "0" and len(set(n)) > 1 and weighted(n, (10, 9, 8, 7, 6, 5, 4, 3, 2, 1)) % 11 == 0


def _nino(n: str) -> bool:
    return n[:2] not in {"BG", "GB", "KN", "NK", "NT", "TN", "ZZ"}


def _sin(n: str) -> bool:
    # Numbers that begin with 0 were never issued and stand in every example, so they are taken for one.
    return n[0] != "8" and n != "000000000" and luhn(n)


def _dni(n: str) -> bool:
    if n[0] in "XYZ":
        n = str("XYZ".index(n[0])) + n[1:]
    return _DNI[int(n[:-1]) % 23] == n[-1]


def _codice_fiscale(n: str) -> bool:
    total = sum(_ODD[char] for char in n[:15:2]) + sum(int(char, 36) - (10 if char > "9" else 0) for char in n[1:15:2])
    return chr(65 + total % 26) == n[15]


def _nir(n: str) -> bool:
    # Corsica: 2A counts as 19 and 2B as 18 (decree 2009-1577).
    number = n[:13].replace("2A", "19").replace("2B", "18")
    return number.isdigit() and 97 - int(number) % 97 == int(n[13:])


def _steuer_id(n: str) -> bool:
    counts = [n[:10].count(char) for char in set(n[:10])]
    return n[0] != "0" and max(counts) in (2, 3) and counts.count(1) >= 7 and mod_11_10(n)


def _bsn(n: str) -> bool:
    n = n.zfill(9)
    return n.strip("0") != "" and weighted(n, (9, 8, 7, 6, 5, 4, 3, 2, -1)) % 11 == 0


def _belgium(n: str) -> bool:
    check = int(n[9:])
    return int(n[2:4]) % 20 <= 12 and check in (97 - int(n[:9]) % 97, 97 - int("2" + n[:9]) % 97)


def _nif(n: str) -> bool:
    remainder = weighted(n[:8], range(9, 1, -1)) % 11
    return n[0] in "1235689" and int(n[8]) == (0 if remainder < 2 else 11 - remainder)


def _pesel(n: str) -> bool:
    return is_day(0, int(n[2:4]) % 20, int(n[4:6])) and weighted(n, (1, 3, 7, 9, 1, 3, 7, 9, 1, 3, 1)) % 10 == 0


def _personnummer(n: str) -> bool:
    n = n[-10:]
    # A coordination number adds 60 to the day.
    return is_day(0, int(n[2:4]), int(n[4:6]) % 60) and luhn(n)


def _hetu(n: str) -> bool:
    # The sign of the century is no separator: letters may stand there, so it is cut out by its place.
    n = n if len(n) == 10 else n[:6] + n[7:]
    return is_day(0, int(n[2:4]), int(n[:2])) and _HETU[int(n[:9]) % 31] == n[9]


def _fodselsnummer(n: str) -> bool:
    day, month = int(n[:2]) % 40, int(n[2:4]) % 40
    return (
        is_day(0, month, day)
        and weighted(n, (3, 7, 6, 1, 8, 9, 4, 5, 2, 1)) % 11 == 0
        and weighted(n, (5, 4, 3, 2, 7, 6, 5, 4, 3, 2, 1)) % 11 == 0
    )


def _cpr(n: str) -> bool:
    return is_day(0, int(n[2:4]), int(n[:2]))


def _cpf(n: str) -> bool:
    first = weighted(n[:9], range(10, 1, -1)) * 10 % 11 % 10
    second = weighted(n[:10], range(11, 1, -1)) * 10 % 11 % 10
    return len(set(n)) > 1 and n[9:] == f"{first}{second}"


def _resident_id(n: str) -> bool:
    if not is_day(int(n[6:10]), int(n[10:12]), int(n[12:14])):
        return False
    total = sum(int(char) * (2 ** (17 - place) % 11) for place, char in enumerate(n[:17]))
    return "10X98765432"[total % 11] == n[17]


def _rrn(n: str) -> bool:
    # Since October 2020 the last digits are random, so the check digit is not asked for.
    return is_day(0, int(n[2:4]), int(n[4:6]))


def _rrn_checked(n: str) -> bool:
    return _rrn(n) and (11 - weighted(n[:12], (2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5)) % 11) % 10 == int(n[12])


def _kimlik(n: str) -> bool:
    values = [int(char) for char in n]
    tenth = (7 * sum(values[0:9:2]) - sum(values[1:8:2])) % 10
    return n[0] != "0" and tenth == values[9] and sum(values[:10]) % 10 == values[10]


def _tfn(n: str) -> bool:
    weights = (1, 4, 3, 7, 5, 8, 6, 9, 10) if len(n) == 9 else (10, 7, 8, 4, 6, 3, 5, 1)
    return n.strip("0") != "" and weighted(n, weights) % 11 == 0


def _curp(n: str) -> bool:
    total = sum(_CURP.index(char) * (18 - place) for place, char in enumerate(n[:17]))
    return str(-total % 10) == n[17] and is_day(0, int(n[6:8]), int(n[8:10]))


def _rut(n: str) -> bool:
    total = sum(int(char) * (2 + place % 6) for place, char in enumerate(reversed(n[:-1])))
    return "0123456789K0"[11 - total % 11] == n[-1]


def _south_africa(n: str) -> bool:
    return is_day(0, int(n[2:4]), int(n[4:6])) and n[10] in "012" and luhn(n)


def _always(_: str) -> bool:
    return True


def _spans(pattern: re.Pattern[str], valid: Callable[[str], bool], text: str) -> Iterator[Candidate]:
    def judge(match: re.Match[str]) -> str | None:
        digits = digits_of(match.group())
        return digits if valid(digits) else None

    return judged(pattern, text, judge)


def form(
    written: str,
    valid: Callable[[str], bool],
    words: str,
    alone: float,
    beside: float = 0.9,
    detector: Detector = Detector.NATIONAL_ID,
) -> Form:
    """A number written as ``written`` (bounded, ASCII, case counts) with nothing of its kind beside it. ``words`` are
    separated by commas."""
    exact = re.compile(rf"{NOT_AFTER}(?<![0-9][.\-/])(?:{written}){NOT_BEFORE}(?![.\-/][0-9])")
    listed = tuple(word.strip() for word in words.split(","))
    find = partial(_spans, exact, valid)
    if alone < _ALONE:
        return Form(detector, find, DIGITS, alone, listed, beside, adjacent=1, sole=False)
    # Two of the forms have no six digits in a row, and are told by their letters.
    lettered = written.startswith(("[A-Za-z]{6}", "[A-Z]{3}"))
    return Form(
        detector, find, f"{BEGIN}(?:{written}){END}", alone, listed, beside, sole=False, closer=not lettered, lettered=lettered
    )


_ALONE = 0.5
_NINE = r"[0-9]{3}[ .\-]?[0-9]{3}[ .\-]?[0-9]{3}"
_ELEVEN = r"[0-9]{11}"
_DATE6 = r"[0-9]{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])"

NATIONAL_FORMS = (
    form(r"[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z] ?[0-9]{2}[ \-]?[0-9]{2}[ \-]?[0-9]{2} ?[A-D]", _nino, "national insurance, nino, ni number, ni no", 0.6),
    form(r"(?:[0-9]{2}\.?[0-9]{3}\.?[0-9]{3}|[XYZxyz]-?[0-9]{7})(?:[ \-]?[TRWAGMYFPDXBNJZSQVHLCKE]|-?[trwagmyfpdxbnjzsqvhlcke])", _dni, "dni, nie, nif, documento, identidad", 0.65),
    form(r"[A-Za-z]{6}[0-9LMNPQRSTUVlmnpqrstuv]{2}[ABCDEHLMPRSTabcdehlmprst][0-9LMNPQRSTUVlmnpqrstuv]{2}[A-Za-z][0-9LMNPQRSTUVlmnpqrstuv]{3}[A-Za-z]", _codice_fiscale, "codice fiscale", 0.95),
    form(r"[12] ?[0-9]{2} ?(?:0[1-9]|1[0-2]|[2-9][0-9]) ?(?:[0-9]{2}|2[ABab]) ?[0-9]{3} ?[0-9]{3} ?[0-9]{2}", _nir, "sécurité sociale, securite sociale, nir, insee, numéro de sécu", 0.75),
    form(r"[0-9]{2}\.[0-9]{2}\.[0-9]{2}[\- ][0-9]{3}\.[0-9]{2}", _belgium, "rijksregister, registre national, numéro national", 0.9),
    form(r"(?:19|20)?" + _DATE6 + r"[\-+][0-9]{4}|(?:19|20)?[0-9]{4}[6-9][0-9][\-+][0-9]{4}", _personnummer, "personnummer, samordningsnummer, person nr", 0.6),
    form(r"[0-9]{6}[\-+A-FU-Y][0-9]{3}[0-9A-FHJ-NPR-Y]", _hetu, "henkilötunnus, hetu, henkilotunnus, sotu", 0.9),
    form(r"[0-9]{3}\.[0-9]{3}\.[0-9]{3}-[0-9]{2}", _cpf, "cpf", 0.95),
    form(r"[A-Z]{3}P[A-Z][0-9]{4}[A-Z]", _always, "pan, permanent account", 0.6),
    form(r"[1-9][0-9]{5}(?:19|20)[0-9]{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])[0-9]{3}[0-9Xx]", _resident_id, "身份证, 身份證", 0.95),
    form(_DATE6 + r"-[1-8][0-9]{6}", _rrn_checked, "주민등록번호, rrn, resident registration", 0.8),
    form(r"[A-Za-z][AEIOUXaeioux][A-Za-z]{2}[0-9]{6}[HMXhmx][A-Za-z]{5}[0-9A-Za-z][0-9]", _curp, "curp", 0.95),
    form(r"[0-9]{1,2}\.[0-9]{3}\.[0-9]{3}-[0-9Kk]", _rut, "rut, run", 0.9),
    # From here on a context word is needed.
    form(r"[0-9]{3}[ \-]?[0-9]{3}[ \-]?[0-9]{4}", _nhs, "nhs", 0.2),
    form(_NINE, _sin, "social insurance, sin number, sin no, sin:, sin #, sin is, =sin, assurance sociale, numéro d'assurance", 0.2),
    form(r"[0-9]{2}[ /]?[0-9]{3}[ /]?[0-9]{3}[ /]?[0-9]{3}", _steuer_id, "steuer-id, steuer id, steueridentifikationsnummer, steuernummer, identifikationsnummer, idnr, steuerliche, tin, tax id", 0.3),
    form(r"[0-9]{8,9}|[0-9]{4}[ .][0-9]{2}[ .][0-9]{3}|" + _NINE, _bsn, "bsn, burgerservicenummer, sofinummer, sofi", 0.2),
    form(r"[0-9]{11}|[0-9]{6}[ \-][0-9]{3}[ .\-]?[0-9]{2}", _belgium, "rijksregister, rijksregisternummer, registre national, numéro national, national number, niss, insz", 0.2),
    form(_NINE, _nif, "nif, contribuinte, número fiscal, numero fiscal, número de identificação fiscal", 0.2),
    form(_ELEVEN, _pesel, "pesel", 0.3),
    form(r"(?:19|20)?[0-9]{10}", _personnummer, "personnummer, personal number, =pnr", 0.2),
    form(r"[0-9]{6} ?[0-9]{5}", _fodselsnummer, "fødselsnummer, fodselsnummer, personnummer, fnr, fødselsnr", 0.3),
    form(r"[0-9]{6}[ \-]?[0-9]{4}", _cpr, "cpr, cpr-nummer, cpr-nr, personnummer", 0.2, 0.8),
    form(_ELEVEN + r"|[0-9]{9}-[0-9]{2}", _cpf, "cpf, cadastro de pessoa", 0.3),
    form(r"[2-9][0-9]{3}[ \-]?[0-9]{4}[ \-]?[0-9]{4}", verhoeff, "aadhaar, aadhar, uidai, आधार", 0.4),
    form(r"[0-9]{6}[ \-]?[1-8][0-9]{6}", _rrn, "주민등록번호, 주민번호, rrn, resident registration", 0.3),
    form(_ELEVEN, _kimlik, "kimlik, tckn, tc no, t.c., tc kimlik", 0.3),
    form(_NINE + r"|[0-9]{8}", _tfn, "tfn, tax file", 0.2),
    form(r"[0-9]{7,8}[ \-]?[0-9Kk]", _rut, "rut, rol único, rol unico, =run", 0.3),
    form(r"[0-9]{6} ?[0-9]{4} ?[0-9]{3}", _south_africa, "id number, identity number, south african id, rsa id, sa id, id no", 0.4),
)  # fmt: skip
"""Every form, the self-identifying ones first."""
