"""Asking a collector to erase people or to copy out what it holds, in its own API for that (wire section 15).

What clients read of the published answers differs, so each of the variants is understood: the job as an object, as a list of
one, or as its id alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any
from urllib.parse import quote

from app.upstream.collector import Collector
from app.upstream.errands import Errand, ErrandKind
from app.upstream.speaking import Answer, NotTaken, Speaker, json_object, trouble

_PATHS: Mapping[ErrandKind, str] = {ErrandKind.ERASURE: "data-deletions", ErrandKind.ACCESS: "data-retrievals"}
_NOBODYS_TASK = "00000000-0000-4000-8000-000000000000"
_MOST_NAME = 200


class Progress(StrEnum):
    """How a job is over there."""

    WORKING = "working"
    DONE = "done"
    FAILED = "failed"
    REVOKED = "revoked"
    LOST = "lost"


_STATES: Mapping[str, Progress] = {
    "SUCCESS": Progress.DONE,
    "FAILURE": Progress.FAILED,
    "REVOKED": Progress.REVOKED,
    "NOT_FOUND": Progress.LOST,
}


@dataclass(frozen=True, slots=True)
class Job:
    """What a collector says of a job. `address` is where the answer to a retrieval lies, else empty."""

    progress: Progress
    address: str = field(default="", repr=False)


def ask(speaker: Speaker, to: Collector, found: Errand, ids: Sequence[str]) -> str:
    """Ask for the erasure or a copy of these ids; returns the collector's name for the job.

    Raises `NotTaken`, with the code `refused` when it understood and will not.
    """
    body: dict[str, Any] = {"distinct_ids": list(ids), "compliance_type": found.compliance_type}
    if found.kind is ErrandKind.ACCESS:
        body["disclosure_type"] = found.disclosure_type
    answer = speaker.request("POST", _url(to, found.kind), _bearer(to), body)
    if answer.status in (200, 201):
        return _task(answer)
    if answer.status in (400, 404, 405, 409, 422):
        raise NotTaken("refused")
    raise trouble(answer)


def follow(speaker: Speaker, to: Collector, kind: ErrandKind, task: str) -> Job:
    """How far a job is. Raises `NotTaken` when the collector does not say."""
    answer = speaker.request("GET", _url(to, kind, task), _bearer(to))
    if answer.status == 404:
        return Job(Progress.LOST)
    job = _job(answer) if answer.status == 200 else {}
    if not isinstance(job.get("status"), str):
        raise trouble(answer) if answer.status != 200 else NotTaken("unintelligible", surely=False)
    address = next((job[name] for name in ("result", "results", "destination_url") if isinstance(job.get(name), str)), "")
    return Job(_STATES.get(job["status"].upper(), Progress.WORKING), address.strip('"'))


def probe(speaker: Speaker, to: Collector) -> None:
    """Look for a job that does not exist: whether the credential opens the door. Raises `NotTaken` when it does not."""
    answer = speaker.request("GET", _url(to, ErrandKind.ERASURE, _NOBODYS_TASK), _bearer(to))
    if answer.status not in (200, 400, 404):
        raise trouble(answer)


def _url(to: Collector, kind: ErrandKind, task: str = "") -> str:
    return f"{to.to.requests}/api/app/{_PATHS[kind]}/v3.0/{quote(task, safe='')}?token={quote(to.account.token, safe='')}"


def _bearer(to: Collector) -> dict[str, str]:
    return {"Authorization": f"Bearer {to.account.oauth}"}


def _task(answer: Answer) -> str:
    job = _job(answer)
    for name in ("task_id", "tracking_id"):
        if isinstance(job.get(name), str | int) and 0 < len(str(job[name])) <= _MOST_NAME:
            return str(job[name])
    # It may have been taken on: asking once more erases nobody who is not to be erased.
    raise NotTaken("unintelligible", surely=False)


def _job(answer: Answer) -> dict[str, Any]:
    found = json_object(answer.body).get("results")
    if isinstance(found, list) and found:
        found = found[0]
    return found if isinstance(found, dict) else {}
