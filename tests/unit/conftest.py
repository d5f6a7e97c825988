"""The unit tier does no I/O, and here that is enforced: no network, no processes, no file opened for writing."""

from __future__ import annotations

import builtins
import io
import os
import socket
import subprocess
from collections.abc import Callable
from typing import Any

import pytest


class UnitTestDidIO(AssertionError):
    """A test under tests/unit reached outside its process: move it to tests/integration."""


def _forbidden(what: str) -> Callable[..., Any]:
    def refuse(*_args: object, **_options: object) -> Any:
        raise UnitTestDidIO(f"{what} in a unit test; move the test to tests/integration")

    return refuse


def _read_only(really_open: Callable[..., Any]) -> Callable[..., Any]:
    def open_to_read(file: Any, mode: str = "r", *args: Any, **options: Any) -> Any:
        if set(mode) & set("wax+") and file != os.devnull:
            raise UnitTestDidIO("a file was opened for writing in a unit test; move the test to tests/integration")
        return really_open(file, mode, *args, **options)

    return open_to_read


@pytest.fixture(autouse=True)
def no_io(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make sockets, child processes and writing files raise for the length of one test."""
    for method in ("bind", "connect", "connect_ex"):
        monkeypatch.setattr(socket.socket, method, _forbidden(f"socket.{method}"))
    monkeypatch.setattr(subprocess, "Popen", _forbidden("subprocess"))
    for function in ("fork", "posix_spawn", "system"):
        monkeypatch.setattr(os, function, _forbidden(f"os.{function}"))
    monkeypatch.setattr(builtins, "open", _read_only(builtins.open))
    monkeypatch.setattr(io, "open", _read_only(io.open))
