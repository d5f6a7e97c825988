"""The labelled texts that were written by hand: what the generator of the corpus would never have thought of."""

from __future__ import annotations

import re
from pathlib import Path

from benchmarks.corpus import Text

_FILE = Path(__file__).with_name("handmade.txt")
_LABEL = re.compile(r"⟦([a-z_]+)\|([^⟧]*)⟧")


def handmade() -> list[Text]:
    """Every text of the file, in its order."""
    lines = (line for line in _FILE.read_text(encoding="utf-8").split("\n") if line and line[0] != "#")
    return [_read(*line.split("\t", 1)) for line in lines]


def _read(region: str, written: str) -> Text:
    written = written.replace("\\n", "\n").replace("\\t", "\t")
    text, labels, last = "", [], 0
    for match in _LABEL.finditer(written):
        text += written[last : match.start()]
        labels.append((match.group(1), len(text), len(text) + len(match.group(2))))
        text += match.group(2)
        last = match.end()
    return Text(text + written[last:], region, tuple(labels))
