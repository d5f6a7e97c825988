"""Sends the digests that are due, by webhook or mail. A failure is logged by its class and tried again, later each time."""

from __future__ import annotations

import json
import smtplib
import ssl
import urllib.request
from email.message import EmailMessage
from typing import Any
from urllib.parse import unquote, urlsplit

import structlog

from app.bootstrap import Services
from app.errors import PortcullisError
from app.lexicon.digest import Digest
from app.settings import Settings

_TIMEOUT_S = 10


def send_due(services: Services) -> int:
    """Send what is due. Returns how many arrived; safe to run anywhere, and twice."""
    return sum(_send(services, project_id) for project_id in services.digests.due())


def _send(services: Services, project_id: int) -> bool:
    try:
        digest = services.digests.take(project_id)
        if digest is None:
            return False
        (_post if digest.how == "webhook" else _mail)(digest, services.settings)
        services.digests.sent(digest)
    except PortcullisError as fault:
        structlog.get_logger().warning("digest_failed", project_id=project_id, code=fault.code)
        return False
    except (OSError, smtplib.SMTPException, ValueError) as fault:
        # The text of such a fault may quote the address: only its class is told.
        structlog.get_logger().warning("digest_failed", project_id=project_id, fault=type(fault).__name__)
        return False
    return True


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        # A host that is allowed must not lead to one that is not.
        return None


def _post(digest: Digest, settings: Settings) -> None:
    if urlsplit(digest.to).hostname not in settings.digest_hosts:
        raise ValueError("the operator no longer allows this host")
    body = json.dumps(digest.as_json()).encode()
    request = urllib.request.Request(digest.to, body, {"Content-Type": "application/json"})  # noqa: S310 - checked when chosen
    opener = urllib.request.build_opener(_NoRedirect, urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=_TIMEOUT_S) as answer:
        answer.read(1_024)


def _mail(digest: Digest, settings: Settings) -> None:
    server = urlsplit(settings.smtp_url or "")
    message = EmailMessage()
    message["Subject"] = f"Portcullis: new names of {digest.project} wait for approval"
    message["From"], message["To"] = settings.mail_from, digest.to
    message.set_content(digest.as_text())
    kind = smtplib.SMTP_SSL if server.scheme == "smtps" else smtplib.SMTP
    with kind(server.hostname or "", server.port or 0, timeout=_TIMEOUT_S) as client:
        if server.scheme == "smtp" and client.has_extn("starttls"):
            client.starttls(context=ssl.create_default_context())
        if server.username:
            client.login(unquote(server.username), unquote(server.password or ""))
        client.send_message(message)
