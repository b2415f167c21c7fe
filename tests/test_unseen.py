"""The demo's stretch is used for nothing else: no training record shares an event or a moment with it."""

import csv
from pathlib import Path

import msgspec

from seisedge.runtime.card import ModelCard
from seisedge.runtime.clock import NS_PER_S, ns_from_iso
from seisedge.runtime.demo import CATALOGUE, RECORDING
from seisedge.runtime.engines import open_engine
from seisedge.runtime.inference.infer import BUNDLED_FILES, bundled_model
from seisedge.runtime.sources import open_source

ROOT = Path(__file__).parents[1]


def _training_rows() -> list[dict[str, str]]:
    with (ROOT / "datasets" / "metadata.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_no_event_of_the_demo_is_in_the_training_set() -> None:
    with CATALOGUE.open(encoding="utf-8", newline="") as file:
        demo = {row["event_id"] for row in csv.DictReader(file)}
    training = {row["source_id"] for row in _training_rows()}
    assert len(demo) == 21 and len(training) > 300
    assert not demo & training


def test_no_moment_of_the_demo_is_in_the_training_set() -> None:
    spans: dict[str, list[int]] = {}
    with open_source([RECORDING]) as source:
        for packet in source.packets():
            assert packet is not None
            spans.setdefault(packet.source_id.station_id, []).extend((packet.starttime_ns, packet.endtime_ns))
    first = min(min(times) for times in spans.values())
    checked = 0
    for row in _training_rows():
        if not row["trace_start_time"] or not row["trace_start_time"].startswith("2019-07-07"):
            continue
        start_ns = ns_from_iso(row["trace_start_time"])
        length_s = float(row["trace_npts"]) / float(row["trace_sampling_rate_hz"])
        assert start_ns + length_s * NS_PER_S <= first, row["trace_name"]
        checked += 1
    assert checked > 50 and set(spans) == {"PB.B918", "PB.B921"}


def test_the_cards_say_so() -> None:
    for task in BUNDLED_FILES:
        card = open_engine(bundled_model(task)).card
        assert isinstance(card, ModelCard) and msgspec.to_builtins(card)["training"]["n_events"] > 50
        assert any("before 2019-07-07T08:16" in data for data in card.training.data), card.training.data
