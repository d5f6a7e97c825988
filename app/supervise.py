"""Run the processes of one installation together, and leave none of them behind.

The embedded default is four processes: queue server, dispatcher, worker, web. `supervise` starts them in the order
given, restarts one that dies, and stops them in reverse. Whatever ends the supervisor itself, kill -9 included, ends
its children: each carries a parent-death signal (prctl(2), Linux; a no-op elsewhere).
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Any, Self

from app.errors import StartupRefused

_PR_SET_PDEATHSIG = 1
_START_TIMEOUT = 30.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 5.0
_SETTLED_AFTER = 30.0
# A child without a readiness check has proved that it can start once it has lived this long.
_PROVED_AFTER, _MOST_FAILED_STARTS = 10.0, 5
# What an operator, a deployment or the kernel's memory killer sends: it says nothing of whether the child can start.
_FROM_OUTSIDE = frozenset({signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT})


class PortTaken(StartupRefused):
    """Another program listens where this one should, or the address cannot be bound at all."""


class DataFolderInUse(StartupRefused):
    """Another supervisor runs on the same data folder."""


class ChildFailed(StartupRefused):
    """A child could not be started, did not become ready, or died at every start."""


def die_with_parent(signum: int = signal.SIGKILL, parent: int | None = None) -> None:
    """Ask the kernel to send `signum` to this process when its parent ends.

    `parent` is the expected parent's process id; if that parent is gone already, the signal is raised at once, which
    closes the gap between fork and prctl. Linux only, a no-op elsewhere. "Parent" means the *thread* that started
    this process, so start children from a thread that lives as long as they should. Forked children do not inherit it.
    """
    if (prctl := _prctl()) is None:
        return
    prctl(_PR_SET_PDEATHSIG, int(signum), 0, 0, 0)
    if parent is not None and os.getppid() != parent:
        os.kill(os.getpid(), signum)


def tied_to_me(signum: int = signal.SIGKILL) -> Callable[[], None]:
    """A `preexec_fn` for `subprocess.Popen`: the child gets `signum` when the calling thread's process ends."""
    _prctl()  # The library is loaded here, before the fork, because loading it in the child could deadlock.
    return partial(die_with_parent, signum, os.getpid())


@cache
def _prctl() -> Callable[..., int] | None:
    if sys.platform != "linux":
        return None
    function: Callable[..., int] = ctypes.CDLL(None).prctl
    return function


def ensure_port_free(host: str, port: int, *, patience: float = 0.0) -> None:
    """Raise `PortTaken` unless `host`:`port` can be bound, trying again for `patience` seconds.

    The web server binds with SO_REUSEPORT, so without this a second one would share the port in silence.
    """
    deadline = time.monotonic() + patience
    while (problem := _bind_problem(host, port)) is not None:
        if time.monotonic() >= deadline:
            raise _port_refusal(host, port, problem)
        time.sleep(0.05)


def _bind_problem(host: str, port: int) -> OSError | None:
    try:
        for family, kind, proto, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE):
            with socket.socket(family, kind, proto) as probe:
                # A port in TIME_WAIT is free for a server; one that is listened on is refused all the same.
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(address)
                probe.listen(1)
    except OSError as error:
        return error
    return None


def _port_refusal(host: str, port: int, problem: OSError) -> PortTaken:
    if problem.errno == errno.EADDRINUSE:
        other = next((p for p in range(port + 1, min(port + 50, 65536)) if _bind_problem(host, p) is None), None)
        choice = f"stop the other program or set PORT={other}" if other else "stop the other program"
        return PortTaken(f"port {port} on {host} is in use", field="PORT", remedy=choice)
    if problem.errno in {errno.EACCES, errno.EPERM}:
        return PortTaken(
            f"this user may not listen on port {port} of {host}",
            field="PORT",
            remedy="set PORT to 1024 or higher",
        )
    return PortTaken(f"{host} is not an address of this machine", field="HOST", remedy="set HOST=127.0.0.1")


def listening(host: str, port: int) -> Callable[[], bool]:
    """A readiness check for `ChildSpec`: true once something accepts connections on `host`:`port`."""
    target = {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - never bound here

    def check() -> bool:
        try:
            socket.create_connection((target, port), timeout=1.0).close()
        except OSError:
            return False
        return True

    return check


class PidLock:
    """Holds `<data_dir>/run.lock` while the block runs, so that one data folder has one supervisor.

    The lock is flock(2): the kernel drops it however the process ends. Raises `DataFolderInUse`, naming the holder.
    """

    def __init__(self, data_dir: Path) -> None:
        self._path = data_dir / "run.lock"
        self._file: int | None = None

    def __enter__(self) -> Self:
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(file, 20, 0).decode("ascii", "replace").strip()
            os.close(file)
            raise DataFolderInUse(
                f"Portcullis already runs on the data folder {self._path.parent}"
                + (f" (process {holder})" if holder.isdigit() else ""),
                field="PORTCULLIS_DATA",
                remedy="stop it first, or set PORTCULLIS_DATA to another folder",
            ) from error
        os.ftruncate(file, 0)
        os.pwrite(file, str(os.getpid()).encode(), 0)
        self._file = file
        return self

    def __exit__(self, *exc: object) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None


@dataclass(frozen=True, slots=True)
class ChildSpec:
    """One process to keep running: `env` replaces the whole environment, `ready` says when the next may start.

    On SIGTERM it should end by itself. `death_signal` is what the kernel sends it when the supervisor is gone. Files
    it makes are private to this user.
    """

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str] | None = field(default=None, repr=False)
    ready: Callable[[], bool] | None = field(default=None, repr=False)
    death_signal: int = signal.SIGKILL


def supervise(
    commands: Sequence[ChildSpec],
    *,
    on_ready: Callable[[], None] | None = None,
    stop_timeout: float = 10.0,
    say: Callable[[str], None] | None = None,
) -> int:
    """Run `commands` until SIGINT, SIGTERM or SIGHUP; returns 0, the exit code of a requested stop.

    They start in the order given, each once the one before it is ready, and stop in reverse: SIGTERM, then SIGKILL
    after `stop_timeout` seconds each; a second signal kills at once. A child that dies is started again after a pause
    of 0.2 s, doubling to 5 s; one that has been ready once is never given up, since what ails it then (a database
    that is away, a kill by hand) may pass. Raises `ChildFailed` when one that has never been ready dies of itself
    five times, cannot be started, or is not ready within 30 s; by then every other child has been stopped. Main
    thread only.
    """
    with _signals() as inbox:
        supervisor = _Supervisor([_Child(spec) for spec in commands], inbox, say or _to_stderr)
        try:
            supervisor.run(on_ready or (lambda: None))
        finally:
            supervisor.stop(stop_timeout)
    return 0


def _to_stderr(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


@dataclass(slots=True)
class _Inbox:
    """Signals received so far. Every signal, SIGCHLD too, writes a byte that ends `wait`."""

    pipe: int
    stops: int = 0

    def count(self, _signum: int, _frame: Any) -> None:
        self.stops += 1

    def wait(self, timeout: float) -> None:
        if select.select([self.pipe], [], [], max(0.0, timeout))[0]:
            os.read(self.pipe, 4096)


@contextmanager
def _signals() -> Iterator[_Inbox]:
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    os.set_blocking(writer, False)
    inbox = _Inbox(reader)
    wakeup = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    # A signal that is ignored on purpose, as nohup does with SIGHUP, stays ignored.
    stops = [s for s in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP) if signal.getsignal(s) != signal.SIG_IGN]
    before = {s: signal.signal(s, inbox.count) for s in stops}
    before[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, lambda *_: None)
    try:
        yield inbox
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(wakeup)
        os.close(reader)
        os.close(writer)


class _Child:
    """One supervised process over its lives."""

    def __init__(self, spec: ChildSpec) -> None:
        self.spec = spec
        self.process: subprocess.Popen[bytes] | None = None
        self.born = 0.0
        self.due = 0.0
        self.pause = _FIRST_PAUSE
        self.proved = False
        self.failed_starts = 0

    def start(self) -> None:
        self.born = time.monotonic()
        try:
            self.process = subprocess.Popen(
                self.spec.argv,
                env=None if self.spec.env is None else dict(self.spec.env),
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                umask=0o077,
                preexec_fn=tied_to_me(self.spec.death_signal),  # noqa: PLW1509 - only prctl, loaded before the fork
            )
        except OSError as error:
            raise ChildFailed(
                f"{self.spec.name} could not be started: {error.strerror}", remedy="install the project again"
            ) from error

    def bury(self) -> str:
        """After the process ended: end what it left, plan the next life, and say how this one ended."""
        if self.process is None:
            raise RuntimeError("a child that was never started cannot be buried")
        code, life = self.process.returncode, time.monotonic() - self.born
        _end_session(self.process.pid)
        self.process = None
        self.proved = self.proved or (self.spec.ready is None and life >= _PROVED_AFTER)
        if not self.proved and -code not in _FROM_OUTSIDE:
            self.failed_starts += 1
        if life >= _SETTLED_AFTER:
            self.pause = _FIRST_PAUSE
        self.due = time.monotonic() + self.pause
        self.pause = min(self.pause * 2, _LONGEST_PAUSE)
        return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"

    def stop(self, timeout: float, inbox: _Inbox) -> None:
        """SIGTERM, wait for `timeout` seconds or the next stop signal, then SIGKILL to everything in its session."""
        if self.process is None:
            return
        deadline, before = time.monotonic() + timeout, inbox.stops
        # Only the leader is told: it ends its own helpers in order, and a job in progress may finish.
        self.process.terminate()
        while self.process.poll() is None and time.monotonic() < deadline and inbox.stops == before:
            inbox.wait(0.05)
        _end_session(self.process.pid)
        self.process.kill()
        self.process.wait()
        self.process = None


class _Supervisor:
    def __init__(self, children: list[_Child], inbox: _Inbox, say: Callable[[str], None]) -> None:
        self.children = children
        self.inbox = inbox
        self.say = say

    def run(self, on_ready: Callable[[], None]) -> None:
        for child in self.children:
            if self.inbox.stops:
                return
            child.start()
            self._await(child)
        if not self.inbox.stops:
            on_ready()
        while not self.inbox.stops:
            self._look_after(1.0)

    def _await(self, child: _Child) -> None:
        deadline = time.monotonic() + _START_TIMEOUT
        while child.spec.ready is not None and not self.inbox.stops:
            if child.process is not None and child.spec.ready():
                child.proved = True
                return
            if time.monotonic() > deadline:
                raise ChildFailed(
                    f"{child.spec.name} was not ready within {_START_TIMEOUT:.0f} s",
                    remedy="read its messages above",
                )
            self._look_after(0.05)

    def _look_after(self, longest: float) -> None:
        pauses = [c.due - time.monotonic() for c in self.children if c.process is None and c.born]
        self.inbox.wait(min([longest, *pauses]))
        for child in self.children:
            if self.inbox.stops:
                return
            if child.process is not None and child.process.poll() is not None:
                self._mourn(child)
            elif child.process is None and child.born and time.monotonic() >= child.due:
                child.start()

    def _mourn(self, child: _Child) -> None:
        pause, ending = child.pause, child.bury()
        if child.failed_starts >= _MOST_FAILED_STARTS:
            raise ChildFailed(
                f"{child.spec.name} {ending}, the {child.failed_starts}th time before it was ready",
                remedy="read its messages above",
            )
        self.say(f"{child.spec.name} {ending}; starting it again in {pause:g} s")

    def stop(self, timeout: float) -> None:
        alive = [child for child in reversed(self.children) if child.process is not None]
        requested = self.inbox.stops
        if requested:
            self.say("Stopping " + ", ".join(child.spec.name for child in alive) + ".")
        for child in alive:
            # A second signal means that the user will not wait any longer, for this child or the next.
            child.stop(timeout if self.inbox.stops == requested else 0.0, self.inbox)


def _end_session(leader: int) -> None:
    """SIGKILL whatever is left in the session that `leader` opened, in its own process group or another."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)
    for pid in _session_members(leader):
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)


def _session_members(leader: int) -> list[int]:
    """Process ids of a session, from /proc (Linux, proc(5): the session is the fourth field after the name)."""
    members = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError, ValueError, IndexError):
            if int(stat.read_bytes().rpartition(b")")[2].split()[3]) == leader:
                members.append(int(stat.parent.name))
    return members
