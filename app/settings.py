"""Settings: the only reader of the environment.

Every variable is named here, once, with its default. An unsafe or unreadable value is refused with the remedy.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from app.errors import StartupRefused
from app.proxies import MOST_HOPS, TrustedProxies

_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off", ""})
REQUEST_STEPS = ("identity", "approval", "second_person", "answer")
"""What PORTCULLIS_REQUEST_STEPS may ask for."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What one process needs to know before it starts.

    `data_dir` holds everything of the embedded default. `database_url` is a SQLAlchemy URL (SQLite or PostgreSQL);
    `redis_url` may be None: then nobody rings the doorbell and the dispatcher does the work itself.
    `erasure_grace` is how many seconds an erasure waits, hidden but still cancellable, before it starts.
    `request_steps` is what persons must do before a subject request runs, or to end it: `app.subjects.model.Required`.
    `quarantine_days` is how long a held event waits for an officer before it is deleted.
    `deletion_undo_days` is for how many days a data deletion hides what it covers and can be undone, before it is carried out.
    `archive_ttl` is how many seconds a retrieval archive can be downloaded.
    `geoip_db` is a file in MaxMind's format, or None: then no place is ever looked up.
    `trusted_proxies` says which proxies in front of the web process are believed about X-Forwarded-For.
    `expected_days` is how long a finding that an officer calls expected stays quiet.
    `digest_hosts` are the hosts that webhooks of digests may go to; `smtp_url` is `smtp://` or `smtps://`, None sends no mail.
    `tls_certificate` and `tls_key` are PEM files; with them the web process speaks https, without them http.
    `witness` is the file that every signed checkpoint of the audit log is appended to, None for none.
    `upstream` is the collector that new projects forward to, None for none; `upstream_region` where that keeps data.
    """

    data_dir: Path
    database_url: str = field(repr=False)
    redis_url: str | None = field(repr=False)
    master_key: str | None = field(repr=False)
    master_key_file: Path | None
    host: str
    port: int
    threads: int
    tls_certificate: Path | None
    tls_key: Path | None
    base_url: str
    log_level: str
    erasure_grace: int
    request_steps: frozenset[str]
    archive_ttl: int
    job_lease: int
    geoip_db: Path | None
    trusted_proxies: TrustedProxies
    quarantine_days: int
    deletion_undo_days: int
    upstream: str | None
    upstream_region: str | None
    expected_days: int
    digest_hosts: frozenset[str]
    smtp_url: str | None = field(repr=False)
    mail_from: str
    witness: Path | None
    embedded: bool

    @classmethod
    def from_env(cls, env: Mapping[str, str] | None = None) -> Settings:
        """Read the environment. Raises `StartupRefused` naming the variable at fault."""
        env = os.environ if env is None else env
        data_dir = Path(env.get("PORTCULLIS_DATA") or ".portcullis").expanduser().absolute()
        host = env.get("HOST") or "127.0.0.1"
        port = _integer(env, "PORT", 8080, 1, 65535)
        key_file = env.get("PORTCULLIS_MASTER_KEY_FILE")
        certificate, tls_key = _tls(env)
        scheme = "https" if certificate else "http"
        return cls(
            data_dir=data_dir,
            database_url=_database_url(env.get("DATABASE_URL"), data_dir),
            redis_url=env.get("REDIS_URL") or None,
            master_key=env.get("PORTCULLIS_MASTER_KEY") or None,
            master_key_file=Path(key_file).expanduser().absolute() if key_file else None,
            host=host,
            port=port,
            threads=_integer(env, "PORTCULLIS_THREADS", 8, 1, 256),
            base_url=(env.get("PORTCULLIS_BASE_URL") or f"{scheme}://{_for_url(host)}:{port}").rstrip("/"),
            tls_certificate=certificate,
            tls_key=tls_key,
            log_level=_choice(env, "PORTCULLIS_LOG_LEVEL", "info", ("debug", "info", "warning", "error")),
            erasure_grace=_integer(env, "PORTCULLIS_ERASURE_GRACE", 0, 0, 30 * 86_400),
            request_steps=_words(env, "PORTCULLIS_REQUEST_STEPS", REQUEST_STEPS),
            archive_ttl=_integer(env, "PORTCULLIS_ARCHIVE_TTL", 7 * 86_400, 60, 90 * 86_400),
            geoip_db=Path(env["GEOIP_DB"]).expanduser().absolute() if env.get("GEOIP_DB") else None,
            trusted_proxies=_proxies(env, "PORTCULLIS_TRUSTED_PROXIES"),
            job_lease=_integer(env, "PORTCULLIS_JOB_LEASE", 30, 1, 3600),
            quarantine_days=_integer(env, "PORTCULLIS_QUARANTINE_DAYS", 30, 1, 365),
            deletion_undo_days=_integer(env, "PORTCULLIS_DELETION_UNDO_DAYS", 7, 0, 30),
            upstream=env.get("UPSTREAM_MIXPANEL") or None,
            upstream_region=env.get("UPSTREAM_REGION") or None,
            expected_days=_integer(env, "PORTCULLIS_EXPECTED_DAYS", 90, 1, 3_650),
            digest_hosts=frozenset(
                each.strip().lower() for each in env.get("PORTCULLIS_DIGEST_HOSTS", "").split(",") if each.strip()
            ),
            smtp_url=_smtp_url(env.get("PORTCULLIS_SMTP_URL")),
            mail_from=env.get("PORTCULLIS_MAIL_FROM") or "portcullis@localhost",
            witness=Path(env["PORTCULLIS_WITNESS"]).expanduser().absolute() if env.get("PORTCULLIS_WITNESS") else None,
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


def _smtp_url(url: str | None) -> str | None:
    if not url or url.partition("://")[0] in {"smtp", "smtps"}:
        return url or None
    raise StartupRefused(
        "PORTCULLIS_SMTP_URL is neither smtp:// nor smtps://",
        field="PORTCULLIS_SMTP_URL",
        remedy="use smtps://user:password@host:465, or unset it to send no mail",
    )


def _tls(env: Mapping[str, str]) -> tuple[Path | None, Path | None]:
    names = ("PORTCULLIS_TLS_CERTIFICATE", "PORTCULLIS_TLS_KEY")
    paths = [Path(env[name]).expanduser().absolute() if env.get(name) else None for name in names]
    for name, path in zip(names, paths, strict=True):
        if path is None and any(paths):
            raise StartupRefused(
                f"{name} is not set and its partner is", field=name, remedy="set both, or neither for plain HTTP"
            )
        if path is not None and not (path.is_file() and os.access(path, os.R_OK)):
            raise StartupRefused(
                f"the file of {name} cannot be read", field=name, remedy="name a PEM file that this user may read"
            )
    return paths[0], paths[1]


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


def _proxies(env: Mapping[str, str], name: str) -> TrustedProxies:
    try:
        return TrustedProxies.parse(env.get(name) or "0")
    except ValueError:
        raise StartupRefused(
            f"{name} is neither a number of proxies up to {MOST_HOPS} nor a list of networks",
            field=name,
            remedy=f"set {name}=1 for one proxy, or {name}=10.0.0.0/8,fd00::/8 with no address bits beyond the prefix",
        ) from None


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


def _words(env: Mapping[str, str], name: str, allowed: tuple[str, ...]) -> frozenset[str]:
    words = frozenset(each.strip().lower() for each in env.get(name, "").split(",") if each.strip())
    if words <= set(allowed):
        return words
    raise StartupRefused(
        f"{name} names something else than {', '.join(allowed)}", field=name, remedy=f"set {name}=identity,answer, or unset it"
    )
