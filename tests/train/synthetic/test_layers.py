"""A layered Earth: travel times, amplitudes, polarities, and error messages."""

from __future__ import annotations

import json
import math
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from seisedge.runtime.errors import FailedError, InputError
from seisedge.train.synthetic import (
    Catalogue,
    Earth,
    Event,
    Layer,
    Layers,
    Seismogram,
    greens,
    seismogram,
    write_dataset,
)
from seisedge.train.synthetic.greens import pygrt_version
from seisedge.train.synthetic.record import plateau_m_s

RATE = 50.0
CRUST = Layers(
    (Layer(2, 4.5, 2.6, 2400, 200, 100), Layer(18, 6.0, 3.46, 2700, 600, 300), Layer(0, 8, 4.5, 3300, 1000, 500)),
    highest_hz=8.0,
)
LOSSLESS = Earth(q0=1e12, kappa_s=0.0)
HALF_SPACE = Layers((Layer(0, 5.8, 5.8 / 1.73, 2700, 1e6, 1e6),), kappa_s=0.0, highest_hz=8.0)


def why_not() -> str:
    """The reason why PyGRT is unavailable; empty if it is available."""
    try:
        pygrt_version()
    except InputError as error:
        return str(error)
    return ""


needs_tool = pytest.mark.skipif(bool(why_not()), reason=why_not())


def made(event: Event, layers: Layers, seed: int = 1) -> Seismogram:
    return seismogram(event, layers, seed, rate_hz=RATE, length_s=60.0, before_s=10.0, noise=0)


def turned(record: Seismogram, back_azimuth_deg: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vertical, radial (away from the source) and transverse (clockwise)."""
    z, n, e = record.clean
    a = math.radians(back_azimuth_deg + 180)
    return z, n * math.cos(a) + e * math.sin(a), e * math.cos(a) - n * math.sin(a)


def first_arrival_s(distance_km: float, depth_km: float, wave: int) -> float:
    """By hand, for a source in the second of CRUST's layers: the direct ray and the one along the half-space."""
    v1, v2, v3 = ((layer.p_km_per_s, layer.s_km_per_s)[wave] for layer in CRUST.layers)
    h1, up, down = 2.0, depth_km - 2.0, 20.0 - depth_km
    low, high = 0.0, 1 / v2 * (1 - 1e-12)
    for _ in range(200):  # the ray parameter by bisection
        p = (low + high) / 2
        reach = sum(h * p * v / math.sqrt(1 - (p * v) ** 2) for h, v in ((h1, v1), (up, v2)))
        low, high = (p, high) if reach < distance_km else (low, p)
    direct = sum(h / v / math.sqrt(1 - (p * v) ** 2) for h, v in ((h1, v1), (up, v2)))
    p = 1 / v3
    legs = ((h1, v1), (up, v2), (down, v2), (down, v2))
    if sum(h * p * v / math.sqrt(1 - (p * v) ** 2) for h, v in legs) > distance_km:
        return direct
    return min(direct, distance_km * p + sum(h * math.sqrt(1 / v**2 - p**2) for h, v in legs))


@needs_tool
@pytest.mark.parametrize("distance_km", [15.0, 40.0, 120.0])
def test_p_and_s_arrive_at_the_travel_times_of_rays(distance_km: float) -> None:
    """Direct at 15 and 40 km, Pn and Sn at 120."""
    event = Event(3.0, distance_km, 8.0, mechanism_deg=(20.0, 70.0, 30.0), back_azimuth_deg=200.0)
    layers = replace(CRUST, highest_hz=4.0) if distance_km > 100 else CRUST
    record = made(event, layers)
    p, s = (first_arrival_s(distance_km, 8.0, wave) for wave in (0, 1))
    assert record.p_s == 10.0
    assert record.s_s - record.p_s == pytest.approx(s - p, abs=2e-3)
    z, _, transverse = turned(record, 200.0)
    at = round(record.p_s * RATE)
    strength = np.abs(z[at : at + 50]).max()
    onset = np.flatnonzero(np.abs(z) > 0.1 * strength)[0] / RATE
    assert record.p_s - 0.06 <= onset < record.p_s + (0.3 if distance_km > 100 else 0.2)  # Pn rises slowly
    at = round(record.s_s * RATE)
    if distance_km < 100:  # SH comes alone on the transverse
        assert np.abs(transverse[at : at + 50]).max() > 20 * np.abs(transverse[: at - 5]).max()


@needs_tool
def test_pn_overtakes_the_direct_p() -> None:
    near, far = (first_arrival_s(x, 8.0, 0) - x / 6.0 for x in (40.0, 120.0))
    assert far < 0 < near  # at 120 km before any wave that stays in the crust


@needs_tool
def test_a_half_space_agrees_with_the_uniform_earth() -> None:
    """P of an explosion below 4 Hz agrees with theory: the plateau of the spectrum times the free-surface factor."""
    event = Event(2.0, 20.0, 8.0, "explosion", stress_drop_pa=3e6)
    record = made(event, HALF_SPACE)
    p, s = round(record.p_s * RATE), round(record.s_s * RATE)
    assert record.s_s - record.p_s == pytest.approx(np.subtract(*LOSSLESS.times_s(20.0, 8.0)[::-1]), abs=1e-3)
    window = np.stack(turned(record, 45.0))[:2, p - 25 : s - 25]
    f = np.fft.rfftfreq(1024, 1 / RATE)
    some = (f > 0.7) & (f < 4)
    spectrum = np.abs(np.fft.rfft(window, 1024, axis=1))[:, some] / RATE / (2 * np.pi * f[some])
    ratio = np.sqrt((spectrum**2).sum(0)) / plateau_m_s(event, LOSSLESS, True)
    assert 0.7 < np.median(ratio) < 1.2  # 1 for a free-surface factor of 2


@needs_tool
def test_amplitudes_agree_with_the_uniform_earth_within_its_accuracy() -> None:
    ratios = []
    for seed in range(6):
        event = Event(2.0, 20.0, 8.0)
        layered = made(event, HALF_SPACE, seed).clean
        uniform = seismogram(event, LOSSLESS, seed, rate_hz=RATE, length_s=60.0, before_s=10.0, noise=0).clean
        f = np.fft.rfftfreq(layered.shape[1], 1 / RATE)
        in_band = (f > 0.7) & (f < 5)
        level = [np.sqrt((np.abs(np.fft.rfft(x, axis=1)[:, in_band]) ** 2).sum()) for x in (layered, uniform)]
        ratios.append(math.log(level[0] / level[1]))
    assert 0.5 < math.exp(np.mean(ratios)) < 2


@needs_tool
def test_first_motions_follow_the_mechanism() -> None:
    """A vertical fault along north, left-lateral: compression in the north-east, dilatation in the south-east."""
    for azimuth, sign in ((45.0, 1), (135.0, -1), (225.0, 1)):
        event = Event(3.0, 20.0, 8.0, mechanism_deg=(0.0, 90.0, 0.0), back_azimuth_deg=azimuth - 180)
        record = made(event, CRUST)
        z, radial, transverse = turned(record, azimuth - 180)
        p = round(record.p_s * RATE)
        first = slice(p, p + 9)
        assert sign * z[first][np.abs(z[first]).argmax()] > 0
        assert sign * radial[first][np.abs(radial[first]).argmax()] > 0
        assert np.abs(transverse).max() < 1e-3 * np.abs(record.clean).max()  # a node of SH


@needs_tool
def test_an_explosion_has_no_sh_and_a_shallow_one_an_rg() -> None:
    def parts(depth_km: float) -> tuple[float, float, float]:
        """P, Rg on the vertical below 2.5 Hz, and how well the radial follows the vertical by a quarter period."""
        event = Event(2.0, 30.0, depth_km, "explosion", stress_drop_pa=1e5, back_azimuth_deg=70.0)
        record = made(event, CRUST)
        z, radial, transverse = turned(record, 70.0)
        assert np.abs(transverse).max() < 1e-6 * np.abs(record.clean).max()
        p = round(record.p_s * RATE)
        origin_s = record.p_s - (record.s_s - record.p_s) / 0.73  # Vp/Vs is near 1.73 everywhere
        rg = slice(round((origin_s + 30 / 2.9) * RATE), round((origin_s + 30 / 2.0) * RATE))
        f = np.fft.fftfreq(len(z), 1 / RATE)
        keep = np.where((f > 0.4) & (f < 2.5), 2.0, 0.0)
        up, out = (np.fft.ifft(np.fft.fft(x) * keep)[rg] for x in (z, radial))
        follows = np.vdot(up.imag, out.real) / (np.linalg.norm(up.imag) * np.linalg.norm(out.real))
        return np.abs(z[p : p + 50]).max(), np.abs(up).max(), float(follows)

    p, rg, follows = parts(0.1)
    assert rg > 3 * p
    assert follows < -0.8  # retrograde: at the top of its ellipse the ground moves towards the source
    p, deep, _ = parts(6.0)
    assert deep < rg / 5


@needs_tool
def test_a_data_set_of_layered_records(tmp_path: Path) -> None:
    few = Catalogue(events=2, stations=2, explosions=0.5, distance_km=(5, 8), rate_hz=40.0, length_s=40.0, before_s=12)
    layers = replace(CRUST, highest_hz=2.0)
    for name in ("one", "two"):
        assert write_dataset(tmp_path / name, few, 5, layers) == 4
    a, b = ((tmp_path / name / "waveforms.hdf5").read_bytes() for name in ("one", "two"))
    assert a == b
    notes = json.loads((tmp_path / "one" / "build.json").read_text())
    assert notes["greens_functions"].startswith("pygrt-kit ")
    assert len(notes["earth"]["layers"]) == 3


@needs_tool
def test_the_mechanism_depends_on_the_seed() -> None:
    event = Event(2.0, 8.0, 5.0)
    layers = replace(CRUST, highest_hz=3.0)
    a, b, c = (made(event, layers, seed).clean for seed in (1, 1, 2))
    assert np.array_equal(a, b)
    assert np.abs(a - c).max() > 0.1 * np.abs(a).max()


@needs_tool
@pytest.mark.parametrize(
    ("event", "text"),
    [
        (Event(2.0, 0.0), "distance_km must be at least 0.1 in a layered Earth; got 0.0"),
        (Event(2.0, 5.0, -1.0), "depth_km must be 0 or more; got -1.0"),
    ],
)
def test_invalid_geometry(event: Event, text: str) -> None:
    with pytest.raises(InputError, match=text):
        made(event, CRUST)


@needs_tool
def test_errors_of_pygrt_are_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    import pygrt

    def refuses(*_: object, **__: object) -> None:
        raise RuntimeError("grt command failed with exit code 1")

    monkeypatch.setattr(pygrt.PyModel1D, "greenfn", refuses)
    with pytest.raises(FailedError, match="PyGRT failed on this layered Earth: grt command failed"):
        made(Event(2.0, 5.0), CRUST)


def test_without_pygrt_the_error_names_the_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "pygrt", None)
    with pytest.raises(InputError, match=r"a layered Earth needs PyGRT; run pip install .*\[layered\]"):
        made(Event(2.0, 5.0), CRUST)
    with pytest.raises(InputError, match="needs PyGRT"):
        write_dataset(tmp_path / "made", Catalogue(events=1), 1, CRUST)
    assert not list(tmp_path.iterdir())


def test_a_missing_system_library_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    class Unloadable(ModuleType):
        def __getattr__(self, name: str) -> object:
            raise OSError("libgomp.so.1: cannot open shared object file: No such file or directory")

    monkeypatch.setitem(sys.modules, "pygrt", Unloadable("pygrt"))
    with pytest.raises(InputError, match=r"PyGRT does not load: libgomp\.so\.1: .*; on Debian or Ubuntu: apt install"):
        pygrt_version()


def test_a_program_that_does_not_load_is_reported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The library loads in this process, because torch has loaded libgomp.so.1; the program is another process."""
    program = tmp_path / "grt"
    program.write_text(
        "#!/bin/sh\n"
        "echo 'grt: error while loading shared libraries: libgomp.so.1: cannot open shared object file' >&2\nexit 127\n"
    )
    program.chmod(0o755)
    package, cli = ModuleType("pygrt"), ModuleType("pygrt.cli")
    vars(package)["PyModel1D"] = object
    vars(cli)["find_grt"] = lambda: str(program)
    monkeypatch.setitem(sys.modules, "pygrt", package)
    monkeypatch.setitem(sys.modules, "pygrt.cli", cli)
    greens._check_program.cache_clear()
    with pytest.raises(InputError, match=r"PyGRT does not load: grt: .* libgomp\.so\.1: .*: apt install libgomp1$"):
        pygrt_version()
    program.unlink()
    with pytest.raises(InputError, match=r"PyGRT does not load: .*No such file or directory: .*grt'$"):
        pygrt_version()


ROCK = Layer(0, 6.0, 3.5, 2700)


@pytest.mark.parametrize(
    ("layers", "text"),
    [
        ((), "layers is empty; give at least the half-space"),
        (
            (replace(ROCK, thickness_km=5.0),),
            "layer 1: the last layer is the half-space and must have thickness_km 0; got 5.0",
        ),
        ((ROCK, ROCK), "layer 1: thickness_km must be above 0 in all layers but the last; got 0"),
        ((replace(ROCK, density=2.7),), r"layer 1: density must be 500 to 10000 kg/m³; got 2.7"),
        ((replace(ROCK, s_km_per_s=5.5),), "layer 1: p_km_per_s must be above 1.155 × s_km_per_s; got 6.0 and 5.5"),
        ((replace(ROCK, s_km_per_s=0.0),), "layer 1: s_km_per_s must be above 0; got 0.0"),
        ((replace(ROCK, qs=float("nan")),), "layer 1: qs must be above 0; got nan"),
        ((replace(ROCK, thickness_km=1.0, qp=-1.0), ROCK), "layer 1: qp must be above 0; got -1.0"),
    ],
)
def test_layers_with_impossible_values(layers: tuple[Layer, ...], text: str) -> None:
    with pytest.raises(InputError, match=text):
        Layers(layers)


def test_settings_of_layers() -> None:
    with pytest.raises(InputError, match=r"kappa_s must be 0 or more seconds; got -0\.1"):
        replace(CRUST, kappa_s=-0.1)
    with pytest.raises(InputError, match=r"highest_hz must be above 0; got 0\.0"):
        replace(CRUST, highest_hz=0.0)
    with pytest.raises(InputError, match="tail_s must be above 0; got inf"):
        replace(CRUST, tail_s=float("inf"))


def test_speeds_at_depth() -> None:
    assert [CRUST.speed(z)[0] for z in (0.0, 1.9, 2.0, 19.9, 20.0, 50.0)] == [4.5, 4.5, 6.0, 6.0, 8.0, 8.0]
    assert CRUST.echo_s(0.0, 0.0) == pytest.approx(2 * (2 / 2.6 + 18 / 3.46))  # straight down and up
    assert HALF_SPACE.echo_s(10.0, 3.0) == 0.0
