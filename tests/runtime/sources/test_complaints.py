"""Which of FFmpeg's messages cast doubt on a picture, and for how long."""

import logging

import av.logging
import pytest

from vedette.runtime.sources._complaints import Doubt, damage, listen


@pytest.mark.parametrize(
    "text",
    [
        "error while decoding MB 12 7, bytestream 334",
        "concealing 120 DC, 120 AC, 120 MV errors in P frame",
        "RTP: missed 3 packets",
        "left block unavailable for requested intra4x4 mode -1",
        "cabac decode of qscale diff failed at 3 4",
        "Frame num gap 7 5",
        "Invalid NAL unit size (1200 > 800).",
        "Could not find ref with POC 12",
        "First slice in a frame missing.",
        "Packet corrupt (stream = 0, dts = 23440).",
        "corrupt input packet after 3 attempts",
        "non-existing PPS 0 referenced",
    ],
)
def test_what_costs_pixels_is_damage(text: str) -> None:
    assert damage([(16, "h264", text)])


@pytest.mark.parametrize(
    "text",
    [
        "Invalid DTS: 3600 PTS: 0 in output stream 0:0, replacing by guess",
        "DTS discontinuity in stream 0: packet 3 with DTS 900, packet 4 with DTS 9000",
        "Could not find codec parameters for stream 0 (Video: h264, none): unspecified size",
        "deprecated pixel format used, make sure you did set range correctly",
        "RTP: PT=60: bad cseq 0003 expected=0001",
        "jitter buffer full",
        "Invalid SEI payload of 3 bytes",
    ],
)
def test_what_does_not_is_none(text: str) -> None:
    assert not damage([(24, "h264", text)])


def test_silence_is_no_damage() -> None:
    assert not damage([])


def verdicts(*events: str) -> str:
    """Frames as "?" suspect or "." from packets: K key, P other, each in capitals without and small with a complaint."""
    doubt, said = Doubt(), ""
    for event in "".join(events):
        doubt.packet(key=event in "Kk", complained=event.islower())
        said += "?" if doubt.frame(key=event in "Kk", corrupt=False) else "."
    return said


@pytest.mark.parametrize(
    ("packets", "expected"),
    [
        ("KPPPKPP", "......."),
        ("KPpPPKPP", "..???..."),
        ("KPPkPPKP", "...???.."),
        ("kPPP", "????"),
        ("KpkPKP", ".???.."),
    ],
)
def test_doubt_lasts_until_a_key_frame_that_was_not_complained_about(packets: str, expected: str) -> None:
    assert verdicts(packets) == expected


def test_a_frame_that_says_itself_that_it_is_corrupt_begins_doubt() -> None:
    doubt = Doubt()
    doubt.packet(key=True, complained=False)
    assert doubt.frame(key=True, corrupt=True)
    assert doubt.frame(key=False, corrupt=False)


def test_messages_that_no_one_takes_reach_no_log(caplog: pytest.LogCaptureFixture) -> None:
    listen()
    with caplog.at_level(logging.DEBUG):
        av.logging.log(av.logging.ERROR, "rtsp", "rtsp://me:hunter2@camera failed")
    assert caplog.text == ""
    with av.logging.Capture() as messages:
        av.logging.log(av.logging.ERROR, "h264", "told")
    assert [text for _, _, text in messages] == ["told"]
