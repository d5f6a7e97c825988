"""Where a person is and when they were born: pairs of coordinates (ISO 6709, RFC 5870) and dates of birth."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial

from policies.detect.checksums import is_day
from policies.detect.kinds import Candidate, Form, judged, numbers_judged
from policies.model import Detector

_NUMBER = r"[+\-]?[0-9]{1,3}\.[0-9]{3,20}"
_PAIR = re.compile(
    rf"(?<![0-9A-Za-z.+\-])({_NUMBER})°?(?:[ ]{{0,3}}[,;/|][ ]{{0,3}}|[ ]{{1,3}})({_NUMBER})(?![0-9A-Za-z])(?!\.[0-9])"
)
_DEGREES = r"[+\-]?[0-9]{1,3}(?:\.[0-9]{1,20})?"
# The numbers are looked for first: they are rarer than the letters of the marks that stand before them.
_MARKED = re.compile(rf"(?<=[:@=/])({_DEGREES})(?:,|%2[Cc]|/)({_DEGREES})")
_MARK = re.compile(r"(?i)(?:\bgeo:|[/!?&=]@|/@|\bll=|\bq=|\bloc:|\bcenter=|\bdestination=|\bdaddr=|\bsll=|#map=[0-9]{1,2}/)$")
_LONGEST_MARK = 14
_LABELLED = re.compile(
    rf"(?i)(?:\blat(?:itude)?)[\"']?[ ]{{0,2}}[:=]?[ ]{{0,2}}[\"']?({_DEGREES})°?[\"']?(?:[ ]{{0,3}}[,;&|/]?[ ]{{0,3}})"
    rf"[\"']?(?:lon(?:g|gitude)?|lng)[\"']?[ ]{{0,2}}[:=]?[ ]{{0,2}}[\"']?({_DEGREES})"
)
_SEXAGESIMAL = (
    r"[0-9]{1,3}[ ]?[°º][ ]?[0-9]{1,2}(?:\.[0-9]{1,10})?[ ]?['′’][ ]?(?:[0-9]{1,2}(?:\.[0-9]{1,10})?[ ]?(?:[\"″”]|'')[ ]?)?"
)
_DMS = re.compile(rf"(?i)(?<![0-9])({_SEXAGESIMAL})[NS][ ]?[,;/]?[ ]?({_SEXAGESIMAL})[EWO](?![0-9A-Za-z])")
_DEGREE_PAIR = re.compile(
    r"(?i)(?<![0-9.])([0-9]{1,2}\.[0-9]{2,20})[ ]?[°º]?[ ]?[NS][ ]?[,;/]?[ ]?([0-9]{1,3}\.[0-9]{2,20})[ ]?[°º]?[ ]?[EWO](?![0-9A-Za-z])"
)


def _in_range(match: re.Match[str]) -> str | None:
    first, second = float(match.group(1)), float(match.group(2))
    if (abs(first) <= 90 and abs(second) <= 180) or (abs(first) <= 180 and abs(second) <= 90):
        return f"{first:g},{second:g}" if first or second else None
    return None


def _pairs(text: str) -> Iterator[Candidate]:
    return judged(_PAIR, text, _in_range)


def _marked(text: str) -> Iterator[Candidate]:
    for match in _MARKED.finditer(text):
        told = _MARK.search(text[max(0, match.start() - _LONGEST_MARK) : match.start()])
        yield match.start(), match.end(), _precise(match) if told else None


def _labelled(pattern: re.Pattern[str], text: str) -> Iterator[Candidate]:
    for match in pattern.finditer(text):
        yield match.start(1), match.end(), _precise(match)


def _precise(match: re.Match[str]) -> str | None:
    return _in_range(match) if "." in match.group(1) and "." in match.group(2) else None


def _sexagesimal(text: str) -> Iterator[Candidate]:
    return judged(_DMS, text, lambda match: match.group())


_MONTHS = (
    "jan(?:uary|uar|vier|eiro)?|feb(?:ruary|ruar|rero|braio|ruari)?|f[ée]v(?:rier|ereiro)?|mar(?:ch|s|zo|ço|et)?|märz|maart|apr(?:il|ile)?|avr(?:il)?|"
    "abr(?:il)?|may|mai(?:o)?|mayo|maggio|mei|jun(?:e|i|io|ho)?|juin|giugno|jul(?:y|i|io|ho)?|juil(?:let)?|luglio|aug(?:ust|ustus)?|ao[uû]t|ago(?:sto)?|"
    "sep(?:t|tember|tembre|tiembre)?|set(?:embro|tembre)?|oct(?:ober|obre|ubre)?|okt(?:ober)?|out(?:ubro)?|ott(?:obre)?|nov(?:ember|embre|iembre|embro)?|"
    "dec(?:ember)?|dez(?:ember|embro)?|d[ée]c(?:embre)?|dic(?:iembre|embre)?"
)
_YEAR = r"(?:19|20)[0-9]{2}"
_DATE = re.compile(
    rf"(?i)(?<![0-9A-Za-z.])(?:"
    rf"(?P<y1>{_YEAR})[ ]?[.\-/年년][ ]?(?P<m1>[0-9]{{1,2}})[ ]?[.\-/月월][ ]?(?P<d1>[0-9]{{1,2}})(?:[日일]|(?=[^0-9A-Za-z]|$)|(?=T[0-9]))"
    rf"|(?P<a2>[0-9]{{1,2}})[ ]?[.\-/][ ]?(?P<b2>[0-9]{{1,2}})[ ]?[.\-/][ ]?(?P<y2>{_YEAR}|[0-9]{{2}})(?![0-9A-Za-z])"
    rf"|(?P<d3>[0-9]{{1,2}})(?:st|nd|rd|th|er|º|\.)?[ \-](?:of |de |d')?(?:{_MONTHS})\.?,?[ \-](?:de |of )?(?P<y3>{_YEAR})(?![0-9A-Za-z])"
    rf"|(?P<y5>{_YEAR})(?P<m5>0[1-9]|1[0-2])(?P<d5>[0-3][0-9])(?![0-9A-Za-z]))"
)


# Apart, because the names of months are tried at every word.
_MONTH_FIRST = re.compile(
    rf"(?i)(?<![0-9A-Za-z.])(?:{_MONTHS})\.?[ \-]([0-9]{{1,2}})(?:st|nd|rd|th)?,?[ \-]{_YEAR}(?![0-9A-Za-z])"
)


def _dates(text: str) -> Iterator[Candidate]:
    return numbers_judged(_DATE, text, _date)


def _months_first(text: str) -> Iterator[Candidate]:
    return judged(_MONTH_FIRST, text, lambda match: match.group() if int(match.group(1)) <= 31 else None)


def _date(match: re.Match[str]) -> str | None:
    """The date in ISO 8601 where its order is certain, else as written; None where the calendar has no such day."""
    part = match.groupdict()
    if part["y1"]:
        return _iso(part["y1"], part["m1"], part["d1"])
    if part["y5"]:
        return _iso(part["y5"], part["m5"], part["d5"])
    if part["y2"]:
        return match.group() if _either(int(part["a2"]), int(part["b2"])) else None
    return match.group() if int(part["d3"]) <= 31 else None


def _iso(year: str, month: str, day: str) -> str | None:
    return f"{year}-{int(month):02}-{int(day):02}" if is_day(int(year), int(month), int(day)) else None


def _either(first: int, second: int) -> bool:
    return is_day(0, second, first) or is_day(0, first, second)


_PLACES = ("coordinates", "coords", "coord", "location", "gps", "latitude", "longitude", "lat", "lon", "lng", "long", "latlng", "latlong", "geo", "position",
           "latlon", "geolocation", "=point", "=geopoint", "ubicación", "standort", "coordonnées", "coordinate", "koordinaten", "координаты")  # fmt: skip
_BIRTH = ("born", "birth", "birthday", "birthdate", "birth date", "date of birth", "dob", "d.o.b.", "bday", "geboren", "geb.", "geburtsdatum", "geburtstag",
          "né le", "née le", "date de naissance", "naissance", "nacido", "nacida", "nació", "nacimiento", "cumpleaños", "nato il", "nata il", "data di nascita", "nascita",
          "nascido", "nascida", "nasceu", "nascimento", "geboortedatum", "född", "födelsedatum", "født", "fødselsdato", "fødselsdag", "syntymäaika",
          "syntynyt", "urodzenia", "urodzony", "urodzona", "ur.", "doğum", "рождения", "родился", "родилась", "生年月日", "出生", "생년월일", "生日", "誕生日",
          "narození", "születési", "nașterii", "γέννησης", "तारीख", "जन्म", "ngày sinh", "tanggal lahir", "lahir", "تاريخ الميلاد", "תאריך לידה", "народження")  # fmt: skip

PLACE_FORMS = (
    Form(Detector.COORDINATES, _marked, rf"(?i)(?:geo:|@|\bll=|\bq=|loc:|center=|destination=|daddr=|#map=[0-9]{{1,2}}/|lat(?:itude)?[\\\"'=: ]{{1,9}}){_DEGREES}\D|[0-9]\.[0-9]{{2,20}} ?(?:\xc2[\xb0\xba])? ?[NS]", 0.9, others=(partial(_labelled, _LABELLED), partial(_labelled, _DEGREE_PAIR))),
    Form(Detector.COORDINATES, _sexagesimal, r"[0-9] ?\xc2[\xb0\xba] ?[0-9]", 0.9),
    Form(Detector.COORDINATES, _pairs, r"[0-9]\.[0-9]{3,20}(?:\xc2\xb0)?[ ,;/|]{1,7}[+\-]?[0-9]{1,3}\.[0-9]{3}", 0.4, _PLACES, 0.85),
    Form(
        Detector.BIRTH_DATE,
        _dates,
        r"(?i)[0-9][ .\-/]{1,3}[0-9]{1,2}[ .\-/]{1,3}[0-9]{2}|(?:19|20)[0-9]{2}(?:[ ]?[\x80-\xff]|[01][0-9][0-3][0-9])|[a-z'.\x80-\xff],?[ \-](?:de |of )?(?:19|20)[0-9]{2}|[0-9](?:st|nd|rd|th)?,?[ \-](?:19|20)[0-9]{2}",
        0.2,
        _BIRTH,
        0.85,
        adjacent=2,
        others=(_months_first,),
    ),
)  # fmt: skip
"""Marked and bare coordinates, and dates beside a word about birth."""
