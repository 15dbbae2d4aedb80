"""`make gpu` and its pack as far as they go without a GPU: each step dry, the report's form, and what a bad step spoils."""

import ctypes
import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cuda_host import check
from fakes.driver import FakeGpu, installed
from fakes.gpu import Work
from gpp import needs_gpp
from gpu.on_device import Copied, OnDevice

from vedette.kernels.device import Device

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "benchmarks" / "gpu"
sys.path.append(str(FOLDER))  # its files are programs, which import one another by their names

import clock  # noqa: E402
import copy_bandwidth  # noqa: E402
import kernel_timings  # noqa: E402
import operations  # noqa: E402
import report  # noqa: E402
import run  # noqa: E402
import sanitizer  # noqa: E402
import step  # noqa: E402
import steps  # noqa: E402

KERNELS = re.compile(r'extern "C" __global__ void (?:__launch_bounds__\([^)]*\) )?(\w+)\(')


def gpu(*words: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "benchmarks.gpu", *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


@pytest.fixture(scope="module")
def dry(tmp_path_factory: pytest.TempPathFactory) -> Any:
    out = tmp_path_factory.mktemp("dry") / "gpu.json"
    done = gpu("--dry-run", "--out", str(out))
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(out.read_text())


def test_every_step_runs_dry_and_the_report_has_its_form(dry: Any) -> None:
    assert report.faults(dry) == []
    assert [entry["status"] for entry in dry["steps"]] == ["passed"] * len(steps.STEPS)


def test_what_a_step_lacks_is_named() -> None:
    listed = gpu("--list").stdout.splitlines()
    assert [line.split()[0] for line in listed] == [entry.name for entry in steps.STEPS]
    assert all("ready" in line or "missing: " in line for line in listed)


def test_steps_are_chosen_by_name() -> None:
    assert len(gpu("--list", "--only", "machine", "kernels").stdout.splitlines()) == 2
    assert gpu("--only", "no such step").returncode == 2


def test_all_fit_their_budget_but_for_the_last() -> None:
    assert sum(entry.limit_s for entry in steps.STEPS[:-4]) <= 450
    assert all((FOLDER / entry.program).is_file() for entry in steps.STEPS)


def test_every_kernel_has_a_check_that_runs_on_the_gpu(dry: Any) -> None:
    checked = next(entry for entry in dry["steps"] if entry["name"] == "memcheck")["result"]["checked"]
    assert {path.stem for path in (ROOT / "kernels").glob("*.cu")} == set(checked)


def test_kernels_that_are_timed_exist() -> None:
    launched = re.compile(r'launch\(\s*f?"(\w+)')
    texts = [path.read_text() for path in (FOLDER / "operations.py", ROOT / "kernels" / "launches.py")]
    named = {name for text in texts for name in launched.findall(text)}
    there = {name for path in (ROOT / "kernels").glob("*.cu") for name in KERNELS.findall(path.read_text())}
    assert {"letterbox", "decode_find", "nms_keys", "argmax_labels"} <= named <= there


def planted(folder: Path, text: str, limit_s: float = 20) -> steps.Step:
    """A step that runs this program."""
    program = folder / f"planted{len(list(folder.iterdir()))}.py"
    program.write_text(f"import sys\nsys.path.append({str(FOLDER)!r})\n{text}")
    return steps.Step(program.stem, limit_s, str(program))


SAYS = (
    "from step import Part, parser_of\npart = Part(parser_of('').parse_args().json)\npart.save(model='a')\n"
)


def test_steps_that_fail_crash_or_hang_take_nothing_from_the_others(tmp_path: Path) -> None:
    made = [
        planted(tmp_path, SAYS + "raise ValueError('planted')"),
        planted(tmp_path, SAYS + "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"),
        planted(tmp_path, SAYS + "import subprocess; subprocess.run(['sleep', '60'])", limit_s=6),
        planted(tmp_path, SAYS),
    ]
    out = tmp_path / "out" / "gpu.json"
    run.run(made, out, pack=tmp_path, budget_s=100, dry_run=False)
    found = json.loads(out.read_text())
    assert [entry["status"] for entry in found["steps"]] == ["failed", "failed", "timed out", "passed"]
    assert [entry["result"] for entry in found["steps"]] == [{"model": "a"}] * 4
    assert "planted" in found["steps"][0]["output"]
    assert report.faults(found) == []
    assert [path.name for path in out.parent.iterdir()] == ["gpu.json"]


def test_a_spent_budget_skips_and_says_so(tmp_path: Path) -> None:
    found = run.run(
        [planted(tmp_path, SAYS)], tmp_path / "gpu.json", pack=tmp_path, budget_s=1, dry_run=False
    )
    assert found["steps"][0]["status"] == "skipped"
    assert "budget" in found["steps"][0]["missing"][0]


def test_the_form_of_a_report_is_checked(dry: Any) -> None:
    spoiled = json.loads(json.dumps(dry))
    spoiled["steps"][0]["status"] = "fine"
    spoiled["steps"][0]["result"]["stranger"] = 1
    spoiled["steps"][2]["result"]["passed"] = "many"
    del spoiled["budget_s"]
    found = "\n".join(report.faults(spoiled))
    for fault in ("budget_s", "status 'fine'", "stranger", "passed is str"):
        assert fault in found


def test_a_row_that_fails_leaves_the_others(tmp_path: Path) -> None:
    part = step.Part(tmp_path / "part.json")
    with part.trying("rows", "first"):
        int("planted")
    part.row("rows", "second", median_ms=1.0)
    found = json.loads((tmp_path / "part.json").read_text())
    assert "planted" in found["rows"]["first"]["error"]
    assert found["rows"]["second"] == {"median_ms": 1.0}
    assert part.failed


MEMCHECK = """========= COMPUTE-SANITIZER
========= Invalid __global__ write of size 4 bytes
=========     at nms_keys(const float4 *, int)+0x150
=========     by thread (5,0,0) in block (0,0,0)
========= Invalid __global__ write of size 4 bytes
=========     at nms_keys(const float4 *, int)+0x150
========= ERROR SUMMARY: 2 errors
"""


def test_a_sanitizer_log_is_counted() -> None:
    found = sanitizer.summary(MEMCHECK)
    assert (found["errors"], found["api_errors"]) == (2, 0)
    assert found["kernels"] == {"nms_keys": 2}
    assert (
        sanitizer.summary("========= RACECHECK SUMMARY: 3 hazards displayed (3 errors, 0 warnings)")["errors"]
        == 3
    )
    assert sanitizer.summary("========= ERROR SUMMARY: 0 errors")["first"] == ""


def test_every_key_of_the_report_is_explained() -> None:
    told = (ROOT / "docs" / "gpu.md").read_text()
    keys: set[str] = set()

    def walk(form: Any) -> None:
        if isinstance(form, report.Rows):
            walk(form.form)
        elif isinstance(form, dict):
            keys.update(form)
            for inner in form.values():
                walk(inner)

    for form in (report.FORM, report.STEP, dict(report.RESULTS)):
        walk(form)
    assert {key for key in keys if f"`{key}`" not in told} == set()


def test_the_pack_is_cut_into_parts_that_join(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import pack

    monkeypatch.setattr(pack, "PART", 10)
    (tmp_path / "thing.whl").write_bytes(bytes(range(25)))
    pieces = pack.split(tmp_path / "thing.whl", tmp_path, "rtx")
    assert [piece.name for piece in pieces] == ["rtx-1", "rtx-2", "rtx-3"]
    assert b"".join(next(piece.glob("*.0?")).read_bytes() for piece in pieces) == bytes(range(25))


@needs_gpp
@pytest.mark.parametrize("kind", [OnDevice, Copied])
def test_the_checks_of_tests_gpu_run_on_the_fake_driver(kind: type[OnDevice]) -> None:
    with installed(FakeGpu(integrated=True)):  # where the GPU reads pinned memory in place
        device = Device()
        library, random = kind(device), np.random.default_rng(0)
        for _, drawn in check.OPS.values():
            drawn(library, random)
            library.release()
        assert library.launches > 0
        device.close()


@needs_gpp
def test_timings_run_on_the_fake_driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel_timings, "PEERS", {})
    names = "letterbox 1080p NV12, batch 1", "masks of 10 objects, 1280 x 720", "paf, 1 person, 240 x 135"
    rows = {name: replace(operations.ROWS[name], set_bytes=64 << 20) for name in names}
    part = step.Part(tmp_path / "part.json")
    with installed(FakeGpu()) as fake:
        add_device_copy(fake)
        device = Device()
        timer = clock.Clock(device, replays=2, source="")
        copy_bandwidth.measure(part, device, timer, scale=1 << 12)
        assert report.differing(part.found, report.RESULTS["copy_bandwidth"], "") == []
        part = step.Part(tmp_path / "part.json")
        kernel_timings.measure(part, device, timer, rows, copied=1 << 16)
        timer.release()
        device.close()
    assert report.differing(part.found, report.RESULTS["kernel_timings"], "") == []
    for name, count in zip(names, (1, 1, 6), strict=True):
        ours = part.found["ours"][name]
        assert (ours["equal"], ours["launches"], ours["input_sets"], ours["replays"]) == (True, count, 2, 2)


def add_device_copy(fake: FakeGpu) -> None:
    """The one call that the device layer has no use for."""

    def copy(target: int, source: int, size: int, stream: int) -> tuple[int]:
        for address in (source, target):
            fake.span(address, size, of="device", what="a copy within the device")

        def run() -> None:
            ctypes.memmove(target, source, size)

        fake.begin(stream, Work("event", run))
        return (0,)

    vars(sys.modules["cuda.bindings.driver"])["cuMemcpyDtoDAsync"] = copy
