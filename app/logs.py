"""Structured logs: one JSON object a line, and only fields of an allow-list, so that no value of a person can slip in."""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

_FIELDS = frozenset(
    {
        "event", "level", "timestamp", "component", "code", "status", "fault", "frames", "request_id", "step", "state",
        "attempt", "count", "seconds", "place", "pid", "name", "address", "signal", "restarts", "exit_code",
        "queue", "version", "reason",
    }
)  # fmt: skip


def configure(level: str) -> None:
    """Send logs to standard error. Other libraries' records are reduced to their logger's name and level."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _only_allowed,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    root.handlers[:] = [_Reduced()]
    root.setLevel(max(logging.WARNING, getattr(logging, level.upper())))


def _only_allowed(_logger: Any, _method: str, entry: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for name in [name for name in entry if name not in _FIELDS]:
        del entry[name]
    return entry


class _Reduced(logging.Handler):
    # A library's message may quote its arguments: who spoke and how loud is all that is kept.
    def emit(self, record: logging.LogRecord) -> None:
        structlog.get_logger().log(record.levelno, "library_message", name=record.name)
