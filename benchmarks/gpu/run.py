"""Everything there is to know of a GPU, in one JSON file.   Run: python -m benchmarks.gpu --out FILE.json [--budget 450]

Question: do the kernels, the engines and the runner work on this GPU, and how fast?
Each step is a process with a time limit, the cheapest and most important first; the file is replaced whole after each, so
that a run that is cut keeps what it had, and a step that fails, hangs or crashes takes nothing from the others.
docs/gpu.md says how to read it.  Next: steps.py, report.py.
"""

import argparse
import contextlib
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from report import SCHEMA
from step import PACK, ROOT, write_json
from steps import STEPS, Step

CUDA = os.environ.get("CUDA_HOME", "/usr/local/cuda")
TAIL = 3000  # characters of what a step printed


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "gpu.json")
    parser.add_argument("--budget", type=float, default=450, help="seconds for all")
    parser.add_argument("--pack", type=Path, default=PACK)
    parser.add_argument("--only", nargs="+", choices=[step.name for step in STEPS], metavar="STEP")
    parser.add_argument("--dry-run", action="store_true", help="all that needs no GPU")
    parser.add_argument("--list", action="store_true", help="name the steps and what they lack here")
    arguments = parser.parse_args(words)
    os.environ["PATH"] += f"{os.pathsep}{CUDA}/bin"  # compute-sanitizer and nvcc, where the PATH lacks them
    chosen = [step for step in STEPS if not arguments.only or step.name in arguments.only]
    if arguments.list:
        return listed(chosen, arguments.pack)
    report = run(
        chosen, arguments.out, pack=arguments.pack, budget_s=arguments.budget, dry_run=arguments.dry_run
    )
    return int(any(step["status"] in {"failed", "timed out"} for step in report["steps"]))


def listed(steps: Sequence[Step], pack: Path) -> int:
    for step in steps:
        missing = step.missing(pack)
        print(
            f"{step.name:16}{step.limit_s:4.0f} s  {'missing: ' + '; '.join(missing) if missing else 'ready'}"
        )
    return 0


def run(steps: Sequence[Step], out: Path, *, pack: Path, budget_s: float, dry_run: bool) -> dict[str, Any]:
    """Run them in turn and write the report after each."""
    out.parent.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    report: dict[str, Any] = {
        "schema": SCHEMA,
        "python": platform.python_version(),
        "dry_run": dry_run,
        "budget_s": budget_s,
        "seconds": 0.0,
        "steps": [],
    }
    for step in steps:
        left = budget_s - (time.monotonic() - started)
        entry = done(step, pack, min(step.limit_s, left), dry_run=dry_run)
        report["steps"].append(entry)
        report["seconds"] = round(time.monotonic() - started, 1)
        write_json(out, report)
        print(f"{step.name:16}{entry['status']:10}{entry['seconds']:6.1f} s  {said(entry)}", flush=True)
    return report


def said(entry: dict[str, Any]) -> str:
    last = entry["output"].strip().splitlines()
    return "; ".join(entry["missing"]) or (last[-1][:100] if last else "")


def done(step: Step, pack: Path, limit_s: float, *, dry_run: bool) -> dict[str, Any]:
    """One step and what came of it."""
    entry = {"name": step.name, "status": "skipped", "seconds": 0.0, "limit_s": round(limit_s, 1)}
    entry |= {"missing": step.missing(pack), "result": {}, "output": ""}
    if limit_s < 5 and not dry_run:
        return entry | {"missing": ["time: the budget is spent"]}
    if entry["missing"] and not dry_run:
        return entry
    with tempfile.TemporaryDirectory() as folder:
        part = Path(folder) / "part.json"
        start = time.monotonic()
        status, output = watched(step.command(part, pack, dry_run=dry_run), limit_s)
        entry |= {"status": status, "seconds": round(time.monotonic() - start, 1)}
        result = json.loads(part.read_text()) if part.is_file() else {}
    return entry | {"result": result, "output": output[-TAIL:]}


def watched(command: Sequence[str], limit_s: float) -> tuple[str, str]:
    """Run it, and end it with all its children when its time is up: what became of it, and what it printed."""
    paths = [str(ROOT), str(ROOT / "tests"), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths)), "PYTHONUNBUFFERED": "1"}
    with tempfile.TemporaryFile() as printed:
        process = subprocess.Popen(
            command,
            stdout=printed,
            stderr=subprocess.STDOUT,
            env=environment,
            cwd=ROOT,
            start_new_session=True,
        )
        try:
            code = process.wait(limit_s)
            status = "passed" if code == 0 else "failed"
        except subprocess.TimeoutExpired:
            status = "timed out"
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        printed.seek(0)
        return status, printed.read().decode(errors="replace")


if __name__ == "__main__":
    sys.exit(main())
