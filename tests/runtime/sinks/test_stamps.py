"""Times for files: they go forward whatever a camera's clock does, and are its own where they can be."""

from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise

import hypothesis.strategies as st
import pytest
from hypothesis import given

from vedette.runtime.packets import Encoding, Packet
from vedette.runtime.sinks._stamps import TICKS, Stamp, Stamps

ENCODING = Encoding("h264", b"", (96, 64), Fraction(1, 1000), 25.0)
MS = TICKS // 1000
Said = tuple[int | None, int | None]  # pts and dts in milliseconds


def packet(pts: int | None, dts: int | None, received_ms: int) -> Packet:
    return Packet(ENCODING, b"", pts, dts, True, received_ms * 10**6)


def placed(said: Sequence[Said], *, every_ms: int = 40) -> list[Stamp]:
    stamps = Stamps()
    return [stamps.place(packet(*times, 5000 + index * every_ms)) for index, times in enumerate(said)]


def steps_ms(stamps: Sequence[Stamp]) -> list[float]:
    return [(after.pts - before.pts) / MS for before, after in pairwise(stamps)]


def test_plain_times_are_kept_from_0_on() -> None:
    assert placed([(9000, 9000), (9040, 9040), (9085, 9085)]) == [
        Stamp(0, 0),
        Stamp(40 * MS, 40 * MS),
        Stamp(85 * MS, 85 * MS),
    ]


def test_reordered_pictures_keep_their_order_and_the_first_is_shown_at_0() -> None:
    stamps = placed([(80, 0), (200, 40), (120, 80), (160, 120), (240, 160)])
    assert [stamp.pts // MS for stamp in stamps] == [0, 120, 40, 80, 160]
    assert [stamp.dts // MS for stamp in stamps] == [-80, -40, 0, 40, 80]


def test_without_times_pictures_follow_at_their_rate_or_as_they_come() -> None:
    assert steps_ms(placed([(None, None)] * 4, every_ms=0)) == [40, 40, 40]
    assert steps_ms(placed([(None, None)] * 4, every_ms=100)) == [100, 100, 100]


def test_first_times_that_are_missing_do_not_matter() -> None:
    said: list[Said] = [(None, None), (None, None), (77000, 77000), (77040, 77040)]
    assert steps_ms(placed(said)) == [40, 40, 40]


@pytest.mark.parametrize("jump_ms", [3_600_000, -10_000, -3_600_000])
def test_a_new_clock_goes_on_where_the_old_one_was(jump_ms: int) -> None:
    said: list[Said] = [(index * 40 + (jump_ms if index >= 5 else 0),) * 2 for index in range(10)]
    assert steps_ms(placed(said)) == [40] * 9


def test_a_silence_is_kept_where_time_passed_meanwhile() -> None:
    stamps = Stamps()
    first, second = (stamps.place(packet(time, time, time)) for time in (0, 30_000))
    assert second.pts - first.pts == 30_000 * MS


def test_a_new_connection_goes_on_after_the_time_that_passed() -> None:
    stamps = Stamps()
    before = stamps.place(packet(500, 500, 1000))
    stamps.restart()
    after = stamps.place(packet(0, 0, 4000))
    assert after.pts - before.pts == 3000 * MS


def test_repeated_times_are_told_apart() -> None:
    assert steps_ms(placed([(0, 0), (0, 0), (0, 0), (40, 40)])) == [1, 1, 38]


times = st.one_of(st.none(), st.integers(-(2**40), 2**40), st.integers(0, 2000))


@given(st.lists(st.tuples(times, times, st.integers(0, 20_000)), min_size=2, max_size=30), st.integers(0, 29))
def test_whatever_comes_dts_rises_and_nothing_is_shown_before_it_is_decoded(
    said: list[tuple[int | None, int | None, int]], restart: int
) -> None:
    stamps, now_ms, found = Stamps(), 0, []
    for index, (pts, dts, passed_ms) in enumerate(said):
        now_ms += passed_ms
        if index == restart:
            stamps.restart()
        found.append(stamps.place(packet(pts, dts, now_ms)))
    assert all(after.dts > before.dts for before, after in pairwise(found))
    assert all(stamp.pts >= stamp.dts for stamp in found)
