"""What every step of `python -m benchmarks.gpu` is: a program that writes down each thing it finds at once.

In: --json PART --pack DIR [--dry-run].  Out: PART, replaced whole each time, so that a step that is killed leaves what it had.
Next: run.py, which runs the steps; report.py, the form of what they write.
"""

import argparse
import json
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PACK = ROOT / "build" / "gpu-pack"
ENGINES = ROOT / "build" / "gpu-engines"  # what the step `engines` builds, and later steps time


class Part:
    """The findings of one step, on disk as soon as they are made."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self.found: dict[str, Any] = {}

    def save(self, **found: Any) -> None:
        self.found.update(found)
        if self._path:
            write_json(self._path, self.found)

    def row(self, table: str, name: str, **found: Any) -> None:
        """Add to a row of a table."""
        rows = self.found.setdefault(table, {})
        rows.setdefault(name, {}).update(found)
        self.save()

    @contextmanager
    def trying(self, table: str, name: str) -> Iterator[None]:
        """What goes wrong is a finding too, and what follows is done all the same."""
        try:
            yield
        except Exception:  # noqa: BLE001  (whatever it is belongs in the report)
            self.row(table, name, error=traceback.format_exc(limit=-3))

    @property
    def failed(self) -> bool:
        """Whether some row has an error."""
        tables = [table for table in self.found.values() if isinstance(table, dict)]
        return any("error" in row for table in tables for row in table.values() if isinstance(row, dict))


def write_json(path: Path, content: Any) -> None:
    """All of it or nothing: a reader never sees half a file."""
    beside = path.with_name(path.name + ".part")
    beside.write_text(json.dumps(content, indent=1) + "\n")
    beside.replace(path)


def parser_of(doc: str | None) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--pack", type=Path, default=PACK)
    parser.add_argument("--dry-run", action="store_true", help="all that needs no GPU")
    return parser


def module_or_none(name: str) -> Any:
    """A library that this machine may lack, or that does not import here."""
    try:
        return import_module(name)
    except (ImportError, OSError):
        return None


def lanes() -> dict[str, str]:
    """The TensorRT lanes that are installed, and their modules."""
    known = {"tensorrt-rtx": "tensorrt_rtx", "tensorrt": "tensorrt"}
    return {lane: module for lane, module in known.items() if find_spec(module)}


def zoo(pack: Path) -> list[Path]:
    """The zoo's ONNX files, of the checkout or of the pack."""
    for folder in (ROOT / "runtime" / "zoo", pack / "zoo"):
        if found := sorted(folder.glob("*.onnx")):
            return found
    return []
