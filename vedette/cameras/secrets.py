"""Secrets of a configuration: named in the file, kept in the environment or in files of their own.

In: a validated Config.  Out: texts by their place in it; every one is known to errors.redact() from then on.
"""

import logging
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel

from vedette.cameras.parts import Secret
from vedette.cameras.problems import Loc, dotted
from vedette.cameras.schema import Config
from vedette.runtime.errors import redact, remember_secret

log = logging.getLogger(__name__)
MOST_BYTES = 65_536
Secrets = dict[Loc, str]
Fault = tuple[Loc, str, str, str]  # where, what, why, cure


def resolved(config: Config) -> tuple[Secrets, list[Fault]]:
    """Every secret of a configuration that can be had, and what is wrong with the others."""
    found: Secrets = {}
    faults: list[Fault] = []
    for loc, secret in secrets_in(config):
        try:
            found[loc] = _text_of(secret)
        except _UnusableError as error:
            source = "env" if secret.env is not None else "file"
            faults.append(((*loc, source), f"{dotted(loc)} cannot be had", str(error), error.cure))
            continue
        remember_secret(found[loc])
    return found, faults


def secrets_in(value: object, loc: Loc = ()) -> Iterator[tuple[Loc, Secret]]:
    """Every secret with its place."""
    if isinstance(value, Secret):
        yield loc, value
    elif isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from secrets_in(getattr(value, name), (*loc, name))
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from secrets_in(item, (*loc, key))


class _UnusableError(Exception):
    def __init__(self, why: str, cure: str) -> None:
        super().__init__(why)
        self.cure = cure


def _text_of(secret: Secret) -> str:
    text = _of_file(Path(secret.file)) if secret.file is not None else _of_environment(secret.env or "")
    if not text:
        raise _UnusableError("it is empty", "put the secret there")
    if any(ord(character) < 32 or ord(character) == 127 for character in text):
        raise _UnusableError(
            "it holds a line break or control character", "keep the secret alone, on one line"
        )
    return text


def _of_environment(name: str) -> str:
    text = os.environ.get(name)
    if text is None:
        raise _UnusableError(
            "no environment variable has the name that stands here", "set it, or correct the name"
        )
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise _UnusableError("the environment variable is not UTF-8", "set it anew")
    return text


def _of_file(path: Path) -> str:
    """The text of a secret's file, without one line break at its end; a pipe could hold us up for ever."""
    cure = "name a small text file that this user may read"
    try:
        state = path.stat()
        if not stat.S_ISREG(state.st_mode) or state.st_size > MOST_BYTES:
            raise _UnusableError(f"it is no plain file of at most {MOST_BYTES} bytes", cure)
        text = path.read_bytes().decode("utf-8")
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise _UnusableError((why or "it cannot be read").lower(), cure) from None
    if state.st_mode & stat.S_IROTH:
        log.warning(
            "every user of this machine may read the secret in %s; chmod 600 keeps it", redact(str(path))
        )
    return text.removesuffix("\n").removesuffix("\r")
