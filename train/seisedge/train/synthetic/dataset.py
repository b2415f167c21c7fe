"""Write a data set of synthetic records in SeisBench format; each record is marked as synthetic."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from seisedge.train.dataset.onset import VISIBLE_RATIO, power_from_record, snr_at
from seisedge.train.dataset.writer import Writer
from seisedge.train.synthetic.earth import Earth
from seisedge.train.synthetic.greens import pygrt_version
from seisedge.train.synthetic.layers import Layers
from seisedge.train.synthetic.record import Event, Kind, seismogram
from seisedge.train.synthetic.source import random_mechanism

NETWORK = "SY"
COLUMNS = [
    "trace_name", "trace_synthetic", "trace_sampling_rate_hz", "trace_npts", "trace_component_order", "trace_unit",
    "trace_p_arrival_sample", "trace_s_arrival_sample", "trace_onset_sample", "trace_onset_basis", "trace_onset_snr",
    "trace_visible", "trace_noise_end_sample", "station_network_code", "station_code", "source_id", "source_type",
    "source_magnitude", "source_magnitude_type", "source_depth_km", "source_stress_drop_pa", "source_corner_hz",
    "path_ep_distance_km", "path_back_azimuth_deg", "subset", "trace_name_original",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Ranges of random events: uniform in magnitude, depth, and the logarithm of distance and of stress drop.

    explosions: share of explosions, which are shallow. stations: records for each event.
    """

    events: int = 100
    explosions: float = 0.3
    stations: int = 2
    magnitude: tuple[float, float] = (0.0, 3.0)
    distance_km: tuple[float, float] = (5.0, 60.0)
    depth_km: tuple[float, float] = (2.0, 15.0)
    stress_drop_pa: tuple[float, float] = (3e5, 3e7)
    explosion_stress_drop_pa: tuple[float, float] = (
        1e4,
        1e6,
    )  # delayed firing of the holes gives low corner frequencies
    noise_m_per_s: tuple[float, float] = (5e-9, 1e-7)
    rate_hz: float = 100.0
    length_s: float = 90.0
    before_s: float = 25.0


def write_dataset(
    out: Path, catalogue: Catalogue, seed: int, earth: Earth | Layers | Sequence[Earth] | None = None
) -> int:
    """Write the folder `out` and return the number of records.

    earth: of all events, or several that the events have in turn. Raises InputError if the folder exists already, and
    for `Layers` the errors of `greens.response`.
    """
    rng = np.random.default_rng(seed)
    layered = isinstance(earth, Layers)
    earths: Sequence[Earth | Layers] = earth if isinstance(earth, Sequence) else [earth or Earth()]
    computed_by = pygrt_version() if layered else None  # raises before anything is written
    count = 0
    with Writer(out) as writer:
        for i in range(catalogue.events):
            kind: Kind = "explosion" if rng.random() < catalogue.explosions else "earthquake"
            magnitude = round(float(rng.uniform(*catalogue.magnitude)), 2)
            depth = 0.1 if kind == "explosion" else round(float(rng.uniform(*catalogue.depth_km)), 1)
            drop = _log_uniform(
                rng, catalogue.explosion_stress_drop_pa if kind == "explosion" else catalogue.stress_drop_pa
            )
            # its own generator, so that the other random numbers equal those of a uniform Earth
            mechanism = random_mechanism(np.random.default_rng([seed, i])) if layered and kind == "earthquake" else None
            for station in range(catalogue.stations):
                event = Event(
                    magnitude, round(_log_uniform(rng, catalogue.distance_km), 2), depth, kind, drop,
                    round(float(rng.uniform(0, 360)), 1), mechanism,
                )  # fmt: skip
                row, x = _record(event, earths[i % len(earths)], catalogue, rng)
                row |= {
                    "trace_name": f"synthetic_{seed}_{i:05d}_{station}",
                    "source_id": f"synthetic_{seed}_{i:05d}",
                    "station_code": f"S{station:03d}",
                }
                writer.add(row, x)
                count += 1
        written = [asdict(each) for each in earths]
        notes: dict[str, Any] = {
            "synthetic": True, "seed": seed, "earth": written if len(written) > 1 else written[0],
            "catalogue": asdict(catalogue),
        }  # fmt: skip
        if computed_by:
            notes["greens_functions"] = computed_by
        form = {"dimension_order": "CW", "component_order": "ZNE", "unit": "m/s", "measurement": "velocity, synthetic"}
        writer.finish(COLUMNS, form, json.dumps(notes, indent=1))
    return count


def _record(
    event: Event, earth: Earth | Layers, catalogue: Catalogue, rng: np.random.Generator
) -> tuple[dict[str, Any], np.ndarray]:
    level = _log_uniform(rng, catalogue.noise_m_per_s)
    made = seismogram(
        event, earth, int(rng.integers(2**31)), rate_hz=catalogue.rate_hz, length_s=catalogue.length_s,
        before_s=catalogue.before_s, noise=level,
    )  # fmt: skip
    x = made.waveform.astype(np.float32)
    onset = made.p_s * made.rate_hz
    ratio = snr_at(power_from_record(x, made.rate_hz), made.rate_hz, onset)
    row = {
        "trace_synthetic": True,
        "trace_sampling_rate_hz": made.rate_hz,
        "trace_npts": x.shape[1],
        "trace_component_order": "ZNE",
        "trace_unit": "m/s",
        "trace_p_arrival_sample": round(onset, 2),
        "trace_s_arrival_sample": round(made.s_s * made.rate_hz, 2),
        "trace_onset_sample": round(onset, 2),
        "trace_onset_basis": "synthetic",
        "trace_onset_snr": round(ratio, 2),
        "trace_visible": str(ratio >= VISIBLE_RATIO),
        "trace_noise_end_sample": int(onset) - round(made.rate_hz),
        "station_network_code": NETWORK,
        "source_type": event.kind,
        "source_magnitude": event.magnitude,
        "source_magnitude_type": "Mw",
        "source_depth_km": event.depth_km,
        "source_stress_drop_pa": round(event.stress_drop_pa),
        "source_corner_hz": round(made.corner_hz, 2),
        "path_ep_distance_km": event.distance_km,
        "path_back_azimuth_deg": event.back_azimuth_deg,
        "subset": "synthetic",
    }
    return row, x


def _log_uniform(rng: np.random.Generator, span: tuple[float, float]) -> float:
    return float(np.exp(rng.uniform(np.log(span[0]), np.log(span[1]))))
