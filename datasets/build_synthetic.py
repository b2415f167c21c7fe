"""Build the synthetic records from which the magnitude model learns large and distant events.

    python -m datasets.build_synthetic [-o synthetic]

This folder has one earthquake above magnitude 3 to train on, and almost none beyond 60 km. The synthetic ones have
magnitudes from 2 to 5.5 at 3 to 250 km, two stations each; each has an Earth of its own, whose speeds, gradient,
attenuation and kappa are drawn. The records are in m/s. They are not part of the repository, since this script makes
them in about a minute, always the same ones.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import numpy as np

from seisedge.train.synthetic import Catalogue, Earth, write_dataset

SEED = 1
FACTS = """[synthetic]
licence = "Apache-2.0"
part = "of datasets/build_synthetic.py"
region = "none (synthetic)"
"""
CATALOGUE = Catalogue(
    events=530,
    explosions=0.0,
    magnitude=(2.0, 5.5),
    distance_km=(3.0, 250.0),
    depth_km=(2.0, 20.0),
    rate_hz=50.0,
    length_s=52.0,
    before_s=12.0,
    noise_m_per_s=(1e-11, 1e-8),  # little: the training adds the same noise to these and to real records
)


def earths(count: int, rng: np.random.Generator) -> list[Earth]:
    """`count` uniform Earths or ones with a gradient."""
    return [
        Earth(
            p_km_per_s=rng.uniform(5.3, 6.2),
            gradient_per_s=rng.uniform(0.0, 0.04),
            vp_vs=rng.uniform(1.68, 1.8),
            q0=math.exp(rng.uniform(math.log(80), math.log(400))),
            q_power=rng.uniform(0.4, 0.8),
            kappa_s=rng.uniform(0.01, 0.06),
        )
        for _ in range(count)
    ]


def build(out: Path) -> int:
    """Write the folder; the number of records."""
    n = write_dataset(out, CATALOGUE, SEED, earths(CATALOGUE.events, np.random.default_rng(SEED)))
    (out / "sources.toml").write_text(FACTS, encoding="utf-8")
    return n


def main() -> None:
    """Write the folder of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("-o", "--out", type=Path, default=Path("synthetic"))
    out = parser.parse_args().out
    print(f"{out}: {build(out)} records")


if __name__ == "__main__":
    main()
