"""Shapes of the workflow of requests: what officers do, clocks, reports, corrections, legal holds and uploads."""

from __future__ import annotations

from enum import StrEnum

from marshmallow import Schema, fields, validate

from app.subjects.model import Channel, ExtensionReason, IdentityMethod, Rejection
from app.subjects.schemas import ChangesSchema, IdentifiersSchema


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
