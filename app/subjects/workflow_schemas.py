"""Shapes of the workflow of requests: what officers do, clocks, reports, corrections, legal holds and uploads."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from marshmallow import Schema, fields, validate

from app.audit.entry import iso
from app.subjects.clocks import Figures
from app.subjects.holds import Basis, Hold
from app.subjects.model import Channel, ExtensionReason, IdentityMethod, Rejection
from app.subjects.schemas import ChangesSchema, IdentifiersSchema
from policies.regimes import REGIMES, Regime


def _one_of(codes: type[StrEnum], description: str) -> fields.String:
    chosen = validate.OneOf([each.value for each in codes])
    return fields.String(required=True, validate=chosen, metadata={"description": description})


class IdentityActSchema(Schema):
    """That the request comes from its person."""

    method = _one_of(IdentityMethod, "How that was made sure.")


class RejectionSchema(Schema):
    """Why a request is refused."""

    reason = _one_of(Rejection, "The reason that the person is told.")


class ChannelSchema(Schema):
    """How the person was told."""

    channel = _one_of(Channel, "By what way the person was told.")


class ExtensionSchema(ChannelSchema):
    """That the person was told of an extension, and why it is needed."""

    reason = _one_of(ExtensionReason, "Why more time is needed.")


class CorrectionPreviewSchema(IdentifiersSchema):
    """A correction to look at before it is asked for."""

    changes = fields.Nested(ChangesSchema, required=True)


class ForeseenSchema(Schema):
    """What a correction would change, and how many of its values the policy refuses."""

    profile_changed = fields.Integer(required=True)
    profile_refused = fields.Integer(required=True)
    events_changed = fields.Integer(required=True)
    events_refused = fields.Integer(required=True)


# --- clocks ----------------------------------------------------------------------------------------------------------


class RegimeSchema(Schema):
    """What one law asks."""

    name = fields.String(required=True)
    answer = fields.String(required=True)
    extended = fields.String(allow_none=True)
    acknowledge = fields.String(allow_none=True)
    answers = fields.Dict(keys=fields.String(), values=fields.String(), required=True)
    look_back_days = fields.Integer(allow_none=True)
    source = fields.String(required=True)


class RegimesSchema(Schema):
    """The regimes that a request may be made under, and what the installation asks persons to do."""

    regimes = fields.List(fields.Nested(RegimeSchema), required=True)
    required = fields.List(fields.String(), required=True)


class ReportQuery(Schema):
    """A period by days (UTC), both included, and a regime."""

    from_date = fields.Date(required=True)
    to_date = fields.Date(required=True)
    compliance_type = fields.String(load_default="CCPA", validate=validate.OneOf(list(REGIMES)))


class FiguresSchema(Schema):
    """Requests of one kind."""

    kind = fields.String(required=True)
    received = fields.Integer(required=True)
    complied = fields.Integer(required=True)
    complied_in_part = fields.Integer(required=True)
    denied = fields.Integer(required=True)
    denials = fields.Dict(keys=fields.String(), values=fields.Integer(), required=True)
    withdrawn = fields.Integer(required=True)
    open = fields.Integer(required=True)
    extended = fields.Integer(required=True)
    late = fields.Integer(required=True)
    acknowledged_late = fields.Integer(required=True)
    median_days = fields.Float(allow_none=True)
    mean_days = fields.Float(allow_none=True)


class ReportSchema(Schema):
    """The report of 11 CCR section 7102."""

    kinds = fields.List(fields.Nested(FiguresSchema), required=True)


def regime_view(regime: Regime) -> dict[str, Any]:
    """A regime as `RegimeSchema` shows it."""
    spans = {"answer": regime.answer, "extended": regime.extended, "acknowledge": regime.acknowledge}
    answers = {kind: str(span) for kind, span in regime.answers.items()}
    shown = {"name": regime.name, "answers": answers, "look_back_days": regime.look_back_days, "source": regime.source}
    return {**shown, **{name: None if span is None else str(span) for name, span in spans.items()}}


def figures_view(kind: str, figures: Figures) -> dict[str, Any]:
    """Figures as `FiguresSchema` shows them."""
    names = [name for name in FiguresSchema().fields if name not in ("kind", "denials")]
    return {"kind": kind, "denials": dict(figures.denials), **{name: getattr(figures, name) for name in names}}


# --- legal holds -----------------------------------------------------------------------------------------------------


class NewHoldSchema(IdentifiersSchema):
    """What is to be kept of whom, and why."""

    basis = _one_of(Basis, "The exemption of GDPR article 17(3).")
    reference = fields.String(
        load_default=None,
        allow_none=True,
        validate=validate.Regexp(r"^[A-Za-z0-9._/#-]{1,64}\Z", error="a case number: letters, digits and ._/#- up to 64"),
        metadata={"description": "The number of a case; never a name."},
    )
    all_events = fields.Boolean(load_default=False)
    events = fields.List(
        fields.String(validate=validate.Length(1, 255)),
        load_default=[],
        validate=validate.Length(max=100),
        metadata={"description": "Names of the events that are kept."},
    )
    profile = fields.Boolean(load_default=False)
    review_days = fields.Integer(load_default=180, validate=validate.Range(1, 3_650))


class HoldSchema(Schema):
    """A legal hold. Names nobody."""

    id = fields.String(required=True)
    basis = fields.String(required=True)
    reference = fields.String(allow_none=True)
    all_events = fields.Boolean(required=True)
    events = fields.List(fields.String(), required=True)
    profile = fields.Boolean(required=True)
    ids = fields.Integer(required=True)
    placed_by = fields.String(required=True)
    placed = fields.String(required=True)
    review = fields.String(required=True)
    lifted_by = fields.String(allow_none=True)
    lifted = fields.String(allow_none=True)


class HoldListSchema(Schema):
    """Holds, newest first."""

    holds = fields.List(fields.Nested(HoldSchema), required=True)


def hold_view(hold: Hold) -> dict[str, Any]:
    """A hold as `HoldSchema` shows it."""
    return {
        "id": hold.id,
        "basis": hold.basis.value,
        "reference": hold.reference,
        "all_events": hold.scope.events is None,
        "events": sorted(hold.scope.events or ()),
        "profile": hold.scope.profile,
        "ids": hold.people,
        "placed_by": hold.placed_by,
        "placed": iso(hold.placed_ms),
        "review": iso(hold.review_ms),
        "lifted_by": hold.lifted_by,
        "lifted": None if hold.lifted_ms is None else iso(hold.lifted_ms),
    }


# --- uploads ---------------------------------------------------------------------------------------------------------


class UploadQuery(Schema):
    """What the people of the file ask for."""

    kind = fields.String(required=True, validate=validate.OneOf(["access", "portability", "erasure", "restriction", "objection"]))
    compliance_type = fields.String(load_default="GDPR", validate=validate.OneOf(list(REGIMES)))


class LineSchema(Schema):
    """A line that was not taken, and why. Never says what stood there."""

    line = fields.Integer(required=True)
    message = fields.String(required=True)


class UploadedSchema(Schema):
    """What became of a file: every line is taken, a repetition, blank or refused."""

    batch = fields.String(allow_none=True)
    lines = fields.Integer(required=True)
    taken = fields.Integer(required=True)
    repeated = fields.Integer(required=True)
    blank = fields.Integer(required=True)
    refused = fields.Integer(required=True)
    unknown_ids = fields.Integer(required=True)
    requests = fields.List(fields.String(), required=True)
    errors = fields.List(fields.Nested(LineSchema), required=True, metadata={"description": "The first thousand of them."})


CSV_BODY = {"requestBody": {"required": True, "content": {"text/csv": {"schema": {"type": "string"}}}}}
"""For the description of the API."""
