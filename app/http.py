"""What every view shares: who is calling, what a route needs, and the one mapping from errors to HTTP."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar, cast

import msgspec
import structlog
from flask import Blueprint as FlaskBlueprint, Flask, Response, current_app, g, request
from flask_smorest import Blueprint
from sqlalchemy.engine import Connection
from webargs.flaskparser import FlaskParser
from werkzeug.exceptions import HTTPException

from app import errors
from app.access.roles import Permission
from app.access.service import Principal
from policies.errors import PolicyError

if TYPE_CHECKING:
    from app.bootstrap import Services

_View = TypeVar("_View", bound=Callable[..., Any])
_NEEDS = "__portcullis_needs__"
_TOKEN = "__portcullis_token_suffices__"  # noqa: S105 - the name of an attribute
_FORM = "__portcullis_project_in_form__"
_READS_ON = "__portcullis_reads_on__"
PUBLIC = "public"
# The description of the API and the page that shows it: views of libraries, which cannot be decorated.
_LIBRARY_PAGES = ("api-docs.", "swagger_ui.")

STATUS: dict[type[errors.PortcullisError], int] = {
    errors.InvalidInput: 400,
    errors.Unsupported: 400,
    errors.NotAuthenticated: 401,
    errors.NotAllowed: 403,
    errors.NotFound: 404,
    errors.Conflict: 409,
    errors.Gone: 410,
    errors.TooManyRequests: 429,
    errors.TooBusy: 429,
    errors.Unavailable: 503,
    errors.Integrity: 500,
    errors.StartupRefused: 500,
}


def services() -> Services:
    """The services of the application that answers this request."""
    return cast("Services", current_app.extensions["portcullis"])


def caller() -> Principal:
    """Who is calling. Only behind `needs`."""
    return cast(Principal, g.caller)


def needs(
    permission: Permission, *, token_suffices: bool = False, project_in_form: bool = False, reads_on: bool = False
) -> Callable[[_View], _View]:
    """Declare what a route needs. `authorise` enforces it before the view runs.

    With `token_suffices` the public project token, sent as a Basic username, is credential enough (wire section 2). With
    `project_in_form` a service account may name its project in the form: the body of such a route is nothing else. With
    `reads_on` the view goes on in the transaction that found its caller, through `reading`, and saves one of its own.
    """

    def mark(view: _View) -> _View:
        setattr(view, _NEEDS, permission)
        setattr(view, _FORM, project_in_form)
        setattr(view, _TOKEN, token_suffices)
        setattr(view, _READS_ON, reads_on)
        return view

    return mark


def public(view: _View) -> _View:
    """Declare that a route needs no credential, or that its payload carries the project token."""
    setattr(view, _NEEDS, PUBLIC)
    return view


def declared(app: Flask, endpoint: str) -> Permission | str | None:
    """What the route of `endpoint` declared, or None when it declared nothing."""
    if endpoint.startswith(_LIBRARY_PAGES):
        return PUBLIC
    found: Permission | str | None = getattr(app.view_functions[endpoint], _NEEDS, None)
    return found


def authorise() -> None:
    """Before every request: refuse a route that declared nothing, and a caller without the permission it declared."""
    if request.endpoint is None or request.method == "OPTIONS":
        return
    need = declared(current_app, request.endpoint)
    if need == PUBLIC:
        return
    if not isinstance(need, Permission):
        raise errors.NotAllowed("this route declares no permission and is closed")
    view = current_app.view_functions[request.endpoint]
    hint = (request.view_args or {}).get("project_id")
    if hint is None and getattr(view, _FORM, False):
        hint = request.form.get("project_id")
    reads_on = getattr(view, _READS_ON, False)
    if reads_on:
        request.get_data()  # Before there is a transaction: a slow sender must not hold a connection.
    with ExitStack() as held:
        tx = held.enter_context(services().database.read())
        g.caller = authenticate(tx, getattr(view, _TOKEN, False), None if hint is None else str(hint))
        if need not in g.caller.permissions:
            raise errors.NotAllowed(
                f"this credential does not hold {need.value}", remedy="use a credential whose role holds the permission"
            )
        if reads_on:
            g.reading = held.pop_all(), tx
    _note_use(g.caller)


def _note_use(caller: Principal) -> None:
    # Not worth a refusal, nor a wait: the next request will be noted.
    if services().access.unnoted(caller):
        with suppress(errors.Unavailable), services().database.write_unless_busy() as tx:
            services().access.note_use(tx, caller)


@contextmanager
def reading() -> Iterator[Connection]:
    """The transaction that found the caller, until the block ends. Only behind `needs(…, reads_on=True)`, and once."""
    held, tx = g.pop("reading")
    with held:
        yield tx


def let_go(_error: BaseException | None = None) -> None:
    """After every request: end a transaction that its view did not come to use."""
    if (kept := g.pop("reading", None)) is not None:
        kept[0].close()


def authenticate(tx: Connection, token_suffices: bool = False, hint: str | None = None) -> Principal:
    """The principal of the Authorization header, bearer or basic. Raises `NotAuthenticated`.

    `hint` is the project that the path or the form names.
    """
    scheme, _, value = request.headers.get("Authorization", "").partition(" ")
    access = services().access
    if scheme.lower() == "bearer" and value.strip():
        return access.bearer(tx, value.strip())
    if scheme.lower() == "basic" and value.strip():
        username, password = basic_credentials(value.strip())
        if token_suffices and not password and (found := access.token_holder(tx, username)):
            return found
        return access.basic(tx, username, password, request.args.get("project_id"), hint)
    raise errors.NotAuthenticated(
        "no credential was sent", field="Authorization", remedy="send `Authorization: Bearer …` or `Basic …`"
    )


def basic_credentials(value: str) -> tuple[str, str]:
    """Username and password, base64 or, as clients also send them, as they are (wire section 2)."""
    try:
        text = base64.b64decode(value, validate=True).decode()
    except (binascii.Error, ValueError):
        text = value
    username, _, password = text.partition(":")
    return username, password


def json_body() -> Any:
    """The body as JSON, whatever its Content-Type says. Raises `InvalidInput`, also for one that nests without end."""
    try:
        return json.loads(request.get_data())
    except (ValueError, RecursionError):
        raise errors.InvalidInput("the body is not JSON", field="body", remedy="send a JSON object in UTF-8") from None


class _BodyParser(FlaskParser):
    def _raw_load_json(self, req: Any) -> Any:  # noqa: ARG002 - webargs hands in the request that is flask's own
        # No body at all is an object without fields: a route whose fields are all optional needs none.
        return json_body() if request.get_data() else {}


def api_blueprint(name: str, description: str) -> Blueprint:
    """A blueprint of the documented `/v1` API."""
    made = Blueprint(name, name, description=description)
    made.ARGUMENTS_PARSER = _BodyParser()
    return made


def json_response(value: Any, status: int = 200) -> Response:
    """JSON bytes that no cache keeps."""
    response = Response(msgspec.json.encode(value), status=status, content_type="application/json")
    response.headers["Cache-Control"] = "no-store"
    return response


# --- errors ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Problem:
    """One failure, ready to be told in any dialect. No field of it holds what a person sent."""

    status: int
    code: str
    message: str
    field: str | None = None
    remedy: str | None = None
    retry_after: int | None = None
    allow: str | None = None
    problems: Any = None

    @property
    def sentence(self) -> str:
        """What was wrong and what to do, in one line."""
        return f"{self.message} ({self.remedy})" if self.remedy else self.message


Dialect = Callable[[Problem], Response]


def speak(target: Flask | FlaskBlueprint, dialect: Dialect) -> None:
    """Let every failure under `target` leave in this dialect: what, where, what to do, and never a stack trace."""
    for kind, describe in (
        (errors.PortcullisError, _of_ours),
        (PolicyError, _of_policy),
        (HTTPException, _of_http),
        (Exception, _of_unexpected),
    ):
        target.register_error_handler(kind, _teller(describe, dialect))


def _teller(describe: Callable[[Any], Problem], dialect: Dialect) -> Callable[[Any], Response]:
    def tell(error: Any) -> Response:
        problem = describe(error)
        if problem.status >= 500:
            services().metrics.closed.labels(problem.code).inc()
            structlog.get_logger().warning("request_refused", code=problem.code, status=problem.status)
        response = dialect(problem)
        if problem.retry_after is not None:
            response.headers["Retry-After"] = str(problem.retry_after)
        if problem.allow is not None:
            response.headers["Allow"] = problem.allow
        if problem.status == 401:
            response.headers["WWW-Authenticate"] = 'Basic realm="portcullis"'
        return response

    return tell


def api_dialect(problem: Problem) -> Response:
    """The dialect of `/v1` and of everything that has none of its own: `{"error": {code, message, field, remedy}}`."""
    fields = ("code", "message", "field", "remedy", "problems")
    detail = {name: getattr(problem, name) for name in fields if getattr(problem, name) is not None}
    return json_response({"error": detail}, problem.status)


def app_dialect(problem: Problem) -> Response:
    """The dialect of Mixpanel's app and query APIs: `{"error": text, "status": "error"}` (wire section 2)."""
    return json_response({"error": problem.sentence, "status": "error"}, problem.status)


def status_of(error: errors.PortcullisError) -> int:
    """The HTTP status of an error: that of its nearest mapped ancestor."""
    return next((STATUS[kind] for kind in type(error).__mro__ if kind in STATUS), 500)


def _of_ours(error: errors.PortcullisError) -> Problem:
    if isinstance(error, errors.Unavailable):
        remedy = error.remedy or f"nothing was stored; send it again in {error.retry_after} s"
        return Problem(status_of(error), error.code, error.message, error.field, remedy, error.retry_after)
    wait = error.retry_after if isinstance(error, errors.TooManyRequests) else None
    return Problem(status_of(error), error.code, error.message, error.field, error.remedy, wait)


def _of_policy(error: PolicyError) -> Problem:
    problems = [
        {"line": each.line, "column": each.column, "path": each.path, "message": each.message, "hint": each.hint}
        for each in getattr(error, "problems", ())
    ]
    return Problem(422, "invalid_policy", "the policy has mistakes", "text", "mend every one listed", problems=problems)


def _of_http(error: HTTPException) -> Problem:
    status = error.code or 500
    if status == 422:
        found = _without_names(getattr(error, "data", {}).get("messages"))
        return Problem(422, "invalid_input", "the request has mistakes", None, "mend every one listed", problems=found)
    if status == 413:
        _drain()
    allow = dict(error.get_headers()).get("Allow")
    return Problem(status, f"http_{status}", error.name.lower(), None, _REMEDIES.get(status), allow=allow)


def _without_names(messages: Any) -> Any:
    """marshmallow's messages name fields and rules and no values, but for a field that nobody declared: its name was sent."""
    if not isinstance(messages, dict):
        return messages
    told = {name: _without_names(each) for name, each in messages.items() if each != _UNKNOWN}
    return told if len(told) == len(messages) else {**told, "(other)": ["a field that is not known here; leave it out"]}


_UNKNOWN = ["Unknown field."]


def _drain() -> None:
    # A client that still sends when the connection is closed sees a broken pipe instead of the answer.
    unread = request.environ["wsgi.input"]
    for _ in range(_MOST_DRAINED):
        if not unread.read(65_536):
            return


# Chunks of 64 KB: a body of up to 64 MB is told why it is refused, a longer one is cut off.
_MOST_DRAINED = 1_024

_REMEDIES = {
    404: "see /openapi.json and the README for the routes",
    405: "use one of the methods in the Allow header",
    413: "send a smaller body",
}


def _of_unexpected(error: Exception) -> Problem:
    # The text of an exception may quote what a person sent: only its class and where it happened are kept.
    frames = []
    trace = error.__traceback__
    while trace is not None:
        frames.append(f"{trace.tb_frame.f_code.co_filename.rsplit('/', 1)[-1]}:{trace.tb_lineno}")
        trace = trace.tb_next
    structlog.get_logger().error("unexpected_failure", fault=type(error).__name__, frames=frames[-12:])
    return Problem(500, "internal_error", "an unexpected failure; nothing was stored", None, "try again, then report it")
