"""Bundles from profiles, station files, models and wheels; and the commands that make, sign and compare them."""

import io
import os
import shutil
import stat
import sys
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from seisedge.cli import main
from seisedge.runtime.bundle.container import open_bundle
from seisedge.runtime.demo import STATIONS
from seisedge.runtime.engines import open_engine
from seisedge.runtime.errors import InputError
from seisedge.runtime.flash.build import NEEDED, Inputs, build
from seisedge.runtime.flash.golden import golden_path, make_golden, read_golden
from seisedge.runtime.flash.launcher_file import launcher_bytes
from seisedge.runtime.flash.profile import load_profile, profile_names, version_key
from seisedge.runtime.flash.signing import KEY_VARIABLE, PASSPHRASE_VARIABLE
from seisedge.runtime.inference.infer import bundled_model
from seisedge.runtime.machine import install_command


@pytest.fixture(scope="module")
def golden(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the bundled event type model and its golden windows."""
    folder = tmp_path_factory.mktemp("models")
    model = folder / "event-type.onnx"
    shutil.copy(bundled_model("event_type"), model)
    make_golden(model)
    return folder


def _wheel(folder: Path, name: str, content: bytes = b"x = 1\n") -> Path:
    path = folder / name
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr(zipfile.ZipInfo("module.py"), content, zipfile.ZIP_DEFLATED)
    return path


@pytest.fixture
def inputs(tmp_path: Path, golden: Path) -> Inputs:
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    for name in NEEDED:
        _wheel(
            wheels,
            f"{name}-1.0-cp312-cp312-manylinux_2_28_aarch64.whl" if name == "numpy" else f"{name}-1.0-py3-none-any.whl",
        )
    models = tmp_path / "models"
    shutil.copytree(golden, models)
    stations = tmp_path / "stations"
    shutil.copytree(STATIONS, stations)
    for path in stations.glob("*.toml"):
        path.write_text(f'source = "seedlink://127.0.0.1"\n{path.read_text(encoding="utf-8")}', encoding="utf-8")
    return Inputs("arm64", stations, models, wheels, 7, "2026.11")


def test_what_the_bundle_contains(tmp_path: Path, inputs: Inputs) -> None:
    out = tmp_path / "b.seisedge"
    manifest = build(inputs, out)
    assert manifest.stations == {"PB.B918": "stations/PB.B918.toml", "PB.B921": "stations/PB.B921.toml"}
    assert manifest.hardware.python == ("3.12",)  # of 3.11, 3.12 and 3.13 the one for which numpy has a wheel
    assert manifest.built == "2026-11-30T01:45:20Z"  # of the model's card
    opened = open_bundle(out)
    with opened.file:
        opened.check_contents()
        assert opened.content("stations/PB.B918.toml") == (inputs.stations / "PB.B918.toml").read_bytes()
        assert opened.content("models/event-type.onnx") == bundled_model("event_type").read_bytes()
    assert "units/seisedge@.service" in {file.path for file in manifest.files}
    folders = {file.path.partition("/")[0] for file in manifest.files}
    assert folders == {"launcher", "models", "stations", "units", "wheels"}


def test_the_size_is_that_of_one_version_of_python(tmp_path: Path, inputs: Inputs) -> None:
    alone = build(inputs, tmp_path / "b").installed_bytes
    for minor in (11, 13):
        _wheel(inputs.wheels, f"numpy-1.0-cp3{minor}-cp3{minor}-manylinux_2_28_aarch64.whl", bytes(1000 + minor))
    three = build(inputs, tmp_path / "b")
    assert three.hardware.python == ("3.11", "3.12", "3.13")
    assert three.installed_bytes == alone + 1013 - len(b"x = 1\n")


def test_same_inputs_give_the_same_bytes(tmp_path: Path, inputs: Inputs, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other folder, umask, time of the files and order of creation."""
    build(inputs, tmp_path / "a")
    other = tmp_path / "other"
    for name in ("wheels", "stations", "models"):
        (other / name).mkdir(parents=True)
        for path in sorted((tmp_path / name).iterdir(), reverse=True):
            shutil.copyfile(path, other / name / path.name)
            os.utime(other / name / path.name, (1, 1))
            (other / name / path.name).chmod(0o600)
    before = os.umask(0o077)
    try:
        build(
            replace(inputs, stations=other / "stations", models=other / "models", wheels=other / "wheels"),
            tmp_path / "b",
        )
    finally:
        os.umask(before)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    assert build(inputs, tmp_path / "c").built == "2023-11-14T22:13:20Z"


def test_a_given_launcher(tmp_path: Path, inputs: Inputs) -> None:
    given = tmp_path / "flash.pyz"
    given.write_bytes(b"x")
    with pytest.raises(InputError, match=r"flash\.pyz: no launcher; make one with 'seisedge flash launcher'"):
        build(replace(inputs, launcher=given), tmp_path / "b")
    given.write_bytes(launcher_bytes() + b"\n")
    build(replace(inputs, launcher=given), tmp_path / "b")
    opened = open_bundle(tmp_path / "b")
    with opened.file:
        assert opened.content("launcher/flash.pyz") == given.read_bytes()


def _add(folder: str, name: str, content: str) -> Callable[[Path], None]:
    def change(root: Path) -> None:
        (root / folder / name).write_text(content, encoding="utf-8")

    return change


def _remove(folder: str, pattern: str) -> Callable[[Path], None]:
    def change(root: Path) -> None:
        for path in (root / folder).glob(pattern):
            path.unlink()

    return change


def _copy(folder: str, name: str, new: str) -> Callable[[Path], None]:
    def change(root: Path) -> None:
        shutil.copy(root / folder / name, root / folder / new)

    return change


def _wheel_named(name: str, content: bytes = b"x") -> Callable[[Path], None]:
    def change(root: Path) -> None:
        _wheel(root / "wheels", name, content)

    return change


WITHOUT_SOURCE = '[station]\nnetwork = "XX"\nstation = "STA"\n'
IDENTITY = 'source = "seedlink://127.0.0.1"\n[station]\nnetwork = "XX"\nstation = "STA"\n'


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (_remove("stations", "*"), "stations: it contains no station files"),
        (_remove("models", "*.onnx"), "models: it contains no model files"),
        (_remove("models", "*.npz"), r"event-type\.golden\.npz: the golden windows of this model are missing"),
        (_add("models", "event-type.golden.npz", "x"), "no file of golden windows"),
        (_copy("models", "event-type.onnx", "second.onnx"), "event-type.onnx is a model for event_type too"),
        (_add("models", "second.onnx", "x"), r"second\.onnx"),
        (_remove("wheels", "*"), "wheels: it contains no wheels"),
        (_remove("wheels", "msgspec*"), "no wheel of msgspec; make the folder"),
        (
            _wheel_named("numpy-1.0-cp312-cp312-manylinux_2_28_x86_64.whl"),
            "is for manylinux_2_28_x86_64, the hardware is",
        ),
        (_wheel_named("click-2.0-py3-none-any.whl"), "there are several versions of click"),
        (_wheel_named("new-1.0-cp311-cp311-manylinux_2_28_aarch64.whl"), r"for none of Python 3\.11, 3\.12, 3\.13"),
        (_wheel_named("bomb-1.0-py3-none-any.whl", bytes(10_000_000)), r"bomb-1\.0.*unpacks to 10000000 bytes"),
        (_add("wheels", "bad-1.0-py3-none-any.whl", "x"), r"bad-1\.0-py3-none-any\.whl: the wheel is damaged"),
        (_add("wheels", "bad.whl", "x"), "no name of a wheel"),
        (_add("stations", "c.toml", IDENTITY + "[trigger]\non_ratio = -1\n"), r"c\.toml: trigger\.on_ratio"),
        (_add("stations", "c.toml", WITHOUT_SOURCE), r"c\.toml: the key source is missing, .*; add it at the top"),
        (_add("stations", "c.toml", IDENTITY + '[page]\nlisten = "0.0.0.0:80"\n'), r"c\.toml: page\.listen: other"),
        (_copy("stations", "PB.B918.toml", "z.toml"), r"z\.toml: PB\.B918 has a second station file"),
        (_add("stations", "c.toml", IDENTITY + "# password = hunter2\n"), r"c\.toml: .*line 5: a value for 'password'"),
    ],
)
def test_an_input_that_no_station_could_use_is_refused(
    tmp_path: Path, inputs: Inputs, change: Callable[[Path], None], why: str
) -> None:
    out = tmp_path / "b.seisedge"
    out.write_bytes(b"the bundle before")
    change(tmp_path)
    with pytest.raises(InputError, match=why):
        build(inputs, out)
    assert out.read_bytes() == b"the bundle before"
    assert not list(tmp_path.glob(".*.part"))


def test_a_full_disk_leaves_the_old_bundle(tmp_path: Path, inputs: Inputs, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "b.seisedge"
    out.write_bytes(b"the bundle before")

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"No space left on device: .*b\.seisedge"):
        build(inputs, out)
    assert out.read_bytes() == b"the bundle before"
    assert not list(tmp_path.glob(".*.part"))


def test_golden_windows_are_those_of_the_model(golden: Path) -> None:
    engine = open_engine(golden / "event-type.onnx")
    found = read_golden(golden_path(golden / "event-type.onnx"), engine.sha256)
    given = np.concatenate(
        [engine.infer(w[None], v[None])[0] for w, v in zip(found["waveform"], found["valid"], strict=True)]
    )
    assert np.abs(given - found["probabilities"]).max() < 1e-6
    assert len(given) == 4 and np.ptp(given, axis=0).max() > 0.01
    with pytest.raises(InputError, match="belong to another model file"):
        read_golden(golden_path(golden / "event-type.onnx"), "0" * 64)


@pytest.mark.parametrize("name", profile_names())
def test_shipped_profiles(name: str) -> None:
    _, profile = load_profile(name)
    hardware = profile.hardware(name)
    assert hardware.profile == name and (profile.engine == "tensorrt") == name.startswith(("jetson", "rtx"))
    assert all((low == "") == (high == "") for low, high in (hardware.l4t, hardware.tensorrt))


def test_profiles_for_the_hardware_that_stations_have() -> None:
    assert set(profile_names()) == {
        "arm64", "jetson-agx-orin", "jetson-orin-nano", "jetson-orin-nx", "jetson-thor", "raspberry-pi", "rtx-pc",
        "x86-mini-pc",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "missing required field"),
        ("about = 1", "about"),
        ("about = ", "no valid hardware profile"),
        ('machine = "mips"', "machine"),
        ('l4t = ["39", "38"]', "l4t must have a lowest and a highest version"),
        ('l4t = ["39"]', "l4t must have a lowest and a highest version"),
        ("unknown = 1", "unknown"),
        ("threads = 0", "threads"),
    ],
)
def test_other_profiles_are_refused(tmp_path: Path, text: str, why: str) -> None:
    path = tmp_path / "p.toml"
    good = {
        "about": '"a"', "machine": '"aarch64"', "python": '["3.12"]', "engine": '"onnxruntime"', "precision": '"fp32"',
        "memory_mib": "256", "disk_mib": "256", "latency_ms": "10",
    }  # fmt: skip
    key = text.partition(" =")[0]
    lines = [f"{k} = {v}" for k, v in good.items() if text and k != key]
    path.write_text("\n".join([*lines, text]), encoding="utf-8")
    with pytest.raises(InputError, match=rf"p\.toml: .*{why}"):
        load_profile(str(path))


def test_an_unknown_profile_is_refused_with_a_suggestion() -> None:
    with pytest.raises(InputError, match="no such hardware profile; did you mean 'jetson-orin-nano'"):
        load_profile("jetson-nano")


def test_versions_are_compared_by_their_numbers() -> None:
    assert version_key("36.10") > version_key("36.9.9") > version_key("36.9")


def _run(*words: object) -> Result:
    return CliRunner().invoke(main, ["flash", *map(str, words)])


def test_from_keys_to_a_verified_bundle(tmp_path: Path, inputs: Inputs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PASSPHRASE_VARIABLE, "a passphrase")
    monkeypatch.chdir(tmp_path)
    for key in ("a", "b"):
        assert _run("keygen", key, "--comment", f"key {key}").exit_code == 0
    assert stat.S_IMODE(Path("a").stat().st_mode) == 0o600
    assert b"ENCRYPTED" in Path("a").read_bytes()
    assert _run("trust", "t1", "--key", "a.pub", "--key", "b.pub", "--threshold", 2).exit_code == 0
    for key in ("a", "b"):
        assert _run("sign", "t1", "--key", key).exit_code == 0
    shown = _run("trust", "t1").output
    assert shown.startswith("version 1, 2 of 2 keys, lowest serial 0\n") and shown.count("has signed") == 2
    made = _run(
        "build", "--hardware", "arm64", "--stations", "stations", "--models", "models", "--wheels", "wheels",
        "--serial", 7, "--version", "2026.11", "-o", "b.seisedge",
    )  # fmt: skip
    assert made.exit_code == 0 and "2 stations, arm64, Python 3.12, not signed" in made.output
    assert _run("sign", "b.seisedge", "--key", "a").exit_code == 0
    once = _run("verify", "b.seisedge", "--trust", "t1")
    assert (once.exit_code, once.output.strip()) == (
        2,
        "Error: b.seisedge: signed by 1 of the trusted keys, 2 needed; sign it with 'seisedge flash sign'",
    )
    assert _run("verify", "b.seisedge", "--key", "a.pub").exit_code == 0
    signed = _run("sign", "b.seisedge", "--key", "b")
    assert signed.output.endswith("signatures: 2\n")
    both = _run("verify", "b.seisedge", "--trust", "t1")
    assert both.exit_code == 0 and "serial 7, " in both.output
    assert "(key a)" in both.output and "(key b)" in both.output
    assert "stations: PB.B918, PB.B921\n" in _run("inspect", "b.seisedge").output
    monkeypatch.setenv(PASSPHRASE_VARIABLE, "another")
    wrong = _run("sign", "b.seisedge", "--key", "b")
    assert wrong.exit_code == 2 and "wrong passphrase" in wrong.output


def test_a_serial_below_the_trust_statement_is_refused(
    tmp_path: Path, inputs: Inputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PASSPHRASE_VARIABLE, "")
    monkeypatch.chdir(tmp_path)
    _run("keygen", "a")
    _run("trust", "t1", "--key", "a.pub", "--lowest-serial", 8)
    build(inputs, tmp_path / "b.seisedge")
    for file in ("t1", "b.seisedge"):
        assert _run("sign", file, "--key", "a").exit_code == 0
    refused = _run("verify", "b.seisedge", "--trust", "t1")
    assert refused.exit_code == 2 and "serial 7 is below 8, the lowest of the trust statement" in refused.output


def test_a_damaged_bundle_is_not_signed(tmp_path: Path, inputs: Inputs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PASSPHRASE_VARIABLE, "")
    monkeypatch.chdir(tmp_path)
    _run("keygen", "a")
    build(inputs, tmp_path / "b")
    data = (tmp_path / "b").read_bytes().replace(b"[station]", b"[stationn")
    (tmp_path / "b").write_bytes(data)
    done = _run("sign", "b", "--key", "a")
    assert done.exit_code == 2 and "is damaged" in done.output
    assert (tmp_path / "b").read_bytes() == data


def test_differences_by_name(tmp_path: Path, inputs: Inputs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    build(inputs, tmp_path / "old")
    path = inputs.stations / "PB.B918.toml"
    path.write_text(path.read_text(encoding="utf-8") + "\n[trigger]\non_ratio = 5.0\n", encoding="utf-8")
    (inputs.stations / "PB.B921.toml").unlink()
    (inputs.wheels / "click-1.0-py3-none-any.whl").unlink()
    _wheel(inputs.wheels, "click-2.0-py3-none-any.whl")
    build(replace(inputs, serial=8), tmp_path / "new")
    rows = [line.split() for line in _run("diff", "old", "new").output.splitlines()]
    assert rows == [
        ["bundle", "serial", "7", "→", "8"],
        ["package", "click", "1.0", "→", "2.0"],
        ["PB.B918", "trigger.on_ratio", "–", "→", "5.0"],
        ["station", "PB.B921", "present", "→", "–"],
    ]
    assert _run("diff", "old", "old").output == "no difference\n"


def test_private_keys_are_kept_from_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PASSPHRASE_VARIABLE, "")
    monkeypatch.chdir(tmp_path)
    _run("keygen", "a")
    again = _run("keygen", "a")
    assert again.exit_code == 2 and "the file exists, and a lost key cannot be replaced" in again.output
    _run("trust", "t1", "--key", "a.pub")
    Path("a").chmod(0o644)
    open_to_all = _run("sign", "t1", "--key", "a")
    assert open_to_all.exit_code == 2 and "others can read this private key; chmod 600 a" in open_to_all.output
    none = _run("sign", "t1")
    assert none.exit_code == 2 and f"give --key FILE, or set {KEY_VARIABLE}" in none.output
    monkeypatch.setenv(KEY_VARIABLE, Path("a").read_text(encoding="ascii"))
    assert _run("sign", "t1").exit_code == 0
    monkeypatch.setenv(KEY_VARIABLE, "no key")
    assert "no private key, a damaged one" in _run("sign", "t1").output


@pytest.mark.parametrize(
    "words",
    [
        "verify none --key none.pub", "verify none", "inspect none", "diff none none", "sign none --key none",
        "trust none", "trust new --key none", "golden none",
        "build --hardware none --stations s --models m --wheels w --serial 1 --version 1 -o b",
        "build --hardware arm64 --stations s --models m --wheels w --serial 1 --version 1 -o b",
    ],
)  # fmt: skip
def test_what_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: str) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(PASSPHRASE_VARIABLE, "")
    done = _run(*words.split())
    assert done.exit_code == 2 and done.output.startswith("Error: ") and len(done.output.splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_the_bundle_is_what_it_would_be_in_a_file(tmp_path: Path, inputs: Inputs) -> None:
    """No byte of the bundle names a folder of the workstation."""
    build(inputs, tmp_path / "b")
    assert str(tmp_path).encode() not in io.BytesIO((tmp_path / "b").read_bytes()).read()


def test_a_missing_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in {"cryptography", "cryptography.exceptions", *(n for n in sys.modules if n.startswith("cryptography."))}:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delitem(sys.modules, "seisedge.runtime.flash.signing", raising=False)
    monkeypatch.setenv(PASSPHRASE_VARIABLE, "")
    done = _run("keygen", tmp_path / "a")
    assert (done.exit_code, done.output) == (
        1,
        f"Error: 'seisedge flash' needs cryptography; {install_command('flash')}\n",
    )
    assert _run("keygen", "--help").exit_code == 0
