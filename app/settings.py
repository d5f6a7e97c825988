"""Settings: the only reader of the environment.

Every variable is named here, once, with its default. An unsafe or unreadable value is refused with the remedy.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from app.errors import StartupRefused

_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off", ""})


@dataclass(frozen=True, slots=True)
class Settings:
    """What one process needs to know before it starts.

    `data_dir` holds everything of the embedded default. `database_url` is a SQLAlchemy URL (SQLite or PostgreSQL);
    `redis_url` may be None: then nobody rings the doorbell and the dispatcher does the work itself.
    `erasure_grace` is how many seconds an erasure waits, hidden but still cancellable, before it starts.
    `quarantine_days` is how long a held event waits for an officer before it is deleted.
    `archive_ttl` is how many seconds a retrieval archive can be downloaded.
    `geoip_db` is a file in MaxMind's format, or None: then no place is ever looked up.
    `upstream` is the collector that new projects forward to, None for none; `upstream_region` where that keeps data.
    `trusted_proxies` is how many proxies in front of the web process append to X-Forwarded-For; 0 trusts none.
    """

    data_dir: Path
    database_url: str = field(repr=False)
    redis_url: str | None = field(repr=False)
    master_key: str | None = field(repr=False)
    master_key_file: Path | None
    host: str
    port: int
    threads: int
    base_url: str
    log_level: str
    erasure_grace: int
    archive_ttl: int
    job_lease: int
    geoip_db: Path | None
    trusted_proxies: int
    quarantine_days: int
    upstream: str | None
    upstream_region: str | None
    embedded: bool

    @classmethod
    def from_env(cls, env: Mapping[str, str] | None = None) -> Settings:
        """Read the environment. Raises `StartupRefused` naming the variable at fault."""
        env = os.environ if env is None else env
        data_dir = Path(env.get("PORTCULLIS_DATA") or ".portcullis").expanduser().absolute()
        host = env.get("HOST") or "127.0.0.1"
        port = _integer(env, "PORT", 8080, 1, 65535)
        key_file = env.get("PORTCULLIS_MASTER_KEY_FILE")
        return cls(
            data_dir=data_dir,
            database_url=_database_url(env.get("DATABASE_URL"), data_dir),
            redis_url=env.get("REDIS_URL") or None,
            master_key=env.get("PORTCULLIS_MASTER_KEY") or None,
            master_key_file=Path(key_file).expanduser().absolute() if key_file else None,
            host=host,
            port=port,
            threads=_integer(env, "PORTCULLIS_THREADS", 8, 1, 256),
            base_url=(env.get("PORTCULLIS_BASE_URL") or f"http://{_for_url(host)}:{port}").rstrip("/"),
            log_level=_choice(env, "PORTCULLIS_LOG_LEVEL", "info", ("debug", "info", "warning", "error")),
            erasure_grace=_integer(env, "PORTCULLIS_ERASURE_GRACE", 0, 0, 30 * 86_400),
            archive_ttl=_integer(env, "PORTCULLIS_ARCHIVE_TTL", 7 * 86_400, 60, 90 * 86_400),
            geoip_db=Path(env["GEOIP_DB"]).expanduser().absolute() if env.get("GEOIP_DB") else None,
            trusted_proxies=_integer(env, "PORTCULLIS_TRUSTED_PROXIES", 0, 0, 16),
            job_lease=_integer(env, "PORTCULLIS_JOB_LEASE", 30, 1, 3600),
            quarantine_days=_integer(env, "PORTCULLIS_QUARANTINE_DAYS", 30, 1, 365),
            upstream=env.get("UPSTREAM_MIXPANEL") or None,
            upstream_region=env.get("UPSTREAM_REGION") or None,
            embedded=_boolean(env, "PORTCULLIS_EMBEDDED", "DATABASE_URL" not in env),
        )


def _database_url(url: str | None, data_dir: Path) -> str:
    if not url:
        return f"sqlite:///{data_dir / 'portcullis.db'}"
    scheme, _, rest = url.partition("://")
    if scheme in {"postgres", "postgresql", "postgresql+psycopg"}:
        return f"postgresql+psycopg://{rest}"
    if scheme == "sqlite" and rest.startswith("/"):
        return url
    raise StartupRefused(
        "DATABASE_URL is neither PostgreSQL nor a SQLite file",
        field="DATABASE_URL",
        remedy="use postgresql://user:password@host/database, or unset it for the embedded default",
    )


def _for_url(host: str) -> str:
    if host in {"0.0.0.0", "::", ""}:  # noqa: S104 - compared, never bound here
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host


def _integer(env: Mapping[str, str], name: str, default: int, low: int, high: int) -> int:
    text = env.get(name) or str(default)
    if text.isascii() and text.isdigit() and low <= int(text) <= high:
        return int(text)
    raise StartupRefused(
        f"{name} is not a whole number from {low} to {high}", field=name, remedy=f"set {name}={default}, the default"
    )


def _boolean(env: Mapping[str, str], name: str, default: bool) -> bool:
    text = env.get(name)
    if text is None:
        return default
    if text.lower() in _TRUE | _FALSE:
        return text.lower() in _TRUE
    raise StartupRefused(f"{name} is neither on nor off", field=name, remedy=f"set {name}=1 or {name}=0")


def _choice(env: Mapping[str, str], name: str, default: str, allowed: tuple[str, ...]) -> str:
    text = (env.get(name) or default).lower()
    if text in allowed:
        return text
    raise StartupRefused(f"{name} is not one of {', '.join(allowed)}", field=name, remedy=f"set {name}={default}")
