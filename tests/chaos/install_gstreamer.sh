#!/usr/bin/env bash
# Installs GStreamer's RTSP server for the system's Python, with Debian's package manager (about 70 s; needs root).
# Why: reconnect.py tests against a server that others wrote. Nothing else needs it, and no test runs this script:
# those that want the server skip, saying so, where it is missing.
set -eu
works() {
  /usr/bin/python3 -c 'import gi; gi.require_version("Gst", "1.0"); gi.require_version("GstRtspServer", "1.0")
from gi.repository import Gst, GstRtspServer
Gst.init(None); raise SystemExit(not all(map(Gst.ElementFactory.find, ["qtdemux", "h264parse", "rtph264pay", "appsrc", "avdec_h264"])))' 2>/dev/null &&
    command -v gst-launch-1.0 >/dev/null
}
if works; then echo "GStreamer's RTSP server is here already"; exit 0; fi
packages="gir1.2-gst-rtsp-server-1.0 gir1.2-gstreamer-1.0 python3-gi gstreamer1.0-plugins-base
  gstreamer1.0-plugins-good gstreamer1.0-plugins-bad gstreamer1.0-rtsp gstreamer1.0-tools gstreamer1.0-libav"
echo "installing" $packages
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $packages >/dev/null
works || { echo "installed, but it does not load" >&2; exit 1; }
echo "installed; tests/chaos/gst_server.py can run"
