"""The papers' selections on data sets with the columns of STEAD, ETHZ and PNW in SeisBench, and numbers of records."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from tests.train.dataset.sets import Rows, write_set

from seisedge.runtime.card import CARD_KEY
from seisedge.runtime.errors import InputError
from seisedge.runtime.inference.infer import model_path
from seisedge.train.archive.archive import Archive, Wanted, load_archive
from seisedge.train.archive.mixture import with_sources
from seisedge.train.archive.sampler import Draw
from seisedge.train.archive.task import candidates_of, check_fits, sampler_of, wanted_of, with_train_records
from seisedge.train.evaluation.predict import windows_of
from seisedge.train.evaluation.subject import subject_from, subject_of_model
from seisedge.train.models import create_model, describe_model
from seisedge.train.recipes.recipe import Recipe, load_recipe

LENGTHS = {"stead": 6000, "ethz": 13_000, "pnw": 15_001}
STEAD = {
    "station_network_code": "TA", "station_code": "109C", "trace_channel": "HH", "station_latitude_deg": 32.88,
    "station_longitude_deg": -117.1, "station_elevation_m": 150.0, "trace_p_status": "manual", "trace_p_weight": 0.5,
    "path_p_travel_sec": 17.08, "trace_s_status": "manual", "trace_s_weight": 0.5, "source_distance_deg": 0.92,
    "path_back_azimuth_deg": 144.3, "trace_snr_db": "[56.79999924 55.40000153 47.40000153]", "source_depth_km": "8.9",
    "trace_coda_end_sample": "[[3000.]]", "source_magnitude_type": "ml", "trace_category": "earthquake_local",
    "source_gap_deg": "None", "source_distance_km": 40.0,
}  # fmt: skip
ETHZ = {
    "source_depth_km": 8.0, "source_magnitude_type": "MLhc", "source_magnitude_author": "SED",
    "path_back_azimuth_deg": 120.0, "station_network_code": "CH", "station_code": "AIGLE", "trace_channel": "HH",
    "station_location_code": "", "station_latitude_deg": 46.3, "station_longitude_deg": 6.9,
    "trace_sampling_rate_hz": 100.0, "trace_completeness": 1.0, "trace_has_spikes": False, "trace_Pg_status": "manual",
    "trace_Pg_polarity": "undecidable",
}  # fmt: skip
PNW = {
    "source_depth_km": 5.0, "preferred_source_magnitude_type": "ml", "station_network_code": "UW",
    "station_channel_code": "HH", "station_code": "LON", "station_location_code": "", "station_latitude_deg": 46.75,
    "station_longitude_deg": -121.8, "station_elevation_m": 850.0, "trace_sampling_rate_hz": 100,
    "trace_S_onset": "emergent", "trace_P_onset": "impulsive", "trace_P_polarity": "undecidable",
    "trace_snr_db": "6.1|3.0|11.7", "source_type_pnsn_label": "eq", "trace_missing_channel": 0, "trace_has_offset": 0,
}  # fmt: skip


def made(folder: Path, name: str, cases: list[dict[str, Any]]) -> Path:
    """A data set with one event and one record for each case; all events are hours apart."""
    common: dict[str, Any] = {"stead": STEAD, "ethz": ETHZ, "pnw": PNW}[name]
    identity = "event_id" if name == "pnw" else "source_id"
    rows: Rows = []
    for k, case in enumerate(cases):
        start = f"2019-03-{1 + k // 24:02d}T{k % 24:02d}:00:00.00Z"
        place = {"source_latitude_deg": 32.0 + k, "source_longitude_deg": -117.0}
        row = {"trace_name": f"t{k}", identity: f"e{k}", "trace_start_time": start, "source_origin_time": start}
        rows.append(row | place | common | case)
    rng = np.random.default_rng(1)
    arrays = [rng.normal(0, 100, (3, LENGTHS[name])).astype(np.float32) for _ in rows]
    form = {"component_order": "ZNE", "measurement": "velocity", "unit": "counts"}
    return write_set(
        folder / name,
        rows,
        arrays,
        block=name == "pnw",
        data_format=form | ({"sampling_rate": 100} if name == "stead" else {}),
    )


def read(recipe: Recipe, folder: Path) -> Archive:
    model = describe_model(recipe.model, **recipe.arguments)
    g = model.geometry
    return load_archive(
        [folder], g.rate_hz, recipe.data.pass_hz, split=recipe.data.split, wanted=wanted_of(recipe, model)
    )


def drawn(recipe: Recipe, archive: Archive, size: int = 64) -> Draw:
    """Windows as in training, which evaluation can cut too."""
    recipe, _ = with_sources(recipe, archive)
    model = describe_model(recipe.model, **recipe.arguments)
    check_fits(recipe, model)
    everything = np.ones(len(archive.records), dtype=bool)
    answer_s = recipe.nuisance.answers_s[-1]
    fixed = windows_of(model.task, model.labels, model.geometry, archive, everything, answer_s)
    assert sorted(fixed.record) == list(range(len(archive.records)))
    return sampler_of(recipe, model, archive, lambda r: True, 1).draw(size)


def picked(p: str, s: str, **more: Any) -> list[dict[str, Any]]:
    """Four usable events, and one of each that the selection leaves out."""
    good = {p: 600, s: 1500, "M": 1.5} | more
    bad: list[dict[str, Any]] = [{"M": 3.1}, {"M": ""}, {s: 5600}, {s: ""}]
    return [good | {p: 600 + 100 * k} for k in range(4)] + [good | one for one in bad]


def with_magnitude(cases: list[dict[str, Any]], column: str) -> list[dict[str, Any]]:
    return [{column if key == "M" else key: value for key, value in case.items()} for case in cases]


def test_paper_a_on_stead(tmp_path: Path) -> None:
    cases = picked("trace_p_arrival_sample", "trace_s_arrival_sample")
    noise = {"trace_category": "noise", "source_id": "None", "source_origin_time": "", "source_distance_km": ""}
    folder = made(tmp_path, "stead", [*with_magnitude(cases, "source_magnitude"), noise])
    recipe = load_recipe("stead-magnitude")
    archive = read(recipe, folder)
    events = [r for r in archive.records if r.kind == "tectonic"]
    assert [r.magnitude for r in events] == [1.5] * 4
    assert events[0].end is not None
    assert events[0].end - events[0].onset == pytest.approx(3000 - 600)
    assert archive.left_out == {
        "magnitude above 3": 1, "no magnitude, which the recipe limits": 1, "ends less than 5 s after S": 1,
        "no S arrival, after which the recipe needs a part of the record": 1,
    }  # fmt: skip
    only = dataclasses.replace(archive, records=events, waveform=archive.waveform[:4], valid=archive.valid[:4])
    draw = drawn(recipe, only)
    before_s = np.array([only.records[i].onset for i in draw.record]) / 100 - draw.start / 100
    assert before_s == pytest.approx(5.0, abs=0.02)
    assert set(draw.record) == {0, 1, 2, 3}  # also records that begin less than 7.5 s before P


def test_paper_a_on_ethz_which_has_no_types(tmp_path: Path) -> None:
    later = [
        {k: v + 6000 if isinstance(v, int) else v for k, v in case.items()}
        for case in picked("trace_Pg_arrival_sample", "trace_Sg_arrival_sample")
    ]
    for case in later[-2:-1]:
        case["trace_Sg_arrival_sample"] = 12_600
    folder = made(tmp_path, "ethz", with_magnitude(later, "source_magnitude"))
    recipe = load_recipe("ethz-magnitude")
    archive = read(recipe, folder)
    assert [(r.kind, r.magnitude) for r in archive.records] == [("tectonic", 1.5)] * 4
    assert sum(archive.left_out.values()) == 4
    draw = drawn(recipe, archive)
    before_s = np.array([archive.records[i].onset for i in draw.record]) / 100 - draw.start / 100
    assert 4.9 < before_s.min() < 6.0
    assert 9.0 < before_s.max() < 10.1
    with pytest.raises(InputError, match=r"metadata.csv: no column source_type \(nor"):
        read(load_recipe("pnw-magnitude"), folder)


def test_both_papers_on_pnw(tmp_path: Path) -> None:
    quake = {"source_type": "earthquake", "trace_P_arrival_sample": 5000}
    near, far = quake | {"trace_S_arrival_sample": 5500}, quake | {"trace_S_arrival_sample": 7600}
    blast = {"source_type": "explosion", "source_type_pnsn_label": "px"}
    cases = [near, near | blast] * 5 + [far, near | {"trace_S_arrival_sample": ""}]
    folder = made(tmp_path, "pnw", [case | {"preferred_source_magnitude": 1.2} for case in cases])
    recipe = load_recipe("pnw-event-type")
    archive = read(recipe, folder)
    assert [r.kind for r in archive.records] == ["tectonic", "blast"] * 5
    assert archive.left_out == {"distance above 200 km": 1, "no distance, which the recipe limits": 1}
    draw = drawn(recipe, archive)
    assert (draw.length == 10_000).all()  # 100 s; the signal of the whole window exists
    assert set(draw.label) == {0, 1}
    quakes = load_recipe("pnw-magnitude")
    magnitude = read(quakes, folder)
    assert [r.magnitude for r in magnitude.records if r.kind == "tectonic"] == [1.2] * 6
    part, _ = with_sources(quakes, magnitude)
    model = describe_model(quakes.model, **quakes.arguments)
    chosen = {
        magnitude.records[i].kind for c in candidates_of(part, model, magnitude, lambda r: True) for i in c.indices
    }
    assert chosen == {"tectonic"}


def test_numbers_of_training_records(archive: Archive) -> None:
    def used(**wanted: int) -> dict[str, set[str]]:
        key = {f"data.train_records.{label.replace('_', '-')}": n for label, n in wanted.items()}
        recipe = load_recipe("ganet-paper", key)
        model = describe_model(recipe.model, **recipe.arguments)
        recipe, _ = with_sources(recipe, archive)
        part = with_train_records(recipe, model, archive, 3)
        assert [r.split for r in part.records if r.split == "test"] == [
            r.split for r in archive.records if r.split == "test"
        ]
        found = candidates_of(recipe, model, part, lambda r: r.split == "train")
        return {label: {part.records[i].name for i in c.indices} for label, c in zip(model.labels, found, strict=True)}

    few, more = used(tectonic=20, non_tectonic=10), used(tectonic=40, non_tectonic=10)
    assert (len(few["tectonic"]), len(few["non-tectonic"])) == (20, 10)
    assert (len(more["tectonic"]), len(more["non-tectonic"])) == (40, 10)
    assert few["tectonic"] < more["tectonic"]
    assert few["non-tectonic"] == more["non-tectonic"]
    with pytest.raises(InputError, match=r"needs 99999 training records for tectonic, but the data contain \d+; add"):
        used(tectonic=99999)
    with pytest.raises(InputError, match=r"train_records\.noise is no label of model 'ganet_paper'; its labels are"):
        used(noise=5)
    assert len(used(non_tectonic=10)["tectonic"]) > 40


def test_an_evaluation_of_a_run_reads_the_same_records() -> None:
    recipe = load_recipe("event-type", {"data.max_distance_km": 50.0, "data.leave_out": ["esec"]})
    model = create_model(recipe.model, **recipe.arguments)
    subject = subject_of_model(recipe, model, {}, torch.device("cpu"))
    assert subject.selection == Wanted(leave_out=["esec"], max_distance_km=50.0)


def test_an_evaluation_of_the_bundled_detector_leaves_out_what_is_cut_from_its_training_recording() -> None:
    """With all folders of its training: records of ridgecrest are part of ridgecrest_continuous."""
    assert subject_from("onset", torch.device("cpu")).selection == Wanted(leave_out=["ridgecrest"])
    assert subject_from("event-type", torch.device("cpu")).selection == Wanted(leave_out=[])


@pytest.mark.parametrize(
    ("recipe", "left_out", "read"),
    [
        ("mine", ["ridgecrest"], ["ridgecrest"]),  # the recipe of the detector under another name
        ("onset", [], []),  # another recipe under its name
        ("mine", None, []),
        ("onset", None, ["ridgecrest"]),
    ],
)
def test_an_evaluation_of_a_model_file_leaves_out_what_its_card_states(
    recipe: str, left_out: list[str] | None, read: list[str], tmp_path: Path
) -> None:
    graph = onnx.load(str(model_path("onset")))
    (card,) = (json.loads(p.value) for p in graph.metadata_props if p.key == CARD_KEY)
    card["training"]["recipe"] = recipe
    if left_out is not None:
        card["training"]["left_out"] = left_out
    onnx.helper.set_model_props(graph, {CARD_KEY: json.dumps(card)})
    path = tmp_path / "mine.onnx"
    onnx.save(graph, str(path))
    assert subject_from(str(path), torch.device("cpu")).selection == Wanted(leave_out=read)
