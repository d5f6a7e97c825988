"""Personal data by its form, wherever it stands: contacts, money, government numbers, devices, secrets, places.

Two steps. ``suspicion`` is one pass of an RE2 set over bytes that says which forms may be present; it is wide and
cheap. ``scanner`` then looks at the text itself with exact patterns and validators; it is narrow and dear, and runs only
the detectors that the first pass asked for. One module holds the forms of one family; a form that is read from left to
right with a small fixed maximum length uses the standard engine, which then is linear too.
"""

from policies.detect.kinds import BLANK, CATEGORIES, JSON_STARTS, PLACEHOLDERS, REASONS, SENSITIVITIES, Finding
from policies.detect.phones import is_region
from policies.detect.scanner import Scanner
from policies.detect.suspicion import Suspicion

__all__ = [
    "BLANK",
    "CATEGORIES",
    "JSON_STARTS",
    "PLACEHOLDERS",
    "REASONS",
    "SENSITIVITIES",
    "Finding",
    "Scanner",
    "Suspicion",
    "is_region",
]
