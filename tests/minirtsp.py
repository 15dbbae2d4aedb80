"""A camera for tests: RTSP/1.0 with H.264 over the same TCP connection, and the faults that cameras have.

python minirtsp.py CLIP.h264 [--fps 25] [--user NAME:PASSWORD] [--fault NAME]... [--port 0] [--seed 0]
Writes its port to standard output, then serves until killed. Standard library only.

Faults: silent (accepts, never answers), missing (404), stall=N (sends nothing after N frames), close=N (hangs
up after N frames), rst=N (the same by a reset), cut=N:K (hangs up after K packets of frame N), nokey (never sends
a key frame), nosets (a description without parameter sets), drop=P and corrupt=P (of the RTP packets, that share is
left out, or has one byte inverted), tsjump=N:SECONDS (its clock is set by so much before frame N),
switch=N:OTHER.h264 (another clip from frame N on).
Formats: RFC 2326 (RTSP), RFC 6184 (H.264 in RTP).
"""

import argparse
import asyncio
import base64
import random
import re
import socket
import struct
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path

IDR, SPS, PPS = 5, 7, 8  # NAL unit types
CLOCK_HZ = 90_000
LARGEST_PAYLOAD = 1400  # bytes: fits an Ethernet packet

AccessUnit = list[bytes]  # the NAL units of one picture


@dataclass(frozen=True)
class Camera:
    """What is served and how it misbehaves."""

    pictures: list[AccessUnit]
    fps: float
    user: str
    faults: Mapping[str, str]  # what follows the = of each
    seed: int

    def is_due(self, fault: str, index: int) -> bool:
        """Whether a fault with a frame number before its colon begins at this frame."""
        return fault in self.faults and index == int(self.faults[fault].partition(":")[0])

    def detail(self, fault: str) -> str:
        """What follows the frame number."""
        return self.faults[fault].partition(":")[2]

    def nal(self, kind: int) -> bytes:
        return next(nal for picture in self.pictures for nal in picture if nal[0] & 31 == kind)


def access_units(annex_b: bytes) -> list[AccessUnit]:
    """Split a stream into pictures: a slice whose first_mb_in_slice is 0 (leading bit set) begins one."""
    pictures: list[AccessUnit] = [[]]
    for nal in filter(None, re.split(rb"\x00{2,}\x01", annex_b)):
        is_slice = nal[0] & 31 in {1, IDR}
        has_slice = any(earlier[0] & 31 in {1, IDR} for earlier in pictures[-1])
        if has_slice and (not is_slice or nal[1] & 0x80):
            pictures.append([])
        pictures[-1].append(nal)
    return pictures


def rtp_payloads(picture: AccessUnit) -> Iterator[bytes]:
    """NAL units as RTP carries them: whole if they fit, else in fragments (FU-A, RFC 6184 5.8)."""
    for nal in picture:
        if len(nal) <= LARGEST_PAYLOAD:
            yield nal
            continue
        indicator, kind, rest = nal[0] & 0xE0 | 28, nal[0] & 31, nal[1:]
        step = LARGEST_PAYLOAD - 2
        for start in range(0, len(rest), step):
            first, last = start == 0, start + step >= len(rest)
            yield bytes([indicator, first << 7 | last << 6 | kind]) + rest[start : start + step]


def marked_payloads(camera: Camera, picture: AccessUnit, index: int) -> list[tuple[int, bytes]]:
    """What is sent of a picture, each with its marker bit: only the very last payload of a picture has it."""
    if "nokey" in camera.faults:
        picture = [nal for nal in picture if nal[0] & 31 != IDR]
    payloads = list(rtp_payloads(picture))
    marked = [((number == len(payloads)) << 7, payload) for number, payload in enumerate(payloads, start=1)]
    return marked[: int(camera.detail("cut"))] if camera.is_due("cut", index) else marked


def on_the_way(packet: bytes, camera: Camera, chance: random.Random) -> bytes | None:
    """What a bad line leaves of an RTP packet."""
    if chance.random() < float(camera.faults.get("drop", "0")):
        return None
    if chance.random() < float(camera.faults.get("corrupt", "0")):
        place = chance.randrange(12, len(packet))  # behind the header
        return packet[:place] + bytes([packet[place] ^ 0xFF]) + packet[place + 1 :]
    return packet


def hang_up(writer: asyncio.StreamWriter, *, by_reset: bool) -> None:
    if by_reset:  # SO_LINGER with no time: RST instead of FIN
        connection = writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()
    writer.close()


async def play(camera: Camera, writer: asyncio.StreamWriter) -> None:
    """Send pictures at their rate, over and over, until a fault says otherwise."""
    loop, sequence, chance = asyncio.get_running_loop(), count(), random.Random(camera.seed)
    pictures, begun, set_by_s, started = camera.pictures, 0, 0.0, loop.time()
    for index in count():
        if camera.is_due("stall", index):
            return
        if camera.is_due("close", index) or camera.is_due("rst", index) or camera.is_due("cut", index - 1):
            hang_up(writer, by_reset="rst" in camera.faults)
            return
        if camera.is_due("tsjump", index):
            set_by_s = float(camera.detail("tsjump"))
        if camera.is_due("switch", index):
            pictures, begun = access_units(Path(camera.detail("switch")).read_bytes()), index
        picture = pictures[(index - begun) % len(pictures)]
        stamp = int((index / camera.fps + set_by_s) * CLOCK_HZ) & 0xFFFFFFFF
        for marker, payload in marked_payloads(camera, picture, index):
            header = struct.pack("!BBHII", 0x80, marker | 96, next(sequence) & 0xFFFF, stamp, 1)
            packet = on_the_way(header + payload, camera, chance)
            if packet is not None:
                writer.write(b"$\0" + struct.pack("!H", len(packet)) + packet)
        await writer.drain()
        await asyncio.sleep(max(0.0, started + (index + 1) / camera.fps - loop.time()))


def answer(camera: Camera, method: str, url: str, head: str) -> tuple[str, list[str], str]:
    """Status, headers and body for one request."""
    expected = "Basic " + base64.b64encode(camera.user.encode()).decode()
    if camera.user and f"Authorization: {expected}" not in head:
        return "401 Unauthorized", ['WWW-Authenticate: Basic realm="camera"'], ""
    if "missing" in camera.faults and method == "DESCRIBE":
        return "404 Not Found", [], ""
    if method == "OPTIONS":
        return "200 OK", ["Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN"], ""
    if method == "DESCRIBE":
        return "200 OK", ["Content-Type: application/sdp", f"Content-Base: {url}/"], session(camera)
    if method == "SETUP" and "interleaved" not in head:
        return "461 Unsupported Transport", [], ""
    if method == "SETUP":
        return "200 OK", ["Session: 1;timeout=60", "Transport: RTP/AVP/TCP;unicast;interleaved=0-1"], ""
    return "200 OK", ["Session: 1"], ""


def session(camera: Camera) -> str:
    """The SDP text."""
    parameter_sets = ",".join(base64.b64encode(camera.nal(kind)).decode() for kind in (SPS, PPS))
    sets = "" if "nosets" in camera.faults else f";sprop-parameter-sets={parameter_sets}"
    lines = (
        "v=0",
        "o=- 0 0 IN IP4 127.0.0.1",
        "s=test",
        "t=0 0",
        "m=video 0 RTP/AVP 96",
        "a=rtpmap:96 H264/90000",
        f"a=fmtp:96 packetization-mode=1{sets}",
        "a=control:track0",
    )
    return "".join(f"{line}\r\n" for line in lines)


async def next_request(reader: asyncio.StreamReader) -> str:
    """The head of the next request; what the client reports about reception is skipped."""
    while (first := await reader.readexactly(1)) == b"$":
        length = struct.unpack("!xH", await reader.readexactly(3))[0]
        await reader.readexactly(length)
    return (first + await reader.readuntil(b"\r\n\r\n")).decode()


async def serve(camera: Camera, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One client, until it leaves."""
    playing: asyncio.Task[None] | None = None
    try:
        while True:
            head = await next_request(reader)
            if "silent" in camera.faults:
                continue
            method, url, *_ = head.split()
            status, headers, body = answer(camera, method, url, head)
            number = re.search(r"(?im)^cseq:\s*(\d+)", head)
            headers = [f"CSeq: {number[1] if number else 0}", *headers, f"Content-Length: {len(body)}"]
            writer.write("\r\n".join([f"RTSP/1.0 {status}", *headers, "", body]).encode())
            if method == "PLAY" and status.startswith("200"):
                playing = asyncio.create_task(play(camera, writer))
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        if playing is not None:
            playing.cancel()
        writer.close()


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("clip", type=Path)
    parser.add_argument("--fps", type=float, default=25.0)
    parser.add_argument("--user", default="")
    parser.add_argument("--fault", action="append", default=[])
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    faults = dict((fault + "=").split("=")[:2] for fault in arguments.fault)
    pictures = access_units(arguments.clip.read_bytes())
    camera = Camera(pictures, arguments.fps, arguments.user, faults, arguments.seed)
    server = await asyncio.start_server(
        lambda reader, writer: serve(camera, reader, writer), "127.0.0.1", arguments.port
    )
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
