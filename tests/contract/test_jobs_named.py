"""`app` names its jobs by strings, and RQ accepts a name that does not exist: here every name is resolved."""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import get_type_hints

import pytest

from app.doorbell import RUN_REIMPORT, RUN_REQUEST, RUN_SIMULATION

ROOT = Path(__file__).parents[2]
# A worker that could reach these would one day need an application context.
WEB = ("flask", "flask_smorest", "marshmallow", "werkzeug", "app.http", "app.web")


def names_in_app() -> set[str]:
    """Every string in `app` that looks like the dotted name of something in `jobs`."""
    found: set[str] = set()
    for path in (ROOT / "app").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith("jobs."):
                found.add(node.value)
    return found


def test_every_name_that_app_uses_exists() -> None:
    names = names_in_app()
    assert RUN_REQUEST in names
    for name in names:
        module, _, attribute = name.rpartition(".")
        if module == "jobs":
            assert importlib.util.find_spec(name), name
        else:
            assert hasattr(importlib.import_module(module), attribute), name


@pytest.mark.parametrize("name", [RUN_REQUEST, RUN_SIMULATION, RUN_REIMPORT])
def test_a_job_takes_one_opaque_id_and_returns_nothing(name: str) -> None:
    module, _, attribute = name.rpartition(".")
    assert module == "jobs.tasks"
    job = getattr(importlib.import_module(module), attribute)
    [parameter] = inspect.signature(job).parameters.values()
    assert parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)
    assert parameter.default is parameter.empty
    hints = get_type_hints(job)
    assert hints[parameter.name] is str
    assert hints["return"] is type(None)


def test_tasks_holds_jobs_and_nothing_else_that_redis_could_name() -> None:
    tasks = importlib.import_module("jobs.tasks")
    own = [
        name
        for name, value in vars(tasks).items()
        if inspect.isfunction(value) and value.__module__ == "jobs.tasks" and not name.startswith("_")
    ]
    assert own == [each.rpartition(".")[2] for each in (RUN_REQUEST, RUN_SIMULATION, RUN_REIMPORT)]


@pytest.mark.parametrize("module", ["jobs.tasks", "jobs.worker", "jobs.dispatcher"])
def test_a_job_process_loads_nothing_of_the_web(module: str) -> None:
    program = f"import sys, json, {module}; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = set(json.loads(done.stdout))
    assert module in loaded
    assert loaded & set(WEB) == set()
    assert {name for name in loaded if re.fullmatch(r"app\..*[._](views|schemas)", name)} == set()
