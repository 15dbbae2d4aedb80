"""GStreamer's RTSP server, looping a video: a camera that this project did not write.

/usr/bin/python3 gst_server.py CLIP.mp4 [--port 0] [--user NAME:PASSWORD]
Writes its port to standard output once it listens, then serves rtsp://127.0.0.1:PORT/cam until killed.
Run by the system's Python, whose bindings install_gstreamer.sh brings. Interface: gst-rtsp-server 1.x.
"""

import argparse
import sys
from typing import Any

import gi  # type: ignore[import-not-found,unused-ignore]

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # type: ignore[import-not-found,unused-ignore]  # noqa: E402

RATE = 25
H264 = "video/x-h264,stream-format=byte-stream,alignment=au"
# Parameter sets go into the description, and once before the first unit: more of them would come between the slices
# of a key frame, which breaks it in two.
SEND = (
    f'( appsrc name=src is-live=true format=time block=false caps="{H264}" '
    "! h264parse ! rtph264pay name=pay0 pt=96 )"
)
Unit = tuple[bytes, bool]  # an access unit, and whether decoding can begin with it


def units_of(path: str) -> "list[Unit]":
    """The access units of a video."""
    reader = Gst.parse_launch(
        f'filesrc location="{path}" ! qtdemux ! h264parse ! {H264} ! appsink name=end sync=false'
    )
    reader.set_state(Gst.State.PLAYING)
    end, units = reader.get_by_name("end"), []
    while (sample := end.emit("pull-sample")) is not None:
        buffer = sample.get_buffer()
        _, mapped = buffer.map(Gst.MapFlags.READ)
        units.append((bytes(mapped.data), not buffer.has_flags(Gst.BufferFlags.DELTA_UNIT)))
        buffer.unmap(mapped)
    reader.set_state(Gst.State.NULL)
    return units


def looped(units: "list[Unit]") -> Any:
    """A factory that all clients share: units over and over at their rate, time going on."""
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_shared(True)
    factory.set_launch(SEND)

    def configure(_: Any, media: Any) -> None:
        source, sent = media.get_element().get_child_by_name("src"), [0]

        def push() -> bool:
            data, key = units[sent[0] % len(units)]
            buffer = Gst.Buffer.new_wrapped(data)
            buffer.duration = Gst.SECOND // RATE
            buffer.pts = buffer.dts = sent[0] * buffer.duration
            if not key:
                buffer.set_flags(Gst.BufferFlags.DELTA_UNIT)
            sent[0] += 1
            return bool(source.emit("push-buffer", buffer) == Gst.FlowReturn.OK)

        GLib.timeout_add(1000 // RATE, push)

    factory.connect("media-configure", configure)
    return factory


def protect(server: Any, factory: Any, user: str) -> None:
    """Ask for NAME:PASSWORD."""
    token = GstRtspServer.RTSPToken()
    token.set_string("media.factory.role", "user")
    logins = GstRtspServer.RTSPAuth()
    logins.add_basic(GstRtspServer.RTSPAuth.make_basic(*user.split(":", 1)), token)
    server.set_auth(logins)
    rights = GstRtspServer.RTSPPermissions()
    for right in ("access", "construct"):
        rights.add_permission_for_role("user", f"media.factory.{right}", True)
    factory.set_permissions(rights)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("clip")
    parser.add_argument("--port", default="0")
    parser.add_argument("--user", default="")
    arguments = parser.parse_args()
    Gst.init(None)
    factory = looped(units_of(arguments.clip))
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(arguments.port)
    if arguments.user:
        protect(server, factory, arguments.user)
    server.get_mount_points().add_factory("/cam", factory)
    server.attach(None)
    sys.stdout.write(f"{server.get_bound_port()}\n")
    sys.stdout.flush()
    GLib.MainLoop().run()


if __name__ == "__main__":
    main()
