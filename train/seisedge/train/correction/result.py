"""The result of a calibration, as a document and as text."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from seisedge.runtime.clock import iso_from_ns
from seisedge.runtime.engines import Engine
from seisedge.runtime.inference.estimate import bin_centres
from seisedge.train.correction.cuts import EventCutter, EventWindow
from seisedge.train.correction.fit import GRID, LEAST_EVENTS, centre, fit_correction
from seisedge.train.dataset.catalogue import CatalogueEvent

BATCH = 128


class EventRow(Struct, frozen=True):
    """One event. before, after: model minus catalogue, without a correction and with that from all other events."""

    id: str
    onset: str
    catalogued: float
    distance_km: float
    answer_s: float
    before: float
    after: float


class Spread(Struct, frozen=True):
    """Distribution of model minus catalogue. bias: Huber's centre. within_03: share within ±0.3."""

    bias: float
    sd: float
    within_03: float


class Result(Struct, kw_only=True):
    """Schema `seisedge.calibration/1`. has_gain: False if the nominal gain is used."""

    schema: str = "seisedge.calibration/1"
    station: str
    model: str
    model_sha256: str
    has_gain: bool
    n_events: int
    least_events: int = LEAST_EVENTS
    left_out: dict[str, int]
    correction: float | None = None
    correction_error: float | None = None
    slope: float | None = None
    before: Spread | None = None
    after: Spread | None = None
    events: list[EventRow] = []


def curve_of(engine: Engine, cut: EventWindow) -> npt.NDArray[np.float64]:
    """Expected magnitude (GRID,) of a window for each correction."""
    usable = np.isfinite(cut.scale)
    valid = (cut.window.valid & usable[:, None]).astype(np.float32)
    wave = cut.window.waveform * np.where(usable, cut.scale, 0.0)[:, None]
    out = []
    for first in range(0, len(GRID), BATCH):
        factor = 10.0 ** GRID[first : first + BATCH]
        batch = np.ascontiguousarray(wave[None] * factor[:, None, None], dtype=np.float32)
        mask = np.ascontiguousarray(np.repeat(valid[None], len(batch), axis=0))
        out.append(engine.infer(batch, mask)[0].astype(np.float64))
    assert engine.card.magnitude is not None
    return np.asarray(np.concatenate(out) @ bin_centres(engine.card.magnitude.edges))


def result_of(engine: Engine, windows: EventCutter, events: Sequence[CatalogueEvent]) -> Result:
    """Cut the windows, run the model and fit the correction."""
    cuts = list(windows.cut(events))
    result = Result(
        station=windows.station,
        model=engine.card.name,
        model_sha256=engine.sha256,
        has_gain=windows.calibrated,
        n_events=len(cuts),
        left_out=dict(windows.left_out),
    )
    residual = np.array([curve_of(engine, cut) - cut.magnitude for cut in cuts]).reshape(-1, len(GRID))
    found = fit_correction(residual)
    if found is None:
        return result
    result.correction, result.correction_error = round(found.value, 3), round(found.error, 3)
    result.slope = round(found.slope, 3)
    result.before, result.after = _spread(found.before), _spread(found.after)
    result.events = [
        EventRow(
            cut.event.id, iso_from_ns(cut.onset_ns), cut.magnitude, round(cut.distance_km, 1), round(cut.answer_s, 1),
            round(float(b), 3), round(float(a), 3),
        )
        for cut, b, a in zip(cuts, found.before, found.after, strict=True)
    ]  # fmt: skip
    return result


def _spread(error: npt.NDArray[np.float64]) -> Spread:
    inside = float((np.abs(error) <= 0.3).mean())
    return Spread(round(centre(error), 3), round(float(error.std(ddof=1)), 3), round(inside, 3))


def text_from_result(r: Result) -> str:
    """Text for the terminal; ends with the lines for the station file."""
    assert r.before is not None and r.after is not None and r.correction_error is not None
    lines = [f"{r.station}: {r.n_events} catalogued events, model {r.model} ({r.model_sha256[:12]}…)"]
    lines += [f"  left out: {n} × {reason}" for reason, n in r.left_out.items()]
    lines.append("")
    lines.append(f"{'event':16} {'P':24} {'M':>5} {'km':>6} {'s':>5}  {'before':>7} {'after':>7}")
    lines += [
        f"{e.id:16} {e.onset[:23]:24} {e.catalogued:5.2f} {e.distance_km:6.1f} {e.answer_s:5.1f}  "
        f"{e.before:+7.2f} {e.after:+7.2f}"
        for e in r.events
    ]
    lines.append("before, after: model minus catalogue, without a correction and with that from all other events")
    for name, s in (("before", r.before), ("after, each event left out", r.after)):
        lines.append(f"{name:27} bias {s.bias:+.2f}, sd {s.sd:.2f}, within ±0.3 {s.within_03:.0%}")
    if r.has_gain and r.correction is not None and abs(r.correction) < 2 * r.correction_error:
        lines.append(
            "the correction is less than two standard errors: the gain of the station agrees with the catalogue"
        )
    if not r.has_gain:
        lines.append("the gain is unknown: the correction is relative to the nominal gain")
    lines += [
        "",
        "[magnitude]",
        f"station_correction = {r.correction:.3f}",
        f"station_correction_error = {r.correction_error:.3f}",
    ]
    return "\n".join(lines)
