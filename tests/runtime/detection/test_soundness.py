"""Rules for samples as recorded, on real records with and without artefacts, and at their limits."""

import csv
from pathlib import Path

import h5py
import numpy as np
import pytest

from seisedge.runtime.detection.soundness import Rails, Unsound, clipped, flat_runs, repaired, resample_sound, unsound

WAVEFORMS = Path(__file__).parents[3] / "datasets" / "waveforms.hdf5"

# Of the 1794 records; most were plotted and looked at: bursts of analogue telemetry, electronic glitches, 12-bit rails,
# padding.
SPIKES = {
    "pnw": {9, 88, 149, 150, 238, 290, 291, 461, 475, 605, 609, 625, 700},
    "esec": {1182, 1485},
    "phasenet_ncedc": {1677},
}
STEPS = {"esec": {1182}, "phasenet_ncedc": {1686, 1696, 1721, 1731}}


def _record(name: str) -> np.ndarray:
    with h5py.File(WAVEFORMS) as file:
        return np.atleast_2d(file["data"][name][()]).astype(np.float64)


def _look(x: np.ndarray, rate_hz: float = 100.0) -> Unsound:
    return unsound(x, np.isfinite(x), rate_hz)


def test_real_spikes() -> None:
    """Three of analogue telemetry, one of a single sample on a trace of one count."""
    (x,) = _record("pnw_00150")
    assert _look(x[1400:1800]).spikes == [(193, 196)]
    (x,) = _record("pnw_00605")
    assert _look(x[6800:7100]).spikes == [(146, 147)]
    assert x[6946] == 967 and set(x[6900:6946]) == {974, 975, 976}


def test_a_repaired_spike_leaves_the_noise() -> None:
    (x,) = _record("pnw_00150")
    part = x[1400:1800]
    assert np.ptp(repaired(part, _look(part))) < 0.25 * np.ptp(part)


def test_a_real_step() -> None:
    x = _record("phasenet_ncedc_01721")[0]
    found = _look(x[7500:7800])
    assert found.steps == [(147, 159)] and not found.spikes
    assert found.flats == [(153, 300)]
    level = repaired(x[7500:7800], found)
    assert abs(level[200:].mean() - level[:100].mean()) < 0.01 * np.ptp(x[7500:7800])


@pytest.mark.parametrize("name", ["pnw_00013", "pnw_00016", "pnw_00154", "pnw_00166", "pnw_00228", "pnw_00408"])
def test_real_clipping(name: str) -> None:
    (x,) = _record(name)
    found = _look(x)
    assert found.rails is not None and clipped([found.rails])
    assert found.rails.top in (2047.0, 3582.0, 3583.0)


def test_a_smooth_crest_is_not_clipped() -> None:
    t = np.arange(3000) / 100
    found = _look(np.round(3000 * np.sin(2 * np.pi * 0.1 * t)))  # holds its extremes for many samples
    assert found.rails is not None and not clipped([found.rails])


@pytest.mark.parametrize("equal", [49, 50, 51])
def test_a_flat_run_is_half_a_second_or_longer(equal: int) -> None:
    x = np.random.default_rng(2).normal(0, 100, 1000)
    x[300 : 300 + equal] = 7.5
    expected = [(300, 300 + equal)] if equal >= 50 else []
    assert flat_runs(x, np.ones(1000, bool), 100.0) == _look(x).flats == expected


def test_a_flat_run_at_the_start_masks_the_first_outputs() -> None:
    x = np.random.default_rng(2).normal(0, 100, 4000)
    ok = np.ones(4000, dtype=bool)
    plain = resample_sound(x, ok, 0, 100.0, 40.0, 15.0)
    x[:400] = 7.5
    values, valid, first = resample_sound(x, ok, 0, 100.0, 40.0, 15.0)
    assert plain[1].all() and first == plain[2] and len(valid) == len(plain[1])
    assert not valid[:140].any() and not values[:140].any()
    assert valid[200:].all() and (values[200:] == plain[0][200:]).all()


def test_a_gap_ends_a_flat_run() -> None:
    x = np.random.default_rng(2).normal(0, 100, 1000)
    x[300:360] = 0.0
    ok = np.ones(1000, bool)
    ok[330:332] = False
    assert flat_runs(x, ok, 100.0) == unsound(x, ok, 100.0).flats == []


def test_a_gap_is_not_an_extreme() -> None:
    x = np.random.default_rng(0).normal(0, 100, 1000).round()
    x[400:500] = np.nan
    x[399], x[500] = 900.0, -900.0  # a jump across the gap is no step
    top, bottom = float(np.nanmax(x)), float(np.nanmin(x))
    expected = Unsound([], [], [], Rails(top, bottom, 0, 0, 1.0))
    assert _look(x) == expected
    ok = np.isfinite(x)
    for value in (0.0, 1e6):  # what the buffer holds there does not matter
        x[400:500] = value
        assert unsound(x, ok, 100.0) == expected


def test_a_trace_of_one_count_has_no_spikes() -> None:
    x = (np.random.default_rng(1).random(3000) < 0.02).astype(np.float64)
    assert not _look(x).spikes and not _look(x).steps


@pytest.mark.parametrize("first", [0, 5, pytest.param(None, marks=pytest.mark.long)])
def test_nothing_is_found_in_other_real_records(first: int | None) -> None:
    """Every tenth record of the training set (in the long run every one): earthquakes, blasts, mass movements."""
    with (WAVEFORMS.parent / "metadata.csv").open() as table:
        rates = {row["trace_name"]: float(row["trace_sampling_rate_hz"]) for row in csv.DictReader(table)}
    with h5py.File(WAVEFORMS) as file:
        names = sorted(file["data"])[first :: 10 if first is not None else 1]
        assert len(names) >= 179
        for name in names:
            subset, number = name.rsplit("_", 1)
            for row in np.atleast_2d(file["data"][name][()]).astype(np.float64):
                found = _look(row, rates[name])
                assert not found.spikes or int(number) in SPIKES.get(subset, ()), name
                assert not found.steps or int(number) in STEPS.get(subset, ()), name


def _alternating(n: int = 400) -> np.ndarray:
    """0, 1, 0, 1 …: a quantum of 1, and no sample lies further than 1 from the line between its neighbours."""
    return np.arange(n) % 2.0


def _one_in_eight(n: int = 800) -> np.ndarray:
    """0 with a 1 in every eighth place: at 128 Hz every mean over half a second is 1/8."""
    x = np.zeros(n)
    x[::8] = 1.0
    return x


@pytest.mark.parametrize(("height", "found"), [(8, True), (7, False), (-8, True), (-7, False)])
def test_a_spike_is_eight_times_further_off_than_any_other_sample(height: int, found: bool) -> None:
    x = _one_in_eight()
    x[404] = height
    assert _look(x).spikes == ([(404, 405)] if found else [])


@pytest.mark.parametrize("width", [1, 2, 3])
@pytest.mark.parametrize("at", [200, 201])
@pytest.mark.parametrize("height", [50, -50])
def test_a_spike_has_up_to_three_samples(width: int, at: int, height: int) -> None:
    x = _alternating()
    x[at : at + width] += height
    assert _look(x).spikes == [(at, at + width)]


@pytest.mark.parametrize(("beside", "end"), [(2, 201), (3, 202)])
def test_the_samples_of_a_spike_are_twice_as_far_off_as_others(beside: int, end: int) -> None:
    x = _alternating()
    x[200], x[201] = 50, beside
    assert _look(x).spikes == [(200, end)]


@pytest.mark.parametrize(("off", "found"), [(7, False), (6, True), (-6, True), (-7, False)])
def test_a_spike_is_compared_with_samples_beyond_six(off: int, found: bool) -> None:
    x = _alternating()
    x[200] = 51
    x[200 + off] += 9  # more than an eighth; its own neighbours feel half of it
    assert bool(_look(x).spikes) is found


def test_a_spike_on_a_slope_has_one_sample() -> None:
    x = _alternating()
    x[150:250] += 40 * np.arange(100)
    x[250:] += 4000
    x[200] += 1000
    assert _look(x).spikes == [(200, 201)]


@pytest.mark.parametrize("n", range(1, 90))
def test_nothing_is_found_in_a_record_that_is_too_short(n: int) -> None:
    x = _alternating(n)
    x[n // 2] = 50.0
    found = _look(x)
    assert bool(found.spikes) is (n >= 63) and not found.steps


def test_gain_and_offset_do_not_matter() -> None:
    spiked, stepped = _alternating(), _one_in_eight()
    spiked[200] = 50
    stepped[405:] += 100
    for scale in (1e-9, 1e-3, 1.0, -1.0, 1e6):
        assert _look(scale * spiked).spikes == [(200, 201)]
        assert _look(scale * stepped, 128.0).steps == [(399, 411)]
    for offset in (1e4, -50.0, -1e4):
        assert _look(offset + spiked).spikes == [(200, 201)]
        for phase in (0, 1, 2, 4, 5, 6):
            x = np.roll(_one_in_eight(), phase)
            x[405:] += 100
            assert _look(offset + x, 128.0).steps == [(399, 411)]


def test_six_samples_are_no_spike() -> None:
    x = _alternating()
    x[200:206] += 50
    assert _look(x).spikes == []


@pytest.mark.parametrize(("rate_hz", "side_n"), [(100.0, 25), (20.0, 10)])
def test_a_spike_needs_all_samples_around_it(rate_hz: float, side_n: int) -> None:
    reach = side_n + 6
    for place, n, found in [(reach, 400, True), (reach - 1, 400, False), (200, 201 + reach, True)]:
        x = _alternating(n)
        x[place] = 50
        assert bool(_look(x, rate_hz).spikes) is found, (place, n)
    x = _alternating(200 + reach)
    x[200] = 50
    assert not _look(x, rate_hz).spikes
    for gap, found in [(200 - reach, False), (200 - reach - 1, True), (200 + reach, False), (200 + reach + 1, True)]:
        x = _alternating()
        x[200] = 50
        x[gap] = np.nan
        for scale in (1.0, 1e-3):
            assert bool(_look(scale * x, rate_hz).spikes) is found, gap


@pytest.mark.parametrize("apart", [32, 34, *range(35, 56), 70])
def test_a_spike_is_compared_with_a_quarter_of_a_second_on_either_side(apart: int) -> None:
    x = _alternating()
    x[100] = x[100 + apart] = 51.0
    found = [(100, 101), (100 + apart, 101 + apart)] if apart >= 35 else []  # 3 samples feel a spike
    assert _look(x).spikes == found


@pytest.mark.parametrize(("level", "found"), [(40, True), (41, False)])
def test_a_spike_returns_to_within_half_its_height(level: int, found: bool) -> None:
    x = _alternating()
    x[200] = 101
    x[201:] += level
    assert bool(_look(x).spikes) is found


def test_the_six_largest_spikes_are_found() -> None:
    x = _alternating(1000)
    places = list(range(100, 800, 100))
    for number, place in enumerate(places):
        x[place] = 200 - 10 * number
    for scale in (1.0, 1e-3):
        assert _look(scale * x).spikes == [(place, place + 1) for place in places[:6]]
    x[150:153] += 2000  # its neighbours feel half of it, and are no spikes of their own
    assert _look(x).spikes == sorted([(150, 153), *((place, place + 1) for place in places[:5])])


@pytest.mark.parametrize(("jump", "found"), [(4.0, True), (3.5, False), (-4.0, True), (-3.5, False)])
@pytest.mark.parametrize("phase", [0, 1, 2, 4, 5, 6])  # not where a 1 makes the jump larger or smaller
def test_a_step_is_four_times_the_range_on_either_side(jump: float, found: bool, phase: int) -> None:
    x = np.roll(_one_in_eight(), phase)
    x[405:] += jump
    assert _look(x, 128.0).steps == ([(399, 411)] if found else [])
    assert _look(x, 128.0).spikes == []


@pytest.mark.parametrize("rate_hz", [20.0, 40.0, 100.0, 128.0])
def test_the_quick_test_of_levels_passes_over_no_step(rate_hz: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """At all places of the parts that it compares: steps with ramps beyond their sides, and steps in noise."""
    random, side = np.random.default_rng(1), max(round(rate_hz / 2), 10)
    records = []
    for place in range(200, 300):
        x = np.abs(np.arange(600) - place + 0.5) - 6 - side
        x = 7 * np.maximum(np.round(x), 0) + random.integers(0, 2, 600)
        x[place:] += 64
        x[[place - 6, place + 5]] += -40, 40  # beside the sides
        assert _look(x, rate_hz).steps == [(place - 6, place + 6)]
        noise = np.round(random.normal(0, random.choice([1, 3, 20]), 600))
        noise[place:] += random.choice([-1, 1]) * random.uniform(2.0, 5.0) * np.ptp(noise)
        records += [x, noise[: random.integers(400, 600)]]
    found = [_look(x, rate_hz) for x in records]
    monkeypatch.setattr("seisedge.runtime.detection.soundness._may_have_step", lambda x, side: True)
    assert found == [_look(x, rate_hz) for x in records]
    assert 120 < sum(bool(one.steps) for one in found) < 200


@pytest.mark.parametrize(
    ("parts", "found"),
    [((30, 24, 24, 22), True), ((22, 24, 24, 30), True), ((29, 29, 29, 13), False), ((25, 25, 25, 25), False)],
)
def test_three_tenths_of_a_step_lie_between_two_samples(parts: tuple[int, ...], found: bool) -> None:
    x = _one_in_eight()
    for number, part in enumerate(parts):
        x[402 + number :] += part
    assert bool(_look(x, 128.0).steps) is found


@pytest.mark.parametrize(("rate_hz", "side_n"), [(128.0, 64), (16.0, 10)])
def test_a_step_needs_all_samples_around_it(rate_hz: float, side_n: int) -> None:
    for place, n, found in [
        (side_n + 5, 800, True),
        (side_n + 4, 800, False),
        (400, 400 + 7 + side_n, True),
        (400, 400 + 6 + side_n, False),
    ]:
        x = _one_in_eight(n)
        x[place + 1 :] += 100
        assert _look(x, rate_hz).steps == ([(place - 5, place + 7)] if found else []), (place, n)
    low, high = 400 - 5 - side_n, 400 + 7 + side_n
    for gap, found in [(low, False), (low - 1, True), (high - 1, False), (high, True)]:
        x = _one_in_eight()
        x[401:] += 100
        x[gap] = np.nan
        assert bool(_look(x, rate_hz).steps) is found, gap


def test_six_samples_on_either_side_of_a_step_may_ring() -> None:
    x = _one_in_eight()
    x[405:] += 100
    x[399:411] += np.array([1, -2, 3, -4, 5, -6, 6, -5, 4, -3, 2, -1])
    assert _look(x, 128.0).steps == [(399, 411)]
    strong = _one_in_eight()
    strong[405:] += 100
    strong[404] += 40
    strong[409] += 55
    strong[400] += 50
    assert _look(strong, 128.0).steps == [(399, 411)]
    for ringing in (398, 411):
        y = x.copy()
        y[ringing] += 30
        assert _look(y, 128.0).steps == []


@pytest.mark.parametrize("apart", [*range(70, 82), 100])
def test_two_steps_are_found_when_each_has_its_own_level(apart: int) -> None:
    x = _one_in_eight()
    x[301:] += 100
    x[301 + apart :] += 100
    assert _look(x, 128.0).steps == [(295, 307), (295 + apart, 307 + apart)]


def test_repair_puts_a_line_through_a_spike_and_takes_a_step_back() -> None:
    x = np.arange(100.0)
    spiked = x.copy()
    spiked[30:32] = 500.0
    assert repaired(spiked, Unsound([(30, 32)], [], [])) == pytest.approx(x)
    level = np.where(np.arange(100) < 56, 3.0, 10.0)
    level[50:62] += 20.0
    level[40], level[71] = 13.0, 20.0  # the first and last of the ten samples on either side
    mended = repaired(level, Unsound([], [(50, 62)], []))
    assert mended[62:71] == pytest.approx(3.0) and mended[:40] == pytest.approx(3.0)
    assert mended[50:62] == pytest.approx(3.0)
    assert mended[72:] == pytest.approx(3.0)
    level[39], level[72] = -50.0, -50.0  # beyond these ten
    assert repaired(level, Unsound([], [(50, 62)], []))[62:71] == pytest.approx(3.0)


@pytest.mark.parametrize("equal", [49, 50, 51])
def test_half_a_second_of_one_value_is_flat(equal: int) -> None:
    x = np.arange(300.0) ** 1.5
    x[100 : 100 + equal] = 7e4
    assert _look(x).flats == ([(100, 100 + equal)] if equal >= 50 else [])
    x[200:250] = 8e4
    assert _look(x).flats == ([(100, 100 + equal)] if equal >= 50 else []) + [(200, 250)]


def test_a_dead_channel_is_flat_and_has_no_extremes() -> None:
    assert _look(np.full(300, 5.0)) == Unsound([], [], [(0, 300)], None)
    assert _look(np.full(300, np.nan)) == Unsound([], [], [], None)


def _plateau(before: float, after: float, n: int, value: float = 1000.0) -> np.ndarray:
    """`n` samples of `value`, reached with a slope of `before` and left with one of `after`; a quantum of 1."""
    x = _alternating()
    x[199], x[200 + n] = value - np.sign(value) * before, value - np.sign(value) * after
    x[200 : 200 + n] = value
    return x


@pytest.mark.parametrize(
    ("before", "after", "n", "held"),
    [(8, 8, 3, 3), (8, 8, 5, 5), (8, 1, 3, 3), (1, 8, 3, 3), (7, 7, 3, 0), (8, 8, 2, 0)],
)
def test_a_held_extreme_counts_with_a_steep_slope_beside_it(before: int, after: int, n: int, held: int) -> None:
    assert _look(_plateau(before, after, n)).rails == Rails(1000.0, 0.0, held, 0, 1.0)
    assert _look(_plateau(before, after, n, -1000.0)).rails == Rails(1.0, -1000.0, 0, held, 1.0)


def test_an_extreme_held_at_the_ends_of_a_record_counts() -> None:
    x = _alternating()
    x[:3], x[3], x[-4:], x[-5] = 1000.0, 992.0, -1000.0, -992.0
    assert _look(x).rails == Rails(1000.0, -1000.0, 3, 4, 1.0)


def test_an_extreme_held_from_the_second_sample_on_counts() -> None:
    x = _alternating()
    x[:6] = [992.0, 1000.0, 1000.0, 1000.0, 999.0, 998.0]
    assert _look(x).rails == Rails(1000.0, 0.0, 3, 0, 1.0)


def test_a_flat_run_is_not_an_extreme() -> None:
    x = _alternating()
    x[100:150] = 5000.0
    assert _look(x).rails == Rails(1.0, 0.0, 0, 0, 1.0)
    two = np.repeat([0.0, 5.0], 60)
    assert _look(two).flats == [(0, 60), (60, 120)]
    rails = _look(two).rails
    assert rails is not None and not clipped([rails])


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ([], False),
        ([Rails(500, -500, 4, 0, 1.0)], True),
        ([Rails(500, -500, 0, 4, 1.0)], True),
        ([Rails(500, -500, 3, 3, 1.0)], False),
        ([Rails(499, -500, 4, 4, 1.0)], False),  # less than 1,000 quanta from crest to trough
        ([Rails(500, -400, 2, 0, 1.0), Rails(500, -500, 2, 0, 2.0)], True),
        ([Rails(500, -500, 0, 2, 2.0), Rails(400, -500, 0, 2, 1.0)], True),
        ([Rails(500, -500, 0, 0, 1.0), Rails(499, -499, 9, 9, 1.0)], False),  # held, but no extreme of all parts
    ],
)
def test_clipping_is_four_held_samples_at_an_extreme_of_all_parts(parts: list[Rails], expected: bool) -> None:
    assert clipped(parts) is expected


def _strong(limit: float, dropout: float | None = None) -> np.ndarray:
    """20 s at 100 Hz of shaking with a period of 4 s, limited; dropout: a value held for 0.8 s."""
    t = np.arange(2000) / 100.0
    noise = np.random.default_rng(0).normal(0, 5, len(t))  # so that differences of single counts exist
    quiet = np.where(t < 2, noise, 1e6 * np.sin(2 * np.pi * t / 4) + 3e4 * np.sin(2 * np.pi * 7 * t))
    x = np.round(np.clip(quiet, -limit, limit))
    if dropout is not None:
        x[1000:1080] = dropout
    return x


def test_a_long_plateau_at_the_extreme_of_strong_shaking_is_clipped() -> None:
    found = _look(_strong(500_000.0))
    assert found.flats and max(n1 - n0 for n0, n1 in found.flats) > 100  # masked, as in training
    assert found.rails is not None and clipped([found.rails])
    assert (found.rails.top, found.rails.bottom) == (5e5, -5e5)


@pytest.mark.parametrize("dropout", [0.0, 6e6, -8_388_608.0])
def test_a_value_held_within_or_far_outside_the_shaking_is_not_clipped(dropout: float) -> None:
    found = _look(_strong(2e6, dropout))
    assert found.flats == [(1000, 1080)]
    assert found.rails is not None and not clipped([found.rails])
