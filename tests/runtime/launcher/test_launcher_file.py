"""The launcher as one file, run with the system's Python and nothing else."""

from __future__ import annotations

import platform
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

from click.testing import CliRunner
from tests.runtime.bundle.conftest import HARDWARE, Pair
from tests.runtime.launcher.made import bare_device, bundle

from seisedge.cli import main
from seisedge.runtime.bundle.trust import Trust
from seisedge.runtime.flash.launcher_file import launcher_bytes


def _run(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Without site-packages: -S; without PYTHONPATH: -I."""
    command = [sys.executable, "-I", "-S", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_small_and_reproducible(tmp_path: Path) -> None:
    data = launcher_bytes()
    assert len(data) <= 10**6 and data == launcher_bytes()
    done = CliRunner().invoke(main, ["flash", "launcher", "-o", str(tmp_path / "flash.pyz")])
    assert done.exit_code == 0 and (tmp_path / "flash.pyz").read_bytes() == data
    with zipfile.ZipFile(tmp_path / "flash.pyz") as archive:
        kinds = {info.compress_type for info in archive.infolist()}
        assert kinds == {zipfile.ZIP_STORED} and {info.date_time[0] for info in archive.infolist()} == {1980}
        licences = [name for name in archive.namelist() if name.rpartition("/")[2].startswith("LICENSE")]
        assert {name.partition("/")[0] for name in licences} == {"installer", "securesystemslib"}


def test_runs_without_any_package(tmp_path: Path) -> None:
    """It verifies signatures, with its own library, and refuses in one sentence."""
    launcher, root = tmp_path / "flash.pyz", tmp_path / "opt"
    launcher.write_bytes(launcher_bytes())
    bare_device(root, Pair(1))
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "station").write_text("XX.STA\n", encoding="utf-8")
    folders = ["--root", root, "--settings", tmp_path / "etc", "--data", tmp_path / "var"]
    done = _run(launcher, "status", *folders)
    assert (done.returncode, done.stdout) == (0, "no version is installed\n"), done.stderr
    other = replace(HARDWARE, machine="x86_64" if platform.machine() == "aarch64" else "aarch64")
    for data, why in (
        (bundle(1, Pair(2)), "the bundle is signed by 0 of the keys that this device trusts"),
        (bundle(1, Pair(1), hardware=other), f"the bundle is for {other.machine}, this device is"),
    ):
        (tmp_path / "b.seisedge").write_bytes(data)
        done = _run(launcher, "install", tmp_path / "b.seisedge", *folders)
        assert done.returncode == 2 and done.stderr.startswith(f"Error: {why}") and done.stderr.count("\n") == 1
    second = Trust(2, (Pair(2).public,), 1)
    (tmp_path / "t.json").write_bytes(Pair(2).sign(Pair(1).sign(second.envelope())).to_bytes())
    done = _run(launcher, "trust", tmp_path / "t.json", *folders)
    assert (done.returncode, done.stdout) == (0, "this device trusts version 2 of the keys now\n"), done.stderr
    assert (root / "trust" / "2.json").exists()
