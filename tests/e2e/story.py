"""The story of one installation, told on the terminal with every claim checked: `make demo`.

Exits 0 only if every claim held. It starts an installation of its own in a temporary folder and leaves nothing behind.
"""

from __future__ import annotations

import sys

from tests.e2e import act_gate, act_person
from tests.e2e.installation import installation
from tests.e2e.scene import Scene
from tests.e2e.telling import Teller

_STEPS = (
    ("Unmodified SDKs send events and profiles", act_gate.send),
    ("What was sent, what was stored, and why", act_gate.compare),
    ("Another service asks the gate and stores nothing", act_gate.ask),
    ("Ada is opted out", act_gate.opt_out),
    ("Ada is erased, with proof", act_person.erase),
    ("Cleo gets a copy of her data", act_person.retrieve),
    ("The auditor reads the log", act_person.audit),
)


def main() -> int:
    """Tell the story. Returns the exit code."""
    tell = Teller(sys.stdout)
    tell.title("Portcullis: from an unmodified SDK to a signed erasure")
    with installation() as one:
        scene = Scene.set_up(tell, one)
        for number, (name, act) in enumerate(_STEPS, 1):
            tell.step(number, name)
            act(scene)
    return tell.outcome()


if __name__ == "__main__":
    sys.exit(main())
