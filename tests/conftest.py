"""Fixtures that several test files share."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import diffusers_folders as folders
import pytest
from clips import write_video
from diffusers_pairs import SAME_NETWORK, Both, both_of

from vedette.runtime import redaction


def pytest_configure(config: pytest.Config) -> None:
    """Where processes test side by side, each has one thread: those of PyTorch would wait for each other at full speed.

    OpenMP reads these as it is loaded, and the processes inherit them.
    """
    if config.getoption("numprocesses", None):
        os.environ.setdefault("OMP_NUM_THREADS", "1")
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


@pytest.fixture(autouse=True)
def _own_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """A password of one test is a word like any other in the next."""
    monkeypatch.setattr(redaction, "_the_one", redaction.Redactor())


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """30 numbered pictures (clips.py) at 25 a second in an H.264 .mp4, a key frame every 10. Read only."""
    return write_video(tmp_path_factory.mktemp("clip") / "clip.mp4")


@pytest.fixture(scope="session")
def pipelines(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A folder of diffusers of each kind, by its name. Read only."""
    root = tmp_path_factory.mktemp("pipelines")
    return {kind: folders.saved(root / kind, kind) for kind in folders.KINDS}


@pytest.fixture(scope="session")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Both]]:
    """A pipeline of diffusers and its bundle, made when their kind is first asked for. Read only."""
    place = tmp_path_factory.mktemp("stable_diffusion")
    with contextlib.ExitStack() as closing:

        @cache
        def made(kind: str) -> Both:
            same = made(SAME_NETWORK[kind]).bundle if kind in SAME_NETWORK else None
            pair = both_of(place, kind, same)
            closing.callback(pair.generator.close)
            return pair

        yield made
