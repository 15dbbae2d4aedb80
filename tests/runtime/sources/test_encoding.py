"""What recorders are handed: every packet of a stream, copied, with all that is needed to write it."""

import logging
from pathlib import Path

import av
import clips
import pytest

from vedette.runtime.frame import Frame
from vedette.runtime.packets import Packet
from vedette.runtime.sources import END, SourceOptions, open_source


def tapped(path: Path) -> list[Packet]:
    packets: list[Packet] = []
    source = open_source(str(path), SourceOptions(tap=packets.append))
    while source.read() is not END:
        pass
    source.close()
    return packets


@pytest.mark.parametrize("suffix", [".mp4", ".ts", ".mkv", ".h264"])
def test_packets_are_those_of_the_file(tmp_path: Path, suffix: str) -> None:
    path = clips.write_video(tmp_path / f"clip{suffix}", bf="2")
    packets = tapped(path)
    with av.open(str(path)) as container:
        expected = [(bytes(p), p.pts, p.dts, p.is_keyframe) for p in container.demux(video=0) if p.size]
    assert [(p.data, p.pts, p.dts, p.key) for p in packets] == expected
    (encoding,) = {packet.encoding for packet in packets}
    assert (encoding.codec, encoding.size, encoding.rate) == ("h264", clips.SIZE, 25.0)
    assert all(packet.received_ns > 0 for packet in packets)


@pytest.mark.parametrize("suffix", [".mp4", ".ts", ".h264"])
def test_they_decode_from_the_encoding_alone(tmp_path: Path, suffix: str) -> None:
    packets = tapped(clips.write_video(tmp_path / f"clip{suffix}"))
    decoder = av.CodecContext.create(packets[0].encoding.codec, "r")
    assert isinstance(decoder, av.VideoCodecContext)
    decoder.extradata = packets[0].encoding.extradata
    pictures = [picture for packet in packets for picture in decoder.decode(av.Packet(packet.data))]
    pictures += decoder.decode(None)
    assert [clips.index_in(picture.to_ndarray(format="bgr24")) for picture in pictures] == list(range(30))


def test_a_tap_that_fails_costs_itself_only(clip: Path, caplog: pytest.LogCaptureFixture) -> None:
    def broken(packet: Packet) -> None:
        raise OSError("disk full")

    source = open_source(str(clip), SourceOptions(tap=broken))
    with caplog.at_level(logging.ERROR):
        frames = [frame for frame in iter(source.read, END) if isinstance(frame, Frame)]
    source.close()
    assert len(frames) == 30
    assert len(caplog.records) == 1
