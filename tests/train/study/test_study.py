"""`seisedge study` from the command line on a small data set: table, plots, resuming, and messages for bad input."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from tests.train.dataset.sets import make_arrays, make_rows, write_set
from tests.train.study.sets import make_types, write_study

from seisedge.cli import main

# A study of a feature, which trains nothing.
TIMES = """
name = "times"
paper = "A"
task = "magnitude"
about = "a"
source = "b"
columns = ["tau"]
plots = ["bars"]

[[row]]
name = "S"
feature = "S minus P"
paper = { tau = 0.75 }
"""


def study(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(main, ["study", *arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.output


def test_a_study_writes_table_and_plots_and_resumes(tmp_path: Path) -> None:
    data, out = make_types(tmp_path / "made"), tmp_path / "out"
    arguments = [str(write_study(tmp_path)), "--data", str(data), "-o", str(out), "--workers", "1"]
    code, text = study(*arguments)
    assert code == 0, text
    assert "trainings to run: 1, finished before: 0, at the same time: 1; expected time: 0:" in text
    table = json.loads((out / "tiny/table.json").read_text())
    fast, of_paper = table["rows"]
    assert fast["cells"]["accuracy"]["paper"] == 95.75
    assert 0 <= fast["cells"]["accuracy"]["low"] <= fast["cells"]["accuracy"]["value"] <= 100
    assert fast["cells"]["sensitivity"]["n_events"] == 8  # a fifth of 40 events, at two stations each
    assert fast["cells"]["sensitivity"]["n_records"] == 16
    assert (of_paper["cells"]["accuracy"], of_paper.get("keys", [])) == ({"paper": 90.0}, [])
    wrong = fast["cells"]["wrong"]["value"]
    assert wrong == pytest.approx((1 - fast["cells"]["accuracy"]["value"] / 100) * 16)
    assert fast["cells"]["parameters"]["value"] > 1000
    assert fast["cells"]["flops"]["value"] > 1e5
    assert fast["cells"]["latency"]["value"] > 0
    assert "64 records of 32 events, 4 steps (1 epoch), its whole recipe, 1 seed" in fast["how"]
    page = (out / "tiny/table.md").read_text()
    assert "| of the paper | – | – | 90 |" in page
    for plot in ("bars", "curves", "confusion", "roc", "confidence", "gallery"):
        assert (out / f"tiny/{plot}.png").read_bytes().startswith(b"\x89PNG")
        assert f"]({plot}.png)" in page
    rows = list(csv.DictReader((out / "tiny/table.csv").read_text().splitlines()))
    accuracy = next(r for r in rows if (r["row"], r["column"]) == ("fast", "accuracy"))
    assert (float(accuracy["value"]), accuracy["paper"]) == (fast["cells"]["accuracy"]["value"], "95.75")

    result = out / "rows" / fast["keys"][0] / "result.json"
    trained = (result.parent / "run/checkpoint.pt").stat().st_mtime_ns
    result.unlink()  # as if the command had been interrupted after the training
    for unfinished in (1, 0):
        code, text = study(*arguments)
        assert code == 0, text
        assert f"trainings to run: {unfinished}, finished before: {1 - unfinished}," in text
        assert (result.parent / "run/checkpoint.pt").stat().st_mtime_ns == trained
    again = json.loads((out / "tiny/table.json").read_text())
    assert [row["cells"] for row in again["rows"]] == [row["cells"] for row in table["rows"]]


def test_a_split_that_leaks_is_refused_before_the_first_step(tmp_path: Path) -> None:
    """Divided by record, by a row that does not say so."""
    data, out = make_types(tmp_path / "made"), tmp_path / "out"
    file = write_study(tmp_path, steps=1, leaks=False)
    head, *_, by_record = file.read_text().split("[[row]]")
    file.write_text(f"{head}[[row]]{by_record}")
    code, text = study(str(file), "--data", str(data), "-o", str(out), "--workers", "1")
    assert code == 1
    assert "1 of 1 trainings failed" in text
    (row,) = json.loads((out / "tiny/table.json").read_text())["rows"]
    assert "has records in the training and in the test data" in row["missing"]
    assert not list((out / "rows" / row["keys"][0]).glob("run/*"))


def test_bad_input_is_one_sentence(tmp_path: Path) -> None:
    data, file = make_types(tmp_path / "made", events=28), str(write_study(tmp_path, steps=1))
    code, text = study("ablatoin")
    assert (code, text) == (2, "Error: no study named 'ablatoin'; did you mean 'ablation'?\n")
    code, text = study(file, "--data", str(data), "-o", str(tmp_path / "out"))
    assert code == 2
    assert "row 'fast': needs 15 events of the class tectonic" in text
    assert "the data have 14" in text
    assert not (tmp_path / "out").exists()
    noise = write_set(tmp_path / "noise", make_rows(4), make_arrays(4))
    rows = make_rows(12, trace_npts=6000, trace_S_arrival_sample=2600)
    same = write_set(tmp_path / "same", [row | {"source_magnitude": k} for k, row in enumerate(rows)], make_arrays(12))
    times = tmp_path / "times.toml"
    times.write_text(TIMES)
    code, text = study(str(times), "--data", str(same), "-o", str(tmp_path / "out"))
    assert code == 2
    assert "needs different times; those of trace_s_arrival_sample and trace_p_arrival_sample are the same" in text
    code, text = study("kendall", "--data", str(noise), "-o", str(tmp_path / "out"))
    assert code == 2
    assert "needs 10 events with a magnitude and the columns trace_p_arrival_sample; the data have 0" in text
    code, text = study("marks", "--data", str(make_types(tmp_path / "more")), "-o", str(tmp_path / "out"))
    assert code == 2
    assert "row 'marks of P, S and coda end' (and 1 more): needs 15 events with a magnitude" in text  # at 40 Hz
    fast = make_types(tmp_path / "fast", trace_sampling_rate_hz=100)
    code, text = study("marks", "--data", str(fast), "-o", str(tmp_path / "out"))
    assert code == 2
    assert "needs the column trace_coda_end_sample, of which the data have no value" in text
    large = make_types(tmp_path / "large", step=0.3, trace_sampling_rate_hz=100)
    code, text = study("depth", "--data", str(large), "-o", str(tmp_path / "out"))
    assert code == 2
    assert "needs 15 events with a magnitude up to 3 in records with" in text
    assert "; the data have 10; give other data" in text
    code, text = study("final-300", "--data", str(fast), "-o", str(tmp_path / "out"))
    assert code == 2
    assert "needs 10 records of each bin of 0.1 magnitudes from 0 to 3, in whole events; the data have " in text
    assert study("ablation", "--all")[0] == 2
    blind = make_types(tmp_path / "blind", trace_sampling_rate_hz=100, trace_p_arrival_sample="")
    code, text = study("ablation", "--data", str(blind), "-o", str(tmp_path / "out"))
    assert code == 2
    assert "study ablation, row 'GA-Net' (and 2 more): needs 15 events of the class tectonic in records with" in text
    assert "an onset and a Nyquist frequency above 40 Hz; the data have 0; give other data" in text
    many = make_types(tmp_path / "many", events=120, trace_sampling_rate_hz=100)
    code, text = study("imbalance-ratio", "--data", str(many), "-o", str(tmp_path / "out"))
    assert code == 2
    assert "row 'growing set, 1:1' (and 1 more): needs 200 training records of the class tectonic; the data" in text
    assert "; study imbalance-ratio, row 'growing set, 2:1': needs 400 training records" in text
    assert "have about 96; --scale 0.24 would fit" in text
    assert "--scale 0.04 would fit; 3 rows for other reasons; give other data" in text  # of 2000 records
    again = tmp_path / "again"
    again.mkdir()
    code, text = study(file, str(write_study(again)), "--data", str(data), "-o", str(tmp_path / "out"))
    assert code == 2
    assert "two of the studies have the same name" in text
    torch.save({"conv1.weight": torch.zeros(64, 3, 7, 7)}, other := tmp_path / "other.pth")
    code, text = study("transfer", "--data", str(fast), "-o", str(tmp_path / "out"), "--weights", str(other))
    assert code == 2
    assert "other.pth: tensor 'bn1.weight' is missing; --weights must be a state_dict of torchvision's resnet18" in text
    code, text = study("depth", "--data", str(fast), "-o", str(tmp_path / "out"), "--weights", str(other))
    assert code == 2
    assert "no row of the study depth starts from given weights; leave out --weights" in text
    assert not (tmp_path / "out").exists()


def test_the_folder_of_another_study_is_refused(tmp_path: Path) -> None:
    """The features need no training, so that these commands are quick."""
    rows = make_rows(12, trace_npts=6000)
    for k, row in enumerate(rows):
        row |= {"source_magnitude": 1 + k / 10, "trace_S_arrival_sample": 2200 + 20 * k}
    data, out = write_set(tmp_path / "made", rows, make_arrays(12)), tmp_path / "out"
    file = tmp_path / "times.toml"
    file.write_text(TIMES)
    code, text = study(str(file), "--data", str(data), "-o", str(out))
    assert code == 0, text
    assert "| S | 1.00 (1.00 to 1.00) | 0.75 | 12 records of 12 events" in text
    other = tmp_path / "others.toml"
    other.write_text(file.read_text().replace('"times"', '"others"'))
    code, text = study(str(other), "--data", str(data), "-o", str(out))
    assert code == 2
    assert f"{out}: contains a study with another study (times, now others); give another folder with -o" in text
    code, text = study(str(file), "--data", str(data), "-o", str(out), "--shuffle-labels")
    assert "another --shuffle-labels (False, now True)" in text
    code, text = study(str(file), "--data", str(data), "-o", str(out), "--set", "optimisation.steps=2")
    assert "contains a study with another --set (none, now optimisation.steps=2); give another folder" in text
    code, text = study(str(file), "--data", str(data), "-o", str(tmp_path / "chance"), "--shuffle-labels")
    tau = json.loads((tmp_path / "chance/times/table.json").read_text())["rows"][0]["cells"]["tau"]["value"]
    assert tau < 0.5
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/x").write_text("")
    code, text = study(str(file), "--data", str(data), "-o", str(tmp_path / "mine"))
    assert f"{tmp_path / 'mine'}: is not empty and not the folder of a study" in text


def test_data_without_types_are_earthquakes_if_the_command_says_so(tmp_path: Path) -> None:
    """As in ETHZ, whose table has no column of the type."""
    rows = make_rows(12, trace_npts=6000)
    for k, row in enumerate(rows):
        del row["source_type"]
        row |= {"source_magnitude": 1 + k / 10, "trace_Sg_arrival_sample": 2200 + 20 * k}
    data, out = write_set(tmp_path / "made", rows, make_arrays(12)), str(tmp_path / "out")
    file = tmp_path / "times.toml"
    file.write_text(TIMES)
    code, text = study(str(file), "--data", str(data), "-o", out)
    assert code == 2
    assert "metadata.csv: no column source_type (nor" in text
    assert "--set data.unlabelled=tectonic" in text
    code, text = study(str(file), "--data", str(data), "-o", out, "--set", "data.unlabelled=tectonic")
    assert code == 0, text
    assert "12 records of 12 events" in text


def test_studies_of_one_command_share_their_rows(tmp_path: Path) -> None:
    data, out = make_types(tmp_path / "made"), tmp_path / "out"
    first = write_study(tmp_path, steps=1)
    second = tmp_path / "second.toml"
    second.write_text(first.read_text().replace('"tiny"', '"second"').replace('"fast"', '"again"'))
    arguments = [str(first), str(second), "--data", str(data), "-o", str(out), "--workers", "1"]
    code, text = study(*arguments, "--set", "nuisance.vertical_share=1.0")
    assert code == 0, text
    assert "trainings to run: 1, " in text
    tables = [json.loads((out / name / "table.json").read_text())["rows"][0] for name in ("tiny", "second")]
    assert [row["name"] for row in tables] == ["fast", "again"]
    assert tables[0]["keys"] == tables[1]["keys"]
    assert tables[0]["cells"] == tables[1]["cells"]
    [note] = tables[0]["notes"]  # nobody reads the log of a row
    assert note.startswith("the model is trained on the vertical only, since nuisance.vertical_share is 1; 64 records")


def test_rows_at_the_same_time_have_the_figures_of_rows_one_after_the_other(tmp_path: Path) -> None:
    data, file = make_types(tmp_path / "made"), write_study(tmp_path, leaks=True)
    figures = {}
    for workers in ("1", "2"):
        out = tmp_path / workers
        code, text = study(str(file), "--data", str(data), "-o", str(out), "--workers", workers)
        assert code == 0, text
        assert f"at the same time: {workers};" in text
        rows = json.loads((out / "tiny/table.json").read_text())["rows"]
        for row in rows:
            del row["cells"]["latency"]
        figures[workers] = [cell.get("value", 0.0) for row in rows for cell in row["cells"].values()]
    assert len(figures["1"]) == 3 * 8
    assert figures["1"] == pytest.approx(figures["2"], rel=1e-3)  # the number of threads may change the rounding


@pytest.mark.long
def test_shuffled_labels_bring_a_study_to_chance(tmp_path: Path) -> None:
    data, file = make_types(tmp_path / "made", events=80), write_study(tmp_path, steps=120, leaks=True)
    found = {}
    for name, more in (("real", []), ("shuffled", ["--shuffle-labels"])):
        code, text = study(str(file), "--data", str(data), "-o", str(tmp_path / name), "--workers", "1", *more)
        assert code == 0, text
        table = json.loads((tmp_path / name / "tiny/table.json").read_text())
        found[name] = table["rows"][0]["cells"]["auc"]
    assert found["real"]["low"] > 0.9
    assert found["shuffled"]["low"] < 0.5 < found["shuffled"]["high"]
    assert found["shuffled"]["value"] < 0.8
    assert table["rows"][2]["cells"]["auc"]["n_events"] == 32  # each record is an event of its own
