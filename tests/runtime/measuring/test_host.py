"""What /proc says, from folders that are written here, and from the real one."""

import os
import threading
import time
from pathlib import Path

import pytest

from vedette.runtime.measuring.host import (
    HostReading,
    groups_between,
    load_between,
    peak_mb,
    quota_ns,
    read_host,
    rss_mb,
)

TICK_MS = 1000 // os.sysconf("SC_CLK_TCK")


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    """Two threads of ours and two cores: 100 ticks of user, 20 nice, 30 system, 400 idle, 5 waiting, 2 + 3 irqs, 7 stolen."""
    (tmp_path / "stat").write_text("cpu  100 20 30 400 5 2 3 7 0 0\ncpu0 1 2 3 4 5 6 7 8 0 0\n")
    for number, text in {threading.get_native_id(): "5000 100 9", 999_999_999: "7000 300 9"}.items():
        (tmp_path / "self" / "task" / str(number)).mkdir(parents=True)
        (tmp_path / "self" / "task" / str(number) / "schedstat").write_text(text + "\n")
    (tmp_path / "self" / "statm").write_text("9000 2560 10 1 0 5 0\n")
    return tmp_path


def test_times_of_all_cores_and_of_our_threads(proc: Path) -> None:
    found = read_host(proc)
    unit = TICK_MS * 1_000_000
    assert (found.busy_ns, found.idle_ns, found.stolen_ns) == (155 * unit, 405 * unit, 7 * unit)
    assert found.delay_ns == 400
    assert found.groups_ns == {"loop": 5000, "engine and others": 7000}
    assert rss_mb(proc) == pytest.approx(2560 * os.sysconf("SC_PAGE_SIZE") / 2**20)


def test_between_two_readings_others_had_what_we_did_not() -> None:
    first = HostReading(1_000_000, 500_000, 10_000_000, 0, 0, None, 3, {"loop": 1_000_000})
    last = HostReading(
        5_000_000, 900_000, 30_000_000, 2_000_000, 1_000_000, None, 4, {"loop": 3_000_000, "sinks": 7_000_000}
    )
    load = load_between(first, last)
    assert (load.own, load.delay, load.others, load.idle, load.stolen) == pytest.approx((4, 0.4, 16, 2, 1))
    assert (load.quota, load.heat) == (None, 1)
    assert groups_between(first, last) == {"loop": 2.0, "sinks": 7.0}


def test_where_the_kernel_does_not_tell_nothing_is_made_up(tmp_path: Path) -> None:
    found = read_host(tmp_path)
    assert (found.busy_ns, found.idle_ns, found.stolen_ns, found.delay_ns) == (None, None, None, None)
    load = load_between(found, read_host(tmp_path))
    assert (load.others, load.delay, load.stolen, load.idle) == (None, None, None, None)
    assert rss_mb(tmp_path) == peak_mb() > 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("usage_usec 5\nnr_throttled 2\nthrottled_usec 1234\n", 1_234_000),
        ("nr_periods 10\nnr_throttled 2\nthrottled_time 987\n", 987),
        ("nr_periods 10\n", None),
        ("", None),
    ],
)
def test_a_containers_limit_of_either_version(text: str, expected: int | None) -> None:
    assert quota_ns(text) == expected


@pytest.mark.skipif(
    not Path("/proc/self/schedstat").is_file(), reason="needs Linux with scheduler statistics"
)
def test_the_real_one_counts_the_work_of_a_named_thread() -> None:
    before, done = read_host(), threading.Event()

    def work() -> None:
        end = time.thread_time() + 0.05
        while time.thread_time() < end:
            pass
        done.set()
        held.wait()

    held = threading.Event()
    thread = threading.Thread(target=work, name="reader cam0")
    thread.start()
    done.wait(30)
    after = read_host()
    held.set()
    thread.join()
    assert groups_between(before, after)["readers"] >= 45
    load = load_between(before, after)
    assert load.own >= 45
    assert load.delay is not None
    assert load.delay >= 0
