"""The three roots share one namespace, and the station's half stays light."""

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests import generated

ROOT = Path(__file__).parents[1]
ROOTS = [ROOT / name for name in ("runtime", "export", "train")]
HEAVY = {"torch", "scipy", "obspy", "matplotlib", "pandas", "h5py", "onnx", "seisedge.train", "seisedge.export"}
HEAVY |= {"tensorrt", "tensorrt_rtx", "pycuda"}  # loaded where an engine of theirs is asked for


def test_namespace_has_no_init() -> None:
    """An __init__.py in one root would hide the other two."""
    assert [p for root in ROOTS for p in root.glob("seisedge/__init__.py")] == []


def test_no_runtime_module_loads_the_workstations_libraries() -> None:
    script = (
        "import importlib, json, pkgutil, sys, seisedge.runtime as r\n"
        "names = [m.name for m in pkgutil.walk_packages(r.__path__, 'seisedge.runtime.')]\n"
        "for name in names: importlib.import_module(name)\n"
        "import seisedge.cli\n"
        "print(json.dumps([len(names), sorted(sys.modules)]))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    count, loaded = json.loads(done.stdout)
    assert count > 40
    assert sorted(HEAVY & set(loaded)) == []


def test_help_and_version_load_no_engine() -> None:
    script = (
        "import sys\nfrom click.testing import CliRunner\nfrom seisedge.cli import main\n"
        "result = CliRunner().invoke(main, ['--help'])\nassert result.exit_code == 0, result.output\n"
        "print(sorted({'numpy', 'onnxruntime', 'pymseed'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def _imports(source: str) -> Iterator[str]:
    """Every module that the source imports, also inside functions and by name; `a.b` of `from a import b`, too."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.module and not node.level, "imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if called in ("import_module", "__import__", "importorskip"):
                yield str(node.args[0].value)


def _within(module: str, packages: set[str]) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in packages)


@pytest.mark.parametrize(
    "source",
    [
        "import torch",
        "import numpy, torch.nn as nn",
        "from torch.nn import functional",
        "def f():\n    from seisedge import train",
        "def f():\n    if True:\n        import seisedge.export.gate",
        "import importlib\ndef f():\n    return importlib.import_module('scipy.signal')",
        "__import__('obspy')",
    ],
)
def test_a_hidden_import_is_found(source: str) -> None:
    assert any(_within(module, HEAVY) for module in _imports(source))


def test_imports_point_one_way() -> None:
    """export → train → runtime, also inside functions, where import-linter's graph may not look."""
    at_the_station = HEAVY - {"tensorrt", "tensorrt_rtx", "pycuda"}  # those only where such an engine is configured
    forbidden = {"runtime": at_the_station, "train": {"seisedge.export"}}
    found = [
        f"{path.relative_to(ROOT)} imports {module}"
        for root, packages in forbidden.items()
        for path in sorted((ROOT / root).rglob("*.py"))
        for module in _imports(path.read_text(encoding="utf-8"))
        if _within(module, packages)
    ]
    assert found == []


def test_engines_are_below_bench_demo_and_sources() -> None:
    for path in (ROOT / "runtime/seisedge/runtime/engines").glob("*.py"):
        text = path.read_text(encoding="utf-8")
        for room in ("bench", "demo", "sources", "commands"):
            assert f"seisedge.runtime.{room}" not in text, f"{path.name}: {room}"


@pytest.mark.parametrize("path", list(generated.files()), ids=lambda path: path.name)
def test_generated_files_are_what_the_code_says(path: Path) -> None:
    assert path.read_text(encoding="utf-8") == generated.files()[path], "run `make docs`"
