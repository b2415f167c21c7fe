"""Green's functions of a layered Earth, computed by PyGRT: all waves in flat layers, with Q.

The generalized reflection and transmission matrices with wavenumber integration: Yao and Harkrider (1983), A
generalized reflection-transmission coefficient matrix and discrete wavenumber method for synthetic seismograms, Bull.
Seism. Soc. Am. 73, 1685-1699; the integral by the self-adaptive Filon method, Chen and Zhang (2001), An efficient
method for computing Green's functions for a layered half-space at large epicentral distances, Bull. Seism. Soc. Am.
91, 858-869.

PyGRT (pygrt-kit on PyPI, GPL-3.0) is the extra `layered`. Only this module imports it and runs its program, and only to
compute a layered record.
"""

from __future__ import annotations

import math
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from seisedge.runtime.errors import FailedError, InputError
from seisedge.runtime.machine import install_command
from seisedge.train.synthetic.layers import Layers
from seisedge.train.synthetic.source import moment_tensor

Floats = npt.NDArray[np.float64]

NEAREST_KM = 0.1
LEAD_S = 2.0  # start of the response before P
CUT = 1.25  # highest computed frequency over the highest requested one; the low-pass filter is between them
RG_OF_S = 0.85  # lowest group velocity of Rg over the lowest S speed
FLAT_PATH = 100  # distance over depth above which the adaptive integral is faster
DAMPING = 1.2  # × π: waves after the end of the response wrap around to its beginning with 2 % of their amplitude
TOLERANCE = 1e-3  # of the adaptive integral: noise before a weak P is 4 % of it; it was 40 % with 1e-2
STATIC_WAVENUMBERS = 5.0  # × π / depth: the neglected part is e^-15 of the whole
UNIT_M_PER_NM = 1e-2 / 1e13  # PyGRT's responses are in cm for 1e20 dyne cm
FADE = 0.1  # taper at the end, as a share of the length of the response; at the beginning it is half the lead


@dataclass(frozen=True, slots=True)
class Response:
    """velocity: (3, n), ZNE, ground velocity in m/s after a sudden moment of 1 N m, free surface and Q included.

    begin_s: time of the first sample. p_s, s_s: the first P and S, direct or refracted. All from the origin time.
    """

    velocity: Floats
    begin_s: float
    p_s: float
    s_s: float


def pygrt_version() -> str:
    """Name and version of PyGRT. Raises InputError if it is missing."""
    _model_class()
    return f"pygrt-kit {version('pygrt-kit')}"


def response(
    layers: Layers,
    depth_km: float,
    distance_km: float,
    azimuth_deg: float,
    mechanism_deg: tuple[float, float, float] | None,
    rate_hz: float,
) -> Response:
    """Response of the surface to a point source. azimuth_deg: from the source to the station.

    mechanism_deg: strike, dip and rake of a double couple (Aki and Richards), None for an explosion. PyGRT uses all
    cores, or OMP_NUM_THREADS of them; their number does not change the result. Raises InputError if PyGRT is missing
    or the geometry is invalid, FailedError if PyGRT fails.
    """
    if not distance_km >= NEAREST_KM:
        raise InputError(f"distance_km must be at least {NEAREST_KM} in a layered Earth; got {distance_km}")
    if not depth_km >= 0:
        raise InputError(f"depth_km must be 0 or more; got {depth_km}")
    with tempfile.TemporaryDirectory(prefix="seisedge-") as folder, _pygrt_errors():
        return _response(Path(folder), layers, depth_km, distance_km, azimuth_deg, mechanism_deg, rate_hz)


def _response(
    folder: Path,
    layers: Layers,
    depth_km: float,
    distance_km: float,
    azimuth_deg: float,
    mechanism_deg: tuple[float, float, float] | None,
    rate_hz: float,
) -> Response:
    table = folder / "layers"
    table.write_text(
        "".join(
            f"{x.thickness_km} {x.p_km_per_s} {x.s_km_per_s} {x.density / 1e3} {x.qp} {x.qs}\n" for x in layers.layers
        )
    )
    model = _model_class()(grn=folder / "grn", modelpath=table)
    p_s, s_s = model.travt(depsrc=depth_km, deprcv=0.0, dists=distance_km)
    slowest = RG_OF_S * min(x.s_km_per_s for x in layers.layers)
    last_s = max(s_s, distance_km / slowest, layers.echo_s(distance_km, depth_km))
    length_s = LEAD_S + last_s - p_s + layers.tail_s
    model.greenfn(
        depsrc=depth_km,
        deprcv=0.0,
        dists=distance_km,
        nt=2 * math.ceil(length_s * rate_hz / 2),
        dt=1 / rate_hz,
        freqband=(-1.0, min(CUT * layers.highest_hz, rate_hz / 2)),
        zeta=DAMPING,
        keepAllFreq=True,
        k0=STATIC_WAVENUMBERS,
        safilonTol=TOLERANCE if distance_km > FLAT_PATH * depth_km else 0.0,
        ref_first_p=True,
        delayT0=-LEAD_S,
        gf_source=["EX"] if mechanism_deg is None else ["DC"],
        print_log=False,
    )
    of, begin_s = _read(folder / "grn")
    azimuth = math.radians(azimuth_deg)
    if mechanism_deg is None:
        up, out, across = of["EXZ"], of["EXR"], np.zeros_like(of["EXZ"])
    else:
        turn = np.array(
            [[math.cos(azimuth), math.sin(azimuth), 0], [-math.sin(azimuth), math.cos(azimuth), 0], [0, 0, 1]]
        )
        m = turn @ moment_tensor(*mechanism_deg) @ turn.T  # along the path, across it, down
        axial, oblique, flat = m[2, 2] / 2, -m[0, 2], (m[0, 0] - m[1, 1]) / 2  # weights of DD, DS and SS
        up, out = (axial * of[f"DD{c}"] + oblique * of[f"DS{c}"] + flat * of[f"SS{c}"] for c in "ZR")
        across = m[0, 1] * of["SST"] - m[1, 2] * of["DST"]
    velocity = UNIT_M_PER_NM * np.stack(
        [up, out * math.cos(azimuth) - across * math.sin(azimuth), out * math.sin(azimuth) + across * math.cos(azimuth)]
    )
    rise, fade = (_rise(round(k)) for k in (LEAD_S / 2 * rate_hz, FADE * velocity.shape[1]))
    velocity[:, : len(rise)] *= rise
    velocity[:, -len(fade) :] *= fade[::-1]
    return Response(velocity, begin_s, float(p_s), float(s_s))


def _rise(n: int) -> Floats:
    """Taper (n,) from 0 to nearly 1. The response has a limited band and is periodic, so its ends ring."""
    return np.asarray(0.5 - 0.5 * np.cos(np.pi * np.arange(n) / n))


def _read(folder: Path) -> tuple[dict[str, Floats], float]:
    """The elementary responses by name, and the time of their first sample."""
    from obspy import read

    traces = {path.stem: read(str(path))[0] for path in sorted(folder.glob("*/*.sac"))}
    begin_s = next(iter(traces.values())).stats.sac.b
    return {name: trace.data.astype(np.float64) for name, trace in traces.items()}, float(begin_s)


def _model_class() -> Any:
    """The model class of PyGRT. Raises InputError if PyGRT is missing, or its library or program does not load."""
    try:
        from pygrt import PyModel1D
    except ImportError:
        raise InputError(f"a layered Earth needs PyGRT; run {install_command('layered')}") from None
    except OSError as error:
        raise _not_loaded(str(error)) from None
    _check_program()
    return PyModel1D


@cache
def _check_program() -> None:
    """Run the program of PyGRT once, to test that it loads its libraries in a process of its own.

    torch loads a copy of the OpenMP library into this process, so that the library of PyGRT may load here although its
    program does not.
    """
    from pygrt.cli import find_grt

    try:
        done = subprocess.run([find_grt(), "-v"], capture_output=True, text=True, errors="replace")
    except OSError as error:
        raise _not_loaded(str(error)) from None
    if done.returncode:
        last = done.stderr.strip().splitlines() or [f"its program exited with code {done.returncode}"]
        raise _not_loaded(last[-1])


def _not_loaded(reason: str) -> InputError:
    advice = "; on Debian or Ubuntu: apt install libgomp1" if "libgomp" in reason else ""
    return InputError(f"PyGRT does not load: {reason}{advice}")


@contextmanager
def _pygrt_errors() -> Iterator[None]:
    """Convert the errors of PyGRT to FailedError, and redirect its output to standard error.

    Standard output may be the data of a command.
    """
    try:
        with redirect_stdout(sys.stderr):
            yield
    except (RuntimeError, ValueError, OSError) as error:
        last = str(error).strip().splitlines() or [type(error).__name__]
        raise FailedError(f"PyGRT failed on this layered Earth: {last[-1]}") from error
