"""Imports point one way, and what is light stays light."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ALLOWED = {
    "kernels": {"kernels"},
    "runtime": {"kernels", "runtime"},
    "export": {"kernels", "runtime", "export"},
}


def imported_layers(path: Path) -> set[str]:
    layers = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.module:
            names.append(node.module)
        layers |= {name.split(".")[1] for name in names if name.startswith("vedette.")}
    return layers


@pytest.mark.parametrize("layer", ALLOWED)
def test_imports_point_one_way(layer: str) -> None:
    for path in (ROOT / layer).rglob("*.py"):
        beyond = imported_layers(path) - ALLOWED[layer]
        assert not beyond, f"{path.relative_to(ROOT)} imports {beyond}"


def loaded_by(statement: str) -> set[str]:
    script = f"import sys; before = set(sys.modules); {statement}; print(*(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return {name.partition(".")[0] for name in done.stdout.split()}


def test_importing_vedette_loads_only_the_standard_library_and_numpy() -> None:
    foreign = loaded_by("import vedette") - set(sys.stdlib_module_names) - {"vedette", "numpy"}
    assert not {name for name in foreign if not name.startswith("__editable__")}


def test_no_module_of_runtime_or_kernels_loads_torch() -> None:
    walk = (
        "import pkgutil, importlib, vedette, vedette.runtime, vedette.kernels; "
        "found = [m.name for p in (vedette.runtime, vedette.kernels)"
        " for m in pkgutil.walk_packages(p.__path__, p.__name__ + '.')"
        " if not m.name.endswith('._native')]; "
        "assert len(found) > 30; [importlib.import_module(name) for name in found]"
    )
    assert "torch" not in loaded_by(walk)
    assert loaded_by(walk) - set(sys.stdlib_module_names) <= {"vedette", "numpy", "__mp_main__"}


def test_no_plugin_is_named_after_a_library_that_it_imports() -> None:
    for path in (ROOT / "runtime").rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        imports = {
            alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names
        }
        assert path.stem not in imports


def test_the_three_links_are_relative() -> None:
    for name in ("export", "runtime", "kernels"):
        assert (ROOT / "vedette" / name).readlink() == Path("..") / name
