"""Fixtures that several test files share."""

from pathlib import Path

import pytest
from clips import write_video


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """30 numbered pictures (clips.py) at 25 a second in an H.264 .mp4, a key frame every 10. Read only."""
    return write_video(tmp_path_factory.mktemp("clip") / "clip.mp4")
