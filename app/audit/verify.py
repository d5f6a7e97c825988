"""Checks a certificate or a pulled log offline: no network, no database, no secret.

    python app/audit/verify.py certificate certificate.txt --key 'portcullis/1000001+…'
    python app/audit/verify.py log entries.ndjson

Standard library and `cryptography` only. Exit status 0: it holds; 1: it does not; 2: it could not be read.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from pathlib import Path
from typing import Any

if __package__:
    from app.audit.note import BadNote, open_note
else:  # Run as a file, apart from the rest of the service: note.py lies beside it.
    sys.path.insert(0, str(Path(__file__).parent))
    from note import BadNote, open_note  # type: ignore[import-not-found,no-redef]

HEADER = "portcullis erasure certificate v1"


class DoesNotHold(ValueError):
    """What was given is not what it claims to be."""


def main(arguments: list[str] | None = None) -> int:
    """Entry point of the command."""
    options = _parser().parse_args(arguments)
    try:
        text = Path(options.file).read_text(encoding="utf-8")
        if options.what == "certificate":
            print("\n".join(describe(verify_certificate(text, options.key))))
        else:
            count, first = verify_log(text)
            print(f"HOLDS: {count} entries from index {first}, each with its leaf hash, without a gap")
    except (BadNote, DoesNotHold) as fault:
        print(f"DOES NOT HOLD: {fault}", file=sys.stderr)
        return 1
    except (OSError, UnicodeDecodeError) as fault:
        print(f"cannot read {options.file}: {type(fault).__name__}", file=sys.stderr)
        return 2
    return 0


def verify_certificate(note: str, key: str) -> dict[str, Any]:
    """The statement of a certificate that `key` signed. Raises `BadNote` or `DoesNotHold`."""
    header, _, rest = open_note(note, [key]).partition("\n")
    if header != HEADER:
        raise DoesNotHold("this is a signed note, and not an erasure certificate")
    try:
        statement = json.loads(rest)
    except ValueError:
        raise DoesNotHold("the statement is not JSON") from None
    if not isinstance(statement, dict) or _canonical(statement) != rest.rstrip("\n"):
        raise DoesNotHold("the statement is not in canonical form")
    left = [place["place"] for place in statement.get("places", ()) if place.get("after", 0) != 0]
    if left:
        raise DoesNotHold(f"rows were left in: {', '.join(left)}")
    return statement


def verify_log(text: str) -> tuple[int, int]:
    """How many entries, and the first index. Raises `DoesNotHold` at the first line that is not right."""
    first = expected = None
    count = 0
    for number, line in enumerate(text.splitlines(), 1):
        try:
            each = json.loads(line)
            index, leaf, entry = each["index"], each["leaf"], each["entry"]
        except (ValueError, KeyError, TypeError):
            raise DoesNotHold(f"line {number} is not an entry") from None
        if expected is not None and index != expected:
            raise DoesNotHold(f"line {number} has index {index}, and {expected} comes next")
        if hashlib.sha256(b"\x00" + _canonical(entry).encode()).hexdigest() != leaf:
            raise DoesNotHold(f"line {number} was changed: its leaf hash is another")
        first = index if first is None else first
        expected, count = index + 1, count + 1
    if first is None:
        raise DoesNotHold("there is no entry")
    return count, first


def describe(statement: dict[str, Any]) -> list[str]:
    """A statement in plain words."""
    lines = [
        f"HOLDS: erasure {statement['request']} of project {statement['project']} ({statement['regime']})",
        f"  accepted {statement['accepted']}, completed {statement['completed']}",
        f"  ids named in the request: {statement['ids_named']}; turned into tombstones: {statement['tombstones']}",
    ]
    for place in statement["places"]:
        counted = f"{place['before']} before, {place['deleted']} deleted, 0 after; " if "before" in place else ""
        lines.append(f"  {place['place']}: {counted}{place['meaning']}")
    lines.append(f"  verified: {statement['verification']}")
    lines.append("  not covered:")
    lines += [f"    - {each['what']}: {each['until']}" for each in statement["exclusions"]]
    return lines


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="portcullis audit verify", description="Check a certificate or a log offline.")
    kinds = parser.add_subparsers(dest="what", required=True)
    certificate = kinds.add_parser("certificate", help="a signed erasure certificate")
    certificate.add_argument("file")
    certificate.add_argument("--key", required=True, help="the verifier key, from GET /v1/certificate-key")
    kinds.add_parser("log", help="entries as GET /v1/audit/entries gives them").add_argument("file")
    return parser


if __name__ == "__main__":
    sys.exit(main())
