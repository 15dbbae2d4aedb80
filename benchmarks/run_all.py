"""Every CPU goal, C1 to C12, in one table.   Run: make bench, or python benchmarks/run_all.py [--only NAME…] [--no-peers]

Each bench_*.py of PROGRAMS runs in a process of its own, one after the other, in about twelve minutes on two cores; so keep the
machine quiet: wall-clock rows (C8, C10, C12's latency) mean nothing beside other work, the CPU-ms rows bear some.
Peers that must not be dependencies get a throw-away environment in build/peers (_peer_environment.py), which needs the
package index once; without it their rows say that they are not installed.
Out: a table, benchmarks/results/<machine>/*.json, docs/benchmarks.md.
"""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

import _document
import _lecture
from _goal import HEADER, RESULTS, Goal, line, read
from _machine import machine
from _peer_environment import PYTHON, QUIET, made

HERE = Path(__file__).parent
PROGRAMS = ("kernels", "engines", "pipeline", "startup", "streams", "memory")
WITH_PEERS = {"engines", "pipeline", "streams", "memory"}  # run by the environment that has them
LIMIT_S = 400.0  # of one program


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="*", default=PROGRAMS, choices=PROGRAMS)
    parser.add_argument("--no-peers", action="store_true", help="install nothing")
    arguments = parser.parse_args()
    missing = "not asked for" if arguments.no_peers else made()
    if missing:
        print(f"peers: {missing}", flush=True)
    started = time.monotonic()
    failed = [name for name in arguments.only if not ran(name, peers=not missing)]
    rows = [*_lecture.rows(), *table(arguments.only)]
    print(f"\n{HEADER}")
    for row in sorted(rows, key=_order):
        print(line(row))
    print(f"\n{(time.monotonic() - started) / 60:.1f} minutes; {summary(rows)}")
    _document.write()
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


def ran(name: str, *, peers: bool) -> bool:
    """Run one program; whether it came to its end."""
    result = RESULTS / machine() / f"{name}.json"
    before = result.stat().st_mtime_ns if result.is_file() else 0
    python = str(PYTHON) if peers and name in WITH_PEERS else sys.executable
    print(f"\n# {name}", flush=True)
    environment = {**os.environ, **QUIET, "OMP_WAIT_POLICY": "PASSIVE"}
    try:
        done = subprocess.run(
            [python, str(HERE / f"bench_{name}.py")], env=environment, check=False, timeout=LIMIT_S
        ).returncode
    except subprocess.TimeoutExpired:
        done = 1
    return done == 0 and result.is_file() and result.stat().st_mtime_ns > before


def table(names: list[str]) -> list[Goal]:
    """The rows that this machine has of these programs."""
    paths = [RESULTS / machine() / f"{name}.json" for name in names]
    return [row for path in paths if path.is_file() for row in read(path)]


def _order(row: Goal) -> tuple[int, int]:
    """The lecture first, the method's own rows, then by goal, those without one last."""
    if row.goal == "lecture":
        return 0, 0
    if row.goal == "A/A":
        return 1, 0
    return (2, int(row.goal[1:])) if row.goal else (3, 0)


def summary(rows: list[Goal]) -> str:
    """How many goals hold."""
    asked = [row for row in rows if row.goal.startswith("C")]
    found = {verdict: sum(row.verdict == verdict for row in asked) for verdict in ("stretch", "pass", "FAIL")}
    rest = len(asked) - sum(found.values())
    hold = f"{found['stretch'] + found['pass']} hold ({found['stretch']} by their stretch)"
    return f"{hold}, {found['FAIL']} fail, {rest} not judged"


if __name__ == "__main__":
    main()
