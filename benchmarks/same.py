"""Do two versions of the policy engine decide alike? Every decision on tens of thousands of generated records, compared.

    python -m benchmarks.same [revision] [records]

Takes ``policies/`` as it is in a revision of this repository (``main`` unless told) and as it lies in the working tree,
gives both the same records, and prints where a decision differs: which policy, which record, never a value. Ends with 1
if one does. Whoever makes the check faster runs this; a difference that is meant is described in the commit.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tarfile
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from hashlib import sha256
from io import BytesIO
from itertools import zip_longest
from pathlib import Path

import msgspec

from benchmarks.check import events
from benchmarks.corpus import corpus
from benchmarks.handmade import handmade
from policies.compile import compile_policy
from policies.context import CheckContext
from policies.model import Record, Scope
from policies.pseudonym import PseudonymKey
from tests.unit.policies.bypass.corpus import CONTEXT, policies, stream

RECORDS = 20_000
_SIZES = (1, 8, 50)
_SEALED = CheckContext(PseudonymKey(2, bytes(32)), bridge=(PseudonymKey(1, bytes(range(32))),))
_PRINTS = "--print"


def main(arguments: Sequence[str]) -> int:
    """Run both versions side by side and compare."""
    revision = arguments[0] if arguments else "main"
    count = int(arguments[1]) if len(arguments) > 1 else RECORDS
    here = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        packed = subprocess.run(["git", "archive", revision, "policies"], check=True, capture_output=True).stdout
        with tarfile.open(fileobj=BytesIO(packed)) as archive:
            archive.extractall(folder, filter="data")
        for name in ("benchmarks", "tests"):
            (Path(folder) / name).symlink_to(here / name)
        before, after = _decisions(Path(folder), count), _decisions(here, count)
        different = Counter[str]()
        total = 0
        for one, other in zip_longest(before, after):
            total += 1
            if one != other:
                different[(one or other or "").rpartition(" ")[0].rpartition(" ")[0]] += 1
                if different.total() <= 10:
                    print(f"differs: {one} | {other}")
    print(f"{total:,} decisions, {different.total():,} differ from those of {revision}", *different.most_common(), sep="\n  ")
    return 1 if different or not total else 0


def _decisions(folder: Path, count: int) -> list[str]:
    command = [sys.executable, "-m", "benchmarks.same", _PRINTS, str(count)]
    ran = subprocess.run(command, cwd=folder, env={**os.environ, "PYTHONPATH": str(folder)}, check=True, stdout=subprocess.PIPE)
    return ran.stdout.decode().splitlines()


def _print(count: int) -> None:
    """One line for each decision: the policy, what kind of record it is, its number, and a digest of the answer."""
    every = policies()
    for name, policy in every.items():
        gate = compile_policy(policy)
        mine = count // len(every)
        mutants = ((mutant.family, mutant.record) for mutant in stream(policy, mine // 2, seed=11))
        for context, source in ((_SEALED, _ordinary(mine - mine // 2)), (CONTEXT, mutants)):
            for at, (kind, digest) in enumerate(_judged(gate.check, context, source)):
                print(f"{name} {kind} {at} {digest}")


def _judged(check: object, context: CheckContext, source: Iterator[tuple[str, Record]]) -> Iterator[tuple[str, str]]:
    """Batches of various sizes, because what shares a batch must not matter."""
    assert callable(check)
    waiting = list(source)
    while waiting:
        size = _SIZES[len(waiting) % len(_SIZES)]
        batch, waiting = waiting[:size], waiting[size:]
        for (kind, _), decision in zip(batch, check([record for _, record in batch], context), strict=True):
            answer = json.dumps(msgspec.to_builtins(decision), default=repr)
            yield kind.replace(" ", "-"), sha256(answer.encode()).hexdigest()[:16]


def _ordinary(count: int) -> Iterator[tuple[str, Record]]:
    """Events as products send them, a few of them with a text from the labelled corpora somewhere."""
    rng = random.Random(count)
    texts = [each.text for each in (*corpus(seed=12, size=3_000), *handmade())]
    while True:
        for event in events(rng.randrange(1 << 30), rng.choice(("", "x_"))):
            properties, kind = event["properties"], "event"
            if rng.random() < 0.4:
                kind, text = "event-with-a-text", rng.choice(texts)
                value = rng.choice(
                    (text, text, [text, 1], {"inner": text, "email": text}, f"https://a.example/?q={text}&email={text}")
                )
                properties[rng.choice(("note", "what", "phone", "latitude", "born", "$city"))] = value
            yield kind, Record(Scope.EVENT, event["event"], properties, time_ms=1_795_450_828_000, subject_key=bytes(32))
            count -= 1
            if not count:
                return


if __name__ == "__main__":
    if sys.argv[1:2] == [_PRINTS]:
        _print(int(sys.argv[2]))
    else:
        sys.exit(main(sys.argv[1:]))
