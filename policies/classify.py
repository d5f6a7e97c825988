"""What a property is: its name, wherever it stands, resolved to the one rule that governs it.

Precedence lives in ``Classifier._governing`` and is described in docs/policy.md. Names are compared as dotted
paths in folded form; array positions do not count, a pattern matches the end of a path, and a literal dot in
a key separates like nesting does. Names without wildcards are compared without what stands between their words; in
patterns ``_`` is any boundary between words. So neither case, nor style, nor Unicode dress, nor depth, nor lists
change what a property is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum, auto

from policies.model import ActionKind, Detector, Reason, Rule, Scope
from policies.patternset import PatternSet
from policies.pseudonym import PSEUDONYM_CODE
from policies.text import folded_name, joined_name, worded_name

# Clocks and identities of the wire format (reference sections 7 and 10), by their exact names.
IDENTIFIERS = frozenset({"distinct_id", "$distinct_id", "$user_id", "$device_id"})
LINKS = frozenset(
    {
        "$identified_id",
        "$anon_id",
        "$anon_distinct_id",
        "alias",
        "$distinct_ids",
        "$distinct_id_before_identity",
        "$preshuffle_distinct_id",
        "mp_original_distinct_id",
        "hotshard_distinct_id",
    }
)
CLOCKS = frozenset({"time", "$time", "mp_processing_time_ms", "$mp_api_timestamp_ms"})
HOUSEKEEPING = IDENTIFIERS | LINKS | CLOCKS | {"$insert_id"}
IDENTITY_EVENTS = frozenset({"$identify", "$create_alias", "$merge", "$opt_in"})

# What a detector puts into a name is no part of the name: else ``[phone]`` would be matched by ``*phone*``.
_PLACEHOLDER = re.compile(rf"\[(?:{'|'.join(Detector)})\]|{PSEUDONYM_CODE.pattern}")

_JSON_STARTS = ("{", "[", '"')

_PSEUDONYM_LENGTH = 35

MAX_NAME = 1_024
"""How many characters a name may have to be judged; a longer one is removed with what stands under it."""

_MAX_CACHED = 16_384
_MAX_CACHED_KEY = 128
_MAX_NAMES_KEPT = 32
_MAX_NAME_SETS = 4_096
_MAX_PATH = 512

# A wildcard that begins or ends inside a word; a word that stands whole in a pattern, with a sign after it.
_LOOSE = re.compile(r"[^_.*][*?]|[*?][^_.*]")
_WHOLE = re.compile(r"(?:^|[_.])[^_.*?]+_")


class Role(IntEnum):
    """Why a top-level property is outside the rules, or PLAIN when it is not. A number, because it is looked up."""

    PLAIN = auto()
    IDENTIFIER = auto()
    LINK = auto()
    CLOCK = auto()
    INSERT_ID = auto()


class Part(IntEnum):
    """How the gate goes about a top-level property; a number, to index the parts of a plan with."""

    TOUCHED = 0
    CLOCK = 1
    IDENTIFIER = 2
    INSERT_ID = 3
    SCANNED = 4


@dataclass(frozen=True, slots=True)
class Governing:
    """A compiled rule: its place in the order of precedence, and the reason its remarks give."""

    index: int
    rule: Rule
    reason: Reason
    events: EventPatterns | None

    @property
    def keeps(self) -> bool:
        """Whether the rule leaves every value alone, whatever the person or the request refuses."""
        return self.rule.action.kind is ActionKind.KEEP and not self.rule.purposes


@dataclass(slots=True, eq=False)
class Place:
    """One path as the policy sees it, and the same with ``_`` between its words. Equality is identity, so that a place
    is a cheap cache key; not frozen, which would triple the price of a name never seen before, and never changed.

    ``top`` says that it is a property and not a part of one; ``suspicious`` that the name itself may hold
    personal data; ``telling`` that it says what a value is whose form alone would not.
    """

    path: str
    words: str
    scope: Scope
    mask: int
    governing: Governing | None = None
    role: Role = Role.PLAIN
    top: bool = False
    suspicious: bool = False
    part: Part = Part.SCANNED
    root: bool = False
    telling: bool = False

    @property
    def is_left_alone(self) -> bool:
        """Whether no rule changes what stands here, and its name gives nothing away that its form would not."""
        return not self.telling and (self.governing is None or self.governing.keeps)

    @property
    def meaning(self) -> str:
        """The name as far as it bears on what the detectors see."""
        return self.path if self.telling or self.path.endswith("version") else ""


class EventPatterns:
    """Globs over whole event names, compared in folded form."""

    __slots__ = ("_set",)

    def __init__(self, globs: Sequence[str]) -> None:
        """Compile; an empty sequence matches nothing."""
        self._set = PatternSet([f"^{_regex(folded_name(glob), '(?s:.*)')}$" for glob in globs])

    def match(self, name: str) -> bool:
        """Whether any glob matches the name."""
        return bool(self._set.matches(folded_name(name)))


class _PathPatterns:
    """The patterns of all rules of one scope: exact endings by dictionary, globs by one automaton, which also says
    whether a name is a telling one."""

    __slots__ = ("_exact", "_globs", "_longest", "_of_words", "_owners")

    def __init__(self, rules: Sequence[Governing], telling: Sequence[str]) -> None:
        self._exact: dict[str, list[int]] = {}
        self._owners: list[int] = []
        self._of_words: set[int] = set()
        globs: list[str] = []
        for entry in rules:
            for written in entry.rule.properties:
                name = written.replace("[]", "")
                if "*" in name or "?" in name:
                    for pattern in sorted({folded_name(name), worded_name(name)}):
                        if _WHOLE.search(pattern) or not _LOOSE.search(pattern):
                            self._of_words.add(len(globs))
                        globs.append(rf"(?:^|\.){_regex(pattern, '[^.]*')}$")
                        self._owners.append(entry.index)
                else:
                    pattern = ".".join(map(joined_name, folded_name(name).split(".")))
                    self._exact.setdefault(pattern, []).append(entry.index)
        self._globs = PatternSet((*globs, *telling))
        self._longest = max((pattern.count(".") + 1 for pattern in self._exact), default=0)

    def candidates(self, path: str, words: str) -> tuple[Iterable[int], bool]:
        """The indices of all rules with a pattern that fits the end of ``path``, in order of precedence, and whether the
        path is telling. ``words`` is the same path with ``_`` at every boundary between words."""
        matched, telling, count = self._globs.matches(path), False, len(self._owners)
        globs: Sequence[int] = ()
        if matched:
            globs = [i for i in matched if i < count]
            telling = len(globs) < len(matched)
        spoken: Sequence[int] = ()
        if words != path:
            spoken = [i for i in self._globs.matches(words) if i < count]
        exact = self._exact_ones(path)
        if not (globs or spoken):
            return exact, telling
        written = {*exact, *(self._owners[i] for i in globs)}
        spelled = {self._owners[i] for i in spoken} - written
        if exact or not self._of_words.isdisjoint(globs):
            # A name that a rule says word for word is that name: capitals in odd places set no words apart in it.
            return [*sorted(written), *sorted(spelled)], telling
        return sorted(written | spelled), telling

    def _exact_ones(self, path: str) -> Sequence[int]:
        """The indices of the rules with a pattern without wildcards that is the end of the path."""
        if "." not in path:
            # Nearly every property: one name, at most one pattern.
            return self._exact.get(joined_name(path), ())
        found: set[int] = set()
        # Only endings as long as the longest pattern: a name made of a million dots must not cost a million
        # look-ups.
        ending = ""
        for segment in map(joined_name, reversed(path.rsplit(".", self._longest)[-self._longest :] if self._longest else ())):
            ending = f"{segment}.{ending}" if ending else segment
            found.update(self._exact.get(ending, ()))
        return sorted(found)


class Classifier:
    """Resolves property names to places. Safe to share between threads; its cache is bounded."""

    __slots__ = ("_cache", "_is_suspicious", "_limited", "_patterns", "_roots", "_rules", "_unknown", "untouched")

    def __init__(
        self,
        rules: Sequence[tuple[Rule, Reason]],
        is_suspicious: Callable[[str], bool],
        unknown: Part,
        telling: Sequence[str] = (),
    ) -> None:
        """Take the rules in order of precedence, the standing ones first, the test for suspicious names, the part of
        properties that no rule names, and the patterns (RE2) of the folded paths that are telling."""
        self._is_suspicious = is_suspicious
        self._unknown = unknown
        self._rules = tuple(
            Governing(i, rule, reason, EventPatterns(rule.events) if rule.events else None)
            for i, (rule, reason) in enumerate(rules)
        )
        self._patterns = {
            scope: _PathPatterns([entry for entry in self._rules if scope in entry.rule.scopes], telling) for scope in Scope
        }
        self._limited = tuple(entry for entry in self._rules if entry.events is not None)
        self._roots: dict[tuple[Scope, int], Place] = {}
        self._cache: dict[tuple[Place, str], Place] = {}
        # A place and the names of a mapping below it, none of which any rule changes or is suspicious itself.
        self.untouched: set[tuple[Place | str, ...]] = set()

    def event_mask(self, name: str) -> int:
        """One bit for every rule that is limited to some events and applies to this one."""
        return sum(1 << entry.index for entry in self._limited if entry.events and entry.events.match(name))

    def root(self, scope: Scope, mask: int) -> Place:
        """The place of a whole record, above its properties."""
        root = self._roots.get((scope, mask))
        if root is None:
            root = Place("", "", scope, mask, root=True)
            if len(self._roots) >= _MAX_CACHED:
                self._roots.clear()
            self._roots[scope, mask] = root
        return root

    def place(self, parent: Place, key: str) -> Place:
        """The place of a property below ``parent``."""
        found = self._cache.get((parent, key))
        if found is None:
            found = self._resolved(parent, key)
            # A long name is rare and costs memory; a suspicious one may be a value gone astray, not to be
            # remembered.
            if len(key) <= _MAX_CACHED_KEY and not found.suspicious:
                if len(self._cache) >= _MAX_CACHED:
                    self._cache.clear()
                self._cache[parent, key] = found
        return found

    def renamed(self, parent: Place, before: Place, key: str) -> Place:
        """The place of what was ``before`` and is now called ``key``, because its name held personal data: the stricter of
        the two, so that a name beside an address hides from no rule."""
        after, governing = self.place(parent, key), before.governing
        if after.role is not Role.PLAIN or after.governing is None or before.role is not Role.PLAIN:
            return before
        return before if governing is not None and governing.index <= after.governing.index else after

    def part(self, root: Place, key: str) -> Part | None:
        """How to go about a top-level property; None for a name that may itself hold personal data. Nothing is remembered
        of a name that never comes again."""
        part, suspicious = self._judged(root, key)[3:5]
        return None if suspicious else part

    def remember_untouched(self, names: tuple[Place | str, ...]) -> None:
        """Remember a place and the names below it as ``untouched``, unless they are many or long."""
        if len(names) <= _MAX_NAMES_KEPT and all(len(name) <= _MAX_CACHED_KEY for name in names if isinstance(name, str)):
            if len(self.untouched) >= _MAX_NAME_SETS:
                self.untouched.clear()
            self.untouched.add(names)

    def _resolved(self, parent: Place, key: str) -> Place:
        path, words, governing, part, suspicious, telling, role = self._judged(parent, key)
        top = parent.root
        return Place(_tail(path), _tail(words), parent.scope, parent.mask, governing, role, top, suspicious, part, False, telling)

    def _judged(self, parent: Place, key: str) -> tuple[str, str, Governing | None, Part, bool, bool, Role]:
        """Path, words, rule, part, whether it is suspicious and whether telling, and role."""
        if len(key) > MAX_NAME:
            # The walk removes it.
            return "", "", None, Part.TOUCHED, True, False, Role.PLAIN
        role = _ROLES.get(key, Role.PLAIN) if parent.root else Role.PLAIN
        path, words = _spelled(key)
        if not parent.root:
            path, words = f"{parent.path}.{path}", f"{parent.words}.{words}"
        governing, telling = self._governing(path, words, parent) if role is Role.PLAIN else (None, False)
        part = self._part(role, governing)
        if telling and part is Part.SCANNED:
            # The wide pass sees no names, so what one gives away is left to the walk.
            part = Part.TOUCHED
        # A name that is a JSON text may hold other names.
        return path, words, governing, part, key[:1] in _JSON_STARTS or self._is_suspicious(key), telling, role

    def _part(self, role: Role, governing: Governing | None) -> Part:
        if role in _PART_OF_ROLE:
            return _PART_OF_ROLE[role]
        if role is not Role.PLAIN:
            return Part.SCANNED
        if governing is None:
            return self._unknown
        return Part.SCANNED if governing.keeps else Part.TOUCHED

    def candidates(self, path: str, scope: Scope, words: str = "") -> tuple[Governing, ...]:
        """Every rule with a pattern that names ``path`` in records of this scope, in order of precedence, whatever the
        event: what ``governing`` chooses from. ``words`` as there; the path itself when left out."""
        return tuple(self._rules[index] for index in self._patterns[scope].candidates(path, words or path)[0])

    def changes(self, name: str) -> bool:
        """Whether some rule, of whatever scope and event, may change a property of this name at the top."""
        if len(name) > MAX_NAME:
            return True
        path, words = _spelled(name)
        for scope in Scope:
            for entry in self.candidates(path, scope, words):
                if not entry.keeps:
                    return True
                if entry.events is None:
                    break
        return False

    def _governing(self, path: str, words: str, parent: Place) -> tuple[Governing | None, bool]:
        """Precedence: the first rule, in the order standing rules then written rules, that names this path in this scope
        and event; failing that, the rule that governs the container. And whether the path is telling."""
        indices, telling = self._patterns[parent.scope].candidates(path, words)
        for index in indices:
            entry = self._rules[index]
            if entry.events is None or parent.mask >> index & 1:
                return entry, telling
        return parent.governing, telling


_PART_OF_ROLE = {Role.CLOCK: Part.CLOCK, Role.IDENTIFIER: Part.IDENTIFIER, Role.INSERT_ID: Part.INSERT_ID}


def _spelled(key: str) -> tuple[str, str]:
    """A name in the two forms in which it is compared."""
    path, words = folded_name(key), worded_name(key)
    if "[" in key or len(key) >= _PSEUDONYM_LENGTH:
        path, words = _PLACEHOLDER.sub("", path), _PLACEHOLDER.sub("", words)
    return path, words


def _tail(path: str) -> str:
    """The end of a long path, cut between names where possible: parents are repeated for every child, so they
    are bounded, and no pattern is as long as what is left."""
    if len(path) <= _MAX_PATH:
        return path
    end = path[-_MAX_PATH:]
    return end.partition(".")[2] or f"\x00{end}"


_ROLES = {
    **dict.fromkeys(IDENTIFIERS, Role.IDENTIFIER),
    **dict.fromkeys(LINKS, Role.LINK),
    **dict.fromkeys(CLOCKS, Role.CLOCK),
    "$insert_id": Role.INSERT_ID,
}


def _regex(glob: str, star: str) -> str:
    """A glob as RE2: ``*`` is ``star``, ``?`` one character that is not a dot, all else literal."""
    parts = {"*": star, "?": "[^.]"}
    return "".join(parts.get(char) or (char if char.isalnum() or not char.isascii() else f"\\{char}") for char in glob)
