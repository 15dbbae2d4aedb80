"""NVIDIA's decoder by FFmpeg: where it is missing or refuses, software gives the same frames, and one line says so."""

import logging
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from clips import psnr, write_video

from vedette.runtime.errors import UsageError
from vedette.runtime.frame import Frame
from vedette.runtime.sources import END, SourceOptions, _nvdec, open_source
from vedette.runtime.sources._complaints import damage

NO_DEVICE = _nvdec.why_no_nvdec()
REFUSAL = [
    (16, "h264", "Cannot load libnvcuvid.so.1\n"),
    (16, "h264", "Unsupported chroma format\n"),
    (16, "h264", "Failed setup for format cuda: hwaccel initialisation returned error.\n"),
]


def read_all(path: Path, decoder: str, *, realtime: bool = False) -> list[Frame]:
    source = open_source(str(path), SourceOptions(decoder=decoder, realtime=realtime))  # type: ignore[arg-type]
    frames = [found for found in iter(source.read, END) if isinstance(found, Frame)]
    source.close()
    return frames


@pytest.fixture(autouse=True)
def _anew() -> None:
    _nvdec.tell_software.cache_clear()


@pytest.mark.skipif(not NO_DEVICE, reason="this machine has NVDEC")
@pytest.mark.parametrize("realtime", [False, True])
def test_without_a_device_software_gives_the_same_frames_and_says_so_once(
    clip: Path, caplog: pytest.LogCaptureFixture, *, realtime: bool
) -> None:
    ours = read_all(clip, "nvdec", realtime=realtime)
    again = read_all(clip, "nvdec")
    software = read_all(clip, "software")
    assert len(ours) == len(again) == len(software) == 30
    for one, other in zip(ours, software, strict=True):
        assert (one.index, one.time_s, one.format, one.suspect) == (
            other.index,
            other.time_s,
            other.format,
            False,
        )
        assert all(np.array_equal(a, b) for a, b in zip(one.planes, other.planes, strict=True))
    told = [record.getMessage() for record in caplog.records if "software decodes" in record.getMessage()]
    assert told == [f"{clip}: software decodes, not nvdec: {NO_DEVICE}"]


def test_software_is_never_told_of(clip: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        read_all(clip, "software")
    assert not caplog.records


@pytest.mark.gpu
@pytest.mark.skipif(bool(NO_DEVICE), reason=f"no NVDEC: {NO_DEVICE}")
@pytest.mark.parametrize("codec", ["libx264", "libx265"])
def test_the_device_gives_the_pictures_of_software(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, codec: str
) -> None:
    options: dict[str, Any] = {"x265-params": "log-level=none"} if codec == "libx265" else {}
    path = write_video(tmp_path / "clip.mp4", size=(320, 240), codec=codec, **options)
    ours, software = read_all(path, "nvdec"), read_all(path, "software")
    assert [frame.time_s for frame in ours] == [frame.time_s for frame in software]
    assert {frame.format for frame in ours} == {"nv12"}
    assert min(psnr(a.bgr(), b.bgr()) for a, b in zip(ours, software, strict=True)) > 45
    assert not caplog.records


def test_what_a_gpu_says_when_it_declines_is_no_damage() -> None:
    assert not damage(REFUSAL)
    assert damage(REFUSAL[:2])
    assert damage([*REFUSAL, (16, "h264", "error while decoding MB 3 2\n")])


def stand_in_driver(folder: Path) -> None:
    """A libcuda.so.1 whose every function succeeds and does nothing; a decoder is not there."""
    libraries = list((Path(av.__file__).parents[1] / "av.libs").glob("libav*"))
    names = {name for path in libraries for name in re.findall(rb"\0(cu[A-Z]\w+)(?=\0)", path.read_bytes())}
    compiler = shutil.which("cc")
    if not names or compiler is None or sys.platform != "linux":
        pytest.skip("no C compiler, or an FFmpeg of another make")
    code = "".join(f"int {name.decode()}(void) {{ return 0; }}\n" for name in sorted(names))
    (folder / "cuda.c").write_text(code)
    output = folder / "libcuda.so.1"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", output, folder / "cuda.c"], check=True)


@pytest.mark.skipif(not NO_DEVICE, reason="this machine has NVDEC")
def test_a_driver_without_a_decoder_is_declined_in_the_stream_and_no_frame_is_suspect(
    tmp_path: Path, clip: Path
) -> None:
    """As in a container that was given the GPU without its capability "video"."""
    stand_in_driver(tmp_path)
    script = f"""
import logging, sys
logging.basicConfig(stream=sys.stdout, format="%(message)s")
from vedette.runtime.sources import END, SourceOptions, _nvdec, open_source
print(repr(_nvdec.why_no_nvdec()))
source = open_source({str(clip)!r}, SourceOptions(decoder="nvdec", realtime=True))
frames = list(iter(source.read, END))
print(len(frames), {{frame.format for frame in frames}}, {{frame.suspect for frame in frames}})
source.close()
"""
    environment = {**os.environ, "LD_LIBRARY_PATH": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    device, told, frames = done.stdout.splitlines()
    assert device == "''", done.stderr
    assert "software decodes, not nvdec: the GPU does not take h264" in told
    assert frames == "30 {'yuv420p'} {False}"


def test_an_old_pyav_is_refused_at_once(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av.codec.hwaccel", None)
    with pytest.raises(UsageError) as error:
        open_source(str(clip), SourceOptions(decoder="nvdec"))
    assert "av>=14" in error.value.cure
    open_source(str(clip), SourceOptions()).close()
