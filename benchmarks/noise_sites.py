"""False events on noise of sites that the network did not learn from: cross-validation over the owners of the sites.

    python -m benchmarks.noise_sites --noise DIR --nets DIR --data datasets --data datasets/regions \
      --data datasets/noise --data datasets/hard_negatives \
      --without sprit_hvsr,sprit_hvsr_triggers:SPRIT-HVSR,swprocess

Each --without names the sources of noise that one training leaves out, and after the colon the first parts of the names
of the recordings of `--noise` on which this network is measured: name each recording once, in a network that leaves it
out. The trainings also leave out fold 0, on which the temperature is fitted. The networks are kept in `--nets`; one
that is there is not trained again. With the bundled onset detector, or with STA/LTA, the station is run on the
recordings and on the swarm with each value of `[events] noise_threshold`.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.detection import LISTS, NOISE_THRESHOLDS, Noise, Swarm, head, kind_of_site, row, share_text
from benchmarks.detectors import MODES, Detector, Detectors
from seisedge.runtime.config import Mode, load_config
from seisedge.runtime.demo import AUTOMATIC, CATALOGUE, RECORDING, STATIONS
from seisedge.runtime.demo.truth import automatic_from_csv, catalogue_from_csv
from seisedge.runtime.inference.infer import Models
from seisedge.train.archive.archive import Archive, Record, load_archive
from seisedge.train.archive.mixture import with_sources
from seisedge.train.evaluation.detector_input import RememberingEngine
from seisedge.train.evaluation.false_events import SubjectEngine
from seisedge.train.evaluation.onsets import Point
from seisedge.train.evaluation.subject import subject_from, subject_of_model
from seisedge.train.fit.calibration import calibration_of
from seisedge.train.fit.loop import train_model
from seisedge.train.models import create_model
from seisedge.train.models._base import Model
from seisedge.train.recipes.recipe import Recipe, load_recipe

CPU = torch.device("cpu")
ZERO_EVENTS = 3.0  # -ln 0.05: the 95 % limit of the expected number where none was found


@dataclasses.dataclass(frozen=True)
class Part:
    """One network: the sources that it leaves out, and the first parts of the names of the recordings it is for."""

    without: frozenset[str]
    recordings: tuple[str, ...]

    @classmethod
    def from_text(cls, text: str) -> Part:
        without, _, names = text.partition(":")
        return cls(frozenset(without.split(",")), tuple(names.split(",")))

    @property
    def name(self) -> str:
        return "+".join(sorted(self.without))


def trained(recipe: Recipe, archive: Archive, part: Part, seed: int, file: Path) -> Model:
    """The calibrated network of a part, read from `file` or trained and written there."""
    if not file.exists():

        def chosen(r: Record) -> bool:
            return r.split == "train" and r.fold != 0 and r.source not in part.without

        def held(r: Record) -> bool:
            return r.split == "train" and r.fold == 0 and r.source not in part.without

        mixed, _ = with_sources(recipe, archive)
        result = train_model(mixed, archive, chosen, seed, CPU)
        for name, value in calibration_of(mixed, result, archive, held, CPU, print).items():
            getattr(result.model, name).copy_(value)
        file.parent.mkdir(parents=True, exist_ok=True)
        torch.save(result.model, file)
    model: Model = torch.load(file, weights_only=False)
    return model


def swarm_of_demo() -> Swarm:
    """The unseen half of the swarm, with its truth."""
    configs = {str(c.station_id): c for c in (load_config(path) for path in sorted(STATIONS.glob("*.toml")))}
    quakes = {"catalogue": catalogue_from_csv(CATALOGUE), "automatic": automatic_from_csv(AUTOMATIC)}
    return Swarm([RECORDING], quakes, configs)


@dataclasses.dataclass(frozen=True)
class Measured:
    """The networks at one value of `noise_threshold`: false events by kind of site, and each one's swarm."""

    counts: dict[str, int]
    swarms: list[Point]


def measure(parts: Sequence[tuple[list[Path], Detector]], swarm: Swarm, threshold: float, mode: Mode) -> Measured:
    """Each network on its recordings and on the swarm."""
    counts: dict[str, int] = {}
    swarms: list[Point] = []
    for files, detector in parts:
        chosen = dataclasses.replace(detector, noise_threshold=threshold)
        for path in files:
            kind = kind_of_site(path)
            counts[kind] = counts.get(kind, 0) + len(chosen.events([path], {}, mode))
        swarms.append(swarm.kept(chosen, mode))
    return Measured(counts, swarms)


def lines_of(
    parts: Sequence[tuple[list[Path], Detector]], swarm: Swarm, modes: Mapping[float, Sequence[Mode]]
) -> Iterator[str]:
    """The table of one trigger. modes: of each threshold; a row for each."""
    hours: dict[str, float] = {}
    for files, _ in parts:
        for path in files:
            hours[kind_of_site(path)] = hours.get(kind_of_site(path), 0.0) + Noise([path]).hours[0]
    whole = sum(hours.values())
    recall = [f"{name}, by network" for name in LISTS]
    kinds = [f"{kind} ({h:.1f} h)" for kind, h in hours.items()]
    yield from head("noise_threshold", "mode", *recall, *kinds, f"all {whole:.1f} h", "per day (95 % limit)")
    for threshold, some in modes.items():
        for mode in some:
            m = measure(parts, swarm, threshold, mode)
            found = [", ".join(share_text(p.recall[name]) for p in m.swarms) for name in LISTS]
            n = sum(m.counts.values())
            limit = f" ({24 * ZERO_EVENTS / whole:.0f})" if n == 0 else ""
            yield row(
                f"{threshold:g}", mode, *found,
                *(str(m.counts[kind]) for kind in hours), str(n), f"{24 * n / whole:.0f}{limit}",
            )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", action="append", type=Path, required=True)
    parser.add_argument("--mix", action="append", default=[], metavar="NAME=SHARE", help="as of seisedge train")
    parser.add_argument("--noise", type=Path, required=True, help="folder of miniSEED without earthquakes")
    parser.add_argument("--nets", type=Path, required=True, help="folder of the trained networks")
    parser.add_argument("--without", action="append", required=True, metavar="SOURCE,…:RECORDING,…")
    parser.add_argument("--recipe", default="event-type")
    parser.add_argument("--steps", type=int, default=0, help="default: those of the recipe")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--continuous", nargs="*", type=float, default=[0.0], help="thresholds for that mode as well")
    parser.add_argument("--train-only", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    overrides: dict[str, Any] = {"optimisation.steps": arguments.steps} if arguments.steps else {}
    if arguments.mix:
        overrides["data.mix"] = {n: float(share) for n, _, share in (text.rpartition("=") for text in arguments.mix)}
    recipe = load_recipe(arguments.recipe, overrides)
    geometry = create_model(recipe.model, **recipe.arguments).geometry
    archive = load_archive(arguments.data, geometry.rate_hz, recipe.data.pass_hz)
    parts = [Part.from_text(text) for text in arguments.without]
    nets = [trained(recipe, archive, p, arguments.seed, arguments.nets / f"{p.name}.pt") for p in parts]
    if arguments.train_only:
        return
    detectors = Detectors("onset")
    remembering = RememberingEngine(subject_from("onset", CPU))
    files = sorted(arguments.noise.glob("*.mseed"))
    swarm = swarm_of_demo()
    for name in detectors.names:
        rows = []
        for part, net in zip(parts, nets, strict=True):
            models = Models(SubjectEngine(subject_of_model(recipe, net, {}, CPU)), None, remembering)
            mine = [path for path in files if path.name.startswith(part.recordings)]
            rows.append((mine, dataclasses.replace(detectors.kept(name), models=models)))
        modes = {t: [m for m in MODES[name] if m == "triggered" or t in arguments.continuous] for t in NOISE_THRESHOLDS}
        print(f"\n### {name}\n", *lines_of(rows, swarm, modes), sep="\n", flush=True)


if __name__ == "__main__":
    main()
