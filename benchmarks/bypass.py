"""Can the gate be bypassed, and can it be stalled: every policy under tens of thousands of mutants, and hostile inputs.

    python -m benchmarks.bypass [mutants a policy]

Prints tried, leaked, refused whole and found by the positive control, per family and per policy; then what no policy
promises to see through; then what inputs cost that were made to be slow. Ends with 1 if anything leaked.
"""

from __future__ import annotations

import sys
import time
from collections import Counter

from policies import library
from policies.compile import compile_policy
from policies.load import load
from tests.unit.policies.bypass.corpus import CONTEXT, Attack, Tally, not_promised, policies, report, stream
from tests.unit.policies.bypass.hostile import HOSTILE, seconds, size

EACH = 5_000
SMALL = 100_000
SLOW = 0.005


def main(each: int = EACH) -> int:
    """Run everything and print the report; 1 when something leaked or the control was blind."""
    kept, beyond, begin = Tally(), Tally(), time.perf_counter()
    for name, policy in policies().items():
        attack = Attack(policy)
        for mutant in stream(policy, each):
            attack.judge(mutant, kept, name)
        for mutant in not_promised(policy):
            attack.judge(mutant, beyond, name)
    tried, leaked = (sum(n for key, n in count.items() if key.startswith("policy ")) for count in (kept.tried, kept.leaked))
    print(f"{tried} mutants, {leaked} leaked, {len(kept.blind)} not seen by the control, {time.perf_counter() - begin:.0f} s\n")
    print("\n".join(report(kept)))
    for place, count in Counter(f"{each.family}: {each.seed.label}" for each in kept.leaks).most_common(40):
        print(f"leaked {count:5}  {place}")
    print("\nNot promised (docs/policy.md, What a policy does not do); here a leak is no failure")
    print("\n".join(report(beyond, lambda name: name.startswith("not promised"))))
    print("\nMade to be slow")
    _hostile()
    return 1 if kept.leaks or kept.blind else 0


def _hostile() -> None:
    gate = compile_policy(load(library.text("gdpr-analytics")))
    print(f"{'':30} {'KB':>8} {'ms':>9} {'us/KB':>9} {'x2 costs':>9} {'x4 costs':>9}")
    for kind, make in HOSTILE.items():
        small = make(SMALL)
        once, twice, more = (seconds(gate, make(times * SMALL), CONTEXT, 3 if times < 4 else 1) for times in (1, 2, 4))
        kilobytes = size(small) / 1000
        mark = "  over 5 ms" if once > SLOW else ""
        cost = f"{once * 1e3:9.2f} {once * 1e6 / kilobytes:9.1f}"
        print(f"{kind:30} {kilobytes:8.0f} {cost} {twice / once:9.1f} {more / once:9.1f}{mark}")


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:2])))
