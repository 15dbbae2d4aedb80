"""The same tests at another level of the C++ kernels, which is fixed when the library loads: a process each."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from vedette.kernels import native

LEVELS = range(3)


def need_level(wanted: int) -> None:
    """Skip, saying so, what this processor lacks: a level above its own has instructions that would kill the process."""
    if wanted > native.level():
        pytest.skip(f"this processor has no {native.LEVELS[wanted]}, or the library is not built")


def run_at_level(wanted: int, file: str, keyword: str) -> None:
    """Run the tests of a file whose names contain the keyword at a level; skip what this processor lacks."""
    need_level(wanted)
    if wanted == native.level():
        return  # this process runs them
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", file, "-k", keyword]
    environment = {**os.environ, "VEDETTE_CPU": str(wanted)}
    folder = Path(__file__).parents[1]
    done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:]
    assert " passed" in done.stdout
