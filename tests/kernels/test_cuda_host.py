"""The shim that the CUDA kernels are tested with: what it computes, and what it refuses."""

from ctypes import c_int
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cuda_host.shim import LaunchError, Library, Order, build_text, device_array
from gpp import needs_gpp

pytestmark = needs_gpp
SOURCE = """
extern "C" __global__ void tickets(int* counter, int* out) {
    out[blockIdx.x * blockDim.x + threadIdx.x] = atomicAdd(counter, 1);
}
extern "C" __global__ void leftovers(unsigned* out) {
    __shared__ unsigned left[32];
    out[blockIdx.x * 32 + threadIdx.x] = left[threadIdx.x];
    left[threadIdx.x] = 1;
}
extern "C" __global__ void exchanges(int* out) {
    const int lane = threadIdx.x;
    out[lane] = __shfl_up_sync(~0u, lane, 1);
    out[32 + lane] = __shfl_down_sync(~0u, lane, 16);
    out[64 + lane] = __shfl_xor_sync(~0u, lane, 5);
    out[96 + lane] = __shfl_sync(~0u, lane, 7);
    out[128 + lane] = (int)__ballot_sync(~0u, lane % 3 == 0);
    if (lane < 8) out[160 + lane] = (int)__ballot_sync(0xffu, lane > 5);
    out[168 + lane] = __any_sync(~0u, lane == 31) + __all_sync(~0u, lane == 31);
}
extern "C" __global__ void reversal(int* values) {
    __shared__ int copy[64];
    copy[threadIdx.x] = values[threadIdx.x];
    __syncthreads();
    values[threadIdx.x] = copy[63 - threadIdx.x];
}
extern "C" __global__ void exit_before_ballot(int n, unsigned* out) {
    if ((int)threadIdx.x >= n) return;
    out[threadIdx.x] = __ballot_sync(~0u, 1);
}
extern "C" __global__ void exit_before_barrier(int n) {
    if ((int)threadIdx.x >= n) return;
    __syncthreads();
}
extern "C" __global__ void barrier_in_each_branch() {
    if (threadIdx.x % 2) {
        __syncthreads();
    } else {
        __syncthreads();
    }
}
extern "C" __global__ void barrier_against_ballot(unsigned* out) {
    if (threadIdx.x < 16) __syncthreads();
    else *out = __ballot_sync(~0u, 1);
}
extern "C" __global__ void stranger_to_its_mask(unsigned* out) { *out = __ballot_sync(0xffu, 1); }
"""


@pytest.fixture(scope="module")
def path() -> Path:
    return build_text("shim", SOURCE)


def test_threads_and_blocks_run_in_the_order_asked_for(path: Path) -> None:
    found = {}
    for order in Order:
        counter, out = device_array((1,), np.int32, 0), device_array((128,), np.int32)
        Library(path, order=order, seed=3).launch("tickets", (2,), 64, counter, out)
        found[order] = out.tolist()
    assert found[Order.FORWARD] == list(range(128))
    assert found[Order.REVERSED] == list(range(127, -1, -1))
    assert sorted(found[Order.SHUFFLED]) == list(range(128))
    assert found[Order.SHUFFLED] not in (found[Order.FORWARD], found[Order.REVERSED])


def test_every_block_finds_shared_memory_poisoned(path: Path) -> None:
    out = device_array((64,), np.uint32, 0)
    Library(path).launch("leftovers", (2,), 32, out)
    assert (out == 0xCDCDCDCD).all()


@pytest.mark.parametrize("order", Order)
def test_collectives_exchange_what_lanes_give(path: Path, order: Order) -> None:
    out, lanes = device_array((200,), np.int32), np.arange(32)
    Library(path, order=order).launch("exchanges", (1,), 32, out)
    assert out[:32].tolist() == [0, *range(31)]
    assert out[32:64].tolist() == [*range(16, 32), *range(16, 32)]
    assert out[64:96].tolist() == (lanes ^ 5).tolist()
    assert out[96:128].tolist() == [7] * 32
    assert set(out[128:160].view(np.uint32)) == {sum(1 << lane for lane in range(0, 32, 3))}
    assert set(out[160:168]) == {0b11000000}
    assert out[168:].tolist() == [1] * 32


@pytest.mark.parametrize("order", Order)
def test_a_barrier_separates_writes_from_reads(path: Path, order: Order) -> None:
    values = device_array((64,), np.int32, np.arange(64))
    Library(path, order=order).launch("reversal", (1,), 64, values)
    assert values.tolist() == list(range(63, -1, -1))


@pytest.mark.parametrize(
    ("kernel", "threads", "message"),
    [
        ("exit_before_ballot", 32, "exited lane"),
        ("exit_before_barrier", 64, "exited thread"),
        ("barrier_in_each_branch", 32, "divergent barrier"),
        ("barrier_against_ballot", 32, "divergent collective"),
        ("stranger_to_its_mask", 32, "not in its own mask"),
        ("stranger_to_its_mask", 4, "absent lanes"),
        ("stranger_to_its_mask", 2048, "refuses"),
    ],
)
def test_what_a_gpu_would_not_survive_is_an_error(
    path: Path, kernel: str, threads: int, message: str
) -> None:
    library, out, few = Library(path), device_array((2048,), np.uint32), c_int(20)
    arguments: dict[str, list[Any]] = {
        "exit_before_ballot": [few, out],
        "exit_before_barrier": [few],
        "barrier_in_each_branch": [],
    }
    with pytest.raises(LaunchError, match=message):
        library.launch(kernel, (1,), threads, *arguments.get(kernel, [out]))
    values = device_array((64,), np.int32, np.arange(64))
    library.launch("reversal", (1,), 64, values)  # the next launch is not disturbed
    assert values.tolist() == list(range(63, -1, -1))
