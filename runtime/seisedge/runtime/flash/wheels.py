"""The wheels of a bundle: exact versions, resolved for the hardware they are for.

uv resolves for another machine and Python than those of the workstation; pip evaluates environment markers for the
machine it runs on. pip then downloads what was resolved, by hash.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from importlib.metadata import requires, version
from pathlib import Path

from seisedge.runtime.errors import FailedError, InputError
from seisedge.runtime.flash.profile import Profile
from seisedge.runtime.text import reason_of, shortened

GLIBC = ("2_28", "2_27", "2_26", "2_24", "2_17")  # of Debian 11 and later, and of all JetPack releases from 6 on
EXTRAS = ("mqtt",)


def make_wheels(profile: Profile, folder: Path, seisedge: Path) -> list[str]:
    """Fill a folder with the wheels for all versions of Python in a profile; returns their names.

    seisedge: its wheel. Raises InputError where uv or the wheel is missing, FailedError with the tool's last line.
    """
    uv = shutil.which("uv")
    if uv is None:
        raise InputError("uv is missing, which resolves versions for another machine; pip install 'seisedge[flash]'")
    if not seisedge.is_file() or not seisedge.name.startswith("seisedge-"):
        raise InputError(f"{seisedge}: no wheel of seisedge; make one with 'pip wheel --no-deps -w dist .' in a clone")
    if folder.exists() and any(folder.iterdir()):
        raise InputError(f"{folder}: the folder is not empty; name a new one, so that no old version remains in it")
    with tempfile.TemporaryDirectory() as scratch:
        wanted, lock, found = Path(scratch) / "wanted.in", Path(scratch) / "lock.txt", Path(scratch) / "wheels"
        wanted.write_text("\n".join(_requirements()) + "\n", encoding="utf-8")
        for python in profile.python:
            # fmt: off
            _run([uv, "pip", "compile", str(wanted), "--quiet", "--generate-hashes", "--no-header",
                  "--output-file", str(lock), "--only-binary", ":all:", "--python-version", python,
                  "--python-platform", f"{profile.machine}-manylinux_{GLIBC[0]}", *_index()])
            tags = [f"manylinux_{glibc}_{profile.machine}" for glibc in GLIBC] + [f"manylinux2014_{profile.machine}"]
            _run([sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes",
                  "--requirement", str(lock), "--dest", str(found), "--only-binary", ":all:",
                  "--implementation", "cp", "--python-version", python,
                  *(word for tag in tags for word in ("--platform", tag))])
            # fmt: on
        shutil.copy(seisedge, found)
        folder.mkdir(parents=True, exist_ok=True)
        for path in found.iterdir():
            shutil.move(path, folder)
    return sorted(path.name for path in folder.glob("*.whl"))


def _requirements() -> list[str]:
    """What a station needs besides seisedge, from the metadata of this installation."""
    kept = []
    for line in requires("seisedge") or []:
        requirement, _, marker = line.partition(";")
        extra = re.search(r"extra\s*==\s*['\"]([^'\"]+)", marker)
        if extra is None or extra[1] in EXTRAS:
            kept.append(requirement.strip())
    return kept


def _index() -> list[str]:
    """pip's indexes, for uv, which does not read pip's settings; local folders have no wheels for other machines."""
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False
    )
    options: list[str] = []
    for line in listed.stdout.splitlines():
        key, _, value = line.partition("=")
        name = key.rpartition(".")[2]
        if name in ("index-url", "extra-index-url"):
            for url in value.strip("'\"").replace("\\n", " ").split():
                if url.startswith(("file:", "/")):
                    continue
                options += ["--default-index" if name == "index-url" else "--index", url]
    return options


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines() or ["no message"]
        error = next((line for line in lines if line.lower().startswith("error")), lines[-1])
        details = "; ".join(line.strip(" ×╰─▶") for line in lines[-3:] if line != error)
        raise FailedError(f"{Path(command[0]).name}: {reason_of(RuntimeError(error))}: {shortened(details, 300)}")


def current_version() -> str:
    """The version of this installation of seisedge."""
    return version("seisedge")
