"""Are the kernels right on this GPU?   Run: python benchmarks/gpu/kernel_tests.py [--json PART]

pytest -m gpu over tests/gpu; counts, the reason of each skip, and the end of each failure.
"""

import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from pathlib import Path

from step import ROOT, Part, parser_of

OPTIONS = (
    "-q",
    f"--confcutdir={ROOT / 'tests' / 'gpu'}",  # without tests/conftest.py, which needs PyAV
    "-p",
    "no:cacheprovider",
    "--tb=short",
    "-rs",
    "-Wdefault",  # pycuda may warn of the NumPy that is there
)


def main() -> int:
    arguments = parser_of(__doc__).parse_args()
    part = Part(arguments.json)
    with tempfile.TemporaryDirectory() as folder:
        xml = Path(folder) / "junit.xml"
        chosen = ["--collect-only"] if arguments.dry_run else [f"--junitxml={xml}"]
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-m",
            "gpu",
            *OPTIONS,
            *chosen,
            str(ROOT / "tests" / "gpu"),
        ]
        code = subprocess.run(command, cwd=ROOT, check=False).returncode
        if xml.is_file():
            part.save(**counted(xml))
    return code if arguments.dry_run or part.found.get("passed") else code or 1  # skipping all is no success


def counted(xml: Path) -> dict[str, object]:
    """The tests of a JUnit file by what became of them."""
    failures: dict[str, str] = {}
    skips: dict[str, str] = {}
    seconds: dict[str, float] = {}
    for case in ElementTree.parse(xml).iter("testcase"):
        name = f"{case.get('classname')}::{case.get('name')}"
        seconds[name] = float(case.get("time") or 0)
        for kind, found in (("failure", failures), ("error", failures), ("skipped", skips)):
            told = case.find(kind)
            if told is not None:
                found[name] = ((told.text or "") + (told.get("message") or ""))[-2000:]
    passed = len(seconds) - len(failures) - len(skips)
    counts = {"passed": passed, "failed": len(failures), "skipped": len(skips)}
    return {**counts, "failures": failures, "skips": skips, "seconds": seconds}


if __name__ == "__main__":
    raise SystemExit(main())
