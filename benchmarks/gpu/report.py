"""The form of the report of `python -m benchmarks.gpu`, and a check of it.   Run: python benchmarks/gpu/report.py FILE.json

FORM says which keys there may be and of what type; every key of a step's result may be absent, because a step may have been
cut. docs/gpu.md says what they mean. Standard library only.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

SCHEMA = 1
NUMBER = (int, float)
STATUSES = ("passed", "failed", "timed out", "skipped")


class Rows:
    """Any names, each of this form."""

    def __init__(self, form: Any) -> None:
        self.form = form


TIMES = dict.fromkeys(("median_us", "p99_us", "least_us", "alone_median_us", "alone_p99_us"), NUMBER) | {
    "replays": int,
    "held": bool,
    "error": str,
}
OUTPUTS = Rows({"shape": list, "largest": NUMBER, "max_abs_error": NUMBER, "relative_error": NUMBER})
ENGINE = {
    "build_s": NUMBER,
    "bytes": int,
    "validity": str,
    "opened_s": NUMBER,
    "outputs": OUTPUTS,
    "median_us": NUMBER,
    "p99_us": NUMBER,
    "error": str,
}
PEER = {**TIMES, "ratio": NUMBER, "synchronises": bool, "why_not": str}
LATENCY = {
    "median_ms": NUMBER,
    "p99_ms": NUMBER,
    "frames_per_s": NUMBER,
    "batches": int,
    "engine_median_us": NUMBER,
    "engine_p99_us": NUMBER,
    "overhead_us": NUMBER,
    "uploads_per_batch": NUMBER,
    "downloads_per_batch": NUMBER,
    "launches_per_batch": NUMBER,
    "launches_in_graph": NUMBER,
    "graph_launches_per_batch": NUMBER,
    "upload_bytes": NUMBER,
    "download_bytes": NUMBER,
    "detections": int,
    "error": str,
}
RESULTS: Mapping[str, Mapping[str, Any]] = {
    "machine": {
        "gpu": Rows(str),
        "nvidia_smi": str,
        "packages": Rows(str),
        "tools": Rows(str),
        "cuda": Rows((str, int, bool, list)),
    },
    "probe_rtx": {"model": str, "version": str, "targets": Rows(ENGINE)},
    "kernels": {
        "passed": int,
        "failed": int,
        "skipped": int,
        "failures": Rows(str),
        "skips": Rows(str),
        "seconds": Rows(NUMBER),
    },
    "copy_bandwidth": {
        "copies": Rows({**TIMES, "bytes_moved": int, "gb_per_s": NUMBER}),
        "device_gb_per_s": NUMBER,
        "held": bool,
    },
    "kernel_timings": {
        "copy_gb_per_s": NUMBER,
        "floors": Rows(TIMES),
        "ours": Rows(
            {
                **TIMES,
                "equal": bool,
                "bytes_moved": int,
                "gb_per_s": NUMBER,
                "share_of_copy": NUMBER,
                "launches": int,
                "input_sets": int,
            }
        ),
        "peers": Rows(Rows(PEER)),
        "targets": Rows(str),
        "planned": list,
    },
    "engines": {"lanes": Rows(str), "engines": Rows(ENGINE), "planned": list},
    "end_to_end": {"rows": Rows(LATENCY), "planned": list},
}
SANITIZER = {
    "errors": int,
    "api_errors": int,
    "kernels": Rows(int),
    "first": str,
    "checked": list,
    "error": str,
}
RESULTS = {**RESULTS, **dict.fromkeys(("memcheck", "racecheck", "initcheck", "synccheck"), SANITIZER)}
STEP = {
    "name": str,
    "status": str,
    "seconds": NUMBER,
    "limit_s": NUMBER,
    "missing": list,
    "result": dict,
    "output": str,
}
FORM = {"schema": int, "python": str, "dry_run": bool, "budget_s": NUMBER, "seconds": NUMBER, "steps": list}


def faults(report: Mapping[str, Any]) -> list[str]:
    """What is wrong with it: nothing, if it is a report, cut or whole."""
    found = [*differing(report, FORM, "report"), *absent(report, FORM, "report")]
    if report.get("schema") != SCHEMA:
        found.append(f"schema is {report.get('schema')}, not {SCHEMA}")
    for step in report.get("steps", []):
        where = f"step {step.get('name')}"
        found += [*differing(step, STEP, where), *absent(step, STEP, where)]
        if step.get("status") not in STATUSES:
            found.append(f"{where}: status {step.get('status')!r}")
        if step.get("name") in RESULTS:
            found += differing(step.get("result", {}), RESULTS[step["name"]], where)
    return found


def absent(value: Mapping[str, Any], form: Mapping[str, Any], where: str) -> list[str]:
    return [f"{where} lacks {key}" for key in form if key not in value]


def differing(value: Any, form: Any, where: str) -> list[str]:
    """Where a value is not of this form."""
    if isinstance(form, Rows):
        if not isinstance(value, dict):
            return [f"{where} is no table"]
        return [fault for key, row in value.items() for fault in differing(row, form.form, f"{where}.{key}")]
    if isinstance(form, Mapping):
        if not isinstance(value, dict):
            return [f"{where} is no table"]
        strangers = [f"{where} has {key}, which is not known" for key in value if key not in form]
        known = [key for key in value if key in form]
        return strangers + [
            fault for key in known for fault in differing(value[key], form[key], f"{where}.{key}")
        ]
    return [] if isinstance(value, form) else [f"{where} is {type(value).__name__}"]


def main() -> str | None:
    found = faults(json.loads(Path(sys.argv[1]).read_text()))
    return "\n".join(found) or None


if __name__ == "__main__":
    sys.exit(main())
