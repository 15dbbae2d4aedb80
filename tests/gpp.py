"""Where there is no g++, the kernels' shim and the fake GPU cannot be compiled: their tests say so."""

import shutil

import pytest

needs_gpp = pytest.mark.skipif(
    shutil.which("g++") is None,
    reason="SKIPPED: no g++, which compiles the kernels for a machine without a GPU",
)
