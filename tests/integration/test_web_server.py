"""The web process under its real server: large heads, cut bodies, secrets, kill -9 and a taken port."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from app.supervise import listening, tied_to_me

_APPLICATION = """
import json, os, time
from flask import Flask, request, Response

app = Flask("throwaway")

@app.get("/environ")
def environ():
    return {name: str(value) for name, value in request.environ.items()}

@app.get("/query")
def query():
    return str(len(request.query_string))

@app.get("/processes")
def processes():
    return [os.getppid(), os.getpid()]

@app.get("/slow")
def slow():
    time.sleep(1.0)
    return "done"

@app.post("/body")
def body():
    size = 0
    while part := request.stream.read(65536):
        size += len(part)
    return str(size)

@app.get("/broken-stream")
def broken_stream():
    def parts():
        yield b"x"
        raise ValueError("jane@example.com")
    return Response(parts())

flask_app = app
def app(environ, start_response):
    if environ["PATH_INFO"] == "/broken":
        raise ValueError("jane@example.com")
    return flask_app(environ, start_response)
"""

_SERVE = "import sys; from app.web_server import serve; serve('127.0.0.1', int(sys.argv[1]), 4, target='throwaway:app')"


class Web:
    """A web process of the test's own."""

    def __init__(self, folder: Path, port: int) -> None:
        (folder / "throwaway.py").write_text(_APPLICATION)
        self.port = port
        environment = {
            **os.environ,
            "SECRET_URL": "postgresql://u:secret@h/d",
            "HTTP_AUTHORIZATION": "from the shell",
        }
        environment["PYTHONPATH"] = os.pathsep.join([str(folder), str(Path.cwd())])
        self.process = subprocess.Popen(
            [sys.executable, "-c", _SERVE, str(port)],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            preexec_fn=tied_to_me(),
        )

    def ready(self) -> Web:
        up = listening("127.0.0.1", self.port)
        eventually(lambda: up() or self.process.poll() is not None)
        return self

    def get(self, path: str, **headers: str) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("GET", path, headers=headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def raw(self, request: bytes) -> bytes:
        """Send `request`, close our side, and return everything that comes back."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as connection:
            connection.sendall(request)
            connection.shutdown(socket.SHUT_WR)
            parts = iter(lambda: connection.recv(65536), b"")
            return b"".join(parts)

    def end(self, signum: int) -> str:
        self.process.send_signal(signum)
        return self.process.communicate(timeout=20)[0]


def eventually(condition: Callable[[], object], timeout: float = 10.0) -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def start(tmp_path: Path, port: int) -> Iterator[Callable[[], Web]]:
    started: list[Web] = []

    def serve() -> Web:
        started.append(Web(tmp_path, port).ready())
        return started[-1]

    yield serve
    for web in started:
        if web.process.poll() is None:
            web.end(signal.SIGKILL)


def test_heads_bodies_and_the_environment(start: Callable[[], Web]) -> None:
    web = start()
    # A GET of /track carries its whole batch in the query.
    assert web.get("/query?" + "d" * 60_000) == (200, b"60000")
    assert web.get("/query?" + "d" * 70_000)[0] == 414
    environ = json.loads(web.get("/environ")[1])
    assert "SECRET_URL" not in environ
    assert "HTTP_AUTHORIZATION" not in environ
    assert (
        json.loads(web.get("/environ", Authorization="Basic eA==")[1])["HTTP_AUTHORIZATION"] == "Basic eA=="
    )
    head = b"POST /body HTTP/1.1\r\nHost: a\r\n"
    whole = web.raw(head + b"Content-Length: 200000\r\n\r\n" + b"e" * 200_000)
    assert whole.startswith(b"HTTP/1.1 200") and whole.endswith(b"200000")
    chunked = web.raw(head + b"Transfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n")
    assert chunked.startswith(b"HTTP/1.1 200") and chunked.endswith(b"5")
    # Half a batch must not look like a whole one.
    assert web.raw(head + b"Content-Length: 200000\r\n\r\n" + b"e" * 1000).startswith(b"HTTP/1.1 400")


def test_an_exception_is_logged_without_its_message(start: Callable[[], Web]) -> None:
    web = start()
    assert web.get("/broken") == (500, b"")
    assert web.get("/broken-stream")[1] == b"x"
    log = web.end(signal.SIGTERM)
    assert log.count("ApplicationFailed: ValueError") == 2
    assert "jane" not in log


def test_a_request_in_progress_is_finished_before_a_requested_stop(start: Callable[[], Web]) -> None:
    web = start()
    with socket.create_connection(("127.0.0.1", web.port), timeout=10) as client:
        client.sendall(b"GET /slow HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        time.sleep(0.3)
        web.process.terminate()
        assert b"".join(iter(lambda: client.recv(65536), b"")).endswith(b"done")
    assert web.process.wait(10) == 0


@pytest.mark.skipif(sys.platform != "linux", reason="the parent-death signal is Linux's")
def test_a_killed_main_process_takes_the_worker_along_and_frees_the_port(start: Callable[[], Web]) -> None:
    first = start()
    main, worker = json.loads(first.get("/processes")[1])
    assert main == first.process.pid
    first.end(signal.SIGKILL)
    second = start()
    main, other = json.loads(second.get("/processes")[1])
    assert main == second.process.pid
    assert other != worker
    assert second.end(signal.SIGTERM) == ""


def test_a_second_server_is_refused_the_port(start: Callable[[], Web]) -> None:
    first, second = start(), start()
    assert second.process.wait(10) == 1
    assert f"port {first.port} on 127.0.0.1 is in use" in second.process.communicate()[0]
    assert json.loads(first.get("/processes")[1])[0] == first.process.pid
