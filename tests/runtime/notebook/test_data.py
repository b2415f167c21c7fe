"""What `seisedge.api` accepts as data, and the sentence for everything else."""

import datetime as dt
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seisedge import api
from seisedge.runtime.errors import ArgumentError, ArgumentTypeError, DataError, InputError, SeisedgeWarning
from seisedge.runtime.notebook.memory_source import MemorySource
from seisedge.runtime.notebook.times import onsets_from, time_from
from seisedge.runtime.notebook.traces import Array, traces_in, traces_of_array, traces_of_stream

ARRAY: dict[str, Any] = {"sampling_rate_hz": 100.0, "components": "ZNE"}
NOISE = np.random.default_rng(1).normal(0, 100, (3, 3000)).astype(np.int32)


@pytest.mark.parametrize(
    ("data", "settings", "kind", "words"),
    [
        (42, {}, ArgumentTypeError, ["data must be an obspy Stream", "got int"]),
        ({"Z": NOISE[0]}, {}, ArgumentTypeError, ["got dict"]),
        ([NOISE, NOISE], {}, ArgumentTypeError, ["data must be", "got list"]),
        ([], {}, ArgumentTypeError, ["data must be"]),
        ("", {}, InputError, ["the source is empty"]),
        ("missing.mseed", {}, InputError, ["missing.mseed", "no such file"]),
        ("missing.mseed", ARRAY, ArgumentError, ["sampling_rate_hz and components", "only", "numpy array"]),
        (NOISE, {}, ArgumentError, ["needs sampling_rate_hz"]),
        (NOISE, {"sampling_rate_hz": 100}, ArgumentError, ["needs components", "'ZNE'"]),
        (NOISE, ARRAY | {"sampling_rate_hz": 0}, ArgumentError, ["sampling_rate_hz must be", "got 0"]),
        (NOISE, ARRAY | {"sampling_rate_hz": float("nan")}, ArgumentError, ["sampling_rate_hz must be", "nan"]),
        (NOISE, ARRAY | {"sampling_rate_hz": "100"}, ArgumentTypeError, ["sampling_rate_hz must be a number", "str"]),
        (NOISE, ARRAY | {"components": "ZN"}, ArgumentError, ["shape (2, n_samples)", "(3, 3000)"]),
        (NOISE, ARRAY | {"components": "ZZE"}, ArgumentError, ["different letters", "'ZZE'"]),
        (NOISE, ARRAY | {"components": "XYZ"}, ArgumentError, ["different letters", "'XYZ'"]),
        (NOISE, ARRAY | {"components": ["Z", "N", "E"]}, ArgumentTypeError, ["components must be a text", "list"]),
        (NOISE, ARRAY | {"starttime": "noon"}, ArgumentError, ["starttime must be a time", "'noon'"]),
        (NOISE, ARRAY | {"starttime": 5}, ArgumentTypeError, ["starttime must be", "got int"]),
        (NOISE.T, ARRAY, ArgumentError, ["(3, n_samples)", "(3000, 3)"]),
        (NOISE[None], ARRAY, ArgumentError, ["(3, n_samples)", "(1, 3, 3000)"]),
        (NOISE > 0, ARRAY, ArgumentTypeError, ["row Z", "bool"]),
        (NOISE.astype(complex), ARRAY, ArgumentTypeError, ["row Z", "complex128"]),
        (np.full((3, 100), np.nan), ARRAY, ArgumentError, ["row Z", "no samples"]),
        (np.zeros((3, 0)), ARRAY, ArgumentError, ["row Z", "no samples"]),
        (
            NOISE,
            ARRAY | {"sampling_rate_hz": 5},
            DataError,
            ["XX_ARRAY__HHZ", "5 Hz is too slow", "the lowest usable sampling rate is 12.5 Hz"],
        ),
        (NOISE, ARRAY | {"station": 7}, ArgumentTypeError, ["station must be the path of a station file", "int"]),
        (NOISE, ARRAY | {"station": "missing.toml"}, InputError, ["missing.toml: no such station file"]),
        (NOISE, ARRAY | {"stationxml": object()}, ArgumentTypeError, ["stationxml must be the path", "object"]),
        (NOISE, ARRAY | {"onset": "noon"}, ArgumentError, ["onset must be a time", "'noon'"]),
        (NOISE, ARRAY | {"onset": []}, ArgumentError, ["onset is an empty list"]),
        (NOISE, ARRAY | {"onset": object()}, ArgumentTypeError, ["onset must be", "object"]),
        (NOISE, ARRAY | {"onset": float("inf")}, ArgumentError, ["onset must be seconds", "inf"]),
        (NOISE, ARRAY | {"onset": 31}, DataError, ["no onset can be classified", "2000-01-01T00:00:31"]),
    ],
)
def test_what_is_refused_and_how_to_mend_it(
    model: api.Model, data: Any, settings: dict[str, Any], kind: type[Exception], words: list[str]
) -> None:
    with pytest.raises(kind) as caught:
        model.classify(data, **settings)
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message, message


def test_errors_are_those_of_python_too() -> None:
    assert issubclass(ArgumentTypeError, TypeError) and issubclass(ArgumentError, ValueError)
    assert issubclass(ArgumentTypeError, InputError) and issubclass(ArgumentError, InputError)


def test_events_refuses_before_the_first_event() -> None:
    with pytest.raises(ArgumentTypeError, match="data must be"):
        api.events(42)
    with pytest.raises(ArgumentTypeError, match=r"opened with open_model\(\); got str"):
        api.events(NOISE, "event-type", **ARRAY)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("names", "kind", "words"),
    [
        (("no-model",), InputError, ["no-model: no such model file and no bundled model"]),
        ((3,), ArgumentTypeError, ["a model must be the name", "int"]),
        (("onset",), ArgumentError, ["open_model() needs an event-type or a magnitude model", "annotate()"]),
        (("event-type", "event-type"), ArgumentError, ["a second model for the task 'event_type'"]),
    ],
)
def test_models_that_are_refused(names: tuple[Any, ...], kind: type[Exception], words: list[str]) -> None:
    with pytest.raises(kind) as caught:
        api.open_model(*names)
    for word in words:
        assert word in str(caught.value)


def _broken(trace: Any, **changes: Any) -> Any:
    trace = trace.copy()
    data = changes.pop("data", None)
    if data is not None:
        trace.data = data
    for name, value in changes.items():
        trace.stats[name] = value
    return trace


def test_a_bad_trace_is_left_out_with_a_warning(model: api.Model, stream: Any, results: api.Results) -> None:
    good = list(stream.select(station="B918"))
    bad = [
        _broken(good[0], station=""),
        _broken(good[0], channel=""),
        _broken(good[0], data=np.zeros(0, dtype=np.int32)),
        _broken(good[0], data=np.ma.masked_array(np.arange(100), np.ones(100, dtype=bool))),
        _broken(good[0], data=np.array(["a", "b"])),
    ]
    with pytest.warns(SeisedgeWarning) as caught:
        found = model.classify([*bad, *good])
    assert [x.onset for x in found] == [x.onset for x in results if x.station == "PB.B918"]
    text = "\n".join(str(warning.message) for warning in caught)
    for words in ("2 trace(s) left out", "no station or no channel code", "it has no samples", "expected numbers"):
        assert words in text, text
    assert {warning.filename for warning in caught} == {__file__}
    with pytest.raises(DataError, match=r"no trace of the stream can be used: .*no samples"):
        model.classify(bad)
    with pytest.raises(ArgumentError, match="the stream is empty"):
        model.classify(type(stream)())


def test_a_channel_that_is_no_seismometer_is_a_remark(model: api.Model, stream: Any) -> None:
    good = list(stream.select(station="B918"))
    found = model.classify([*good, _broken(good[0], channel="LDO")])
    assert any("PB_B918__LDO: not used" in remark for remark in found.remarks)
    assert "PB.B918: resampled from 100 Hz to 40 Hz for event-type, magnitude, onset" in found.remarks


def test_limitations_are_those_of_a_station(model: api.Model) -> None:
    """Too few samples, one component without a gain, and a rate below the band of the models."""
    early, late = model.classify(NOISE[:1], onset=[-60, 15], sampling_rate_hz=100, components="Z")
    assert {q.code for q in early.quality} == {"insufficient"} and early.label is None
    assert late.label == "noise" and late.magnitude is None
    (slow,) = model.classify(NOISE, onset=60, sampling_rate_hz=25, components="ZNE")
    assert {q.code for q in slow.quality} == {"band"}
    assert (slow.label, slow.magnitude, slow.probabilities) == (None, None, {})


def test_masked_and_infinite_samples_are_gaps() -> None:
    data = NOISE.astype(np.float64)
    data[0, 1000:1100] = np.inf
    masked = np.ma.masked_array(data)
    masked[1, 2000:] = np.ma.masked
    traces = traces_of_array(masked, Array(100.0, "ZNE"))
    packets = [packet for packet in MemorySource(traces, "array").packets() if packet is not None]
    ends = [packet.endtime_ns for packet in packets]
    assert ends == sorted(ends)
    count = {
        name: sum(int(np.isfinite(p.samples).sum()) for p in packets if p.source_id.channel[-1] == name)
        for name in "ZNE"
    }
    assert count == {"Z": 2900, "N": 2000, "E": 3000}
    assert all(np.isfinite(p.samples[[0, -1]]).all() and len(p.samples) <= 4000 for p in packets)


class _Stats:
    network, station, location, channel, sampling_rate = "AM", "R1234", "00", "EHZ", 100.0

    class starttime:  # with the attribute of a UTCDateTime
        ns = 1_562_487_385_290_000_001


class _Trace:
    stats = _Stats()
    data = np.arange(5, dtype=np.int16)


def test_objects_are_recognised_by_their_attributes() -> None:
    """Without obspy: any object with a header and samples."""
    found = traces_in(_Trace())
    assert found is not None
    bad: dict[str, list[str]] = {}
    (trace,) = traces_of_stream(found, bad)
    assert not bad
    assert (trace.starttime_ns, str(trace.source_id)) == (1_562_487_385_290_000_001, "AM_R1234_00_EHZ")
    assert trace.samples.dtype == np.int32
    assert traces_in([1, 2]) is None and traces_in("file.mseed") is None


def test_large_integers_keep_their_values() -> None:
    (trace,) = traces_of_array(np.array([1, 2**40]), Array(100.0, "Z"))
    assert trace.samples.tolist() == [1.0, 2.0**40] and trace.samples.dtype == np.float64


@pytest.mark.parametrize(
    "value",
    [
        "2019-07-07T08:16:25.29",
        "2019-07-07T10:16:25.29+02:00",
        dt.datetime(2019, 7, 7, 8, 16, 25, 290_000),
        dt.datetime(2019, 7, 7, 8, 16, 25, 290_000, dt.UTC),
        np.datetime64("2019-07-07T08:16:25.290"),
    ],
)
def test_forms_of_a_time(value: Any) -> None:
    assert time_from(value, "onset") == 1_562_487_385_290_000_000


def test_forms_of_onsets() -> None:
    obspy = pytest.importorskip("obspy")
    moment = obspy.UTCDateTime("2019-07-07T08:16:25.29")
    assert onsets_from([moment, 1.5], 10) == (1_562_487_385_290_000_000, 1_500_000_010)
    assert onsets_from(np.array([1.5, 2]), 0) == (1_500_000_000, 2_000_000_000)
    with pytest.raises(ArgumentTypeError, match="for data in files; got a number"):
        onsets_from(1.5, None)


def test_onsets_behind_the_data_are_left_out_with_a_warning(model: api.Model) -> None:
    with pytest.warns(SeisedgeWarning, match=r"1 onset\(s\) left out, 2000-01-01T00:00:29.9.*data end before"):
        found = model.classify(NOISE, onset=[10, 29.9], **ARRAY)
    assert len(found) == 1


def test_good_data_give_no_warning(model: api.Model, part: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.classify(part)


@pytest.mark.parametrize("kind", ["onset", "sta-lta"])
def test_a_given_onset_replaces_the_opener_of_a_station_file(
    model: api.Model, stream: Any, kind: str, tmp_path: Path
) -> None:
    path = tmp_path / "station.toml"
    path.write_text(f'mode = "continuous"\n[station]\nnetwork = "PB"\nstation = "B918"\n[trigger]\nkind = "{kind}"\n')
    if kind == "sta-lta":
        path.write_text(path.read_text().replace('mode = "continuous"\n', ""))
    (found,) = model.classify(stream, onset="2019-07-07T08:16:47.9", station=path)
    assert (found.station, found.event.trigger.kind) == ("PB.B918", "given")
    assert sorted(api.annotate(stream, station=path)) == ["PB.B918"]


def test_what_is_not_analysed_is_a_remark(model: api.Model, stream: Any, tmp_path: Path) -> None:
    path = tmp_path / "station.toml"
    path.write_text('[station]\nnetwork = "PB"\nstation = "B918"\n')
    found = model.classify(stream, station=path)
    assert "PB.B921: not analysed: no station file or StationXML has these stations" in found.remarks
    slow = [_broken(trace, station="SLOW", sampling_rate=25.0) for trace in stream.select(station="B918")]
    annotations = api.annotate([*stream, *slow])
    assert sorted(annotations) == ["PB.B918", "PB.B921"]
    assert "PB.SLOW: not annotated: its band does not reach 15 Hz" in annotations.remarks
