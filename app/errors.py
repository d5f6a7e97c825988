"""What can go wrong, as values that carry a stable code and a safe message.

    PortcullisError
    ├── StartupRefused            an unsafe or unusable setting; the process does not start
    ├── InvalidInput              the caller sent something that cannot be accepted
    │   └── Unsupported           understood, but this installation does not do it
    ├── NotAuthenticated          no credential, or one that nobody holds
    ├── NotAllowed                a known caller without the permission
    ├── NotFound                  no such thing, or not in this project
    ├── Conflict                  the thing is not in a state that allows the act
    ├── Gone                      it was here and has expired or was destroyed
    ├── TooManyRequests           more than the allowance; nothing was done, try again later
    │   └── TooBusy               too much at once; nothing was read
    ├── Unavailable               a dependency is down; nothing was stored, try again
    └── Integrity                 stored bytes do not decrypt, verify or add up

A message says what was wrong, where, and what to do. It never holds a value that a person sent.
The one mapping to HTTP lives in `app.http`.
"""

from __future__ import annotations


class PortcullisError(Exception):
    """Root of the tree. `code` is stable and documented; `message` is safe to show to anyone."""

    code = "error"

    def __init__(self, message: str, *, field: str | None = None, remedy: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.field = field
        self.remedy = remedy


class StartupRefused(PortcullisError):
    """A setting makes the service unsafe or unusable; `remedy` says how to mend it."""

    code = "startup_refused"

    def __str__(self) -> str:
        return f"{self.message}\n  remedy: {self.remedy}" if self.remedy else self.message


class InvalidInput(PortcullisError):
    """The request cannot be accepted as it is; `field` names the part at fault."""

    code = "invalid_input"


class Unsupported(InvalidInput):
    """A known feature of the protocol that this installation does not offer."""

    code = "unsupported"


class NotAuthenticated(PortcullisError):
    """No credential was sent, or nobody holds it. Says the same for unknown, wrong, expired and revoked."""

    code = "not_authenticated"


class NotAllowed(PortcullisError):
    """The credential is good, and does not hold the permission that the route declares."""

    code = "not_allowed"


class NotFound(PortcullisError):
    """Nothing of that name in this project. A foreign project's thing reads the same."""

    code = "not_found"


class Conflict(PortcullisError):
    """The thing exists and its state does not allow the act."""

    code = "conflict"


class Gone(PortcullisError):
    """It was here; it has expired, was revoked, or its key was destroyed."""

    code = "gone"


class Unavailable(PortcullisError):
    """A dependency does not answer. Nothing was stored; the caller should try again after `retry_after` seconds."""

    code = "unavailable"

    def __init__(self, message: str, *, retry_after: int = 5, remedy: str | None = None) -> None:
        super().__init__(message, remedy=remedy)
        self.retry_after = retry_after


class TooManyRequests(PortcullisError):
    """The caller used up an allowance. Nothing was done; the caller should try again after `retry_after` seconds."""

    code = "rate_limited"

    def __init__(self, message: str, *, retry_after: int = 60, field: str | None = None, remedy: str | None = None) -> None:
        super().__init__(message, field=field, remedy=remedy)
        self.retry_after = retry_after


class TooBusy(TooManyRequests):
    """Too much is being asked at once. Nothing was read."""

    code = "too_busy"


class Integrity(PortcullisError):
    """Stored bytes do not decrypt or do not verify. Never served, never skipped in silence."""

    code = "integrity"
