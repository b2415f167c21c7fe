"""Windows to compare on: whose records, which damages, what is scored."""

from __future__ import annotations

import csv
import dataclasses
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from tests.export.conftest import bundled

from seisedge.export.gate_windows import DAMAGES, HeldOut, gate_windows, load_records
from seisedge.export.graph import ModelFile
from seisedge.runtime.errors import InputError
from seisedge.train.archive.archive import Archive, Record
from seisedge.train.archive.gains import UNKNOWN_GAIN
from seisedge.train.evaluation.predict import noise_label


def test_only_records_held_out(model: ModelFile, some_records: Archive, windows: HeldOut) -> None:
    test = {r.group for r in some_records.records if r.split == "test"}
    train = {r.group for r in some_records.records if r.split == "train"}
    assert set(windows.event) <= test - train
    calibration = gate_windows(model.card, some_records, 50, split="train")
    assert not set(calibration.event) & set(windows.event)


def test_all_answers_and_the_same_windows_twice(model: ModelFile, some_records: Archive, windows: HeldOut) -> None:
    assert set(windows.answer_s) == set(model.card.answers_s)
    assert gate_windows(model.card, some_records, 160).sha256 == windows.sha256
    assert gate_windows(model.card, some_records, 40).sha256 != windows.sha256


def test_damages_come_when_the_plain_ones_are_used_up(model: ModelFile, some_records: Archive) -> None:
    many = gate_windows(model.card, some_records, 100_000)
    assert set(many.damage) == set(DAMAGES)
    assert (many.damage == "as recorded").sum() * len(DAMAGES) == len(many)
    assert many.scored.any() and (many.damage[many.scored] == "as recorded").all()
    vertical = many.damage == "vertical only"
    assert not many.valid[vertical][:, 1:].any()
    gap = many.part(np.flatnonzero(many.damage == "a second missing"))
    hole = round((model.card.onset_s + 1.5) * model.card.sampling_rate_hz)
    assert not gap.valid[:, :, hole].any() and gap.valid[:, 0, hole - 40].any()
    assert np.isfinite(many.waveform).all()
    assert not many.waveform[many.valid < 0.5].any()


def test_horizontals_exchanged_and_the_vertical_inverted(model: ModelFile, some_records: Archive) -> None:
    many = gate_windows(model.card, some_records, 100_000)
    plain = many.part(np.flatnonzero(many.damage == "as recorded"))
    turned = many.part(np.flatnonzero(many.damage == "horizontals exchanged"))
    assert (plain.answer_s == turned.answer_s).all() and (plain.event == turned.event).all()
    for component, (of, sign) in enumerate([(0, -1), (2, 1), (1, 1)]):
        assert (turned.waveform[:, component] == sign * plain.waveform[:, of]).all()
        assert (turned.valid[:, component] == plain.valid[:, of]).all()
    assert (plain.waveform[:, 1] != plain.waveform[:, 2]).any()


def alone_in(archive: Archive, **changes: Any) -> tuple[Archive, Record]:
    """The archive with one record on the test side, a visible tectonic one of known gain, with `changes`."""
    (at, chosen), *_ = (
        (i, r)
        for i, r in enumerate(archive.records)
        if r.split == "test" and r.kind == "tectonic" and r.magnitude and r.visible and r.gain and r.noise_end > 1000
    )
    records = [dataclasses.replace(r, split="train") for r in archive.records]
    records[at] = dataclasses.replace(chosen, **changes)
    return dataclasses.replace(archive, records=records), records[at]


def test_a_single_record_and_its_target(model: ModelFile, some_records: Archive) -> None:
    """The target is a label for the event type, the catalogue's magnitude for magnitude."""
    archive, chosen = alone_in(some_records)
    alone = gate_windows(model.card, archive, 100_000)
    assert set(alone.event) == {chosen.group} and set(alone.damage) == set(DAMAGES)
    longest = alone.target[alone.answer_s == model.card.answers_s[-1]]
    if model.card.task == "event_type":
        assert set(longest) <= {model.card.labels.index(name) for name in ("tectonic", "noise")}
        assert model.card.labels.index("tectonic") in longest
    else:
        assert (alone.target == chosen.magnitude).all()


def test_a_record_without_a_visible_signal_is_scored_as_noise_only(model: ModelFile, some_records: Archive) -> None:
    archive, _ = alone_in(some_records, visible=False)
    windows = gate_windows(model.card, archive, 100_000)
    noise = windows.target == noise_label(model.card.labels)
    assert (windows.scored == (noise & (windows.damage == "as recorded"))).all()
    assert windows.scored.any() == (model.card.task == "event_type")


def test_gains_and_station_terms(some_records: Archive) -> None:
    """Samples are divided by the gain; an unknown one is the nominal one times ten to the station term."""
    card = bundled("magnitude").card
    archive, chosen = alone_in(some_records)
    unknown, _ = alone_in(some_records, gain=None)
    assert chosen.gain

    def counts(windows: HeldOut, gain: float) -> npt.NDArray[np.float32]:
        plain = windows.waveform[windows.damage == "as recorded"]
        assert np.abs(plain).max() > 0
        return np.asarray(plain * np.float32(gain))

    known = counts(gate_windows(card, archive, 1000), chosen.gain)
    assert np.abs(known[known != 0]).min() > 1e-3 and np.abs(known).max() > 1  # counts, not m/s
    assert np.allclose(counts(gate_windows(card, unknown, 1000), UNKNOWN_GAIN), known, rtol=1e-5)
    terms = {chosen.station: 1.0}
    assert np.allclose(counts(gate_windows(card, unknown, 1000, "test", terms), 10 * UNKNOWN_GAIN), known, rtol=1e-5)
    assert not gate_windows(card, unknown, 1000).scored.any()
    assert gate_windows(card, unknown, 1000, "test", terms).scored.any()


def test_a_side_that_is_not_there(model: ModelFile, some_records: Archive) -> None:
    with pytest.raises(InputError, match="hold no nowhere record"):
        gate_windows(model.card, some_records, 10, split="nowhere")


def test_synthetic_records_are_left_out(model: ModelFile, datasets: Path, tmp_path: Path) -> None:
    with (datasets / "metadata.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    with (tmp_path / "metadata.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, [*rows[0], "trace_synthetic"])
        writer.writeheader()
        writer.writerows(row | {"trace_synthetic": "True" if i < 3 else ""} for i, row in enumerate(rows))
    shutil.copy(datasets / "waveforms.hdf5", tmp_path)
    real, rest = load_records(model.card, [datasets]), load_records(model.card, [tmp_path])
    marked = {row["trace_name"] for row in rows[:3]}
    assert {r.name for r in real.records} - {r.name for r in rest.records} == marked & {r.name for r in real.records}
    assert sum(count for reason, count in rest.left_out.items() if reason.startswith("synthetic")) == 3
