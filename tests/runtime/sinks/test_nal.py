"""Parameter sets and start codes, as FFmpeg's own filters give them."""

from pathlib import Path
from typing import Any

import av
import pytest
from av.bitstream import BitStreamFilterContext
from clips import write_video
from recordings import packets_of

from vedette.runtime.sinks._nal import START, Layout, layout_of, parameter_sets

CODECS = {"h264": "libx264", "hevc": "libx265"}
QUIET: dict[str, dict[str, Any]] = {"libx264": {}, "libx265": {"x265-params": "log-level=none"}}


def by_ffmpeg(path: Path, codec: str) -> list[bytes]:
    """Packets behind start codes; FFmpeg repeats the parameter sets before key frames."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        convert = BitStreamFilterContext(f"{codec}_mp4toannexb", stream)
        return [
            bytes(done)
            for packet in container.demux(stream)
            if packet.size
            for done in convert.filter(packet)
        ]


def units(data: bytes) -> list[bytes]:
    """By splitting, which is right where no unit holds a start code: none may."""
    return [unit.rstrip(b"\0") for unit in data.split(b"\0\0\1") if unit.rstrip(b"\0")]


@pytest.mark.parametrize("codec", CODECS)
def test_packets_of_an_mp4_become_what_ffmpeg_makes_of_them(tmp_path: Path, codec: str) -> None:
    encoder = CODECS[codec]
    path = write_video(tmp_path / "clip.mp4", 12, codec=encoder, **QUIET[encoder])
    packets = packets_of(path)
    layout = layout_of(codec, packets[0].encoding.extradata)
    assert layout.length_bytes == 4
    for packet, expected in zip(packets, by_ffmpeg(path, codec), strict=True):
        ours = (layout.parameters if packet.key else b"") + layout.plain(packet.data)
        assert sorted(units(ours)) == sorted(units(expected))  # FFmpeg writes x264's note in front of them


@pytest.mark.parametrize("codec", CODECS)
def test_parameter_sets_of_a_transport_stream_are_found(tmp_path: Path, codec: str) -> None:
    encoder = CODECS[codec]
    path = write_video(tmp_path / "clip.ts", 12, codec=encoder, **QUIET[encoder])
    packets = packets_of(path)
    layout = layout_of(codec, packets[0].encoding.extradata)
    assert layout.plain(packets[0].data) is packets[0].data
    found = [parameter_sets(codec, packet.data) for packet in packets]
    kinds = {"sequence", "picture"} | ({"video"} if codec == "hevc" else set())
    assert [set(sets) for sets in found] == [kinds if packet.key else set() for packet in packets]
    known = units(packets[0].encoding.extradata)
    assert all(unit in known for sets in found for kind in sets.values() for unit in units(kind))


def test_another_size_is_another_sequence(tmp_path: Path) -> None:
    sequences = set()
    for size in ((96, 64), (128, 96)):
        (first, *_) = packets_of(write_video(tmp_path / f"{size[0]}.ts", 12, size=size))
        sequences.add(parameter_sets("h264", first.data)["sequence"])
    assert len(sequences) == 2


def test_several_sets_of_a_kind_are_all_kept() -> None:
    data = (
        START
        + b"\x67a"
        + b"\0\0\1"
        + b"\x68b"
        + START
        + b"\x68c\0"
        + START
        + b"\x65picture"
        + START
        + b"\x67late"
    )
    assert parameter_sets("h264", data) == {
        "sequence": START + b"\x67a",
        "picture": START + b"\x68b" + START + b"\x68c",
    }


@pytest.mark.parametrize("data", [b"", b"\0", b"\0\0\1", b"\0\0\1\0\0\1", b"\1" * 40, b"\0\0\1\x65"])
def test_rubbish_holds_no_parameter_sets(data: bytes) -> None:
    assert parameter_sets("h264", data) == {}


@pytest.mark.parametrize("codec", ["h264", "hevc"])
@pytest.mark.parametrize("extradata", [b"\1", b"\1" * 7, b"\1" * 23, b"\1" + b"\xff" * 60])
def test_a_record_that_is_cut_off_raises_nothing(codec: str, extradata: bytes) -> None:
    assert isinstance(layout_of(codec, extradata), Layout)


def test_lengths_beyond_the_packet_end_with_it() -> None:
    assert Layout(length_bytes=4).plain(b"\0\0\0\2ab\0\0\0\xffc") == START + b"ab" + START + b"c"
    assert Layout(length_bytes=4).plain(b"\0\0\0\2ab\0\0") == START + b"ab"


def test_other_codecs_pass_as_they_are() -> None:
    assert layout_of("mpeg4", b"\1vol" * 9) == Layout(b"\1vol" * 9)
    assert parameter_sets("mjpeg", b"\0\0\1\x67") == {}
