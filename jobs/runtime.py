"""The services of a worker process, built when they are first needed and kept for its life."""

from __future__ import annotations

from functools import cache

from app.bootstrap import Services, bootstrap
from app.settings import Settings


@cache
def services() -> Services:
    """The one `Services` of this process, from its environment. Raises `StartupRefused`; then the next call tries again.

    A worker builds it before it forks: the child forgets the connections (`app.database`) and keeps the rest.
    """
    return bootstrap(Settings.from_env())
