"""A bundle with wheels for several versions of Python: a device installs those for its own."""

from dataclasses import replace
from pathlib import Path

import pytest
from tests.runtime.bundle.conftest import HARDWARE
from tests.runtime.launcher.made import DEVICE, NOW, bare_device, bundle, contents_of, launcher_at, wheel
from tests.runtime.launcher.refused import ONE

from seisedge.runtime.errors import InputError
from seisedge.runtime.launcher.install import install
from seisedge.runtime.launcher.slots import FILES, SLOTS, WHEELS, changed_files
from seisedge.runtime.launcher.wheel_names import wheels_for

THREE = replace(HARDWARE, python=("3.11", "3.12", "3.13"))


def _built(minor: int) -> tuple[str, bytes]:
    name = f"{WHEELS}built-1-cp3{minor}-cp3{minor}-manylinux2014_aarch64.manylinux_2_17_aarch64.whl"
    return name, wheel("built", {"built/__init__.py": b"python = %d\n" % minor})


@pytest.mark.parametrize("minor", [11, 12, 13])
def test_only_the_wheels_for_the_python_of_the_device(minor: int, tmp_path: Path) -> None:
    bare_device(tmp_path / "opt", ONE)
    launcher = launcher_at(tmp_path / "opt")
    launcher.programs.compile = lambda slot: None  # type: ignore[method-assign]
    path = tmp_path / "fleet.seisedge"
    contents = contents_of(1) | dict(_built(minor) for minor in (11, 12, 13))
    path.write_bytes(bundle(1, ONE, hardware=THREE, contents=contents))
    device = replace(DEVICE, pythons={f"3.{minor}": Path(f"/usr/bin/python3.{minor}")})
    version = install(launcher, path, device, {}, NOW)
    slot = launcher.root / SLOTS / version.slot
    packages = slot / "venv" / "lib" / f"python3.{minor}" / "site-packages"
    assert (packages / "built" / "__init__.py").read_bytes() == b"python = %d\n" % minor
    assert (packages / "package" / "__init__.py").is_file()
    assert changed_files(slot, version.listing) == []
    assert not (slot / WHEELS).exists() and not (slot / FILES / WHEELS).exists()


def test_a_package_without_a_wheel_for_the_python_of_the_device(tmp_path: Path) -> None:
    bare_device(tmp_path / "opt", ONE)
    launcher = launcher_at(tmp_path / "opt")
    path = tmp_path / "fleet.seisedge"
    path.write_bytes(bundle(1, ONE, hardware=THREE, contents=contents_of(1) | dict([_built(11), _built(13)])))
    with pytest.raises(InputError, match=r"^the bundle has no wheel of built for Python 3\.12 on aarch64; build a"):
        install(launcher, path, DEVICE, {}, NOW)
    assert list((launcher.root / SLOTS).iterdir()) == []


@pytest.mark.parametrize(
    ("tags", "fits"),
    [
        ("py3-none-any", True),
        ("py2.py3-none-any", True),
        ("py2-none-any", False),
        ("py312-none-any", True),
        ("py313-none-any", False),
        ("cp312-cp312-manylinux_2_28_x86_64", True),
        ("cp312-cp312-linux_x86_64", True),
        ("cp312-cp312-musllinux_1_2_x86_64", False),
        ("cp312-cp312-manylinux_2_28_aarch64", False),
        ("cp313-cp313-manylinux_2_28_x86_64", False),
        ("cp312-cp312t-manylinux_2_28_x86_64", False),  # Python without a global lock
        ("cp39-abi3-manylinux_2_28_x86_64", True),
        ("cp39.cp313-abi3-manylinux_2_28_x86_64", True),
        ("cp313-abi3-manylinux_2_28_x86_64", False),
        ("py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64", True),
        ("cp311-none-manylinux2014_x86_64", False),
        ("cp312-none-manylinux2014_x86_64", True),
    ],
)
def test_tags(tags: str, fits: bool) -> None:
    name = f"a_package-1.0-{tags}.whl"
    if fits:
        assert wheels_for([name], "3.12", "x86_64") == [name]
    else:
        with pytest.raises(InputError, match=r"no wheel of a-package for Python 3\.12 on x86_64"):
            wheels_for([name], "3.12", "x86_64")


def test_one_wheel_of_each_package_the_most_specific() -> None:
    platform = "manylinux_2_28_x86_64"
    names = ["py3-none-any", f"cp39-abi3-{platform}", f"cp311-abi3-{platform}", f"cp312-cp312-{platform}"]
    wheels = [f"p-1-{name}.whl" for name in names] + ["q-1-py3-none-any.whl"]
    assert wheels_for(wheels, "3.12", "x86_64") == [wheels[3], wheels[4]]
    assert wheels_for(wheels, "3.11", "x86_64") == [wheels[2], wheels[4]]
    assert wheels_for(wheels, "3.10", "x86_64") == [wheels[1], wheels[4]]
    assert wheels_for(wheels, "3.10", "aarch64") == [wheels[0], wheels[4]]
