"""A throw-away environment for the peers that must not be dependencies.   Run: python benchmarks/_peer_environment.py

It lies in build/peers/env and sees this environment's packages, so that both sides run on the same numpy, OpenCV, PyTorch
and ONNX Runtime. To it come Ultralytics (AGPL: it is run and timed, nothing of it is copied), without its dependencies,
and rtmlib. Ultralytics asks for the version of torchvision when it is imported, and torchvision has no wheel for this
PyTorch: _peer_torchvision.py stands in for it.
Out: the environment's python, and a network that all candidates take.
"""

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import numpy as np
from _clip import pictures
from _machine import BUILD

PEERS = BUILD.with_name("peers")
ENVIRONMENT = PEERS / "env"
PYTHON = ENVIRONMENT / "bin" / "python"
NETWORK = PEERS / "yolov8n.onnx"
DONE = PEERS / "complete"
PACKAGES = (
    "ultralytics==8.4.190",
    "rtmlib==0.0.16",
    "supervision==0.31.2",
    "ultralytics-thop",
    "psutil",
    "polars",
)
BINARIES = ("polars-runtime-32",)  # what their packages would bring
QUIET = {"YOLO_CONFIG_DIR": str(PEERS / "settings"), "YOLO_OFFLINE": "true", "YOLO_VERBOSE": "false"}


def made() -> str:
    """Make it all, once; why it cannot be made, or nothing."""
    try:
        if not DONE.is_file():
            _make_environment()
            _make_network()
            DONE.write_text("")
    except (OSError, subprocess.CalledProcessError) as error:
        return f"no environment for the peers could be made: {error}"
    return ""


def there() -> bool:
    """Whether it was made."""
    return DONE.is_file()


def _make_environment() -> None:
    venv.create(ENVIRONMENT, with_pip=True, clear=True)
    ours = sysconfig.get_path("purelib")
    theirs = Path(_run("-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    (theirs / "vedette_environment.pth").write_text(f"import site; site.addsitedir({ours!r})\n")
    _run("-m", "pip", "install", "-q", "--no-deps", *PACKAGES, *BINARIES)
    _stand_in_for_torchvision(theirs)


def _stand_in_for_torchvision(site: Path) -> None:
    """The module, its library, and the entry that tells its version."""
    module, entry = site / "torchvision", site / "torchvision-0.28.0.dist-info"
    module.mkdir()
    entry.mkdir()
    (entry / "METADATA").write_text("Metadata-Version: 2.1\nName: torchvision\nVersion: 0.28.0\n")
    here = Path(__file__).parent
    shutil.copy(here / "_peer_torchvision.py", module / "__init__.py")
    source, library = str(here / "peer_nms.cpp"), str(module / "peer_nms.so")
    subprocess.run(["c++", "-O3", "-shared", "-fPIC", source, "-o", library], check=True)


def _make_network() -> None:
    import cv2

    (PEERS / "settings").mkdir(parents=True, exist_ok=True)
    square = np.full((8, 640, 640, 3), 114, np.uint8)
    square[:, 140:500] = [cv2.resize(picture, (640, 360)) for picture in pictures(8, stride=12)]
    batch = PEERS / "pictures.npy"
    np.save(batch, square[..., ::-1].transpose(0, 3, 1, 2).astype(np.float32) / 255)
    _run(str(Path(__file__).with_name("_peer_network.py")), str(batch), str(NETWORK))
    batch.unlink()


def _run(*arguments: str) -> str:
    return subprocess.run(
        [str(PYTHON), *arguments],
        env={**os.environ, **QUIET, "OMP_NUM_THREADS": "1"},
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout


if __name__ == "__main__":
    sys.exit(made())
