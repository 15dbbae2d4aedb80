"""GStreamer's Data Protocol, by bytes that gdppay of GStreamer 1.22 wrote."""

import contextlib

import numpy as np
import pytest

from vedette.runtime.sources import _gdp

# Headers of a buffer of 34 bytes that lasts 40 ms, and of caps, as they were written, with check sums.
BUFFER = bytes.fromhex("0100000000010000002200000000" + "0bebc200" + "0000000002625a00" + "00" * 16
                       + "2000000000000bebc200000000000000" + "24c80000")  # fmt: skip
CAPS = b"video/x-raw, width=(int)98, height=(int)66, format=(string)NV12\0"


def read(data: bytes, *, at_once: int) -> list[_gdp.Raw]:
    reader, pictures = _gdp.Reader(), []
    while data:
        place = reader.place
        assert len(place)
        count = min(len(place), at_once, len(data))
        place[:count], data = data[:count], data[count:]
        if (raw := reader.took(count)) is not None:
            pictures.append(raw)
    return pictures


@pytest.mark.parametrize("at_once", [1, 7, 61, 62, 63, 10_000])
def test_pictures_come_whole_however_they_are_cut(at_once: int) -> None:
    data = _gdp.preamble(CAPS.decode().rstrip("\0")) + BUFFER + bytes(range(34)) + _gdp.buffer(b"xyz", 7)
    assert read(data, at_once=at_once) == [
        (bytearray(range(34)), (98, 66), 200_000_000),
        (bytearray(b"xyz"), (98, 66), 7),
    ]


def test_a_message_of_nothing_is_passed_over() -> None:
    assert read(_gdp.buffer(b"", 1) + _gdp.buffer(b"x", 2), at_once=100) == [(bytearray(b"x"), (0, 0), 2)]


@pytest.mark.parametrize("seed", range(20))
def test_other_bytes_are_refused_and_cost_no_memory(seed: int) -> None:
    rng = np.random.default_rng(seed)
    data = bytearray(_gdp.preamble(CAPS.decode()) + BUFFER + bytes(34))
    for place in rng.integers(0, len(data), 5):
        data[place] = rng.integers(256)
    with contextlib.suppress(ValueError):
        read(bytes(data), at_once=100)
    with pytest.raises(ValueError, match="no header"):
        read(b"\x01" + bytes(61), at_once=100)
    with pytest.raises(ValueError, match="no header"):
        read(_gdp.buffer(b"", 0)[:6] + b"\xff\xff\xff\xff" + bytes(52), at_once=100)
