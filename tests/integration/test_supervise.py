"""The supervisor against real processes: what restarts, what stops, and that nothing is ever left behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from app.supervise import (
    ChildFailed,
    ChildSpec,
    DataFolderInUse,
    PidLock,
    PortTaken,
    ensure_port_free,
    listening,
    supervise,
)
from tests.servers import tied_process

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="the parent-death signal is Linux's")

# Notes its process id, then its name when it is told to stop. `stubborn` ignores SIGTERM; `parent` has a helper in a
# process group of its own, as an RQ worker has while it runs a job.
_CHILD = """
import os, signal, sys, time
name, folder, kind = sys.argv[1:]
def note(file, text):
    with open(os.path.join(folder, file), "a") as out:
        out.write(text + "\\n")
def stop(*_):
    note("stopped", name)
    os._exit(0)
signal.signal(signal.SIGTERM, signal.SIG_IGN if kind == "stubborn" else stop)
if kind == "parent" and os.fork() == 0:
    os.setpgrp()
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    note(name + "-helper", str(os.getpid()))
    time.sleep(600)
note("started", name)
note(name, str(os.getpid()))
time.sleep(600)
"""

_SUPERVISOR = """
import sys
from pathlib import Path
from app.supervise import ChildSpec, supervise
folder, child, timeout, *children = sys.argv[1:]
def spec(text):
    name, kind = text.split(":")
    ready = lambda: (Path(folder) / name).exists()
    return ChildSpec(name, (sys.executable, "-S", child, name, folder, kind), ready=ready)
ready = lambda: (Path(folder) / "ready").touch()
sys.exit(supervise([spec(c) for c in children], on_ready=ready, stop_timeout=float(timeout)))
"""


class Installation:
    """A supervisor in a process of its own, and the notes that its children leave in a folder."""

    def __init__(self, folder: Path, *children: str, stop_timeout: float = 5.0) -> None:
        self.folder = folder
        (folder / "child.py").write_text(_CHILD)
        command = [sys.executable, "-c", _SUPERVISOR, folder, folder / "child.py", stop_timeout, *children]
        self.process = tied_process(
            [str(word) for word in command],
            stderr=subprocess.PIPE,
            text=True,
        )
        eventually((folder / "ready").exists)

    def pids(self, name: str) -> list[int]:
        """The process ids that `name` has had, oldest first."""
        return [int(line) for line in self.lines(name)]

    def lines(self, file: str) -> list[str]:
        path = self.folder / file
        return path.read_text().split() if path.exists() else []

    def everyone(self) -> list[int]:
        """Every process that ever noted its id."""
        skip = {"child.py", "ready", "started", "stopped"}
        return [pid for path in self.folder.iterdir() if path.name not in skip for pid in self.pids(path.name)]

    def end(self, signum: int) -> str:
        """Signal the supervisor, wait for it and return what it said."""
        self.process.send_signal(signum)
        said: str = self.process.communicate(timeout=20)[1]
        return said


@pytest.fixture
def install(tmp_path: Path) -> Iterator[Callable[..., Installation]]:
    started: list[Installation] = []

    def start(*children: str, stop_timeout: float = 5.0) -> Installation:
        started.append(Installation(tmp_path, *children, stop_timeout=stop_timeout))
        return started[-1]

    yield start
    for one in started:
        one.process.kill()
        # A helper that is not tied to its parent outlives a killed supervisor, and would hold the pipe open.
        for pid in filter(alive, one.everyone()):
            os.kill(pid, signal.SIGKILL)
        one.process.communicate(timeout=20)


def alive(pid: int) -> bool:
    """Whether `pid` still runs. One that only waits to be reaped does not: who reaps orphans is not ours to say."""
    try:
        return subprocess.check_output(["ps", "-o", "stat=", "-p", str(pid)], text=True).strip()[:1] not in {
            "Z",
            "",
        }
    except subprocess.CalledProcessError:
        return False


def eventually(condition: Callable[[], object], timeout: float = 10.0) -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_requested_stop_is_orderly_and_leaves_nobody(install: Callable[..., Installation], signum: signal.Signals) -> None:
    running = install("queue:plain", "dispatcher:plain", "worker:plain", "web:plain")
    said = running.end(signum)
    assert running.process.returncode == 0
    assert running.lines("started") == ["queue", "dispatcher", "worker", "web"]
    assert running.lines("stopped") == ["web", "worker", "dispatcher", "queue"]
    assert said == "Stopping web, worker, dispatcher, queue.\n"
    assert [pid for pid in running.everyone() if alive(pid)] == []


def test_a_killed_child_is_started_again_and_the_others_live_on(install: Callable[..., Installation]) -> None:
    running = install("queue:plain", "web:plain")
    os.kill(running.pids("web")[0], signal.SIGKILL)
    eventually(lambda: len(running.pids("web")) == 2)
    assert len(running.pids("queue")) == 1
    assert alive(running.pids("web")[1])
    assert "web was killed by SIGKILL; starting it again in 0.2 s\n" in running.end(signal.SIGTERM)


@linux_only
def test_a_killed_supervisor_takes_its_children_along(install: Callable[..., Installation]) -> None:
    running = install("queue:plain", "worker:stubborn")
    children = running.everyone()
    assert len(children) == 2
    assert all(alive(pid) for pid in children)
    running.end(signal.SIGKILL)
    eventually(lambda: not any(alive(pid) for pid in children), timeout=3)


def test_a_child_that_will_not_stop_is_killed_after_the_timeout(install: Callable[..., Installation]) -> None:
    running = install("web:stubborn", stop_timeout=0.5)
    began = time.monotonic()
    running.end(signal.SIGTERM)
    assert running.process.returncode == 0
    assert 0.4 < time.monotonic() - began < 4
    assert not alive(running.pids("web")[0])


def test_a_second_signal_does_not_wait(install: Callable[..., Installation]) -> None:
    running = install("queue:stubborn", "web:stubborn", stop_timeout=60)
    running.process.send_signal(signal.SIGINT)
    time.sleep(0.3)
    running.end(signal.SIGINT)
    assert running.process.returncode == 0
    assert [pid for pid in running.everyone() if alive(pid)] == []


@linux_only
@pytest.mark.parametrize("victim", ["supervisor", "worker"])
def test_a_helper_in_its_own_process_group_goes_with_its_parent(install: Callable[..., Installation], victim: str) -> None:
    running = install("worker:parent")
    eventually(lambda: running.pids("worker-helper"))
    helper = running.pids("worker-helper")[0]
    assert alive(helper)
    if victim == "supervisor":
        running.end(signal.SIGTERM)
    else:
        os.kill(running.pids("worker")[0], signal.SIGKILL)
        eventually(lambda: len(running.pids("worker")) == 2)
    assert not alive(helper)


def test_a_child_that_keeps_dying_is_given_up_and_the_rest_stopped(tmp_path: Path) -> None:
    (tmp_path / "child.py").write_text(_CHILD)
    child = str(tmp_path / "child.py")
    ready = (tmp_path / "queue").exists
    said: list[str] = []
    with pytest.raises(ChildFailed, match="web ended with exit code 3, the 5th time before it was ready") as refusal:
        supervise(
            [
                ChildSpec("queue", (sys.executable, "-S", child, "queue", str(tmp_path), "plain"), ready=ready),
                ChildSpec("web", ("/bin/sh", "-c", "exit 3")),
            ],
            say=said.append,
        )
    assert refusal.value.remedy
    assert [line.rpartition(" in ")[2] for line in said] == ["0.2 s", "0.4 s", "0.8 s", "1.6 s"]
    assert (tmp_path / "stopped").read_text() == "queue\n"


# Once it has been ready, `exits` ends with an error half a second after every start, as one whose database is away does.
_LATER = """
import os, signal, sys
from pathlib import Path
from app.supervise import ChildSpec, supervise
folder = Path(sys.argv[1])
def spec(name, ready, then):
    note = f"echo $$ >> {folder}/{name}; {then}"
    return ChildSpec(name, ("/bin/sh", "-c", note), ready=(folder / name).exists if ready else None)
ready = lambda: (folder / "ready").touch()
sys.exit(supervise([spec("exits", True, "sleep 0.3; exit 2"), spec("killed", False, "exec sleep 600")], on_ready=ready))
"""


def test_neither_a_kill_by_hand_nor_a_failure_after_it_was_ready_makes_it_give_up(tmp_path: Path) -> None:
    """Five times each: without the rule, four deaths are borne and the fifth takes everything down."""
    supervisor = tied_process([sys.executable, "-c", _LATER, str(tmp_path)], stderr=subprocess.PIPE, text=True)

    def lives(name: str) -> list[int]:
        return [int(line) for line in (tmp_path / name).read_text().split()] if (tmp_path / name).exists() else []

    try:
        eventually((tmp_path / "ready").exists)
        for life in range(1, 6):
            eventually(lambda life=life: len(lives("killed")) == life)
            os.kill(lives("killed")[-1], signal.SIGKILL)
        eventually(lambda: len(lives("killed")) == 6 and len(lives("exits")) >= 6, timeout=20)
        assert supervisor.poll() is None
    finally:
        supervisor.send_signal(signal.SIGTERM)
        supervisor.communicate(timeout=20)
    assert supervisor.returncode == 0


def test_a_command_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ChildFailed, match="web could not be started: No such file"):
        supervise([ChildSpec("web", (str(tmp_path / "nothing"),))])


def test_the_signal_handlers_are_put_back() -> None:
    watched = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD)
    before = [signal.getsignal(signum) for signum in watched]
    with suppress(ChildFailed):
        supervise([ChildSpec("web", ("/nonexistent/program",))])
    assert [signal.getsignal(signum) for signum in watched] == before


@pytest.mark.parametrize("reuse", [False, True], ids=["plain", "SO_REUSEPORT"])
def test_a_taken_port_is_refused_with_a_free_one_to_use(reuse: bool) -> None:
    with socket.socket() as other:
        if reuse:
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        assert listening("127.0.0.1", port)()
        with pytest.raises(PortTaken, match=f"port {port} on 127.0.0.1 is in use") as refusal:
            ensure_port_free("127.0.0.1", port)
        offered = int((refusal.value.remedy or "").rpartition("PORT=")[2])
        assert offered > port
        ensure_port_free("127.0.0.1", offered)
    ensure_port_free("127.0.0.1", port)
    assert not listening("127.0.0.1", port)()


def test_a_port_that_becomes_free_in_time_is_accepted() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        signal.signal(signal.SIGALRM, lambda *_: other.close())
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        ensure_port_free("127.0.0.1", port, patience=5)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)


def test_an_address_of_another_machine_is_refused() -> None:
    with pytest.raises(PortTaken, match="is not an address of this machine") as refusal:
        ensure_port_free("192.0.2.1", 8080)
    assert refusal.value.field == "HOST"


_HOLDER = """
import sys, time
from pathlib import Path
from app.supervise import PidLock
with PidLock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


def test_one_data_folder_has_one_supervisor(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with tied_process(
        [sys.executable, "-c", _HOLDER, str(data)],
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == "held\n"
        with (
            pytest.raises(DataFolderInUse, match=rf"already runs on .*data \(process {holder.pid}\)"),
            PidLock(data),
        ):
            pass
        holder.kill()
        holder.wait()
    # The lock went with its holder, however that ended.
    with PidLock(data):
        assert (data / "run.lock").read_text() == str(os.getpid())
        assert data.stat().st_mode & 0o777 == 0o700
