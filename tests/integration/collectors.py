"""Collectors to forward to: one that does as it is told, and keeps what it was sent."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from werkzeug.serving import make_server

Answer = tuple[int, Any, dict[str, str]]
CUT = 0
"""As a status: close the connection without an answer."""


def _nothing(_path: str) -> None:
    return


class Collector:
    """Answers from a list, then success. `jobs` are the states that its requests go through, the last one for good."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, Any, str | None]] = []
        self.answers: list[Answer] = []
        self.asked: list[tuple[str, str, Any, str | None]] = []
        self.job_answers: list[Answer] = []
        self.jobs = ["SUCCESS"]
        self.address = ""
        self.before_answer: Callable[[str], None] = _nothing
        self.after_answer: Callable[[str], None] = _nothing
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    def events(self) -> list[dict[str, Any]]:
        return [event for path, body, _ in self.sent if path.startswith("/import") for event in body]

    def updates(self, path: str = "/engage") -> list[dict[str, Any]]:
        return [record for sent, body, _ in self.sent if sent.startswith(path) for record in body]

    def job(self, method: str) -> Answer:
        if self.job_answers:
            return self.job_answers.pop(0)
        if method == "POST":
            return 201, {"status": "ok", "results": {"task_id": f"task-{len(self.asked)}"}}, {}
        state = self.jobs.pop(0) if len(self.jobs) > 1 else self.jobs[0]
        return 200, {"status": "ok", "results": {"status": state, "result": self.address}}, {}


def _handler(outer: Collector) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.about_a_job("GET", None)

        def do_POST(self) -> None:
            sent = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if self.path.startswith("/api/app/"):
                self.about_a_job("POST", sent)
                return
            outer.sent.append((self.path, sent, self.headers.get("Authorization")))
            good = {"code": 200, "status": "OK" if self.path.startswith("/import") else 1, "error": None}
            self.answer(outer.answers.pop(0) if outer.answers else (200, good, {}))

        def about_a_job(self, method: str, sent: Any) -> None:
            outer.asked.append((method, self.path, sent, self.headers.get("Authorization")))
            self.answer(outer.job(method))

        def answer(self, what: Answer) -> None:
            status, answer, headers = what
            outer.before_answer(self.path)
            if status == CUT:
                self.close_connection = True
                return
            text = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
            self.send_response(status)
            for name, value in {"Content-Length": str(len(text)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(text)
            self.wfile.flush()
            if "Content-Length" in headers:
                self.close_connection = True  # Cut short: it said that more would come.
            outer.after_answer(self.path)

        def log_message(self, *_arguments: Any) -> None:
            return

    return Handler


class Served:
    """An application of this process, on a port of its own."""

    def __init__(self, application: Any) -> None:
        self._server = make_server("127.0.0.1", 0, application, threaded=True)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
