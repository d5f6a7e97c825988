"""The officer's API: requests, certificates, archives, opt-outs. Ids of people stand in bodies, never in URLs or logs."""

from __future__ import annotations

import json
from typing import Any

from flask import Response
from flask_smorest import Blueprint

from app.access.roles import Permission
from app.audit.certificate import signer_name
from app.audit.note import verifier_key
from app.errors import Conflict, NotFound
from app.http import api_blueprint, caller, needs, services
from app.subjects import archive
from app.subjects.choices import Changed
from app.subjects.corrections import Change
from app.subjects.idempotency import Once
from app.subjects.model import COPIES, RequestKind
from app.subjects.schemas import (
    ChoiceSchema,
    ClosurePreviewSchema,
    IdempotencySchema,
    IdentifiersSchema,
    LiftedSchema,
    LiftSchema,
    NewRequestSchema,
    OptOutSchema,
    RequestListSchema,
    RequestSchema,
    RequestsQuery,
    StatesSchema,
    preview_view,
    request_view,
    signal_view,
)
from app.subjects.service import Accepted, NewRequest


def blueprint() -> Blueprint:
    """The routes of privacy officers."""
    routes = api_blueprint("subjects", "Data-subject requests and opt-outs.")
    for path, method, view in (
        ("/v1/requests", "POST", create),
        ("/v1/requests", "GET", listing),
        ("/v1/requests/<uuid:request_id>", "GET", status),
        ("/v1/requests/<uuid:request_id>/cancel", "POST", cancel),
        ("/v1/requests/<uuid:request_id>/retry", "POST", retry),
        ("/v1/requests/<uuid:request_id>/certificate", "GET", certificate),
        ("/v1/requests/<uuid:request_id>/archive", "GET", download),
        ("/v1/certificate-key", "GET", certificate_key),
        ("/v1/opt-outs", "POST", opt_out),
        ("/v1/opt-ins", "POST", opt_in),
        ("/v1/subjects/states", "POST", states),
        ("/v1/subjects/closure", "POST", preview),
        ("/v1/tombstones/lift", "POST", lift),
    ):
        routes.route(path, methods=[method])(_documented(routes, view))
    return routes


def _documented(routes: Blueprint, view: Any) -> Any:
    for decorate in reversed(_SHAPES.get(view.__name__, ())):
        view = decorate(routes)(view)
    return view


def _takes(schema: Any, location: str = "json") -> Any:
    return lambda routes: routes.arguments(schema, location=location)


def _gives(status: int, schema: Any) -> Any:
    return lambda routes: routes.response(status, schema)


_SHAPES: dict[str, tuple[Any, ...]] = {
    "create": (_takes(NewRequestSchema), _takes(IdempotencySchema, "headers"), _gives(201, RequestSchema)),
    "listing": (_takes(RequestsQuery, "query"), _gives(200, RequestListSchema)),
    "status": (_gives(200, RequestSchema),),
    "cancel": (_gives(200, RequestSchema),),
    "retry": (_gives(200, RequestSchema),),
    "opt_out": (_takes(ChoiceSchema), _gives(200, OptOutSchema)),
    "opt_in": (_takes(ChoiceSchema), _gives(200, OptOutSchema)),
    "states": (_takes(IdentifiersSchema), _gives(200, StatesSchema)),
    "preview": (_takes(IdentifiersSchema), _gives(200, ClosurePreviewSchema)),
    "lift": (_takes(LiftSchema), _gives(200, LiftedSchema)),
}


@needs(Permission.SUBJECTS_WRITE)
def create(body: dict[str, Any], headers: dict[str, Any]) -> Any:
    """Submit a request. What it does at once is done when this answers: an erasure hides the person, an objection refuses them.

    Where the installation asks for an identity or an approval (PORTCULLIS_REQUEST_STEPS), it waits for that first. Sent again
    with the same Idempotency-Key, it is answered again and made once.
    """
    accepted = services().subjects.create(caller(), new_request(body, headers.get("idempotency_key")))
    shown = {**request_view(accepted.request), "warnings": warnings(accepted)}
    return shown, 201, ({"Idempotency-Replayed": "true"} if accepted.replayed else {})


def new_request(body: dict[str, Any], key: str | None = None, batch: str | None = None) -> NewRequest:
    """The request that a body of `NewRequestSchema` asks for."""
    once = None if key is None else Once(key, json.dumps(body, sort_keys=True).encode())
    return NewRequest(
        RequestKind(body["kind"]),
        body["distinct_ids"],
        body["compliance_type"],
        body["disclosure_type"],
        purposes=body["purposes"],
        change=Change(**body["changes"]) if "changes" in body else None,
        batch=batch,
        once=once,
    )


def warnings(accepted: Accepted) -> list[dict[str, str]]:
    """What the officer should look at: ids that nobody has seen, by position."""
    refused = accepted.request.kind not in (*COPIES, RequestKind.RECTIFICATION)
    meaning = "nothing is held under it" + ("; data that arrives later will be refused" if refused else "")
    return [
        {
            "field": f"distinct_ids[{position}]",
            "message": f"this id is not known here: {meaning}",
            "remedy": "check its spelling; a device is written $device:<id>",
        }
        for position in accepted.unknown[:100]
    ]


@needs(Permission.SUBJECTS_READ)
def listing(query: dict[str, Any]) -> dict[str, Any]:
    """Requests of the project, newest first."""
    chosen = {name: query.get(name) for name in ("state", "kind", "batch")}
    found = services().subjects.requests(caller(), query["limit"], query.get("before_ms"), **chosen)
    return {"requests": [request_view(each) for each in found]}


@needs(Permission.SUBJECTS_READ)
def status(request_id: Any) -> dict[str, Any]:
    """How far a request is."""
    found = services().subjects.status(caller(), str(request_id))
    return {**request_view(found.request), "archive_ready": found.archive_ready}


@needs(Permission.SUBJECTS_WRITE)
def cancel(request_id: Any) -> dict[str, Any]:
    """Take back a request that has not started."""
    return request_view(services().cases.acts.cancel(caller(), str(request_id)))


@needs(Permission.SUBJECTS_WRITE)
def retry(request_id: Any) -> dict[str, Any]:
    """Run a failed request again."""
    return request_view(services().cases.acts.retry(caller(), str(request_id)))


@needs(Permission.SUBJECTS_READ)
def certificate(request_id: Any) -> Response:
    """The signed certificate of a finished erasure: a C2SP note that verifies offline."""
    found = services().subjects.status(caller(), str(request_id), RequestKind.ERASURE).request
    if found.certificate is None:
        remedy = "only a complete erasure is certified; ask again once it is done, and after a legal hold is lifted"
        raise Conflict(f"the erasure is {found.outcome or found.state.value} and has no certificate", remedy=remedy)
    return Response(found.certificate, mimetype="text/plain", headers={"Cache-Control": "no-store"})


@needs(Permission.SUBJECTS_READ)
def certificate_key() -> Response:
    """The public key that certificates of this project verify under, in C2SP verifier form."""
    with services().database.read() as tx:
        keys = services().keyring.of(tx, caller().project.id)
    return Response(verifier_key(signer_name(keys.project_id), keys.signing) + "\n", mimetype="text/plain")


@needs(Permission.ARCHIVES_DOWNLOAD)
def download(request_id: Any) -> Response:
    """The archive of a finished access request, decrypted as it streams. Each download is an audit entry."""
    return archive_response(str(request_id))


def archive_response(request_id: str) -> Response:
    """Open, audit and stream an archive of the caller's project. Raises `NotFound`, `Conflict` or `Gone`."""
    found = services().subjects.status(caller(), request_id, *COPIES).request
    if found.finished_ms is None:
        raise Conflict(f"the request is {found.state.value}; its archive is not ready", remedy="ask again once it is done")
    chunks = archive.open_archive(services().database, services().keyring, services().audit, services().clock, found, caller().id)
    if chunks is None:
        raise NotFound("this request has no archive")
    headers = {
        "Content-Disposition": f'attachment; filename="{request_id}.zip"',
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
    }
    return Response(chunks, mimetype="application/zip", headers=headers)


@needs(Permission.SUBJECTS_WRITE)
def opt_out(body: dict[str, Any]) -> dict[str, int]:
    """Refuse what these people send from now on, or only what serves the purposes named. Senders still get success."""
    return _changed_view(services().choices.opt_out(caller(), body["distinct_ids"], body["purposes"]))


@needs(Permission.SUBJECTS_WRITE)
def opt_in(body: dict[str, Any]) -> dict[str, int]:
    """Record consent: accept what these people send, also after an opt-out; or lift refusals of the purposes named."""
    return _changed_view(services().choices.opt_in(caller(), body["distinct_ids"], body["purposes"]))


def _changed_view(changed: Changed) -> dict[str, int]:
    return {"people": changed.people, "ids": changed.identifiers, "erased": changed.erased}


@needs(Permission.SUBJECTS_READ)
def states(body: dict[str, Any]) -> dict[str, Any]:
    """Whether each id is known, opted in or out, restricted, or erased; what it refused, and which signals it sent."""
    found = services().choices.standings(caller(), body["distinct_ids"])
    return {
        "states": [None if each is None else each.state.value for each in found],
        "refused_purposes": [[] if each is None else sorted(each.refused) for each in found],
        "signals": [[] if each is None else [signal_view(seen) for seen in each.signals] for each in found],
    }


@needs(Permission.SUBJECTS_READ)
def preview(body: dict[str, Any]) -> dict[str, Any]:
    """What a request about these people would reach: every id that means them, and how much is held. Changes nothing.

    The ids themselves are shown to who may see ids; the call stands in the audit log.
    """
    who = caller()
    shown = Permission.IDS_REVEAL in who.permissions
    return preview_view(services().previews.of(who.project, body["distinct_ids"], actor=who.id, show_ids=shown))


@needs(Permission.SUBJECTS_WRITE)
def lift(body: dict[str, Any]) -> dict[str, int]:
    """After a recorded re-consent, accept erased ids again. What was erased does not come back."""
    return {"lifted": services().subjects.lift_tombstones(caller(), body["distinct_ids"], body["basis"])}
