"""The story that `make demo` tells holds, claim by claim."""

import subprocess
import sys
from pathlib import Path


def test_every_claim_of_the_story_holds():
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-m", "tests.e2e.story"], cwd=root, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert "claims held" in done.stdout
