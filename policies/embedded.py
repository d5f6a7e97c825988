"""JSON texts inside strings: read as a lenient reader would, so that nothing hides in them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from policies.detect import BLANK


@dataclass(slots=True)
class Parsed:
    """What a JSON text holds, and what is wrong with it."""

    value: Any = None
    duplicates: bool = False
    too_deep: bool = False


def parsed_text(text: str) -> Parsed | None:
    """The JSON text that a string is, or None. Only containers and strings can hide anything."""
    parsed = Parsed()

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        parsed.duplicates = parsed.duplicates or len(found) != len(pairs)
        return found

    try:
        parsed.value = json.loads(text.strip(BLANK), object_pairs_hook=unique)
    except RecursionError:
        parsed.too_deep = True
    except ValueError:
        return None
    return parsed
