"""Synthetic records are marked, used only on request, and never part of an evaluation."""

from __future__ import annotations

import csv
import json
import math
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner
from tests.train.commands.test_evaluate import STEPS, make_set

from seisedge.cli import main
from seisedge.runtime.errors import InputError
from seisedge.train.archive.archive import Wanted, load_archive
from seisedge.train.synthetic import Catalogue, Earth, write_dataset

FEW = Catalogue(events=14, stations=2, explosions=0.5, length_s=80.0, noise_m_per_s=(1e-9, 1e-8))


def seisedge(*arguments: str | Path) -> tuple[int, str]:
    result = CliRunner().invoke(main, [str(a) for a in arguments])
    assert "Traceback" not in result.output
    return result.exit_code, result.output


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("synthetic") / "made"
    assert write_dataset(folder, FEW, seed=3) == 28
    return folder


def test_every_record_is_marked_as_synthetic(made: Path, tmp_path: Path) -> None:
    with (made / "metadata.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 28
    assert {row["trace_synthetic"] for row in rows} == {"True"}
    assert {row["source_type"] for row in rows} == {"earthquake", "explosion"}
    assert json.loads((made / "build.json").read_text())["seed"] == 3
    write_dataset(tmp_path / "again", FEW, seed=3)
    assert (tmp_path / "again" / "waveforms.hdf5").read_bytes() == (made / "waveforms.hdf5").read_bytes()


def test_events_have_the_earths_in_turn(tmp_path: Path) -> None:
    earths = [Earth(p_km_per_s=5.0), Earth(p_km_per_s=6.5)]
    write_dataset(tmp_path / "made", FEW, 3, earths)
    with (tmp_path / "made" / "metadata.csv").open() as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        km = math.hypot(float(row["path_ep_distance_km"]), float(row["source_depth_km"]))
        s_minus_p_s = (float(row["trace_s_arrival_sample"]) - float(row["trace_p_arrival_sample"])) / 100.0
        event = int(row["source_id"].rsplit("_", 1)[1])
        assert km * 0.73 / s_minus_p_s == pytest.approx(earths[event % 2].p_km_per_s, rel=0.01)
    stated = json.loads((tmp_path / "made" / "build.json").read_text())["earth"]
    assert [each["p_km_per_s"] for each in stated] == [5.0, 6.5]


def test_the_records_are_used_only_on_request(made: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="28 × synthetic"):
        load_archive([made], 40.0, 15.0)
    real = make_set(tmp_path / "real")
    without, with_them = (
        load_archive([real, made], 40.0, 15.0, wanted=Wanted(synthetic=flag)) for flag in (False, True)
    )
    assert any("synthetic" in reason and n == 28 for reason, n in without.left_out.items())
    assert len(with_them.records) == len(without.records) + 28
    made_up = [r for r in with_them.records if r.synthetic]
    assert {r.split for r in made_up} == {"train"}
    assert 0 not in {r.fold for r in made_up}  # temperature is fitted on fold 0
    sides = [{r.name: (r.split, r.fold) for r in a.records if not r.synthetic} for a in (without, with_them)]
    assert sides[0] == sides[1]  # the split of real events is unchanged
    assert all(r.gain == 1.0 for r in made_up)


def test_training_uses_them_only_with_its_key_and_evaluation_never(made: Path, tmp_path: Path) -> None:
    real = make_set(tmp_path / "real")
    both = ("--data", real, "--data", made)
    code, text = seisedge("train", "event-type", *both, "-o", tmp_path / "with", *STEPS, "--set", "data.synthetic=true")
    assert code == 0, text
    assert "28 records left out: synthetic" not in text
    sides = json.loads((tmp_path / "with" / "split.json").read_text())
    assert {row["split"] for row in sides.values() if row["event"].startswith("synthetic")} == {"train"}
    code, text = seisedge("evaluate", tmp_path / "with", *both, "-o", tmp_path / "out", "--no-curves", "--draws", "20")
    assert code == 0, text
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["sources"] == ["mine"]
    assert any("synthetic" in reason and n == 28 for reason, n in report["left_out"].items())
    alone = tmp_path / "alone"
    shutil.copytree(made, alone)
    code, text = seisedge("evaluate", "event-type", "--data", alone, "-o", tmp_path / "none")
    assert code == 2
    assert "no usable record" in text
    assert "28 × synthetic" in text
