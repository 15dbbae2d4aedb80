"""Every key of a cameras file, with its default, unit and limits; docs/cameras.md and the JSON schema are made from it.

In: plain values of a tree.  Out: a Config.  Next: outputs.py for where results go, checks.py for what one key says of another.
"""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, StringConstraints, WithJsonSchema, field_validator

from vedette.cameras.outputs import Outputs, Serve
from vedette.cameras.parts import PRIVATE_QUERY, Secret, Short, Strict, Words, key, refusal, secret_or_text

NAME = r"^[A-Za-z0-9_-]{1,64}$"
Name = Annotated[str, StringConstraints(pattern=NAME)]
Share = Annotated[float, Field(ge=0, le=1)]
Side = Annotated[int, Field(ge=1, le=16384)]
Seconds = Annotated[float, Field(gt=0, le=3600)]


def _square(value: Any) -> Any:
    return (value, value) if isinstance(value, int) and not isinstance(value, bool) else value


Size = Annotated[
    tuple[Side, Side],
    BeforeValidator(_square),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": 1, "maximum": 16384},
                {
                    "type": "array",
                    "items": {"type": "integer", "minimum": 1, "maximum": 16384},
                    "minItems": 2,
                    "maxItems": 2,
                },
            ]
        }
    ),
]


class Network(Short):
    """A model and how it is run. A text in place of these keys is `model`."""

    SHORT = "model"

    model: str = key(..., "zoo name, .onnx or .engine file, or folder of a bundle", min_length=1)
    conf: Share | None = key(None, "lowest score that is kept; without it the task's, 0.25 for detection")
    iou: Share | None = key(
        None,
        "overlap above which boxes of one class suppress each other; without it the model's, 0.7 for most",
    )
    classes: Words = key((), "only these, by name or number; none named: all")
    max_det: int = key(300, "most objects a frame", ge=1, le=100_000)
    imgsz: Size | None = key(
        None, "network input in pixels: a side or [width, height]; without it the model's", examples=[640]
    )
    backend: Literal["auto", "onnxruntime", "openvino", "replay", "tensorrt"] = key(
        "auto", "what runs it; auto takes the best that works here"
    )
    track: bool = key(default=False, text="follow objects over frames: each gets a track_id")


class Camera(Strict):
    """A stream. Its name, up to 64 of A-Z, a-z, 0-9, _ and -, is in every record and file name."""

    source: Annotated[Secret | str, secret_or_text(numbers=True)] = key(
        ...,
        "rtsp://, http(s)://, udp:// or tcp:// URL, file, folder, glob, camera number, /dev/videoN, csi:// or synthetic:; "
        "never with a password: username and password are for that, or the whole URL as a secret",
    )
    username: str | None = key(None, "put into an rtsp or http URL", min_length=1)
    password: Secret | None = key(None, "put into an rtsp or http URL, with username")
    models: tuple[Name, ...] | None = key(
        None, "names from `models`; without it all of them; [] records without inference"
    )
    policy: Literal["latest", "all"] | None = key(
        None, "run the newest frame, or all; without it latest for what is live, all for files"
    )
    stride: int = key(1, "run every so-manieth frame", ge=1, le=100_000)
    transport: Literal["tcp", "udp"] = key("tcp", "of rtsp")
    realtime: bool = key(default=False, text="play a file at its own rate, as a camera sends it")
    loop: bool = key(default=False, text="begin a file again at its end, for ever")
    decoder: Literal["software", "nvdec", "nvv4l2"] = key(
        "software",
        "of rtsp, http, udp, tcp and files: nvdec is that of an NVIDIA GPU, where it can, else software; "
        "nvv4l2 that of a Jetson, by GStreamer",
    )
    open_timeout: Seconds = key(3.5, "seconds that one try to connect may take")
    read_timeout: Seconds = key(2.0, "seconds of silence, twice over, after which a camera is connected anew")
    record: bool = key(default=True, text="take part in the outputs `recording` and `events`")
    enabled: bool = key(default=True, text="false: as if the camera were not in the file")

    @field_validator("source")
    @classmethod
    def _without_password(cls, source: Secret | str) -> Secret | str:
        if isinstance(source, str):
            _check_public(source)
        return source


class Config(Strict):
    """The whole file."""

    models: dict[Name, Network] = key({}, "models by a name of your own")
    cameras: dict[Name, Camera] = key(..., "streams by name", min_length=1)
    outputs: Outputs = key(Outputs(), "where results go; without it they are only counted")
    serve: Serve | None = key(None, "/metrics and /healthz over HTTP")


def _check_public(source: str) -> None:
    if not source.strip():
        raise refusal("is empty", "a stream has an address", "source: rtsp://10.0.0.5/stream1, say")
    _, mark, rest = source.partition("://")
    if mark and "@" in rest:
        raise refusal(
            "has a user or password in its URL",
            "this file is no place for a password",
            "use the keys username: NAME and password: {env: NAME}; write an @ of the path as %40",
        )
    if PRIVATE_QUERY.search(source):
        raise refusal(
            "has a password or token in its URL",
            "this file is no place for one",
            "source: {env: NAME}, with the URL in it",
        )
