"""A file of ids, a request for each thousand of them: streamed, told by line, and safe to send again.

Each request is a transaction of its own under a key made of the upload's key and its number. So a file whose upload broke off
is sent again as it is: what was taken is found under its key, and the rest follows. A line is taken, a repetition of one
before it, blank, or refused with a reason; the four add up to the lines of the file.
"""

from __future__ import annotations

import csv
import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from hashlib import blake2b

from app.access.service import Principal
from app.audit.entry import AuditAction, Entry
from app.audit.service import AuditLog
from app.database import Database
from app.errors import InvalidInput
from app.subjects.idempotency import Once
from app.subjects.model import RequestKind
from app.subjects.service import NewRequest, Subjects

MOST_IDS = 100_000
IDS_A_REQUEST = 1_000
LONGEST_ID = 1_024
_MOST_ERRORS = 1_000
_HEADING = "distinct_id"


@dataclass(slots=True)
class Uploaded:
    """What became of a file. `errors` are the first thousand: the number of the line, from 1, and what is wrong with it."""

    batch: str | None = None
    lines: int = 0
    taken: int = 0
    repeated: int = 0
    blank: int = 0
    refused: int = 0
    unknown_ids: int = 0
    requests: list[str] = field(default_factory=list)
    errors: list[tuple[int, str]] = field(default_factory=list)

    def refuse(self, message: str) -> None:
        """The line at hand is not taken."""
        self.refused += 1
        if len(self.errors) < _MOST_ERRORS:
            self.errors.append((self.lines, message))


class Uploads:
    """Stateless but for its dependencies; safe to share between threads."""

    def __init__(self, database: Database, subjects: Subjects, audit: AuditLog, clock: Callable[[], int]) -> None:
        self._database = database
        self._subjects = subjects
        self._audit = audit
        self._clock = clock

    def take(self, by: Principal, lines: Iterable[bytes], kind: RequestKind, once: Once, *, compliance: str) -> Uploaded:
        """Make the requests of a file. Memory is that of one request and of a digest for each id.

        Raises `InvalidInput` for a file without a usable id, and `Conflict` when the key belongs to another file.
        """
        done = Uploaded()
        for number, ids in enumerate(_thousands(_identifiers(lines, done))):
            part = once.part(number, "\n".join((kind.value, compliance, *ids)).encode())
            done.batch = done.batch or str(uuid.uuid4())
            wanted = NewRequest(kind, ids, compliance, batch=done.batch, once=part)
            accepted = self._subjects.create(by, wanted)
            # Sent again, the requests that are there already say which upload they belong to.
            done.batch = accepted.request.batch
            done.requests.append(accepted.request.id)
            done.taken += len(ids)
            done.unknown_ids += len(accepted.unknown)
        if not done.requests:
            raise InvalidInput("the file holds no id that can be taken", field="body", remedy="send CSV in UTF-8, an id a line")
        counts = {name: getattr(done, name) for name in ("lines", "taken", "repeated", "blank", "refused", "unknown_ids")}
        with self._database.write() as tx:
            facts = {"kind": kind.value, "regime": compliance}
            entry = Entry(
                AuditAction.REQUESTS_UPLOADED, by.project.id, by.id, self._clock(), obj=done.batch, counts=counts, facts=facts
            )
            self._audit.stage(tx, entry)
        return done


def _identifiers(lines: Iterable[bytes], done: Uploaded) -> Iterator[str]:
    seen: set[bytes] = set()
    for line in lines:
        done.lines += 1
        identifier, problem = _read(line.removeprefix(b"\xef\xbb\xbf") if done.lines == 1 else line)
        if problem:
            done.refuse(problem)
        elif not identifier or (done.lines == 1 and identifier == _HEADING):
            done.blank += 1
        elif (digest := blake2b(identifier.encode(), digest_size=16).digest()) in seen:
            done.repeated += 1
        elif len(seen) == MOST_IDS:
            done.refuse(f"beyond {MOST_IDS:,} ids: send it in another file")
        else:
            seen.add(digest)
            yield identifier


def _read(line: bytes) -> tuple[str, str | None]:
    """The first cell of a line, and what is wrong with it."""
    try:
        text = line.decode("utf-8")
        (cells,) = csv.reader([text], strict=True) if text.strip() else ([""],)
    except UnicodeDecodeError:
        return "", "not UTF-8"
    except (csv.Error, ValueError):
        return "", "not CSV: a quote is not closed"
    identifier = cells[0] if cells else ""
    if "\0" in identifier:
        return "", "holds a NUL"
    if len(identifier.encode()) > LONGEST_ID:
        return "", f"longer than {LONGEST_ID} bytes"
    return identifier, None


def _thousands(identifiers: Iterator[str]) -> Iterator[list[str]]:
    some: list[str] = []
    for each in identifiers:
        some.append(each)
        if len(some) == IDS_A_REQUEST:
            yield some
            some = []
    if some:
        yield some
