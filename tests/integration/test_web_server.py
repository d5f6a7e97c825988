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

from app.supervise import listening
from tests.servers import tied_process

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
    print("whole body of", size, flush=True)
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
        self.process = tied_process(
            [sys.executable, "-c", _SERVE, str(port)],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
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

    def post(self, headers: bytes, body: bytes, *, hang_up: bool = False) -> bytes:
        """Send raw bytes to /body and return all that comes back; `hang_up` ends our side after them."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as connection:
            head = b"POST /body HTTP/1.1\r\nHost: a\r\nConnection: close\r\n" + headers + b"\r\n\r\n"
            connection.sendall(head + body)
            if hang_up:
                connection.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: connection.recv(65536), b""))

    def end(self, signum: int) -> str:
        self.process.send_signal(signum)
        said: str = self.process.communicate(timeout=20)[0]
        return said


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
        web.process.kill()
        if web.process.stdout and not web.process.stdout.closed:
            web.process.communicate(timeout=20)


def test_large_queries_pass_and_the_process_environment_does_not(start: Callable[[], Web]) -> None:
    web = start()
    # A GET of /track carries its whole batch in the query.
    assert web.get("/query?" + "d" * 60_000) == (200, b"60000")
    assert web.get("/query?" + "d" * 70_000)[0] == 414
    environ = json.loads(web.get("/environ")[1])
    assert "SECRET_URL" not in environ
    assert "HTTP_AUTHORIZATION" not in environ
    assert json.loads(web.get("/environ", Authorization="Basic eA==")[1])["HTTP_AUTHORIZATION"] == "Basic eA=="


def test_half_a_body_does_not_look_like_a_whole_one(start: Callable[[], Web]) -> None:
    web = start()
    assert web.post(b"Content-Length: 200000", b"e" * 200_000).endswith(b"\r\n\r\n200000")
    assert web.post(b"Transfer-Encoding: chunked", b"5\r\nabcde\r\n0\r\n\r\n").endswith(b"\r\n\r\n5")
    # The server may drop the connection or answer 400; what counts is what the application was given.
    assert b" 200 " not in web.post(b"Content-Length: 200000", b"e" * 1000, hang_up=True)
    time.sleep(0.2)
    assert web.end(signal.SIGTERM).splitlines() == ["whole body of 200000", "whole body of 5"]


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
