"""Phone numbers in text: candidates by pattern, judged by the numbering plans of the phonenumbers library (ITU-T E.164).

An international number (``+``) counts when its length is possible in its country. A national number counts when it is
valid in the default region and grouped the way people there write it, or when it is a mobile number with its trunk
prefix. Other bare digits count beside a context word, because order numbers, timestamps and counters look just the
same. The plans are read once; judging a candidate is then a few comparisons and one pattern.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache

import phonenumbers

from policies.detect.context import is_something_else
from policies.detect.cover import Cover
from policies.detect.kinds import BEGIN, DIGITS, END, Candidate, Form, numbers_judged
from policies.model import Detector
from policies.text import in_hexadecimal

_INTERNATIONAL = re.compile(
    r"(?<![0-9A-Za-z])\+[ ]?\(?[0-9](?:[ .\-/()]{0,3}[0-9]){6,19}|(?<=[A-Za-z])\+[0-9](?:[ .\-/()]{0,3}[0-9]){6,19}"
)
# The usual way out of a country, where it is not NANP's 011.
_DIALLED = re.compile(r"(?<![0-9A-Za-z+.\-/])(?:00|011)[ .\-]?[1-9](?:[ .\-/()]{0,3}[0-9]){7,16}(?![0-9A-Za-z])")
_NANP = re.compile(
    r"(?<![0-9])(?<![0-9][.\-/])(?:1[ .\-/]{1,3})?\(?[2-9][0-9]{2}(?:\)[ .\-/]{0,2}|[ .\-/]{1,3})[2-9][0-9]{2}[ .\-/]{1,3}[0-9]{4}(?![0-9])(?![.\-/][0-9])"
)
_GROUPED = re.compile(r"\(?[0-9]{1,9}(?:[ .\-/()]{1,3}[0-9]{1,9})+")
_BARE = re.compile(r"(?<![0-9A-Za-z])(?<![0-9][.\-/:])[0-9]{7,14}(?![0-9A-Za-z])(?![.\-/:][0-9])")
_GROUP = re.compile(r"[0-9]+")
_NOT_DIGIT = re.compile(r"[^0-9]+")
_DATE = re.compile(
    r"(?:19|20)[0-9][0-9][ .\-/](?:0?[1-9]|1[0-2])[ .\-/](?:0?[1-9]|[12][0-9]|3[01])"
    r"|(?:0?[1-9]|[12][0-9]|3[01])[.\-/ ](?:0?[1-9]|[12][0-9]|3[01])[.\-/ ](?:19|20)[0-9][0-9]"
    r"|(?:0?[1-9]|[12][0-9]|3[01])[.\-/](?:0?[1-9]|[12][0-9]|3[01])[.\-/][0-9]{2}(?![0-9])(?![.\-/ ][0-9])"
)
_DECIMAL = re.compile(r"[+\-]?[0-9]+\.[0-9]+")
_ATOM = re.compile(r"(?:\\d|\[[^\]]*\]|[0-9])(?:\{([0-9]+)(?:,([0-9]+))?\})?")
_CURRENCY_AFTER = re.compile(
    r"(?i)[ ]?(?:kr|€|eur|usd|zł|kč|₽|руб|%|pln|sek|nok|dkk|chf|czk|ft|huf|\$|£|¥|円|元|원|,[0-9]{2}(?![0-9])|\.[0-9]{2}(?![0-9]))"
)
_MAX_GROUPS = 7
_NANP_CODE = 1
_ITALIAN_CODE = 39
# Ranges that regulators keep for films and examples, where people take them for numbers (Ofcom).
_RESERVED = {44: (r"7700900\d{3}", r"1632960\d{3}")}
_KINDS = (
    "fixed_line",
    "mobile",
    "toll_free",
    "premium_rate",
    "shared_cost",
    "personal_number",
    "voip",
    "uan",
    "pager",
    "voicemail",
)
_WORDS = (
    "phone", "telephone", "tel", "telefon", "teléfono", "telefono", "téléphone", "telefone", "telefoon", "puhelin", "mobile", "cell", "cellphone",
    "mob", "handy", "móvil", "movil", "celular", "cellulare", "portable", "gsm", "whatsapp", "fax", "sms", "call", "call me", "ring", "dial", "text me",
    "reach me", "hotline", "contact number", "callback", "rufnummer", "ruf", "appelez", "llama", "llámame", "ligue", "chiama", "bel", "mobil", "nummer",
    "numéro", "gsm-nummer", "telp", "hp", "điện thoại", "sđt", "τηλέφωνο", "κινητό", "тел", "телефон", "номер", "電話", "电话", "手机", "手機", "携帯",
    "전화", "연락처", "휴대폰", "हेल्पलाइन", "फ़ोन", "फोन", "मोबाइल", "هاتف", "جوال", "טלפון", "โทร", "=msisdn", "msisdn", "cep", "ara", "komórka", "matkapuhelin",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Plan:
    """The numbers of one country code: their possible lengths, and a pattern of those that exist."""

    lengths: frozenset[int]
    valid: re.Pattern[str]
    trunk: str


@cache
def _plan(code: int) -> _Plan | None:
    """The plan of a country code, of all regions that share it; None where there is none."""
    found = []
    for region in phonenumbers.COUNTRY_CODE_TO_REGION_CODE.get(code, ()):
        metadata = phonenumbers.PhoneMetadata
        entry = metadata.metadata_for_nongeo_region(code, None) if region == "001" else metadata.metadata_for_region(region, None)
        if entry is not None:
            found.append(entry)
    if not found:
        return None
    lengths = frozenset(
        length for entry in found for length in (entry.general_desc.possible_length if entry.general_desc else ())
    )
    kinds = [*_patterns(found, _KINDS), *_RESERVED.get(code, ())]
    return _Plan(lengths, re.compile("|".join(kinds) or "(?!)"), found[0].national_prefix or "")


def _patterns(entries: Iterable[phonenumbers.PhoneMetadata], kinds: Iterable[str]) -> Iterator[str]:
    for entry in entries:
        for kind in kinds:
            described = getattr(entry, kind)
            if described is not None and described.national_number_pattern:
                yield f"(?:{described.national_number_pattern})"


def is_region(code: str) -> bool:
    """Whether numbering plans exist for this ISO 3166 two-letter code."""
    return code in phonenumbers.SUPPORTED_REGIONS


def international(digits: str) -> str | None:
    """The E.164 form of the digits after ``+``, or None when no country has numbers of that length."""
    for size in (1, 2, 3):
        plan = _plan(int(digits[:size])) if digits[0] != "0" and len(digits) > size else None
        if plan is not None:
            number = digits[size:]
            # ``+44 (0)20 ...``: the trunk prefix that is only dialled at home.
            if plan.trunk and number.startswith(plan.trunk) and not plan.valid.fullmatch(number):
                shorter = number[len(plan.trunk) :]
                if plan.valid.fullmatch(shorter):
                    number = shorter
            return f"+{digits[:size]}{number}" if len(number) in plan.lengths and len(number) >= 6 else None
    return None


class PhoneReader:
    """Finds phone numbers as people of one default region write them."""

    __slots__ = ("_code", "_lead", "_lengths", "_mobile", "_prefix", "_shapes", "_valid")

    def __init__(self, region: str) -> None:
        """Take an ISO 3166 code that ``is_region`` accepts, and read every numbering plan now rather than at a
        check."""
        phonenumbers.PhoneMetadata.load_all()
        for code in phonenumbers.COUNTRY_CODE_TO_REGION_CODE:
            _plan(code)
        entry = phonenumbers.PhoneMetadata.metadata_for_region(region, None)
        if entry is None:
            raise ValueError("not a region with a numbering plan")
        self._code = phonenumbers.country_code_for_region(region)
        plan = _plan(self._code)
        self._prefix = "" if self._code == _NANP_CODE else phonenumbers.ndd_prefix_for_region(region, True) or ""
        # Italy dials the zero of a place from abroad too, so it is no prefix, but tells as much. No group begins with +.
        self._lead = self._prefix or ("0" if self._code == _ITALIAN_CODE else "+")
        self._valid = plan.valid if plan else re.compile("(?!)")
        self._lengths = frozenset(length for length in plan.lengths if length >= 7) if plan else frozenset()
        mobile = [*_patterns([entry], ("mobile",)), *_RESERVED.get(self._code, ())]
        self._mobile = re.compile("|".join(mobile) or "(?!)")
        self._shapes = self._usual_shapes(entry)

    def _usual_shapes(self, entry: phonenumbers.PhoneMetadata) -> frozenset[tuple[int, ...]]:
        """The sizes of the groups in which numbers of the region are written."""
        shapes = set()
        for form in entry.number_format:
            rule, pattern = form.national_prefix_formatting_rule or "", form.pattern or ""
            if "(?" in pattern or (self._prefix and self._prefix in rule and not form.national_prefix_optional_when_formatting):
                # Here nobody leaves the trunk prefix out.
                continue
            sizes = [_sizes(group) for group in re.findall(r"\(([^()]*)\)", pattern)]
            for shape in _combinations(sizes):
                if sum(shape) in self._lengths and len(shape) > 1:
                    shapes.add(shape)
        if not self._prefix and self._code != _NANP_CODE:
            # Without a trunk prefix people group as they like: pairs, triples and fours.
            shapes |= {shape for length in self._lengths for shape in _compositions(length) if len(shape) >= 3 or shape == (4, 4)}
        if self._code == _ITALIAN_CODE:
            shapes.add((3, 7))
        return frozenset(shapes) - {(4, 2, 2), (2, 2, 4), (1, 3, 3), (2, 3, 3), (1, 3, 3, 3)}

    def forms(self) -> tuple[Form, ...]:
        """What this reader finds, as forms: with a sign, grouped, bare with its trunk prefix, bare beside a word."""
        found = [
            Form(Detector.PHONE, self.with_sign, r"\+[ ]?\(?\d(?:[ .\-/()]{0,3}\d){6}", 0.9, _WORDS),
            Form(Detector.PHONE, _dialled, rf"{BEGIN}(?:00|011)[ .\-]?[1-9](?:[ .\-/()]{{0,3}}\d){{7}}", 0.6, _WORDS, sole=False),
            Form(Detector.PHONE, self.grouped, self._grouped_pattern(), 0.75, _WORDS, 0.9, sole=False),
            Form(Detector.PHONE, self.bare, DIGITS, 0.3, _WORDS, 0.75, adjacent=1, sole=False),
        ]
        if self._prefix == "0":
            longest = 1 + max(self._lengths, default=9)
            found.append(
                Form(Detector.PHONE, self.mobile, rf"{BEGIN}0[1-9]\d{{7,{max(longest, 9) - 2}}}{END}", 0.6, _WORDS, sole=False)
            )
        return tuple(found)

    def _grouped_pattern(self) -> str:
        gap = r"[ .\-/()]{1,3}"
        if self._code == _NANP_CODE:
            return rf"[2-9]\d\d{gap}[2-9]\d\d{gap}\d{{4}}"
        least = min(self._lengths, default=7)
        parts = [gap.join(rf"\d{{{size}}}" for size in shape) for shape in sorted(self._shapes) if len(shape) > 1]
        if self._lead != "+":
            # Nothing usual needs the prefix to be missing, save the shapes that keep it in a group of its own.
            parts.append(rf"{re.escape(self._lead)}\d{{0,8}}(?:{gap}\d){{1}}(?:[ .\-/()]{{0,3}}\d){{{max(least - 6, 1)}}}")
        return rf"(?:^|[^0-9])(?:{'|'.join(parts) or '(?:0)'})"

    def with_sign(self, text: str) -> Iterator[Candidate]:
        """Numbers that begin with ``+`` and a country code."""
        first = text.find("+")
        for match in _INTERNATIONAL.finditer(text, first) if first >= 0 else ():
            yield self._with_sign(text, match.start(), match.end())

    def _with_sign(self, text: str, start: int, end: int) -> Candidate:
        # ``+37.7749`` is a coordinate, not a number with a dot in it.
        if _DECIMAL.fullmatch(text[start:end]):
            return start, end, None
        stops = [one.end() for one in _GROUP.finditer(text, start, end)]
        if text[end : end + 1].isdigit():
            # The limit fell into another number behind this one.
            stops.pop()
        for stop in reversed(stops):
            digits = _NOT_DIGIT.sub("", text[start:stop])
            if len(digits) < 8:
                break
            canonical = international(digits)
            if canonical is not None:
                return start, stop, canonical
        return start, end, None

    def grouped(self, text: str) -> Iterator[Candidate]:
        """National numbers in groups."""
        if self._code == _NANP_CODE:
            yield from numbers_judged(_NANP, text, _american)
            return
        covered = Cover(text)
        for date in _DATE.finditer(text):
            covered.guard(*date.span())
        for run in _GROUPED.finditer(text):
            groups = [one.span() for one in _GROUP.finditer(text, run.start(), run.end())]
            first = 0
            while first < len(groups):
                taken, canonical = self._longest(text, groups, first)
                start, end = groups[first][0], groups[first + max(taken, 1) - 1][1]
                # An opening bracket belongs to the number: otherwise it would be left standing alone.
                opened = text[start - 1 : start] == "(" and ")" in text[start:end]
                yield start - opened, end, canonical if taken and covered.is_free(start, end) else None
                first += taken or 1

    def _longest(self, text: str, groups: list[tuple[int, int]], first: int) -> tuple[int, str]:
        """How many groups from ``first`` on make one number: the most that do, or 0; and its E.164 form."""
        begin = groups[first][0]
        if text[begin - 1 : begin] == "+" or (text[begin - 2 : begin - 1].isdigit() and text[begin - 1 : begin] == ","):
            return 0, ""
        # In the middle of a longer chain, such as the rest of a book number.
        if text[begin - 1 : begin] in {"-", "/"} and text[begin - 2 : begin - 1].isdigit():
            return 0, ""
        if is_something_else(text, begin):
            return 0, ""
        # A zero on its own begins a fraction; no place in Italy has a code of one digit.
        trunk = text.startswith(self._lead, begin) and (bool(self._prefix) or text[begin + 1 : begin + 2].isdigit())
        for taken in range(min(_MAX_GROUPS, len(groups) - first), 1, -1):
            chosen = groups[first : first + taken]
            digits = "".join(text[a:b] for a, b in chosen)
            number = digits.removeprefix(self._prefix) if trunk else digits
            if len(number) not in self._lengths:
                continue
            shape = tuple(b - a for a, b in chosen)
            if not trunk and shape not in self._shapes:
                continue
            if not trunk and _is_amount(text, chosen):
                continue
            if self._valid.fullmatch(number) and not in_hexadecimal(text, begin, chosen[-1][1]):
                return taken, f"+{self._code}{number}"
        return 0, ""

    def mobile(self, text: str) -> Iterator[Candidate]:
        """Mobile numbers in one piece, with their trunk prefix."""

        def judge(match: re.Match[str]) -> str | None:
            digits = match.group()
            told = digits.startswith(self._prefix) and self._mobile.fullmatch(digits, 1)
            return self._canonical(digits) if told and not is_something_else(text, match.start()) else None

        return numbers_judged(_BARE, text, judge)

    def bare(self, text: str) -> Iterator[Candidate]:
        """Any number in one piece, national, or international without its sign."""

        def judge(match: re.Match[str]) -> str | None:
            digits = match.group()
            return self._canonical(digits) if self._is_valid(digits) and not is_something_else(text, match.start()) else None

        return numbers_judged(_BARE, text, judge)

    def _is_valid(self, digits: str) -> bool:
        number = digits.removeprefix(self._prefix)
        if self._valid.fullmatch(number) or (self._code == _NANP_CODE and self._valid.fullmatch(digits.removeprefix("1"))):
            return True
        return digits[0] != "0" and len(digits) >= 10 and _exists(digits)

    def _canonical(self, digits: str) -> str:
        number = digits.removeprefix(self._prefix or ("1" if self._code == _NANP_CODE and len(digits) == 11 else ""))
        return f"+{self._code}{number}" if self._valid.fullmatch(number) else f"+{digits}"


def _is_amount(text: str, chosen: list[tuple[int, int]]) -> bool:
    """Whether groups of three are thousands, because a currency stands beside them."""
    sizes = [b - a for a, b in chosen]
    if sizes[0] > 3 or set(sizes[1:]) != {3}:
        return False
    return _CURRENCY_AFTER.match(text, chosen[-1][1]) is not None or text[max(0, chosen[0][0] - 2) : chosen[0][0]].rstrip()[
        -1:
    ] in {"$", "€", "£", "¥"}


def _american(match: re.Match[str]) -> str | None:
    """The number in E.164. Area codes that were never given out count too: people make numbers up, and the form says
    enough."""
    if in_hexadecimal(match.string, *match.span()) or is_something_else(match.string, match.start()):
        return None
    return f"+1{_NOT_DIGIT.sub('', match.group())[-10:]}"


def _dialled(text: str) -> Iterator[Candidate]:
    return numbers_judged(_DIALLED, text, _abroad)


def _abroad(match: re.Match[str]) -> str | None:
    digits = _NOT_DIGIT.sub("", match.group())
    number = digits.removeprefix("011" if digits.startswith("011") else "00")
    separated = len(digits) != len(match.group())
    if _exists(number) and (separated or (digits[:2] == "00" and number[0] != "1")):
        return international(number) or f"+{number}"
    return None


def _exists(digits: str) -> bool:
    """Whether digits with their country code are a number that some plan really has."""
    for size in (1, 2, 3):
        plan = _plan(int(digits[:size])) if len(digits) > size else None
        if plan is not None:
            return plan.valid.fullmatch(digits, size) is not None
    return False


def _sizes(group: str) -> tuple[int, ...]:
    r"""How many digits a group of a format may have: ``\d{3,4}`` is 3 and 4, ``\d\d[2-9]`` is 3."""
    least = most = 0
    for low, high in _ATOM.findall(group):
        least += int(low or 1)
        most += int(high or low or 1)
    return tuple(range(least, min(most, least + 12) + 1))


def _combinations(sizes: list[tuple[int, ...]]) -> list[tuple[int, ...]]:
    found: list[tuple[int, ...]] = [()]
    for options in sizes[:_MAX_GROUPS]:
        found = [(*shape, size) for shape in found for size in options]
    return found


def _compositions(length: int) -> Iterator[tuple[int, ...]]:
    """Every way of writing ``length`` as a sequence of 2, 3 and 4."""
    if length in (2, 3, 4):
        yield (length,)
    for size in (2, 3, 4):
        if length - size >= 2:
            for rest in _compositions(length - size):
                yield (size, *rest)
