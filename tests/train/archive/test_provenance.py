"""Statements of a card about its training data: from the data, else 'not stated'."""

from __future__ import annotations

import base64
import csv
from pathlib import Path

import pytest
from tests.train.dataset.sets import make_arrays, make_rows, write_set

from seisedge.runtime.errors import CardError, InputError
from seisedge.train.archive.archive import Wanted, load_archive
from seisedge.train.archive.provenance import (
    FILE,
    Provenance,
    magnitude_scale,
    provenance_of,
    read_facts,
    with_initial_weights,
)
from seisedge.train.dataset.event_hashes import event_hash, event_key, hashes_from_text, key_of_id, text_from_keys


@pytest.mark.parametrize(
    ("types", "code", "remark"),
    [
        ({"Mw": 3}, "Mw", ""),
        ({"ml": 3, "ML": 1}, "ML", ""),
        ({"mb": 1}, "mb", ""),
        ({"MB": 1}, "MB", ""),  # mb or mB: ambiguous
        ({"ml": 3, "md": 5}, "M", "as catalogued: Md (5 records), ML (3 records); not converted"),
        ({"Mw": 3, "": 9}, "M", "as catalogued: Mw (3 records), not stated (9 records); not converted"),
        ({"catalogue (SCSN)": 2}, "M", "as catalogued: catalogue (SCSN) (2 records); not converted"),
        ({"": 4}, "M", "the data do not state the magnitude type"),
        ({}, "M", "the data do not state the magnitude type"),
    ],
)
def test_the_magnitude_type_is_that_of_the_data(types: dict[str, int], code: str, remark: str) -> None:
    assert magnitude_scale(types) == (code, remark)


@pytest.mark.parametrize("written", ["ci38443183", " ci38443183 ", "CI38443183"])
def test_spellings_of_an_event_id_have_one_key(written: str) -> None:
    assert key_of_id(written) == "ci38443183"


def test_numbers_and_accents_have_one_key() -> None:
    assert key_of_id("38443183.0") == key_of_id("38443183") != key_of_id("384431830")
    assert key_of_id("Se\u0301chilienne-1") == key_of_id("S\u00e9chilienne-1")
    assert key_of_id("1.05") == "1.05"  # not an integer


def test_a_record_without_event_id_has_the_key_of_its_station_and_start() -> None:
    where = {"station_network_code": "XX", "station_code": "A"}
    at = {"trace_start_time": "2020-01-01T00:00:00Z"}
    key = event_key({"trace_name": "bucket0$0,:3,:6000", **where, **at})
    assert key == "XX.A 1577836800000000000"
    assert event_key({"trace_name": "other", "source_id": "nan", **where, **at}) == key
    assert event_key({"trace_name": "bucket0$0,:3,:6000", **where}) == ""
    assert event_key({"trace_name": "bucket0$0,:3,:6000", **at}) == ""


def test_hashes_round_trip() -> None:
    keys = ["e2", "e1", "", "e1"]
    encoded = text_from_keys(keys)
    assert encoded == text_from_keys(["e1", "e2"])
    assert hashes_from_text(encoded, "m.onnx") == {event_hash("e1"), event_hash("e2")}
    assert len(base64.b64decode(encoded)) == 16
    assert hashes_from_text(text_from_keys([]), "m.onnx") == frozenset()


@pytest.mark.parametrize("encoded", ["?", "AAAA", "AAAAAAAAAAA"])
def test_invalid_hashes_are_an_error(encoded: str) -> None:
    with pytest.raises(CardError, match=r"^m\.onnx: training.event_hashes of the card must be base64"):
        hashes_from_text(encoded, "m.onnx")


def of(folder: Path, used: list[int] | None = None) -> Provenance:
    archive = load_archive([folder], 40.0, 15.0)
    return provenance_of(archive, used or list(range(len(archive.records))), [folder], "magnitude")


def test_missing_statements_are_not_stated(tmp_path: Path) -> None:
    """Also if the source has the name of a bundled one."""
    found = of(write_set(tmp_path, make_rows(3, split="train", subset="pnw"), make_arrays(3)))
    assert found.data == ["pnw (licence not stated)"]
    assert found.not_for == ["regions other than those of the training data: pnw (region not stated)"]
    assert found.magnitude_types == {}
    assert hashes_from_text(found.event_hashes, "") == {event_hash(f"e{i}") for i in range(3)}


def test_statements_of_the_data_are_used(tmp_path: Path) -> None:
    rows = make_rows(
        4, split="train", subset="mine", source_magnitude=1.0, source_magnitude_type="Mw", trace_licence="CC0"
    )
    rows[3] |= {"trace_licence": "", "source_magnitude_type": ""}
    folder = write_set(tmp_path, rows, make_arrays(4))
    assert of(folder).data == ["mine (licence not stated; CC0)"]
    (folder / FILE).write_text(
        '[mine]\nlicence = "CC BY 4.0"\npart = "until 2020"\nregion = "Jura"\n'
        '[mine.not_for]\nmagnitude = ["M above 2"]\nevent_type = ["blasts"]\n[other]\nregion = "Alps"\n'
    )
    found = of(folder)
    assert found.data == ["mine until 2020 (CC BY 4.0; CC0)"]
    assert found.not_for == ["regions other than those of the training data: Jura", "M above 2"]
    assert found.magnitude_types == {"": 1, "Mw": 3}
    assert of(folder, [0, 2]).magnitude_types == {"Mw": 2}
    assert len(hashes_from_text(of(folder, [0, 2]).event_hashes, "")) == 2


def test_events_that_share_samples_with_a_training_event_are_named(tmp_path: Path) -> None:
    rows = make_rows(3, split="train")
    rows[0]["source_group"] = rows[1]["source_group"] = "both"
    rows[2]["source_group"] = "alone"
    found = of(write_set(tmp_path, rows, make_arrays(3)), [0])
    assert hashes_from_text(found.event_hashes, "") == {event_hash("e0"), event_hash("e1")}


def test_records_without_a_key_are_counted(tmp_path: Path) -> None:
    rows = make_rows(3, split="train")
    rows[1]["source_id"] = ""
    assert of(write_set(tmp_path, rows, make_arrays(3))).n_unnamed_records == 1


def test_synthetic_records_are_stated(tmp_path: Path) -> None:
    rows = make_rows(2, split="train", subset="made", trace_synthetic=True, source_magnitude=2.0)
    folder = write_set(tmp_path / "made", rows, make_arrays(2))
    real_row = make_rows(1, split="train", source_id="x1", source_magnitude=1.0, source_magnitude_type="ml")
    real = write_set(tmp_path / "real", real_row, make_arrays(1))
    archive = load_archive([folder, real], 40.0, 15.0, wanted=Wanted(synthetic=True))
    stated = provenance_of(archive, [0, 1, 2], [folder, real], "magnitude")
    assert stated.data[0] == "made (licence not stated), 2 of 2 records synthetic"
    assert stated.magnitude_types == {"ml": 1}
    assert hashes_from_text(stated.event_hashes, "") == {event_hash("x1")}


def test_training_data_of_the_initial_weights_are_included(tmp_path: Path) -> None:
    own = of(write_set(tmp_path / "own", make_rows(3, split="train", subset="own"), make_arrays(3)))
    rows = make_rows(2, split="train", subset="before")
    rows[1]["source_id"] = "x1"
    before = of(write_set(tmp_path / "before", rows, make_arrays(2)))
    found = with_initial_weights(own, before)
    assert hashes_from_text(found.event_hashes, "") == {event_hash(e) for e in ("e0", "e1", "e2", "x1")}
    assert found.data == ["own (licence not stated)", "by the initial weights: before (licence not stated)"]
    unknown = with_initial_weights(own, None)
    assert unknown.data[1:] == ["the initial weights (training data not stated)"]
    assert unknown.event_hashes == own.event_hashes


@pytest.mark.parametrize("text", ["[mine]\nlicense = 'MIT'\n", "mine = 3\n", "[mine\n"])
def test_an_invalid_sources_file_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / FILE).write_text(text)
    with pytest.raises(InputError, match=f"{tmp_path / FILE}: must contain one valid table for each source"):
        read_facts([tmp_path])


def test_the_bundled_set_states_licence_and_region_of_each_source(datasets: Path) -> None:
    with (datasets / "metadata.csv").open(encoding="utf-8") as file:
        sources = {row["subset"] for row in csv.DictReader(file)}
    facts = read_facts([datasets])
    assert set(facts) == sources
    assert all(found.licence and found.region for (found,) in facts.values())
