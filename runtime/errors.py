"""Every error that Vedette raises on purpose; the exit code of the command line is the class's.

VedetteError            1   our own fault
├── UsageError          2   a flag, an argument or a config
├── SourceError         3   a camera, video or picture that cannot be read
├── ModelError          4   a model or engine that is refused
│   └── ManifestError   4   its manifest is wrong, missing or for other bytes
├── DeviceError         5   GPU or driver
└── DiskError           6   an output that cannot be written
"""

import contextlib
from collections.abc import Iterator

from vedette.runtime.redaction import redact as redact
from vedette.runtime.redaction import redact_uri as redact_uri
from vedette.runtime.redaction import remember_secret as remember_secret
from vedette.runtime.redaction import remember_uri as remember_uri


class VedetteError(Exception):
    """What happened, why, and what to do about it: one line each."""

    exit_code = 1

    def __init__(self, what: str, *, why: str = "", cure: str = "") -> None:
        self.what, self.why, self.cure = (" ".join(redact(text).split()) for text in (what, why, cure))
        super().__init__(self.what)

    def __str__(self) -> str:
        return f"{self.what}\n  why: {self.why or 'no more is known'}\n  cure: {self.cure or 'run again with --debug'}"


class UsageError(VedetteError):
    """A flag, an argument or a config that cannot be meant."""

    exit_code = 2


class SourceError(VedetteError):
    """A camera, video or picture that cannot be read.

    Attributes:
        code: one word for programs: refused, login, missing, timeout, silent, ended, empty, unreadable, closed or failed.
    """

    exit_code = 3

    def __init__(self, what: str, *, why: str = "", cure: str = "", code: str = "failed") -> None:
        super().__init__(what, why=why, cure=cure)
        self.code = code


class ModelError(VedetteError):
    """A model or engine that is refused."""

    exit_code = 4


class ManifestError(ModelError):
    """A manifest that is missing, malformed, or does not belong to the bytes beside it."""


class DeviceError(VedetteError):
    """A GPU, driver or device library that is missing or failed."""

    exit_code = 5


@contextlib.contextmanager
def device_errors() -> Iterator[None]:
    """What the device layer of the kernels raises, as a DeviceError; who has no device never imports that layer."""
    from vedette.kernels.device import CudaError

    try:
        yield
    except CudaError as error:
        raise DeviceError(error.what, why=error.why, cure=error.cure) from None


class DiskError(VedetteError):
    """An output that cannot be written."""

    exit_code = 6
