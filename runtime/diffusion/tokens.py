"""A prompt as the tokens that an encoder reads.

In: tokenizer.json, in the tokenizers library's own format, and a prompt.  Out: Tokens, with the words that did not fit.
Next: bundles/_conditions.py, which asks the encoders.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from vedette.runtime.errors import ManifestError, ModelError
from vedette.runtime.frame import Array


@dataclass(frozen=True, slots=True)
class Text:
    """How one encoder is told a prompt: begin, as many tokens as fit, end, and the rest filled."""

    tokenizer: str  # a file of the bundle
    part: str
    length: int
    begin: int
    end: int
    pad: int

    def __post_init__(self) -> None:
        if self.length < 3 or min(self.begin, self.end, self.pad) < 0:
            raise ValueError("a prompt is 3 tokens or more, none below 0")


@dataclass(frozen=True, slots=True, eq=False)
class Tokens:
    """What an encoder reads."""

    ids: Array  # int64 [length]
    dropped: str = ""  # the end of the prompt as it was written, where it was too long


def tokens(tokenizer: bytes, text: Text, prompt: str) -> Tokens:
    """Of a prompt.

    Args:
        tokenizer: the file that `text` names.
        text: of an encoder.
        prompt: of any length.

    Raises:
        ModelError: the tokenizers library is not installed.
        ManifestError: it does not read the file.
    """
    found = _opened(tokenizer).encode(prompt, add_special_tokens=False)
    room = text.length - 2
    ids = np.full(text.length, text.pad, np.int64)
    told = [text.begin, *found.ids[:room], text.end]
    ids[: len(told)] = told
    dropped = prompt[found.offsets[room][0] :] if len(found.ids) > room else ""
    return Tokens(ids, dropped.strip())


@lru_cache(maxsize=4)
def _opened(data: bytes) -> Any:
    try:
        from tokenizers import Tokenizer
    except ImportError:
        raise ModelError(
            "a prompt cannot be read here",
            why="the tokenizers library is not installed",
            cure="pip install 'vedette[diffusion]'",
        ) from None
    try:
        tokenizer = Tokenizer.from_str(data.decode())
    except Exception as error:  # noqa: BLE001  (it raises no other)
        raise ManifestError(
            "the tokenizer of the bundle cannot be read", why=str(error)[:200], cure="export the bundle again"
        ) from None
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer
