"""The keys of `outputs` and `serve`. Next: assemble.py, which makes sinks of them."""

import re
from typing import Annotated, Literal

from pydantic import Field, field_validator

from vedette.cameras.parts import PRIVATE_QUERY, URL, Secret, Short, Strict, key, refusal, secret_or_text

Labels = tuple[str, ...]
Days = Annotated[float, Field(gt=0, le=36_500)]
Gigabytes = Annotated[float, Field(gt=0, le=1e6)]
Share = Annotated[float, Field(ge=0, le=1)]
PRIVATE_HEADERS = r"authorization|cookie|.*(token|key|secret|password).*"
LOCAL = r"localhost|127(\.\d{1,3}){3}|\[?::1\]?"


class Json(Short):
    """JSON lines, one record a frame and model. A text in place of these keys is `path`."""

    SHORT = "path"

    path: str = key(..., "file; - is standard output", min_length=1)
    rotate_mb: Annotated[float, Field(gt=0, le=1e6)] | None = key(
        None, "megabytes after which a new file is begun and the old one becomes PATH.1; without it never"
    )
    keep: int = key(5, "how many old files are kept", ge=1, le=10_000)


class Recording(Short):
    """What the cameras sent, unchanged, in files of about equal length. A text in place of these keys is `folder`."""

    SHORT = "folder"

    folder: str = key(..., "files are FOLDER/CAMERA/DATE/CAMERA-TIME.mp4, in UTC", min_length=1)
    segment: float = key(60.0, "seconds a file, to the next key frame", ge=1, le=86_400)
    keep_days: Days | None = key(None, "older files are deleted; without it none")
    keep_gb: Gigabytes | None = key(None, "gigabytes that the folder may hold, oldest deleted first")
    min_free_gb: float = key(
        1.0, "gigabytes of the disk that are left free; recording pauses below", ge=0, le=1e6
    )


class Events(Short):
    """A clip and a JSON file of each time that something is seen. A text in place of these keys is `folder`."""

    SHORT = "folder"

    folder: str = key(..., "where clips go", min_length=1)
    classes: Labels = key((), "of what; none named: anything")
    min_conf: Share = key(0.5, "lowest score that counts")
    min_frames: int = key(3, "in so many of the last 5 frames it must be seen", ge=1, le=5)
    pre_roll: float = key(5.0, "seconds kept from before", ge=0, le=60)
    post_roll: float = key(5.0, "seconds kept after the last sight", ge=0, le=600)
    max: float = key(120.0, "seconds after which a clip ends in any case", gt=0, le=86_400)
    keep_days: Days | None = key(None, "older clips are deleted; without it none")
    keep_gb: Gigabytes | None = key(None, "gigabytes that the folder may hold, oldest deleted first")
    min_free_gb: float = key(1.0, "gigabytes of the disk that are left free; clips pause below", ge=0, le=1e6)


class Mqtt(Short):
    """Records and states at a broker. A text in place of these keys is `host`."""

    SHORT = "host"

    host: str = key(..., "name or address of the broker", pattern=r"^[^\s/@:]+$|^[0-9A-Fa-f:.]+$")
    port: int = key(1883, "8883 is usual with tls", ge=1, le=65_535)
    topic: str = key(
        "vedette",
        "records go to TOPIC/CAMERA/MODEL, states to TOPIC/CAMERA/state",
        pattern=r"^[^+#$/\s][^+#\s]*$",
    )
    username: str | None = key(None, "for the broker", min_length=1)
    password: Secret | None = key(None, "for the broker, with username")
    tls: bool = key(default=False, text="encrypt, and check the broker's certificate")
    client_id: str | None = key(None, "without it one is made", min_length=1)
    qos: Literal[0, 1, 2] = key(0, "MQTT's quality of service")
    every: Literal["frame", "change"] = key(
        "frame", "send each record, or only those in which the objects change"
    )


class Webhook(Short):
    """An HTTP POST when something appears. A text in place of these keys is `url`."""

    SHORT = "url"

    url: Annotated[Secret | str, secret_or_text()] = key(
        ..., "http or https; a secret where the URL itself is the key"
    )
    classes: Labels = key((), "of what; none named: anything")
    min_conf: Share = key(0.5, "lowest score that counts")
    headers: dict[str, Annotated[Secret | str, secret_or_text()]] = key(
        {}, "more HTTP headers; those that log in are secrets"
    )
    secret: Secret | None = key(None, "key of an HMAC-SHA256 signature of the body, in a header")
    timeout: Annotated[float, Field(gt=0, le=300)] = key(5.0, "seconds that one try may take")
    retries: int = key(5, "tries after the first", ge=0, le=100)
    min_interval: float = key(0.0, "seconds between two posts of a camera", ge=0, le=86_400)

    @field_validator("url")
    @classmethod
    def _public(cls, url: Secret | str) -> Secret | str:
        if isinstance(url, str) and (PRIVATE_QUERY.search(url) or not URL.fullmatch(url)):
            raise refusal(
                "is not an http URL free of users, passwords and tokens",
                "what logs in is a secret",
                "url: https://…, or url: {env: NAME}",
            )
        return url

    @field_validator("headers")
    @classmethod
    def _sendable(cls, headers: dict[str, Secret | str]) -> dict[str, Secret | str]:
        for name, value in headers.items():
            if not re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", name):
                raise refusal(
                    "holds a name that is none of a header",
                    "it is letters, digits and hyphens",
                    "X-Site: north, say",
                )
            if isinstance(value, str) and re.fullmatch(PRIVATE_HEADERS, name, re.IGNORECASE):
                raise refusal(
                    "holds a header that logs in",
                    "this file is no place for its value",
                    "give that header {env: NAME}, or {file: PATH}, in place of its text",
                )
        return headers


class Outputs(Strict):
    """Where results go; each has a thread and a bounded queue of its own."""

    save: str | None = key(None, "folder for annotated video, a file a camera", min_length=1)
    lines: Json | None = key(None, "JSON lines", alias="json")  # json() is a method of every model
    recording: Recording | None = key(None, "what the cameras sent")
    events: Events | None = key(None, "clips of what was seen")
    mqtt: Mqtt | None = key(None, "records and states at a broker")
    webhook: Webhook | None = key(None, "an HTTP POST when something appears")


class Serve(Short):
    """`/metrics` for Prometheus and `/healthz`. A text in place of these keys is `address`."""

    SHORT = "address"

    address: str = key(..., "HOST:PORT; a host that others can reach needs a token")
    token: Secret | None = key(None, "asked for as `Authorization: Bearer`")

    @field_validator("address")
    @classmethod
    def _host_and_port(cls, address: str) -> str:
        found = re.fullmatch(r"([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\]):([0-9]{1,5})", address)
        if not found or int(found[2]) > 65_535:
            raise refusal("is not HOST:PORT", "a port is 0 to 65535", "address: 127.0.0.1:9100, say")
        return address

    def is_local(self) -> bool:
        """Whether only this machine can reach it."""
        return re.fullmatch(LOCAL, self.address.rpartition(":")[0]) is not None
