"""The policies that ship. Reading one is the only file access in this package, and it happens before any
check."""

from __future__ import annotations

from importlib import resources

from policies.errors import PolicyNotFound


def names() -> tuple[str, ...]:
    """The names of all shipped policies, sorted."""
    files = (entry.name for entry in resources.files(__name__).iterdir())
    return tuple(sorted(name.removesuffix(".yaml") for name in files if name.endswith(".yaml")))


def text(name: str) -> str:
    """The YAML text of one shipped policy. Raises PolicyNotFound."""
    if name not in names():
        raise PolicyNotFound(f"no policy of that name ships; there are: {', '.join(names())}")
    return resources.files(__name__).joinpath(f"{name}.yaml").read_text(encoding="utf-8")
