"""Does compute-sanitizer find fault with the kernels?   Run: python benchmarks/gpu/sanitizer.py memcheck [--json PART]

Each op's fixed cases (not the drawn ones) through tests/gpu/on_device.py, every array in device memory of its own size, so
that a step past its end is seen, and scratch that nothing wrote stays unwritten. racecheck and synccheck take the same run.
"""

import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

from step import ROOT, Part, parser_of

TOOLS = ("memcheck", "racecheck", "synccheck", "initcheck")
_FOUND = re.compile(
    r"^========= (?:ERROR: |Error: )?((?:Invalid|Uninitialized|Race|Barrier|Potential|Misaligned|Out-of-range).*)",
    re.M,
)
_API = re.compile(r"^========= (?:Program hit|Host API)", re.M)
_KERNEL = re.compile(r"^=========     at (?:[\w:]*::)?(\w+)\(", re.M)


def main() -> int:
    parser = parser_of(__doc__)
    parser.add_argument("tool", choices=TOOLS)
    parser.add_argument("--ops", nargs="+", default=[])
    arguments = parser.parse_args()
    part = Part(arguments.json)
    inner = [sys.executable, "-m", "gpu.on_device", *arguments.ops]
    if arguments.dry_run:
        checked = subprocess.run([*inner, "--list"], cwd=ROOT, capture_output=True, text=True, check=True)
        part.save(checked=checked.stdout.split())
        return 0
    command = ["compute-sanitizer", "--tool", arguments.tool, "--print-limit", "20", "--error-exitcode", "9"]
    log = (arguments.json or Path("sanitizer.json")).with_suffix(".log")
    done = subprocess.run(
        [*command, "--log-file", str(log), *inner], cwd=ROOT, capture_output=True, text=True, check=False
    )
    text = log.read_text(errors="replace") if log.is_file() else ""
    part.save(**summary(text), checked=done.stdout.split())
    print(done.stderr[-1500:], text[-1500:], sep="\n")
    if done.returncode not in (0, 9):
        part.save(error=f"exit status {done.returncode}: {done.stderr[-1500:]}")
    return done.returncode


def summary(log: str) -> dict[str, object]:
    """What its log says, counted."""
    found = re.search(r"ERROR SUMMARY: (\d+) error|RACECHECK SUMMARY: (\d+) hazard", log)
    first = _FOUND.search(log)
    return {
        "errors": int(found[1] or found[2]) if found else len(_FOUND.findall(log)),
        "api_errors": len(_API.findall(log)),
        "kernels": dict(Counter(_KERNEL.findall(log))),
        "first": log[first.start() : first.start() + 1500] if first else "",
    }


if __name__ == "__main__":
    raise SystemExit(main())
