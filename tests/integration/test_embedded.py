"""The queue server of the embedded default: private, without memory, and gone with its owner."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from app import embedded
from app.embedded import (
    NoPlaceForSocket,
    QueueServerFailed,
    QueueServerMissing,
    plan_queue,
    start_queue_server,
    stop_queue_server,
)
from tests.servers import tied_process


@pytest.fixture
def data_dir() -> Iterator[Path]:
    # pytest's own folder is deep; here the length of the path matters.
    with tempfile.TemporaryDirectory(prefix="pc-") as folder:
        yield Path(folder) / "data"


@pytest.fixture
def long_dir(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder whose path no unix socket could have, and a temp folder of the test's own."""
    temp = data_dir.parent / "temp"
    temp.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temp))
    return data_dir / ("x" * 60) / ("y" * 60)


def eventually(condition: Callable[[], object], timeout: float = 5.0) -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def test_it_serves_on_a_private_socket_and_nowhere_else(data_dir: Path) -> None:
    process, url = start_queue_server(data_dir)
    try:
        assert url == f"unix://{data_dir}/queue.sock"
        assert stat.S_IMODE((data_dir / "queue.sock").stat().st_mode) == 0o700
        assert stat.S_IMODE(data_dir.stat().st_mode) == 0o700
        with redis.Redis.from_url(url) as client:
            assert client.set("greeting", "hello")
            assert client.get("greeting") == b"hello"
            wanted = {"port": "0", "save": "", "appendonly": "no", "maxmemory-policy": "noeviction"}
            assert client.config_get(*wanted) == wanted
    finally:
        stop_queue_server(process)
    assert process.returncode == 0
    assert not (data_dir / "queue.sock").exists()
    assert stat.S_IMODE((data_dir / "queue.log").stat().st_mode) == 0o600
    assert sorted(path.name for path in data_dir.iterdir()) == ["queue.log"]


def test_it_can_be_killed_and_started_again_with_nothing_kept(data_dir: Path) -> None:
    process, url = start_queue_server(data_dir)
    with redis.Redis.from_url(url) as client:
        client.set("job", "1")
    process.kill()
    process.wait()
    assert (data_dir / "queue.sock").exists()  # A stale socket, which the next server replaces.
    process, again = start_queue_server(data_dir)
    try:
        assert again == url
        with redis.Redis.from_url(url) as client:
            assert client.get("job") is None
    finally:
        stop_queue_server(process)


def test_a_long_data_path_puts_the_socket_in_a_private_folder(long_dir: Path) -> None:
    process, url = start_queue_server(long_dir)
    try:
        place = Path(url.removeprefix("unix://")).parent
        assert len(os.fsencode(url.removeprefix("unix://"))) <= 103
        assert place.parent == Path(tempfile.gettempdir())
        assert stat.S_IMODE(place.stat().st_mode) == 0o700
        assert plan_queue(long_dir).url == url
        assert plan_queue(long_dir.parent / ("z" * 60)).url != url
        with redis.Redis.from_url(url) as client:
            assert client.ping()
    finally:
        stop_queue_server(process)


@pytest.mark.parametrize("trap", ["open to others", "symlink", "file"])
def test_a_socket_folder_that_others_could_enter_is_refused(long_dir: Path, trap: str) -> None:
    place = plan_queue(long_dir).socket.parent
    place.rmdir()
    if trap == "open to others":
        place.mkdir()
        place.chmod(0o755)
    elif trap == "symlink":
        place.symlink_to(long_dir)
    else:
        place.touch(mode=0o600)
    with pytest.raises(NoPlaceForSocket, match="not a private folder of this user"):
        plan_queue(long_dir)


def test_no_short_path_anywhere_is_refused(long_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deep = long_dir / "temp"
    deep.mkdir(parents=True)
    monkeypatch.setattr(tempfile, "tempdir", str(deep))
    with pytest.raises(NoPlaceForSocket, match="too long for a unix socket"):
        plan_queue(long_dir)


def test_a_second_server_on_the_same_folder_is_refused(data_dir: Path) -> None:
    process, url = start_queue_server(data_dir)
    try:
        with pytest.raises(QueueServerFailed, match="already runs"):
            start_queue_server(data_dir)
        with redis.Redis.from_url(url) as client:
            assert client.ping()
    finally:
        stop_queue_server(process)


def test_a_server_that_does_not_start_says_where_to_look(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "find_server", lambda: Path("/bin/false"))
    with pytest.raises(QueueServerFailed, match="did not start") as refusal:
        start_queue_server(data_dir)
    assert "queue.log" in (refusal.value.remedy or "")


def test_a_missing_server_names_the_remedy(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "find_spec", lambda _: None)
    monkeypatch.setenv("PATH", str(data_dir))
    with pytest.raises(QueueServerMissing) as refusal:
        plan_queue(data_dir)
    assert "portcullis[embedded]" in str(refusal.value)


def test_the_packaged_server_comes_before_the_one_on_path(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data_dir.mkdir()
    other = data_dir / "redis-server"
    other.write_text("#!/bin/sh\n")
    other.chmod(0o755)
    monkeypatch.setenv("PATH", str(data_dir))
    assert embedded.find_server().name == "valkey-server"
    monkeypatch.setattr(embedded, "find_spec", lambda _: None)
    assert embedded.find_server() == other


_OWNER = """
import sys, time
from pathlib import Path
from app.embedded import start_queue_server
start_queue_server(Path(sys.argv[1]))
print("up", flush=True)
time.sleep(600)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the parent-death signal is Linux's")
def test_it_ends_when_its_owner_is_killed(data_dir: Path) -> None:
    with tied_process(
        [sys.executable, "-c", _OWNER, str(data_dir)],
        stdout=subprocess.PIPE,
        text=True,
    ) as owner:
        assert owner.stdout
        assert owner.stdout.readline() == "up\n"
        queue = plan_queue(data_dir)
        assert queue.answers()
        owner.send_signal(signal.SIGKILL)
        owner.wait()
    eventually(lambda: not queue.socket.exists())
    assert not queue.answers()


def test_a_silent_socket_does_not_count_as_an_answer(data_dir: Path) -> None:
    queue = plan_queue(data_dir)
    with socket.socket(socket.AF_UNIX) as mute:
        mute.bind(str(queue.socket))
        mute.listen()
        assert not queue.answers()
