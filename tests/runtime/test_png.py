"""Text in a PNG: what is written is read, by others too, and damage is told."""

import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from vedette.runtime import png
from vedette.runtime.errors import SourceError


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    image = np.random.default_rng(0).integers(0, 256, (7, 5, 3), np.uint8)
    png.save(tmp_path / "a.png", image, "vedette", '{"seed": 1}')
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / "a.png")), image)
    return tmp_path / "a.png"


def test_the_text_comes_back_and_others_are_passed_over(picture: Path) -> None:
    picture.write_bytes(png.with_text(picture.read_bytes(), "author", "nobody"))
    assert png.text_of(picture, "vedette") == '{"seed": 1}'
    assert png.text_of(picture, "author") == "nobody"
    assert png.text_of(picture, "title") is None


def test_another_library_reads_it(picture: Path) -> None:
    pillow = pytest.importorskip("PIL.Image")
    with pillow.open(picture) as opened:
        opened.load()
        assert opened.text == {"vedette": '{"seed": 1}'}


def test_grey_pictures_stay_grey(tmp_path: Path) -> None:
    image = np.arange(12, dtype=np.uint8).reshape(3, 4)
    png.save(tmp_path / "a.png", image, "k", "v")
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / "a.png"), cv2.IMREAD_UNCHANGED), image)


def test_what_is_no_whole_png_is_told(picture: Path, tmp_path: Path) -> None:
    data = picture.read_bytes()
    changed = bytearray(data)
    changed[60] ^= 1
    endless = data[:8] + struct.pack(">I", 2**32 - 1) + b"tEXt"
    for number, content in enumerate((b"", b"GIF89a", data[:50], data[:-3], bytes(changed), endless)):
        path = tmp_path / f"{number}.png"
        path.write_bytes(content)
        with pytest.raises(SourceError, match="cannot read"):
            png.text_of(path, "none")
    with pytest.raises(SourceError, match="cannot read"):
        png.text_of(tmp_path / "missing.png", "vedette")


def test_the_chunk_has_the_form_of_the_specification(picture: Path) -> None:
    data = picture.read_bytes()
    body = b'vedette\0{"seed": 1}'
    assert data[33:].startswith(struct.pack(">I", len(body)) + b"tEXt" + body)
    assert struct.pack(">I", zlib.crc32(b"tEXt" + body)) in data
