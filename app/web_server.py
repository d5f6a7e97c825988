"""The web process: the WSGI application under granian, one worker process with a pool of threads.

granian is a main process that starts a worker. Two of its ways need care: the worker would outlive a main process
that is killed, and each worker binds the port with SO_REUSEPORT, so a second server would share it in silence.
"""

from __future__ import annotations

import os
import resource
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from importlib import import_module
from multiprocessing import parent_process
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from granian import Granian
from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.log import LogLevels

from app.supervise import die_with_parent, ensure_port_free

WsgiApp = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class ApplicationFailed(RuntimeError):
    """An exception left the application; only its type is kept, and granian answers 500 or breaks the stream off."""


@runtime_checkable
class Closeable(Protocol):
    """A response body that wants to know when the client is done with it (PEP 3333)."""

    def close(self) -> None:
        """Release what the body holds."""


# Connections held at once, idle keep-alive ones included; one more waits until another is closed.
_CONNECTIONS = 2048
_OPEN_FILES = 4096
# The request line and the headers together. The HTTP library itself stops at 65,534 bytes of request target (414).
_HEAD_BYTES = 128 * 1024
# For the head of a request to arrive, and so also for an idle connection to be used again.
_HEAD_TIMEOUT_MS = 20_000
# A restart may come before the kernel has taken the old worker away.
_PORT_PATIENCE = 3.0
_STOP_TIMEOUT = 8


def serve(host: str, port: int, threads: int, *, target: str = "wsgi:app", tls: tuple[Path, Path] | None = None) -> None:
    """Serve `target` ("module:attribute") on `host`:`port` until SIGTERM or SIGINT; requests in progress may finish.

    `tls` is a certificate and its key, PEM files; with it only https is spoken (TLS 1.2 or newer), without it only http.
    `threads` requests run at once. Raises `PortTaken` when another program has the port, and `SystemExit` with a
    code other than 0 when the worker dies.
    """
    ensure_port_free(host, port, patience=_PORT_PATIENCE)
    _allow_open_files()
    server = Granian(
        target,
        address=host,
        port=port,
        interface=Interfaces.WSGI,
        workers=1,
        blocking_threads=threads,
        backpressure=_CONNECTIONS,
        http=HTTPModes.http1,
        http1_settings=HTTP1Settings(header_read_timeout=_HEAD_TIMEOUT_MS, max_buffer_size=_HEAD_BYTES),
        websockets=False,
        ssl_cert=tls and tls[0],
        ssl_key=tls and tls[1],
        # At `warning` it would call the number of threads high on every start.
        log_level=LogLevels.error,
        log_access=False,
        workers_kill_timeout=_STOP_TIMEOUT,
    )
    server.serve(target_loader=load_in_worker)


def _allow_open_files() -> None:
    """Raise the soft limit, often 1,024, towards what `_CONNECTIONS` needs, as far as the hard limit lets us."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _OPEN_FILES if hard == resource.RLIM_INFINITY else min(_OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def load_in_worker(target: str) -> WsgiApp:
    """What granian's worker process calls first: tie it to its parent, then import the application."""
    parent = parent_process()
    die_with_parent(parent=parent.pid if parent is not None else None)
    module, _, attribute = target.partition(":")
    application: WsgiApp = getattr(import_module(module), attribute)
    return guarded(application)


def guarded(application: WsgiApp) -> WsgiApp:
    """Close three gaps between granian's WSGI environ and what an application may rely on (PEP 3333).

    The process environment, where secrets are, is in every request's environ. A body cut short of its Content-Length
    ends like a whole one. An exception that leaves the application is logged with its message, which may quote a
    person's data.
    """
    process = dict(os.environ)

    def guard(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        # The value is compared too, so that a variable named HTTP_HOST does not hide the header of that name.
        clean = {name: value for name, value in environ.items() if process.get(name) != value}
        if "CONTENT_LENGTH" in clean and "HTTP_TRANSFER_ENCODING" not in clean:
            # Werkzeug then counts the bytes itself and raises ClientDisconnected when some are missing.
            clean.pop("wsgi.input_terminated", None)
        with _without_message():
            body = application(clean, start_response)
        return body if isinstance(body, list) else _stream(body)

    return guard


def _stream(body: Iterable[bytes]) -> Iterator[bytes]:
    try:
        with _without_message():
            yield from body
    finally:
        if isinstance(body, Closeable):
            body.close()


@contextmanager
def _without_message() -> Iterator[None]:
    failure = None
    try:
        yield
    except Exception as error:
        failure = type(error).__name__
    # Raised outside the handler: an exception raised inside it would carry the first one along.
    if failure is not None:
        raise ApplicationFailed(failure)
