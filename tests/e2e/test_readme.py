"""The commands and the Python of the README do what it says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from app.settings import Settings
from app.web import create_app
from tests.e2e.client import Gate
from tests.e2e.installation import installation
from tests.integration.gate import build

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def test_the_two_commands_are_targets_of_the_makefile():
    (block,) = re.findall(r"## Two commands\n\n```sh\n(.*?)```", README, re.S)
    assert block.split("\n")[:2] == ["make run", "make test"]
    for target in ("run", "test", "demo"):
        subprocess.run(["make", "--dry-run", target], cwd=ROOT, check=True, capture_output=True)


def test_the_python_of_the_readme_sends_an_event():
    (code,) = re.findall(r"```python\n(.*?)```", README, re.S)
    with installation() as one:
        code = code.replace(".portcullis/credentials.json", str(one.data / "credentials.json"))
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, timeout=60)
        (event,) = Gate(one.credentials).export()
    assert event["properties"]["distinct_id"] == "ada"
    assert event["properties"]["plan"] == "pro"
    assert event["properties"]["email"].startswith("p1.")


def test_the_erasure_of_the_readme_ends_with_a_certificate_that_holds(tmp_path):
    (code,) = re.findall(r"## Erasing a person\n\n```sh\n(.*?)```", README, re.S)
    with installation() as one:
        code = code.replace("http://127.0.0.1:8080", one.base_url).replace(".portcullis/", f"{one.data}/")
        status = next(line for line in code.splitlines() if "# PENDING" in line).partition("#")[0]
        code = code.replace(status, f"until {status} | grep -q SUCCESS; do sleep 0.2; done ")
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        run = subprocess.run(["bash", "-euc", code], cwd=tmp_path, env={"PATH": path}, capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith("HOLDS: erasure ")


@pytest.mark.parametrize("command", sorted(set(re.findall(r"^portcullis ([a-z]+)", README, re.M))))
def test_every_command_of_the_readme_exists(command):
    done = subprocess.run([sys.executable, "-m", "app.cli", command, "--help"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_every_variable_of_the_readme_is_read(monkeypatch):
    named = set(re.findall(r"`((?:PORTCULLIS_|DATABASE_|REDIS_)[A-Z_]+|HOST|PORT)`", README))
    read: set[str] = set()

    class Spy(dict):
        def get(self, name, default=None):
            read.add(name)
            return default

    Settings.from_env(Spy())
    assert named <= read
    assert {name for name in read if name.startswith("PORTCULLIS_")} - named <= {"PORTCULLIS_EMBEDDED"}


def test_every_route_is_in_the_readme(tmp_path):
    gate = build(tmp_path, None)
    app = create_app(gate.services.settings, gate.services)
    table = README.replace("…", "")
    for rule in app.url_map.iter_rules():
        if not rule.endpoint.startswith(("swagger_ui.", "api-docs.")):
            path = re.sub(r"<(?:\w+:)?\w+>", "{}", rule.rule).rstrip("/")
            words = path.split("{}")[0].rstrip("/")
            assert words in table, rule.rule
    gate.services.close()
