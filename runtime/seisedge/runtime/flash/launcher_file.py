"""The launcher as one file, `flash.pyz`: a zip archive that Python runs, with the libraries that it needs inside.

The content is stored, in order and without times: the same versions of seisedge, securesystemslib and installer give
the same bytes.
"""

from __future__ import annotations

import importlib.util
import io
import zipfile
from collections.abc import Iterator
from importlib.metadata import distribution
from pathlib import Path, PurePosixPath

from seisedge.runtime.errors import InputError
from seisedge.runtime.machine import install_command

LIBRARIES = ("installer", "securesystemslib")
ROOMS = ("bundle", "launcher")
MODULES = (
    "__init__.py", "addresses.py", "errors.py", "files.py", "notify.py", "output.py", "paths.py", "safe_mode.py",
    "text.py", "tomlfile.py",
)  # fmt: skip
SHEBANG = b"#!/usr/bin/env python3\n"
MAIN = b"""import sys

if sys.version_info < (3, 11):
    sys.exit(f"Error: flash.pyz needs Python 3.11 or newer, this is {sys.version.split()[0]}; run it with python3.12")

from seisedge.runtime.launcher.command import main

sys.exit(main())
"""


def launcher_bytes() -> bytes:
    """The file `flash.pyz`. Raises InputError where a library is missing."""
    contents = {"__main__.py": MAIN, "seisedge/__init__.py": b""}
    runtime = Path(__file__).parents[1]
    sources = [(path, f"seisedge/runtime/{path.name}") for path in (runtime / name for name in MODULES)]
    for room in ROOMS:
        sources += [(path, f"seisedge/runtime/{room}/{path.name}") for path in (runtime / room).glob("*.py")]
    for library in LIBRARIES:
        sources += _of_library(library)
    contents |= {name: path.read_bytes() for path, name in sources}
    for name in list(contents):  # without entries of folders Python finds no package that lacks an __init__.py
        contents |= {f"{parent}/": b"" for parent in map(str, PurePosixPath(name).parents) if parent != "."}
    written = io.BytesIO()
    written.write(SHEBANG)
    with zipfile.ZipFile(written, "a", zipfile.ZIP_STORED) as archive:
        for name in sorted(contents):
            info = zipfile.ZipInfo(name)
            info.create_system, info.external_attr = 3, (0o040755 if name.endswith("/") else 0o100644) << 16
            archive.writestr(info, contents[name])
    return written.getvalue()


def _of_library(name: str) -> Iterator[tuple[Path, str]]:
    """Modules of an installed library and its licence, with their names in the archive."""
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise InputError(f"{name} is missing, which the launcher contains; {install_command('flash')}")
    folder = Path(spec.origin).parent
    for path in folder.rglob("*.py"):
        if not path.name.startswith("test_"):
            yield path, f"{name}/{path.relative_to(folder).as_posix()}"
    for file in distribution(name).files or []:
        if file.name.upper().startswith("LICENSE"):
            yield Path(str(file.locate())), f"{name}/{file.name}"
