"""How the walk over a record ends other than with a value: a part is gone, or the whole record is refused."""

from __future__ import annotations

from typing import Final

from policies.model import Remark


class Gone:
    """The mark of a value that has been removed."""


GONE: Final = Gone()
"""Its one instance."""


class Refused(Exception):
    """The whole record is refused; carries the remark that says why. Never leaves this package."""

    def __init__(self, remark: Remark) -> None:
        """Take the remark."""
        self.remark = remark


class Dropped(Exception):
    """A detector whose action is to drop found something in the text at hand. Never leaves this package."""
