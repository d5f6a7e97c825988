"""Checks a certificate, or a whole log against its signed checkpoint, offline: no network, no database, no secret.

    python app/audit/verify.py certificate certificate.txt --key 'portcullis/1000001+…'
    python app/audit/verify.py bundle bundle.ndjson --key 'portcullis/1000001/audit+…' --held checkpoint.txt
    python app/audit/verify.py log entries.ndjson

Standard library and `cryptography` only. Exit status 0: it holds; 1: it does not; 2: it could not be read.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TextIO

if __package__:
    from app.audit.checkpoint import BadCheckpoint, Checkpoint, parse
    from app.audit.merkle import Frontier, leaf_hash
    from app.audit.note import BadNote, open_note
else:  # Run as a file, apart from the rest of the service: these three lie beside it.
    sys.path.insert(0, str(Path(__file__).parent))
    from checkpoint import BadCheckpoint, Checkpoint, parse  # type: ignore[import-not-found,no-redef]
    from merkle import Frontier, leaf_hash  # type: ignore[import-not-found,no-redef]
    from note import BadNote, open_note  # type: ignore[import-not-found,no-redef]

HEADER = "portcullis erasure certificate v1"
_BUNDLE = "portcullis audit bundle v1"
DELETION_HEADER = "portcullis data deletion certificate v1"


class DoesNotHold(ValueError):
    """What was given is not what it claims to be."""


def main(arguments: list[str] | None = None) -> int:
    """Entry point of the command."""
    options = _parser().parse_args(arguments)
    try:
        with Path(options.file).open(encoding="utf-8") as given:
            for line in _REPORTS[options.what](given, options):
                print(line)
    except (BadNote, BadCheckpoint, DoesNotHold) as fault:
        print(f"DOES NOT HOLD: {fault}", file=sys.stderr)
        return 1
    except (OSError, UnicodeDecodeError) as fault:
        print(f"cannot read {getattr(fault, 'filename', None) or options.file}: {type(fault).__name__}", file=sys.stderr)
        return 2
    return 0


def _report_certificate(given: TextIO, options: argparse.Namespace) -> list[str]:
    return describe(verify_certificate(given.read(), options.key))


def _report_log(given: TextIO, _options: argparse.Namespace) -> list[str]:
    count, first = verify_log(given)
    return [
        f"HOLDS: {count} entries from index {first}, each with its leaf hash, without a gap",
        "  no checkpoint was given: whoever wrote this file could have written another (see `bundle`)",
    ]


def _report_bundle(given: TextIO, options: argparse.Namespace) -> list[str]:
    held = Path(options.held).read_text(encoding="utf-8") if options.held else None
    found = verify_bundle(given, options.key, held)
    lines = [f"HOLDS: {found.size} entries of {found.origin}, root {found.root.hex()}, signed by the key given"]
    if held is None:
        lines.append("  no older checkpoint was given: whoever holds the signing key could have written another log")
    else:
        lines.append("  it extends the checkpoint that you held")
    return lines


def verify_bundle(lines: Iterable[str], key: str, held: str | None = None) -> Checkpoint:
    """The checkpoint of a bundle, which `key` signed and whose root its entries have. Memory does not grow with them.

    With `held`, a checkpoint of the same log that was kept from an earlier day, the entries must begin with those that
    it covers. Raises `BadNote`, `BadCheckpoint` or `DoesNotHold`.
    """
    given = iter(lines)
    said = parse(open_note(_note_of(next(given, "")), [key]))
    older = parse(open_note(held, [key])) if held is not None else None
    if older is not None and older.origin != said.origin:
        raise DoesNotHold("the checkpoint that you held is of another log")
    if older is not None and older.size > said.size:
        raise DoesNotHold(f"you held a checkpoint of {older.size} entries, and this log has {said.size}: it was cut, or is older")
    tree = Frontier()
    _compare(older, tree)
    for _, leaf in _entries(given, first=0):
        if tree.size == said.size:
            raise DoesNotHold(f"there are more entries than the {said.size} that the checkpoint covers")
        tree.append(leaf)
        _compare(older, tree)
    if tree.size != said.size:
        raise DoesNotHold(f"the checkpoint covers {said.size} entries, and {tree.size} are there")
    if tree.root() != said.root:
        raise DoesNotHold("the entries do not have the root that was signed: one was changed, swapped, put in or taken out")
    return said


def _compare(older: Checkpoint | None, tree: Frontier) -> None:
    if older is not None and older.size == tree.size and older.root != tree.root():
        raise DoesNotHold(f"the first {older.size} entries are not those of the checkpoint that you held: the log was rewritten")


def _note_of(line: str) -> str:
    try:
        head = json.loads(line)
        if head["bundle"] == _BUNDLE:
            return str(head["checkpoint"])
    except (ValueError, KeyError, TypeError, RecursionError):
        pass
    raise DoesNotHold("the first line is not that of an audit bundle")


def verify_certificate(note: str, key: str) -> dict[str, Any]:
    """The statement of a certificate that `key` signed. Raises `BadNote` or `DoesNotHold`."""
    header, _, rest = open_note(note, [key]).partition("\n")
    if header not in (HEADER, DELETION_HEADER):
        raise DoesNotHold("this is a signed note, and not a certificate of an erasure or data deletion")
    try:
        statement = json.loads(rest)
    except (ValueError, RecursionError):
        raise DoesNotHold("the statement is not JSON") from None
    if not isinstance(statement, dict) or _canonical(statement) != rest.rstrip("\n"):
        raise DoesNotHold("the statement is not in canonical form")
    left = [place["place"] for place in statement.get("places", ()) if place.get("after", 0) != 0]
    if left:
        raise DoesNotHold(f"rows were left in: {', '.join(left)}")
    return statement


def verify_log(lines: Iterable[str]) -> tuple[int, int]:
    """How many entries, and the first index. Raises `DoesNotHold` at the first line that is not right."""
    first = None
    count = 0
    for index, _ in _entries(lines):
        first = index if first is None else first
        count += 1
    if first is None:
        raise DoesNotHold("there is no entry")
    return count, first


def _entries(lines: Iterable[str], first: int | None = None) -> Iterator[tuple[int, bytes]]:
    """Index and leaf hash of each entry, computed from its canonical bytes. Raises `DoesNotHold`."""
    expected = first
    for number, line in enumerate(lines, 1):
        try:
            each = json.loads(line)
            index, leaf, entry = each["index"], each["leaf"], each["entry"]
        except (ValueError, KeyError, TypeError, RecursionError):
            raise DoesNotHold(f"line {number} is not an entry") from None
        if expected is not None and index != expected:
            raise DoesNotHold(f"line {number} has index {index}, and {expected} comes next")
        computed = leaf_hash(_canonical(entry).encode("utf-8", "surrogatepass"))
        if computed.hex() != leaf:
            raise DoesNotHold(f"line {number} was changed: its leaf hash is another")
        if not isinstance(index, int):
            raise DoesNotHold(f"line {number} is not an entry")
        expected = index + 1
        yield index, computed


def describe(statement: dict[str, Any]) -> list[str]:
    """A statement in plain words."""
    lines = _of_deletion(statement) if "deletion" in statement else _of_erasure(statement)
    for place in statement["places"]:
        counted = f"{place['before']} before, {place['deleted']} deleted, 0 after; " if "before" in place else ""
        lines.append(f"  {place['place']}: {counted}{place['meaning']}")
    lines.append(f"  verified: {statement['verification']}")
    lines.append("  not covered:")
    lines += [f"    - {each['what']}: {each['until']}" for each in statement["exclusions"]]
    return lines


def _of_erasure(statement: dict[str, Any]) -> list[str]:
    return [
        f"HOLDS: erasure {statement['request']} of project {statement['project']} ({statement['regime']})",
        f"  accepted {statement['accepted']}, completed {statement['completed']}",
        f"  ids named in the request: {statement['ids_named']}; turned into tombstones: {statement['tombstones']}",
    ]


def _of_deletion(statement: dict[str, Any]) -> list[str]:
    covered = ", ".join(f"{name} {value}" for name, value in statement["covered"].items())
    return [
        f"HOLDS: data deletion {statement['deletion']} of project {statement['project']} ({statement['reason']})",
        f"  accepted {statement['accepted']}, could be undone until {statement['undo_until']}",
        f"  completed {statement['completed']}",
        f"  covered: {covered}",
        f"  people touched when it was accepted: {statement['people']}",
    ]


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="portcullis audit verify", description="Check a certificate or a log offline.")
    kinds = parser.add_subparsers(dest="what", required=True)
    certificate = kinds.add_parser("certificate", help="the signed certificate of an erasure or data deletion")
    certificate.add_argument("file")
    certificate.add_argument("--key", required=True, help="the verifier key, from GET /v1/certificate-key")
    bundle = kinds.add_parser("bundle", help="a whole log, as GET /v1/audit/bundle gives it")
    bundle.add_argument("file")
    bundle.add_argument("--key", required=True, help="the verifier key, from GET /v1/audit/key")
    bundle.add_argument("--held", help="a checkpoint of this log that you kept from an earlier day")
    kinds.add_parser("log", help="entries as GET /v1/audit/entries gives them").add_argument("file")
    return parser


_REPORTS = {"certificate": _report_certificate, "bundle": _report_bundle, "log": _report_log}

if __name__ == "__main__":
    sys.exit(main())
