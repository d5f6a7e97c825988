"""The import rules hold, and each of them is able to break: a copy of the code in which every one is broken says so."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
RULES: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]

# One import for each rule: the file that gets it, and what is imported there.
SABOTAGE = {
    "policies-are-pure": ("policies/gate.py", "import logging"),
    "app-never-imports-jobs": ("app/ingest/service.py", "import jobs.tasks"),
    "jobs-need-no-web": ("app/subjects/queue.py", "import app.http"),
    "flask-in-the-skin": ("app/query/service.py", "from flask import g"),
    "marshmallow-in-the-skin": ("app/access/service.py", "import marshmallow"),
    "queue-behind-the-doorbell": ("app/ingest/append.py", "from redis import Redis"),
    "drivers-behind-the-database": ("app/identity/register.py", "import psycopg"),
    "skin-is-not-a-foundation": ("app/bootstrap.py", "import app.subjects.schemas"),
    "floors": ("app/events/sql.py", "import app.identity.register"),
    "no-cycles": ("app/ingest/limits.py", "import app.ingest.service"),
}


def lint(folder: Path) -> dict[str, bool]:
    """What import-linter says of the packages in `folder`: whether each rule is kept, by id."""
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache", "--config", "pyproject.toml"]
    environment = {**os.environ, "PYTHONPATH": str(folder), "COLUMNS": "400"}
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, env=environment)
    # Long names are wrapped; the words of a name and its verdict follow each other all the same.
    said = " ".join(done.stdout.split())
    verdicts = {}
    for rule in RULES["contracts"]:
        assert rule["name"] in said, said[-2_000:]
        verdicts[rule["id"]] = said.partition(rule["name"])[2].split()[0] == "KEPT"
    return verdicts


def copy_to(folder: Path) -> None:
    for package in ("app", "jobs", "policies"):
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)


def test_every_rule_is_kept() -> None:
    assert lint(ROOT) == dict.fromkeys(SABOTAGE, True)


def test_every_rule_can_break(tmp_path: Path) -> None:
    copy_to(tmp_path)
    for name, statement in SABOTAGE.values():
        file = tmp_path / name
        file.write_text(file.read_text().replace("from __future__ import annotations\n", "", 1) + f"\n{statement}\n")
    assert lint(tmp_path) == dict.fromkeys(SABOTAGE, False)


def test_a_room_that_stands_on_no_floor_is_found(tmp_path: Path) -> None:
    copy_to(tmp_path)
    (tmp_path / "app" / "attic").mkdir()
    (tmp_path / "app" / "attic" / "__init__.py").write_text('"""A new room."""\n')
    assert [name for name, kept in lint(tmp_path).items() if not kept] == ["floors"]


@pytest.mark.parametrize("package", ["flask", "flask_smorest", "marshmallow", "werkzeug"])
def test_importing_app_loads_no_web_framework(package: str) -> None:
    program = f"import app, app.bootstrap, app.cli, sys; sys.exit({package!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False).returncode == 0
