"""Does nonsense crash or stop anything that reads?   cd tests && python -m chaos.fuzz [--inputs 10000] [--times 1]

Mutated videos (ts, mp4, h264), pictures (jpg) and cameras files (yaml) are read as `vedette run` reads them, in child
processes. A child that dies by a signal is a crash, 5 s for one input are a hang, and any exception that is not a
VedetteError is a fault. Printed for each kind: accepted, refused, seconds; every crash, hang and fault with its seed.
What once was one lies in regressions/ and is read again first.
"""

import argparse
import os
import queue
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from chaos.mutations import mutated, originals
from chaos.report import Report
from vedette.runtime.errors import VedetteError
from vedette.runtime.frame import Frame
from vedette.runtime.sources import END, SourceOptions, open_source

KINDS = ("ts", "mp4", "h264", "jpg", "yaml")
LIMIT_S = 5.0
STARTED_S = 60.0
MEMORY = 4 << 30  # bytes of address space for a child
KNOWN = "known"  # stands for the kind of what is in regressions/, numbered by name

PLANTED = (
    "accepted",
    "segfault",
    "accepted",
    "hang",
    "accepted",
    "fault",
)  # what the watching must tell apart


def regressions() -> list[Path]:
    """Inputs that once crashed, stopped or surprised what read them."""
    return sorted(Path(__file__).with_name("regressions").iterdir())


@dataclass
class Tally:
    """What became of the inputs of one kind."""

    kind: str
    outcomes: Counter[str] = field(default_factory=Counter)
    bad: list[str] = field(default_factory=list)  # crashes, hangs, faults
    seconds: float = 0.0
    slowest: tuple[float, int] = (0.0, -1)  # seconds, seed


def read_whole(path: Path) -> None:
    """As `vedette run` would.

    Raises:
        VedetteError: what everything that is not readable must end in.
    """
    if path.suffix == ".yaml":
        from vedette.cameras.load import load

        load(path, secrets=False)
        return
    source = open_source(str(path), SourceOptions())
    try:
        while (found := source.read()) is not END:
            if isinstance(found, Frame):
                found.bgr()
    finally:
        source.close()


def outcome(path: Path) -> str:
    """accepted, refused, or what else was raised, and where."""
    try:
        read_whole(path)
    except VedetteError:
        return "refused"
    except BaseException as error:  # noqa: BLE001  that it is raised at all is what is asked
        place = traceback.extract_tb(error.__traceback__)[-1]
        return f"fault {type(error).__name__} in {Path(place.filename).name}:{place.lineno}: {error}"[:300]
    return "accepted"


def child(kind: str, first: int, last: int) -> None:
    """Read inputs first..last, telling each before and after."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    with tempfile.TemporaryDirectory() as name:
        whole = originals(Path(name)).get(kind, b"")
        for seed in range(first, last):
            path = Path(name) / f"mutated.{kind}"
            if kind == KNOWN:
                path = regressions()[seed]
            elif whole:
                path.write_bytes(mutated(whole, kind, seed))
            print(seed, "began", flush=True)  # noqa: T201  this is how it talks to its parent
            told = planted(seed) if kind == "planted" else outcome(path)
            print(seed, " ".join(told.split()), flush=True)  # noqa: T201


def planted(seed: int) -> str:
    """What PLANTED says, done to this process."""
    if PLANTED[seed] == "segfault":
        os.kill(os.getpid(), signal.SIGSEGV)
    if PLANTED[seed] == "hang":
        time.sleep(1e6)
    return PLANTED[seed]


def tallied(kind: str, inputs: int, *, limit_s: float = LIMIT_S) -> Tally:
    """Run children over all inputs, a new one behind every crash."""
    tally, seed, began = Tally(kind), 0, time.monotonic()
    while seed < inputs:
        seed = _one_child(tally, seed, inputs, limit_s)
    tally.seconds = time.monotonic() - began
    return tally


def _one_child(tally: Tally, first: int, last: int, limit_s: float) -> int:
    """The seed with which the next child is to begin."""
    command = [sys.executable, "-m", "chaos.fuzz", "--child", tally.kind, str(first), str(last)]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=Path(__file__).parents[1]
    )
    lines: queue.Queue[str] = queue.Queue()
    threading.Thread(target=_forward, args=(process, lines), daemon=True).start()
    seed, began, running = first, time.monotonic(), False
    while True:
        try:
            line = lines.get(timeout=limit_s if running else STARTED_S)
        except queue.Empty:
            process.kill()
            process.wait()
            tally.bad.append(f"{tally.kind} seed {seed}: no end within {limit_s:g} s")
            return seed + 1
        if not line:
            code = process.wait()
            if code:
                tally.bad.append(f"{tally.kind} seed {seed}: the process ended with {code}")
            return seed + 1 if code else last
        number, _, told = line.strip().partition(" ")
        seed, running = int(number), told == "began"
        if running:
            began = time.monotonic()
            continue
        _note(tally, seed, told, time.monotonic() - began)


def _note(tally: Tally, seed: int, told: str, took_s: float) -> None:
    tally.outcomes[told.split()[0]] += 1
    tally.slowest = max(tally.slowest, (took_s, seed))
    if told.startswith("fault"):
        tally.bad.append(f"{tally.kind} seed {seed}: {told}")


def _forward(process: subprocess.Popen[str], lines: queue.Queue[str]) -> None:
    """Lines as they come, and an empty one at the end."""
    assert process.stdout is not None
    with process.stdout as output:
        for line in output:
            lines.put(line)
    lines.put("")


def run(report: Report, *, inputs: int, workers: int = 2) -> None:
    counts = {KNOWN: len(regressions())} | dict.fromkeys(KINDS, inputs // len(KINDS))
    with ThreadPoolExecutor(workers) as pool:
        limit_s = LIMIT_S * report.times
        tallies = list(pool.map(lambda kind: tallied(kind, counts[kind], limit_s=limit_s), counts))
    for tally in tallies:
        good = ", ".join(f"{count} {name}" for name, count in sorted(tally.outcomes.items()))
        slowest, seed = tally.slowest
        report.say(
            f"     {tally.kind}: {good}; {tally.seconds:.1f} s, the slowest {slowest:.2f} s (seed {seed})"
        )
        for line in tally.bad[:20]:
            report.say(f"     {line}")
        told = sum(tally.outcomes.values())
        report.equal(f"{tally.kind}: crashes, hangs and faults of {told}", len(tally.bad), 0)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--inputs", type=int, default=10_000)
    parser.add_argument("--times", type=float, default=1.0)
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        kind, first, last = arguments.child
        child(kind, int(first), int(last))
        return
    report = Report(arguments.times)
    run(report, inputs=arguments.inputs)
    sys.exit(bool(report.broken))


if __name__ == "__main__":
    main()
