"""SeisBench's PhaseNet architecture, trained on the data of our onset detector, compared with it.

No published weights are used: they were trained on data that this project does not have, partly on the records that are
evaluated here. The network is trained from random weights on the training records of the given folders, one CPU thread,
for a stated processor time. Streams are mixed from real records as for our detector: one or two earthquakes at random
times and sizes, on noise; mass movements and noise without an onset. It works at 100 Hz, as published; ours at 40 Hz.

SeisBench is not a dependency. In a virtual environment of its own, with seisedge and its extra `train`:

    pip install seisbench
    D='--data datasets --data datasets/onsets --data datasets/noise'
    python -m benchmarks.phasenet train $D -o phasenet.pt
    python -m benchmarks.phasenet test phasenet.pt --picks DIR … -o phasenet.json

`test` prints the onset errors against the analysts' picks of records that were not trained on, and writes the onsets on
the bundled recording, for `python -m benchmarks.detection --also phasenet.json`.
"""

from __future__ import annotations

import argparse
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import obspy
import torch
from scipy.signal import resample_poly  # type: ignore[import-untyped]

from benchmarks.records import PickedRecord, Stated, StatedOnset, pick_groups, records_of
from seisedge.runtime.demo import RECORDING
from seisedge.train.evaluation.figure import Figure, Figures
from seisedge.train.evaluation.onsets import add_pick_errors, pick_errors

RATE_HZ = 100.0
N = 3001  # samples of a window of PhaseNet
SIGMA = 10.0  # of the labels, samples: 0.1 s
BATCH = 32
UNSURE = 100  # samples on either side of an arrival that cannot be seen, where nothing is learned
LEAST_N = 6000  # shorter records are padded
OVERLAP_N = 2700  # samples that successive windows have in common
BLIND_N = (200, 200)  # outputs at the ends of a window that are not used: no onset was there in training
LOW_THRESHOLD = 0.03  # of the onsets that are written for a curve
# Of the onsets that are compared with picks: 0.4 of the highest probability that it gives, 0.38. The onsets of most
# training records are uncertain by more than the width of the labels.
THRESHOLD = 0.15
P, S = 0, 1
NO_PICKS = ("mass movement", "noise")


class Streams:
    """Windows (3, N) mixed from training records, with labels (2, N) and weights (2, N) of P and S."""

    def __init__(self, records: list[PickedRecord], seed: int) -> None:
        self._rng = np.random.default_rng(seed)
        made = [(r, _at_100_hz(r)) for r in records]
        self.events = [(r, x) for r, x in made if r.kind != "noise" and x.shape[1] >= N // 2]
        self.noise = [x for r, x in made if r.kind == "noise" and x.shape[1] >= N]
        for r, x in made:  # the part before the first P
            first = min((t for _, t in r.picks), default=0.0)
            end = int((first - 1.0) * RATE_HZ)
            if r.kind not in NO_PICKS and r.subset != "ridgecrest_continuous" and end >= N:
                self.noise.append(x[:, :end])

    def batch(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Waveforms (BATCH, 3, N), labels and weights (BATCH, 2, N)."""
        made = [self._window() for _ in range(BATCH)]
        return tuple(torch.from_numpy(np.stack(parts)) for parts in zip(*made, strict=True))  # type: ignore[return-value]

    def _window(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        rng = self._rng
        label, weight = np.zeros((2, N), np.float32), np.ones((2, N), np.float32)
        x = np.zeros((3, N), np.float32)
        draw = rng.random()
        if draw < 0.8:
            x = self._event(label, weight)
            if draw < 0.25:  # a second earthquake, up to 20 times smaller or larger
                other = self._event(label, weight)
                x = x + other * (x.std() / max(float(other.std()), 1e-9) * 10 ** rng.uniform(-1.3, 1.3))
        if draw >= 0.8 or rng.random() < 0.5:
            noise = self._noise()
            scale = 1.0 if draw >= 0.8 else x.std() / max(float(noise.std()), 1e-9) * rng.uniform(0.02, 0.5)
            x = x + noise * scale
        if rng.random() < 0.2:
            x[1:] = 0
        return x.astype(np.float32), np.minimum(label, 1), weight

    def _event(self, label: np.ndarray, weight: np.ndarray) -> np.ndarray:
        r, whole = self.events[self._rng.integers(len(self.events))]
        times = [t for _, t in r.picks]
        at_s = times[self._rng.integers(len(times))] if times else self._rng.uniform(0, r.length_s)
        first = round(at_s * RATE_HZ) - int(self._rng.integers(200, N - 200))
        x = np.zeros((3, N), np.float32)
        low, high = max(first, 0), min(first + N, whole.shape[1])
        part = whole[:, low:high]
        x[:, low - first : high - first] = part - part.mean(axis=1, keepdims=True)
        k = np.arange(N)
        for phase, time_s in r.picks:
            sample = time_s * RATE_HZ - first
            row = P if phase[0] == "P" else S
            if phase.endswith("?"):
                weight[row, np.abs(k - sample) <= UNSURE] = 0
            else:
                label[row] += np.exp(-((k - sample) ** 2) / (2 * SIGMA**2))
            if not r.s_known:
                weight[S, k > sample] = 0
        return x

    def _noise(self) -> np.ndarray:
        x = self.noise[self._rng.integers(len(self.noise))]
        first = int(self._rng.integers(0, x.shape[1] - N + 1))
        part = x[:, first : first + N]
        return np.asarray(part - part.mean(axis=1, keepdims=True))


def _at_100_hz(r: PickedRecord) -> np.ndarray:
    x = r.waveform - r.waveform.mean(axis=1, keepdims=True)
    ratio = Fraction(RATE_HZ / r.rate_hz).limit_denominator(1000)
    if ratio == 1:
        return np.asarray(x)
    return np.asarray(resample_poly(x, ratio.numerator, ratio.denominator, axis=1), dtype=np.float32)


def loss_of(probability: torch.Tensor, label: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Cross entropy of P and of S, each against everything else, as far as it is known."""
    p = probability[:, :2].clamp(1e-6, 1 - 1e-6)
    entropy = -(label * p.log() + (1 - label) * (1 - p).log())
    return (entropy * weight).sum() / weight.sum()


def train(folders: list[Path], minutes: float, out: Path) -> None:
    """Train for `minutes` of processor time, and write weights and the record of the training."""
    from seisbench.models import PhaseNet

    torch.set_num_threads(1)
    torch.manual_seed(0)
    records = [r for folder in folders for r in records_of(folder) if r.split != "test"]
    streams = Streams(records, seed=0)
    print(f"{len(records)} records: {len(streams.events)} with an event, {len(streams.noise)} stretches of noise")
    model = PhaseNet(phases="PSN", sampling_rate=RATE_HZ, norm="std")
    model.train()
    optimiser = torch.optim.Adam(model.parameters(), lr=2e-3)
    began, step, losses = time.process_time(), 0, []
    while (spent := (time.process_time() - began) / (60 * minutes)) < 1:
        for group in optimiser.param_groups:
            group["lr"] = 2e-3 * min(1.0, (step + 1) / 50) * (0.01 + 0.99 * (1 + np.cos(np.pi * spent)) / 2)
        waveform, label, weight = streams.batch()
        probability = model(model.annotate_batch_pre(waveform, {}))
        loss = loss_of(probability, label, weight)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        losses.append(float(loss.detach()))
        step += 1
        if step % 100 == 0:
            print(f"step {step}, {spent * minutes:.1f} min, loss {np.mean(losses[-100:]):.5f}", flush=True)
    torch.save({"weights": model.state_dict(), "steps": step, "minutes": minutes, "loss": np.mean(losses[-100:])}, out)


def load(path: Path) -> Any:
    """The trained network."""
    from seisbench.models import PhaseNet

    model = PhaseNet(phases="PSN", sampling_rate=RATE_HZ, norm="std")
    model.load_state_dict(torch.load(path, weights_only=False)["weights"])
    model.eval()
    return model


def stream_of(r: PickedRecord) -> obspy.Stream:
    """The components of a record that exist, at 100 Hz, from time 0; zeros after a record that ends within a window."""
    x = _at_100_hz(r)
    x = np.pad(x, ((0, 0), (0, max(LEAST_N - x.shape[1], 0))))
    codes = {code: k for k, code in enumerate("ZNE")}
    header = {"network": "XX", "station": "X", "sampling_rate": RATE_HZ}
    return obspy.Stream(
        [obspy.Trace(x[codes[c]].astype(np.float32), header | {"channel": f"HH{c}"}) for c in r.components]
    )


def onsets_of(model: Any, stream: obspy.Stream, threshold: float) -> list[tuple[str, str, int, float]]:
    """Station, phase, time in ns and probability of each pick."""
    picks = model.classify(
        stream, P_threshold=threshold, S_threshold=threshold, strict=False, overlap=OVERLAP_N, blinding=BLIND_N
    ).picks
    return [(pick.trace_id.rstrip("."), pick.phase, pick.peak_time.ns, float(pick.peak_value)) for pick in picks]


def test(path: Path, folders: list[Path], out: Path | None) -> None:
    """Onset errors on records not trained on, and the onsets on the bundled recording."""
    torch.set_num_threads(1)
    model = load(path)
    figures = Figures(draws=1000)
    for on, rows in pick_groups(folders).items():
        found = [onsets_of(model, stream_of(r), THRESHOLD) for r in rows]
        for phase in ("P", "S"):
            some = [(r, f) for r, f in zip(rows, found, strict=True) if r.times_s(phase)]
            onsets = [np.array([ns / 1e9 for _, p, ns, _ in f if p == phase]) for _, f in some]
            errors = pick_errors(onsets, np.array([r.times_s(phase)[0] for r, _ in some]))
            add_pick_errors(figures, errors, np.array([r.event for r, _ in some]), on=f"{phase}, {on}", who="PhaseNet")
    for row in figures.rows:
        print(line_of(row))
    if out is not None:
        picks = onsets_of(model, obspy.read(str(RECORDING)).merge(), LOW_THRESHOLD)
        listed = [StatedOnset(s, ns, round(v, 4)) for s, p, ns, v in picks if p == "P"]
        out.write_bytes(msgspec.json.encode(Stated("PhaseNet, trained on our data", listed, figures.rows)))


def line_of(f: Figure) -> str:
    """A figure with its interval, as a line."""
    interval = "" if f.low is None else f" ({f.low:.3f} to {f.high:.3f})"
    return f"{f.who:12} {f.on:30} {f.what:20} {f.value:8.3f}{interval}  n = {f.n_records}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = parser.add_subparsers(dest="what", required=True)
    fit = parts.add_parser("train")
    fit.add_argument("--data", action="append", type=Path, required=True)
    fit.add_argument("--minutes", type=float, default=15.0)
    fit.add_argument("-o", "--out", type=Path, required=True)
    check = parts.add_parser("test")
    check.add_argument("weights", type=Path)
    check.add_argument("--picks", nargs="+", type=Path, default=[])
    check.add_argument("-o", "--out", type=Path)
    arguments = parser.parse_args()
    if arguments.what == "train":
        train(arguments.data, arguments.minutes, arguments.out)
    else:
        test(arguments.weights, arguments.picks, arguments.out)


if __name__ == "__main__":
    main()
