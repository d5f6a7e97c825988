"""What the register costs a batch: resolving its 2,000 ids, beside a bare `SELECT … WHERE key IN` of as many keys.

Both in one run, in turns, over a register of 50,000 ids, and the ratio of the two is the figure. Also what the rest of
identity adds: the standing of 2,000 ids that nobody knows, and the closure of one id and of 500.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from app.database import migrate
from app.identity import register
from app.identity.closure import closure
from app.identity.tables import register as table
from benchmarks import timing
from tests import servers
from tests.installation import installed

IDS, BATCH, ROUNDS = 50_000, 2_000, 15


def measure(url: str, folder: Path) -> dict[str, float]:
    """Seconds of each way, the least disturbed of all rounds, and the ratio of resolving to the bare select."""
    migrate(url)
    with installed(url, folder) as home:
        services, tenant = home.services, home.tenant()
        names = [f"user-{n}@example.com" for n in range(IDS)]
        with services.database.write() as tx:
            keys = services.keyring.of(tx, tenant.id)
            for start in range(0, IDS, BATCH):
                register.enrol(tx, keys, names[start : start + BATCH], 1)
        if home.postgres:
            with services.database.outside_transaction() as tx:
                tx.execute(sa.text("ANALYZE register"))
        wanted = names[:: IDS // BATCH]
        lookups = [keys.lookup_of(each) for each in wanted]
        unknown = [f"new-{n}@example.com" for n in range(BATCH)]
        bare = sa.select(table.c.lookup, table.c.uid, table.c.person, table.c.state).where(
            table.c.project_id == sa.bindparam("project"), table.c.lookup.in_(sa.bindparam("keys", expanding=True))
        )
        with services.database.read() as tx:
            ways: dict[str, Any] = {
                "bare": lambda: tx.execute(bare, {"project": tenant.id, "keys": lookups}).all(),
                "resolve": lambda: register.resolve(tx, keys, wanted),
                "unknown": lambda: register.standing_of_forms(tx, keys, unknown),
                "closure_1": lambda: closure(tx, keys, wanted[:1]),
                "closure_500": lambda: closure(tx, keys, wanted[:500]),
            }
            found = timing.seconds(ways, ROUNDS)
    return {**found, "ratio": found["resolve"] / found["bare"]}


def main() -> None:
    """Measure SQLite, then PostgreSQL."""
    report = {}
    with tempfile.TemporaryDirectory() as folder:
        report["sqlite"] = measure(f"sqlite:///{folder}/register.db", Path(folder))
        with servers.postgres() as server:
            report["postgresql"] = measure(server.new_database(), Path(folder))
    print(f"{'ms':12}{'bare':>10}{'resolve':>10}{'unknown':>10}{'closure 1':>12}{'closure 500':>13}{'resolve/bare':>14}")
    for engine, found in report.items():
        times = "".join(
            f"{found[name] * 1_000:>{width}.2f}"
            for name, width in (("bare", 10), ("resolve", 10), ("unknown", 10), ("closure_1", 12), ("closure_500", 13))
        )
        print(f"{engine:12}{times}{found['ratio']:>14.2f}")
    print(json.dumps(report))


if __name__ == "__main__":
    main()
