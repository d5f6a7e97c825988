"""What the suite of real clients needs from outside: packages of npm, and a Chromium."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.installation import Installation, installation

_NODE = Path(__file__).parent / "node"
_CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@pytest.fixture(scope="session")
def one() -> Iterator[Installation]:
    """One running installation for every client; each test has people and groups of its own."""
    with installation() as running:
        yield running


@pytest.fixture(scope="session")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the packages of npm and the scripts that drive them."""
    if shutil.which("npm") is None:
        _without("npm is missing: install Node.js 18 or newer")
    folder = tmp_path_factory.mktemp("node")
    for each in _NODE.iterdir():
        shutil.copy(each, folder)
    command = ["npm", "install", "--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts"]
    subprocess.run(command, check=True, cwd=folder, capture_output=True, timeout=120)
    return folder


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """A real Chromium under Playwright. TEST_CHROMIUM names one that is not on PATH."""
    found = os.environ.get("TEST_CHROMIUM") or next(filter(None, map(shutil.which, _CHROMIUM)), None)
    if found is None:
        _without("no Chromium: install one (Debian and Ubuntu: apt-get install chromium), or name one in TEST_CHROMIUM")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=found, headless=True, chromium_sandbox=os.geteuid() != 0)
        yield browser
        browser.close()


def _without(why: str) -> None:
    """Skip with a reason that says how to get it; in CI everything is there or the run fails."""
    if os.environ.get("CI"):
        pytest.fail(why)
    pytest.skip(why)
