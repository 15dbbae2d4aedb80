import hashlib
import json
import re
import shutil
import struct
from pathlib import Path

import pytest

from vedette.kernels import fatbin, gate
from vedette.kernels.fatbin import Usage

KERNELS = Path(fatbin.__file__).parent
built = pytest.mark.skipif(
    fatbin.stale(KERNELS, KERNELS / fatbin.NAME) is not None, reason="SKIPPED: no current fatbin; make fatbin"
)
LOG = """ptxas info    : 40 bytes gmem, 80 bytes cmem[4]
ptxas info    : Compiling entry function 'with_shared' for 'sm_75'
ptxas info    : Function properties for with_shared
ptxas         .     8 bytes stack frame, 4 bytes spill stores, 12 bytes spill loads
ptxas info    : Used 62 registers, used 1 barriers, 16648 bytes smem, 416 bytes cmem[0], 8 bytes cmem[2]
ptxas info    : Compiling entry function 'without' for 'sm_100'
ptxas info    : Function properties for without
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 18 registers, used 0 barriers, 408 bytes cmem[0]
"""


def cubins(content: bytes) -> dict[int, bytes]:
    """The images of a fatbin by architecture."""
    magic, _, header, size = struct.unpack_from("<IHHQ", content)
    assert magic == 0xBA55ED50
    assert header + size == len(content)
    found, at = {}, header
    while at < len(content):
        _, _, head, length = struct.unpack_from("<HHIQ", content, at)
        (sm,) = struct.unpack_from("<I", content, at + 28)
        found[sm] = content[at + head : at + head + length]
        at += head + length
    return found


def copy_of_sources(folder: Path) -> Path:
    for pattern in ("*.cu", "*.cuh", "*.h"):
        for path in KERNELS.glob(pattern):
            shutil.copy(path, folder)
    return folder


@built
def test_it_has_every_architecture_and_cuda_12s_abi_up_to_sm_90() -> None:
    content = fatbin.fatbin()
    assert content is not None
    assert set(cubins(content)) == {*fatbin.NVRTC_SM, *fatbin.NVCC_SM}
    versions = fatbin.abi(KERNELS / fatbin.NAME)
    assert versions == {sm: 7 if sm <= 90 else 8 for sm in cubins(content)}


@built
def test_every_kernel_is_in_it_and_within_its_budget() -> None:
    out = KERNELS / fatbin.NAME
    usage = fatbin.usage(out)
    text = "".join(path.read_text() for path in KERNELS.glob("*.cu"))
    kernels = set(re.findall(r'extern "C" __global__ void (?:__launch_bounds__\([^)]*\) )?(\w+)\(', text))
    assert {(entry.kernel, entry.sm) for entry in usage} == {
        (k, sm) for k in kernels for sm in cubins(out.read_bytes())
    }
    assert (
        gate.over_budget(usage, out.stat().st_size, json.loads((KERNELS / "budget.json").read_text())) == []
    )


def test_it_is_stale_when_a_source_changes(tmp_path: Path) -> None:
    kernels, out = copy_of_sources(tmp_path), tmp_path / "some.fatbin"
    assert "not built" in str(fatbin.stale(kernels, out))
    out.write_bytes(b"images")
    facts = {"digest": fatbin.digest(kernels), "sha256": hashlib.sha256(b"images").hexdigest(), "usage": []}
    out.with_name("some.fatbin.json").write_text(json.dumps(facts))
    assert fatbin.stale(kernels, out) is None
    out.write_bytes(b"others")
    assert "not the file" in str(fatbin.stale(kernels, out))
    out.write_bytes(b"images")
    (kernels / "common.cuh").write_text("// changed")
    assert "other sources" in str(fatbin.stale(kernels, out))


def test_ptxas_is_understood() -> None:
    assert fatbin.parse_ptxas(LOG) == [
        Usage(kernel="with_shared", sm=75, registers=62, shared=16648, spills=16, stack=8),
        Usage(kernel="without", sm=100, registers=18, shared=0, spills=0, stack=0),
    ]


def test_the_gate_names_what_exceeds_its_budget() -> None:
    usage = fatbin.parse_ptxas(LOG)
    budget = {"vedette.fatbin": {"bytes": 10}, "with_shared": {"registers": 60, "shared": 20_000}, "gone": {}}
    assert gate.over_budget(usage, 11, budget) == [
        "vedette.fatbin has 11 bytes; the budget is 10",
        "gone is in only one of budget.json and the sources",
        "without is in only one of budget.json and the sources",
        "with_shared on sm_75: 8 stack; the budget is 0",
        "with_shared on sm_75: 62 registers; the budget is 60",
        "with_shared on sm_75: 16 spills; the budget is 0",
    ]


def test_the_table_has_a_row_a_kernel_and_a_column_an_architecture() -> None:
    header, first, second = gate.table(fatbin.parse_ptxas(LOG)).splitlines()
    assert header.split()[-5:] == ["sm_75", "sm_100", "shared", "stack", "spills"]
    assert first.split() == ["with_shared", "62", "-", "16648", "8", "16"]
    assert second.split() == ["without", "-", "18", "0", "0", "0"]
