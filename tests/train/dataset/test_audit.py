"""The audit finds shortcuts that were put into the data, and no others."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from seisedge.train.dataset.audit import Guess, audit, audit_magnitudes, guess_from
from seisedge.train.dataset.survey import Trace


def make_traces(n_events: int = 120, records: int = 3, seed: int = 0) -> list[Trace]:
    """Two kinds; rate, components, length, station and source are independent of the kind."""
    rng = np.random.default_rng(seed)
    out = []
    for i in range(n_events):
        for j in range(records):
            out.append(
                Trace(
                    name=f"t{i}.{j}", source=str(rng.choice(["a", "b"])), kind=("tectonic", "blast")[i % 2], word="",
                    event=f"e{i}", group="", station=f"XX.S{rng.integers(20)}", channel="",
                    rate_hz=float(rng.choice([50.0, 100.0])), components=str(rng.choice(["Z", "ZNE"])),
                    n_samples=int(rng.choice([6000, 9000])), stored="int32", start_ns=None,
                    origin_ns=None, latitude_deg=None, longitude_deg=None, onset_sample=0.0,
                    noise_samples=0, magnitude=None, magnitude_type="", licence="", split="", fold="", nan="", flat="",
                    clipped="", copied="", sha1=f"{i}.{j}",
                )
            )  # fmt: skip
    return out


def found(traces: list[Trace]) -> dict[str, Guess]:
    guesses, reason = audit(traces)
    assert reason == ""
    return {g.sees: g for g in guesses}


@pytest.mark.parametrize("seed", range(4))
def test_independent_properties_are_no_shortcuts(seed: int) -> None:
    for guess in found(make_traces(seed=seed)).values():
        assert not guess.beats_chance, guess
        assert guess.chance == 0.5


@pytest.mark.parametrize(
    ("sees", "change"),
    [
        ("sampling rate", lambda t: {"rate_hz": 50.0 if t.kind == "blast" else 100.0, "n_samples": 6000}),
        ("components", lambda t: {"components": "Z" if t.kind == "blast" else "ZNE"}),
        ("length", lambda t: {"n_samples": 8000 if t.kind == "blast" else 6000, "rate_hz": 100.0}),
        ("kind of sensor", lambda t: {"channel": "00.HN" if t.kind == "blast" else "00.HH"}),
        ("stored type", lambda t: {"stored": "float32" if t.kind == "blast" else "int32"}),
        ("station", lambda t: {"station": f"{t.station}{t.kind[0]}"}),
        ("source", lambda t: {"source": t.kind}),
    ],
)
def test_a_shortcut_is_found(sees: str, change: object) -> None:
    assert callable(change)
    traces = [dataclasses.replace(t, **change(t)) for t in make_traces()]
    guesses = found(traces)
    assert guesses[sees].accuracy > 0.95
    assert guesses[sees].beats_chance
    others = set(guesses) - {sees, "rate, components and length", "length"}
    assert not any(guesses[other].beats_chance for other in others if sees != "sampling rate")


def test_the_interval_of_a_weak_shortcut_contains_the_true_accuracy() -> None:
    rng = np.random.default_rng(3)
    traces = [
        dataclasses.replace(t, components="Z" if rng.random() < (0.8 if t.kind == "blast" else 0.2) else "ZNE")
        for t in make_traces(n_events=300, records=1)
    ]
    guess = found(traces)["components"]
    assert guess.low < 0.8 < guess.high
    assert guess.high - guess.low < 0.12


def test_class_imbalance_does_not_raise_the_accuracy() -> None:
    traces = [t for i, t in enumerate(make_traces(n_events=400, records=1)) if t.kind == "tectonic" or i % 10 == 1]
    assert not any(g.beats_chance for g in found(traces).values())
    assert found(traces)["station"].chance == 0.5


def test_no_event_is_in_both_fit_and_evaluation() -> None:
    """One value per event predicts the label of that event only, so accuracy on other events is at chance."""
    n = 200
    event = np.repeat(np.arange(n), 5)
    guess = guess_from("event", event, (event % 2).astype(np.int64), event.astype(str))
    assert guess.accuracy == pytest.approx(0.5)


def magnitudes(traces: list[Trace], seed: int = 0) -> list[Trace]:
    """Give each event a random magnitude with standard deviation 0.5."""
    rng = np.random.default_rng(seed)
    of_event = {t.event: float(rng.normal(1.5, 0.5)) for t in traces}
    return [dataclasses.replace(t, magnitude=of_event[t.event]) for t in traces]


@pytest.mark.parametrize("seed", range(4))
def test_independent_properties_do_not_explain_magnitudes(seed: int) -> None:
    explained, reason = audit_magnitudes(magnitudes(make_traces(seed=seed), seed))
    assert reason == ""
    assert [e for e in explained if e.beats_chance] == []


def test_a_shortcut_to_the_magnitude_is_found() -> None:
    traces = magnitudes(make_traces())
    traces = [dataclasses.replace(t, source="large" if (t.magnitude or 0) > 1.5 else "small") for t in traces]
    explained = {e.sees: e for e in audit_magnitudes(traces)[0]}
    assert explained["source"].beats_chance
    assert explained["source"].share == pytest.approx(2 / np.pi, abs=0.08)  # for a normal variable divided at its mean
    assert not any(e.beats_chance for sees, e in explained.items() if sees != "source")
    assert audit_magnitudes(make_traces())[1] == "0 events with a magnitude are too few; at least 10 are needed"


def test_too_few_labels_or_events_give_a_reason() -> None:
    traces = make_traces(n_events=120)
    assert (
        audit([t for t in traces if t.kind == "blast"])[1]
        == "at least two labels are needed; the data have non-tectonic"
    )
    few = [t for t in traces if t.kind == "tectonic" or int(t.event[1:]) < 10]
    assert audit(few)[1] == "5 events of label non-tectonic are too few; at least 10 are needed"
    swarm = [dataclasses.replace(t, group=f"g{int(t.event[1:]) // 20}", magnitude=1.0) for t in traces]
    assert audit_magnitudes(swarm)[1] == (
        "6 events with a magnitude (of 120; events that share samples count once) are too few; at least 10 are needed"
    )
