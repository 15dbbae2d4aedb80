"""Files that are nearly right: what fuzz.py feeds to everything that reads.

In: a kind of file and a seed.  Out: the same bytes for the same seed, always.  Next: fuzz.py.
"""

import random
from collections.abc import Callable
from pathlib import Path

import clips
import numpy as np

CAMERAS = """\
models:
  objects: {model: nanodet, conf: 0.3, iou: 0.7, classes: [person], max_det: 300, imgsz: 640, backend: auto, track: true}
  people: openpose-thin
cameras:
  yard:
    source: rtsp://10.0.0.5/stream1
    username: viewer
    password: {env: YARD_PASSWORD}
    models: [objects]
    policy: latest
    stride: 1
    transport: tcp
    open_timeout: 3.5
    read_timeout: 2
    record: true
  gate:
    source: "synthetic:640x480@25?live=1"
    policy: all
outputs:
  save: out/
  json: {path: results.jsonl, rotate_mb: 100, keep: 5}
  recording: {folder: rec, segment: 60, keep_days: 7, keep_gb: 50, min_free_gb: 1}
  events: {folder: clips, classes: [person], min_conf: 0.5, pre_roll: 5, post_roll: 5}
  mqtt: {host: broker, port: 1883, topic: vedette, username: u, password: {env: MQTT}, tls: false}
  webhook: {url: "https://example.org/hook", classes: [person], secret: {env: HOOK}}
serve: {address: "127.0.0.1:9100", token: {env: TOKEN}}
"""
# what YAML parsers have stumbled over
ODDITIES = (
    b"&a [*a, *a]", b"<<: *x", b"!!python/object/apply:os.system [id]", b"[" * 300, b"{" * 300, b"? ", b": ", b"- " * 200,
    b"\t", b"\xef\xbb\xbf", b"\x00", b"\xff\xfe", b"%YAML 9.9\n---\n", b"---\n", b"...\n", b"|\n", b">-\n", b"0x", b"1e999",
    b".nan", b"no", b"010", b"2026-11-23", b"190:20:30", b"~", b"'", b'"', b"9" * 5000, b"\xe2\x80\xa8",
)  # fmt: skip
Bytes = Callable[[bytes, random.Random], bytes]


def originals(folder: Path) -> dict[str, bytes]:
    """A small whole file of each kind."""
    import cv2

    files = {kind: clips.write_video(folder / f"whole.{kind}", 30) for kind in ("ts", "mp4", "h264")}
    whole = {kind: path.read_bytes() for kind, path in files.items()}
    picture = clips.numbered_picture(5, (320, 240))
    picture[60:] += np.random.default_rng(0).integers(0, 40, (180, 320, 3)).astype(np.uint8)
    coded = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1, cv2.IMWRITE_JPEG_RST_INTERVAL, 4])
    return whole | {"jpg": coded[1].tobytes(), "yaml": CAMERAS.encode()}


def flipped(data: bytes, chance: random.Random) -> bytes:
    """Some bits inverted: each with a probability of 1e-6 to 1e-3, at least one."""
    count = max(1, round(8 * len(data) * 10 ** chance.uniform(-6, -3)))
    changed = bytearray(data)
    for place in (chance.randrange(8 * len(data)) for _ in range(count)):
        changed[place // 8] ^= 1 << place % 8
    return bytes(changed)


def truncated(data: bytes, chance: random.Random) -> bytes:
    return data[: chance.randrange(len(data))]


def spliced(data: bytes, chance: random.Random) -> bytes:
    """A piece of it put into another place, over what was there or between it."""
    size = chance.randrange(1, 1 + len(data) // 4)
    start, target = chance.randrange(len(data) - size), chance.randrange(len(data))
    return data[:target] + data[start : start + size] + data[target + size * chance.randrange(2) :]


def cut_out(data: bytes, chance: random.Random) -> bytes:
    size = chance.randrange(1, 1 + len(data) // 4)
    start = chance.randrange(len(data) - size)
    return data[:start] + data[start + size :]


def with_oddity(data: bytes, chance: random.Random) -> bytes:
    """A line replaced, or one of its values, by what nobody writes."""
    lines = data.split(b"\n")
    number, odd = chance.randrange(len(lines)), chance.choice(ODDITIES)
    key, colon, _ = lines[number].partition(b": ")
    lines[number] = odd if not colon or chance.random() < 0.3 else key + colon + odd
    return b"\n".join(lines)


def lines_swapped(data: bytes, chance: random.Random) -> bytes:
    """One line in another's place, or twice."""
    lines = data.split(b"\n")
    first, second = chance.randrange(len(lines)), chance.randrange(len(lines))
    lines[first] = lines[second]
    return b"\n".join(lines)


BINARY: tuple[Bytes, ...] = (flipped, flipped, truncated, spliced, cut_out)
TEXT: tuple[Bytes, ...] = (flipped, truncated, spliced, cut_out, with_oddity, with_oddity, lines_swapped)


def mutated(whole: bytes, kind: str, seed: int) -> bytes:
    """One to three mutations of a file."""
    chance = random.Random(f"{kind} {seed}")
    data = whole
    for _ in range(chance.choice((1, 1, 2, 3))):
        if len(data) > 8:
            data = chance.choice(TEXT if kind == "yaml" else BINARY)(data, chance)
    return data
