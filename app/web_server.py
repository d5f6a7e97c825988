"""The web process: the WSGI application under granian, one worker process with a pool of threads.

granian is a main process that starts a worker. Two of its ways need care: the worker would outlive a main process
that is killed, and each worker binds the port with SO_REUSEPORT, so a second server would share it in silence.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from importlib import import_module
from multiprocessing import parent_process
from typing import Any

from granian import Granian
from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.log import LogLevels

from app.supervise import die_with_parent, ensure_port_free

WsgiApp = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

# Connections served at once, idle keep-alive ones included; further ones wait in the kernel's backlog.
_CONNECTIONS = 1024
# The request line and the headers together. The HTTP library itself stops at 65,534 bytes of request target (414).
_HEAD_BYTES = 128 * 1024
_HEAD_TIMEOUT_MS = 15_000
# A restart may come before the kernel has taken the old worker away.
_PORT_PATIENCE = 3.0
_STOP_TIMEOUT = 8


def serve(host: str, port: int, threads: int, *, target: str = "wsgi:app") -> None:
    """Serve `target` ("module:attribute") on `host`:`port` until SIGTERM or SIGINT; requests in progress may finish.

    `threads` requests run at once. Raises `PortTaken` when another program has the port, and `SystemExit` with a
    code other than 0 when the worker dies.
    """
    ensure_port_free(host, port, patience=_PORT_PATIENCE)
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
        # At `warning` it would call the number of threads high on every start.
        log_level=LogLevels.error,
        log_access=False,
        workers_kill_timeout=_STOP_TIMEOUT,
    )
    server.serve(target_loader=load_in_worker)


def load_in_worker(target: str) -> WsgiApp:
    """What granian's worker process calls first: tie it to its parent, then import the application."""
    parent = parent_process()
    die_with_parent(parent=parent.pid if parent is not None else None)
    module, _, attribute = target.partition(":")
    application: WsgiApp = getattr(import_module(module), attribute)
    return without_environment(application)


def without_environment(application: WsgiApp) -> WsgiApp:
    """Keep the process environment, where secrets are, out of every request.

    granian puts all of `os.environ` into the WSGI environ, as CGI did: DATABASE_URL would be one debug page away, and
    a variable named HTTP_AUTHORIZATION would count as a header of every request.
    """
    process = dict(os.environ)

    def clean(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        # The value is compared too, so that a variable named HTTP_HOST does not hide the header of that name.
        return application({k: v for k, v in environ.items() if process.get(k) != v}, start_response)

    return clean
