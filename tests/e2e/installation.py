"""A real installation: `portcullis run` in a folder of its own on a free port, started, looked at, and stopped.

Every process of it is known by the data folder in its environment, so an orphan cannot hide behind a new parent.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import sqlite3
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
_START_TIMEOUT = 60.0
_STOP_TIMEOUT = 30.0
# What would make the installation under test another than the embedded default.
_NOT_OURS = re.compile(r"^(PORTCULLIS_|DATABASE_URL$|REDIS_URL$|GEOIP_DB$|HOST$|PORT$)|_proxy$", re.IGNORECASE)


class InstallationFailed(AssertionError):
    """It did not start, or did not stop as it should; the message ends with what it printed."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """What `<data>/credentials.json` holds. Secrets stay out of the repr, which pytest prints on a failure."""

    base_url: str
    project_id: int
    project_token: str = field(repr=False)
    api_secret: str = field(repr=False)
    service_account: Mapping[str, str] = field(repr=False)
    admin_token: str = field(repr=False)
    officer_token: str = field(repr=False)
    auditor_token: str = field(repr=False)
    ingest_token: str = field(repr=False)

    @classmethod
    def read(cls, data: Path) -> Credentials:
        """The credentials of the installation in `data`. Raises `TypeError` when a key is missing or unknown."""
        return cls(**json.loads((data / "credentials.json").read_text()))


class Installation:
    """`portcullis run` on one data folder. `start`, `stop` and `kill` as often as a test likes, on one port."""

    def __init__(self, data: Path, port: int | None = None, tls: bool = False, **settings: str) -> None:
        self.data = data
        self.port = port or free_port()
        self.tls = tls
        self.base_url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        self.log = data.parent / f"{data.name}.log"
        self.process: subprocess.Popen[bytes] | None = None
        self._settings = settings

    @property
    def credentials(self) -> Credentials:
        """Read from the file each time, as a person would."""
        return Credentials.read(self.data)

    @property
    def database(self) -> Path:
        """The SQLite file."""
        return self.data / "portcullis.db"

    @property
    def certificate(self) -> Path:
        """The certificate that clients must be told of, with `tls`."""
        return self.data / "tls-certificate.pem"

    def launch(self) -> subprocess.Popen[bytes]:
        """Start the command and return at once."""
        assert self.process is None, "it runs already"
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "app.cli", "run", *(["--tls"] if self.tls else [])],
                cwd=CHECKOUT,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                # A Ctrl-C at the terminal is the story's to handle: it stops the installation in order.
                start_new_session=True,
            )
        return self.process

    def start(self) -> Installation:
        """Start and wait until `/readyz` says that database and doorbell answer."""
        process = self.launch()
        try:
            until(lambda: process.poll() is not None or self.ready(), _START_TIMEOUT, "ready")
        except TimeoutError:
            self.kill()
            raise InstallationFailed(f"it was not ready within {_START_TIMEOUT:.0f} s\n{self.printed()}") from None
        if process.poll() is not None:
            self.process = None
            raise InstallationFailed(f"it ended with exit code {process.returncode}\n{self.printed()}")
        return self

    def ready(self) -> bool:
        """Whether it would take and process a request now."""
        try:
            trust = ssl.create_default_context(cafile=str(self.certificate)) if self.tls else None
            with urllib.request.urlopen(f"{self.base_url}/readyz", timeout=5, context=trust) as answer:
                return bool(json.load(answer)["doorbell"] == "ok")
        except (OSError, ValueError):
            return False

    def stop(self, signum: int = signal.SIGTERM) -> int:
        """Ask it to stop and wait; returns the exit code. Raises `InstallationFailed` when it does not, or leaves a process."""
        assert self.process is not None, "it does not run"
        self.process.send_signal(signum)
        try:
            code = self.process.wait(_STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            self.kill()
            raise InstallationFailed(f"it did not stop within {_STOP_TIMEOUT:.0f} s\n{self.printed()}") from None
        self.process = None
        if left := self.processes():
            self.kill()
            raise InstallationFailed(f"it left {len(left)} processes behind\n{self.printed()}")
        return code

    def kill(self) -> None:
        """SIGKILL to everything of it. Harmless when nothing runs."""
        for pid in self.processes():
            _send(pid, signal.SIGKILL)
        if self.process is not None:
            self.process.wait(10)
            self.process = None

    def processes(self, *words: str) -> list[int]:
        """Process ids of the installation, those whose command line holds every one of `words`."""
        mark = f"PORTCULLIS_DATA={self.data}"
        return [pid for pid, command, environment in _running() if mark in environment and all(w in command for w in words)]

    def printed(self, most: int = 6000) -> str:
        """The end of what it printed."""
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return f"--- printed by the installation ---\n{text[-most:]}\n--- end ---"

    def _environment(self) -> dict[str, str]:
        own = {name: value for name, value in os.environ.items() if not _NOT_OURS.search(name)}
        return own | {"PORTCULLIS_DATA": str(self.data), "PORT": str(self.port)} | self._settings


@contextmanager
def installation(*, tls: bool = False, **settings: str) -> Iterator[Installation]:
    """A running installation in a temporary folder. Prints what it printed when the block fails; leaves nothing."""
    folder = Path(tempfile.mkdtemp(prefix="portcullis-"))
    one = Installation(folder / "data", tls=tls, **settings)
    try:
        yield one.start()
    except BaseException:
        print(one.printed(), file=sys.stderr)
        raise
    else:
        if one.process is not None:
            one.stop()
    finally:
        one.kill()
        shutil.rmtree(folder, ignore_errors=True)


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def until(done: Callable[[], bool], seconds: float, what: str, pause: float = 0.05) -> None:
    """Wait until `done()`. Raises `TimeoutError` naming `what`."""
    deadline = time.monotonic() + seconds
    while not done():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not {what} within {seconds:g} s")
        time.sleep(pause)


def _running() -> Iterator[tuple[int, str, str]]:
    """Process id, command line and environment of every live process whose environment we may read."""
    if not Path("/proc/self/environ").exists():
        yield from _running_elsewhere()
        return
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            environment = (folder / "environ").read_bytes().replace(b"\0", b"\n").decode(errors="replace")
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        # A zombie has neither; it is dead and waits for its parent.
        if environment:
            yield int(folder.name), command, environment


def _running_elsewhere() -> Iterator[tuple[int, str, str]]:
    listing = subprocess.run(["ps", "-axEww", "-o", "pid=,command="], capture_output=True, text=True, check=True)
    for line in listing.stdout.splitlines():
        pid, _, rest = line.strip().partition(" ")
        yield int(pid), rest, rest


def _send(pid: int, signum: int) -> None:
    try:
        os.kill(pid, signum)
    except ProcessLookupError:
        pass  # It ended meanwhile.


@contextmanager
def held(one: Installation, *modules: str) -> Iterator[None]:
    """Hold the processes that run `modules` (SIGSTOP) while the block runs: what they would do has not been done yet.

    A process that holds the database's write lock is let go and held again a moment later.
    """
    pids = [pid for module in modules for pid in one.processes(module)]
    assert pids, "nothing runs that could be held"
    try:
        until(lambda: _held_without_lock(pids, one.database), 10, "held")
        yield
    finally:
        for pid in pids:
            _send(pid, signal.SIGCONT)


def _held_without_lock(pids: list[int], database: Path) -> bool:
    for pid in pids:
        _send(pid, signal.SIGSTOP)
    time.sleep(0.02)
    if _writable(database):
        return True
    for pid in pids:
        _send(pid, signal.SIGCONT)
    return False


def _writable(database: Path) -> bool:
    connection = sqlite3.connect(database, timeout=0.1, isolation_level=None)
    try:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("ROLLBACK")
    except sqlite3.OperationalError:
        return False
    else:
        return True
    finally:
        connection.close()
