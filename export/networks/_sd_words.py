"""A pipeline's tokenizers in the format of the `tokenizers` library, which the runtime reads without transformers.

In: a tokenizer's folder, with tokenizer.json or with vocab.json and merges.txt.  Out: Words.  Next: stable_diffusion.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vedette.runtime.errors import ModelError

LONGEST = 4096  # no length at all is written as 1e30
PROMPTS = ("a photograph of an astronaut riding a horse", "", "a thick seven, oil on canvas, very detailed")


@dataclass(frozen=True, slots=True, eq=False)
class Words:
    """One tokenizer.

    Attributes:
        file: tokenizer.json.
        length: tokens of a text, with its begin, its end, and what fills it up.
        begin: the number of that token; likewise end and pad.
    """

    file: bytes
    length: int
    begin: int
    end: int
    pad: int

    def tokens(self, texts: Sequence[str]) -> list[list[int]]:
        """Of each text as many as the network takes."""
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_str(self.file.decode())
        return [self._filled(tokenizer.encode(text, add_special_tokens=False).ids) for text in texts]

    def _filled(self, ids: list[int]) -> list[int]:
        whole = [self.begin, *ids[: self.length - 2], self.end]
        return whole + [self.pad] * (self.length - len(whole))


def words_of(folder: Path, positions: int) -> Words:
    """Read a tokenizer.

    Args:
        folder: of the tokenizer.
        positions: that the text encoder has.

    Raises:
        ModelError: it cannot be read, or lacks one of its special tokens.
    """
    tokenizer = _read(folder)
    numbers = [getattr(tokenizer, f"{name}_token_id") for name in ("bos", "eos", "pad")]
    length = min(int(min(tokenizer.model_max_length, LONGEST)), positions)
    if None in numbers or length < 3:
        raise ModelError(
            f"{folder.name} does not fit a text encoder",
            why=f"begin, end and pad are {numbers}, the length is {length}",
            cure="copy the folder again, whole",
        )
    made = tokenizer.backend_tokenizer
    made.no_truncation()
    made.no_padding()
    return Words(made.to_str().encode(), length, *numbers)


def _read(folder: Path) -> Any:
    import transformers

    fast: Any = (
        vars(transformers).get("CLIPTokenizerFast") or transformers.CLIPTokenizer
    )  # the same since release 5
    if not (folder / "tokenizer.json").is_file() and not (folder / "vocab.json").is_file():
        raise ModelError(
            f"{folder.name} has no words",
            why="neither tokenizer.json nor vocab.json is in it",
            cure="copy the folder again",
        )
    try:
        return fast.from_pretrained(folder, local_files_only=True)
    except Exception as error:  # noqa: BLE001  (its readers' errors share no base class)
        raise ModelError(
            f"cannot read {folder.name}", why=f"{type(error).__name__}: {str(error)[:200]}", cure="copy the folder again"
        ) from None  # fmt: skip
