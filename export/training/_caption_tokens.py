"""A tokenizer for captions of digits: CLIP's byte-pair encoding with few words, in the files that CLIP's have.

In: captions.  Out: their tokens; the tokenizer's files (vocab.json, merges.txt, tokenizer_config.json, special_tokens_map.json).
Next: tiny_sd.py.

Every word of a caption is one token, other words are spelt; a sign that is not here is the end token.
Source: Radford et al., Learning transferable visual models from natural language supervision, 2021 (openai/CLIP's files).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from vedette.export.training._captioned_digits import NAMES, NOUNS, OTHER_WORDS

LENGTH = 16  # tokens of a caption, with the ends
SIGNS = "abcdefghijklmnopqrstuvwxyz0123456789.,-!?"
WORDS = (
    "a",
    "an",
    "the",
    "and",
    "of",
    "picture",
    "drawing",
    *NOUNS,
    *OTHER_WORDS,
    *OTHER_WORDS.values(),
    *NAMES,
)
END_OF_WORD = "</w>"
BEGIN, END = "<|startoftext|>", "<|endoftext|>"
SPECIAL = {"bos_token": BEGIN, "eos_token": END, "unk_token": END, "pad_token": END}


def tokenizer() -> Any:
    """Transformers' CLIPTokenizer."""
    from transformers import CLIPTokenizer

    with TemporaryDirectory() as folder:
        write_tokenizer(Path(folder))
        return CLIPTokenizer.from_pretrained(folder)


def tokens_of(tokenizer: Any, texts: Sequence[str]) -> torch.Tensor:
    """As a pipeline has them, int64 [N, LENGTH]."""
    options = {"padding": "max_length", "max_length": LENGTH, "truncation": True, "return_tensors": "pt"}
    tokens: torch.Tensor = tokenizer(list(texts), **options).input_ids
    return tokens


def write_tokenizer(folder: Path) -> None:
    """Write the tokenizer's files into a folder, which is made."""
    folder.mkdir(parents=True, exist_ok=True)
    merges = merges_of(WORDS)
    tokens = [*SIGNS, *(sign + END_OF_WORD for sign in SIGNS), *map("".join, merges), BEGIN, END]
    config = {
        "tokenizer_class": "CLIPTokenizer",
        "model_max_length": LENGTH,
        "do_lower_case": True,
        **SPECIAL,
    }
    _write_json(folder / "vocab.json", {token: index for index, token in enumerate(tokens)})
    _write_json(folder / "tokenizer_config.json", config)
    _write_json(folder / "special_tokens_map.json", SPECIAL)
    lines = ["#version: 0.2", *map(" ".join, merges)]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


def merges_of(words: Sequence[str]) -> list[tuple[str, str]]:
    """Pairs in the order in which they are tried, so that each word becomes one token."""
    merges: list[tuple[str, str]] = []
    for word in words:
        while len(pieces := merged(word, merges)) > 1:
            merges.append((pieces[0], pieces[1]))
    return merges


def merged(word: str, merges: Sequence[tuple[str, str]]) -> list[str]:
    """What a word becomes: of all pairs in it, the one that is tried first is joined, again and again."""
    pieces = [*word[:-1], word[-1] + END_OF_WORD]
    while pairs := [pair for pair in pairwise(pieces) if pair in merges]:
        at = list(pairwise(pieces)).index(min(pairs, key=merges.index))
        pieces[at : at + 2] = [pieces[at] + pieces[at + 1]]
    return pieces


def _write_json(path: Path, document: object) -> None:
    path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
