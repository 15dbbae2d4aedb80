"""What pyproject.toml cannot say: one C++ library, optional unless VEDETTE_REQUIRE names it (make and CI do)."""

import hashlib
import os
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

KERNELS = Path(
    "vedette/kernels"
)  # through the link, so that the path is the same in a checkout and in an sdist
REQUIRED = os.environ.get("VEDETTE_REQUIRE", "").split()

if not KERNELS.is_dir():
    raise SystemExit(
        "\nvedette/kernels should be a symbolic link to ../kernels: this copy was made without symbolic links.\n"
        "  cure: git config core.symlinks true && git checkout -f -- vedette   (or unpack it with a tool that keeps links)\n"
    )

SOURCES = sorted(KERNELS.glob("native/*.cpp"))
HEADERS = sorted([*KERNELS.glob("*.h"), *KERNELS.glob("native/*.h"), *KERNELS.glob("native/*.inc")])
DIGEST = hashlib.sha256(b"".join(path.read_bytes() for path in SOURCES + HEADERS)).hexdigest()[:16]


class BuildNative(build_ext):
    """A failed build must not leave yesterday's library behind."""

    def run(self) -> None:
        if self.inplace or self.editable_mode:
            for old in KERNELS.glob("_native*.so"):
                old.unlink()
        super().run()


setup(
    cmdclass={"build_ext": BuildNative},
    ext_modules=[
        Extension(
            "vedette.kernels._native",
            sources=[str(path) for path in SOURCES],
            depends=[str(path) for path in HEADERS],
            define_macros=[("VEDETTE_DIGEST", f'"{DIGEST}"')],
            extra_compile_args=[
                "-std=c++17",
                "-O3",
                "-g0",
                "-fvisibility=hidden",
                "-ffp-contract=off",
                "-fno-math-errno",
            ],
            language="c++",
            py_limited_api=True,  # only the file's name: _native.abi3.so, one for every Python
            optional="native" not in REQUIRED,
        )
    ],
    options={"bdist_wheel": {"py_limited_api": "cp310"}},
)
