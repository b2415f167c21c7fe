"""Results as objects, dictionaries, tables, text and pictures."""

import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from seisedge import api
from seisedge.runtime.clock import iso_from_ns, ns_from_iso
from seisedge.runtime.errors import FailedError, InputError
from seisedge.runtime.event import Event
from seisedge.runtime.notebook.annotation import Annotation
from seisedge.runtime.notebook.extras import pandas
from seisedge.runtime.notebook.picture import FULL, reduced, svg_of
from seisedge.runtime.row import COLUMNS, row_of_event


class _Tags(HTMLParser):
    """Checks that each element is closed, and keeps tags, attributes and text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open.append(tag)
        self.tags.append(tag)
        self.attributes += attrs

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture
def one(results: api.Results) -> api.Result:
    return next(x for x in results if x.distance_km is not None and x.magnitude is not None)


def test_values_are_those_of_the_event(one: api.Result) -> None:
    event = one.event
    assert event.event_type is not None and event.magnitude is not None
    assert (one.label, one.probability) == (event.event_type.label, event.event_type.probability)
    assert one.probabilities == event.event_type.probabilities
    assert (one.magnitude, one.magnitude_interval) == (event.magnitude.value, event.magnitude.interval_90)
    assert iso_from_ns(one.onset_ns) == one.onset == event.onset
    assert [pick.phase for pick in one.picks] == ["P", "S"]
    assert msgspec.convert(one.to_dict(), Event) == event
    assert json.loads(json.dumps(one.to_dict())) == json.loads(msgspec.json.encode(event))


def test_plain_text(one: api.Result, results: api.Results) -> None:
    assert repr(one).startswith(f"<{one.station} {one.onset} final: tectonic 0.")
    assert f"magnitude {one.magnitude:.2f} [" in repr(one)
    lines = repr(results).splitlines()
    assert lines[0] == f"{len(results)} events"
    assert lines[1] == f"  {results[0]!r}"
    assert lines[-1].endswith("resampled from 100 Hz to 40 Hz for event-type, magnitude, onset")
    many = api.Results(list(results) * 3)
    assert f"  and {3 * len(results) - 20} more" in repr(many)


def test_a_slice_is_results(results: api.Results) -> None:
    assert isinstance(results[1:3], api.Results) and len(results[1:3]) == 2
    assert results[-1] is list(results)[-1]
    assert results.to_dict()["events"][0] == results[0].to_dict()
    assert results.to_dict()["remarks"] == list(results.remarks)


def test_html_is_whole_and_refers_to_nothing_outside(one: api.Result, results: api.Results) -> None:
    for text in (one._repr_html_(), results._repr_html_()):
        tags = _Tags(text)
        assert "svg" in tags.tags and not {"script", "img", "link", "iframe"} & set(tags.tags)
        assert not [name for name, _ in tags.attributes if name in ("href", "src", "xlink:href") or name[:2] == "on"]
        assert set(re.findall(r"https?://\S+?(?=[\"'<])", text)) == {"http://www.w3.org/2000/svg"}
    assert len(one._repr_html_()) < 20_000
    words = _Tags(one._repr_html_()).text
    for expected in ("P", "S", "Z", "N", "E", "tectonic", "magnitude"):
        assert expected in words


def test_text_from_the_data_is_never_markup(one: api.Result) -> None:
    event = msgspec.structs.replace(one.event, station="<b>X", id="<script>")
    result = api.Result(event, one.waveform, ("<img src=x>",))
    for text in (result._repr_html_(), api.Results([result])._repr_html_()):
        assert "<b>X" not in text and "<script>" not in text and "<img" not in text
        assert "&lt;img src=x&gt;" in text


def test_the_picture_marks_the_picks_at_their_times(one: api.Result) -> None:
    assert one.waveform is not None
    text = svg_of(one.event, one.waveform)
    xs = [float(x) for x in re.findall(r'<line x1="([\d.]+)"', text)]
    p_ns, s_ns = (ns_from_iso(pick.time) for pick in one.picks)
    px_per_s = 560 / one.waveform.length_s
    assert xs[1] - xs[0] == pytest.approx((s_ns - p_ns) / 1e9 * px_per_s, abs=0.15)
    assert xs[0] == pytest.approx(40 + (p_ns - one.waveform.start_ns) / 1e9 * px_per_s, abs=0.15)


def test_an_event_without_samples_in_memory_has_a_page_all_the_same(one: api.Result) -> None:
    assert "no longer in memory" in api.Result(one.event)._repr_html_()


def test_columns_of_a_waveform_keep_its_extremes() -> None:
    wave = np.zeros((3, 4000), dtype=np.float32)
    wave[0, 1234], wave[0, 3999] = 50.0, -100.0
    wave[1] = 7.0
    valid = np.ones((3, 4000), dtype=bool)
    valid[2] = False
    valid[0, 2000:2100] = False
    found = reduced(wave, valid, 0, 100.0)
    assert found.low.shape == (3, 400)
    assert found.peak[0] == pytest.approx(100, abs=0.1) and found.peak[1] == 0
    assert found.low[0, 399] == -FULL and found.high[0, 123] == pytest.approx(FULL / 2, abs=1)
    assert (found.low[0, 200:209] > found.high[0, 200:209]).all()  # a gap
    assert (found.low[2] > found.high[2]).all()


def test_no_events(model: api.Model) -> None:
    found = model.classify(np.zeros((1, 3000), dtype=np.int32) + 5, sampling_rate_hz=100, components="Z")
    assert len(found) == 0 and repr(found).startswith("0 events")
    assert "0 events" in found._repr_html_()


def test_columns_are_those_of_a_row(one: api.Result) -> None:
    assert tuple(row_of_event(one.event)) == COLUMNS


def test_data_frame(results: api.Results) -> None:
    pd = pytest.importorskip("pandas")
    frame = results.to_dataframe()
    assert list(frame["station"]) == [x.station for x in results]
    assert str(frame["onset"].dtype) == "datetime64[ns, UTC]" == str(frame["s_time"].dtype)
    assert [moment.value for moment in frame["onset"]] == [x.onset_ns for x in results]
    assert list(frame["magnitude"].isna()) == [x.magnitude is None for x in results]
    assert frame["probability_tectonic"].tolist() == [x.probabilities["tectonic"] for x in results]
    assert len(results[0].to_dataframe()) == 1
    empty = api.Results([]).to_dataframe()
    assert len(empty) == 0 and set(empty.columns) < set(frame.columns)
    assert str(pd.concat([empty, frame])["onset"].dtype) == "datetime64[ns, UTC]"


def test_without_pandas_the_error_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(FailedError, match=r"to_dataframe\(\) needs pandas, .*: pip install pandas"):
        pandas("to_dataframe()")


def test_importing_the_interface_loads_neither_an_engine_nor_a_library_of_a_workstation() -> None:
    script = "import json, sys, numpy\nimport seisedge.api\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in json.loads(done.stdout)}
    assert not loaded & {"obspy", "pandas", "torch", "scipy", "matplotlib", "onnxruntime", "pymseed", "click", "h5py"}


def test_reading_a_file_needs_no_obspy_and_no_pandas(part: Path) -> None:
    script = (
        "import json, sys\nimport seisedge.api\n"
        "found = seisedge.api.open_model('event-type').classify(sys.argv[1])\n"
        "assert len(found) > 5 and '<svg' in found._repr_html_()\n"
        "seisedge.api.annotate(sys.argv[1])\n"
        "print(json.dumps(sorted(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(part)], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in json.loads(done.stdout.splitlines()[-1])}
    assert not loaded & {"obspy", "pandas", "torch", "scipy", "matplotlib"}


def test_help_reads_like_a_page() -> None:
    script = "import pydoc, seisedge.api\nprint(pydoc.render_doc(seisedge.api, renderer=pydoc.plaintext))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    for name in api.__all__:
        assert re.search(rf"^    (class )?{name}\b", done.stdout, re.MULTILINE), name
    public = [getattr(api, name) for name in api.__all__]
    undocumented = [
        f"{part.__name__}.{name}"
        for part in public
        if isinstance(part, type)
        for name, member in vars(part).items()
        if not name.startswith("_") and not (getattr(member, "__doc__", None) or "").strip()
    ]
    fields = {f"Annotation.{name}" for name in Annotation.__annotations__} | {
        "Result.event",
        "Result.remarks",
        "Result.waveform",
    }
    assert set(undocumented) <= fields


def test_annotations(stream: Any, part: Path) -> None:
    found = api.annotate(part)
    assert sorted(found) == ["PB.B918", "PB.B921"]
    one = found["PB.B918"]
    assert one.labels == ("P", "S", "noise", "tectonic", "non-tectonic")
    assert one.probabilities.shape == (len(one), 5) and len(one.segments) == 1
    assert np.allclose(one.probabilities[:, 2:].sum(axis=1), 1, atol=1e-3)
    assert one["P"].max() > 0.5
    assert np.array_equal(api.annotate(stream)["PB.B918"].probabilities, one.probabilities)
    assert np.array_equal(np.diff(one.times), np.full(len(one) - 1, np.timedelta64(100_000_000, "ns")))
    copied = found.to_stream()
    assert {trace.id for trace in copied} >= {"PB.B918..P", "PB.B921..tectonic"}
    trace = next(trace for trace in copied if trace.id == "PB.B918..P")
    assert trace.stats.starttime.ns == one.times_ns[0] and np.array_equal(trace.data, one["P"])
    with pytest.raises(ValueError, match="no label 'Q'; the labels are P, S"):
        one["Q"]


def test_annotations_have_the_onsets_of_the_events(results: api.Results, part: Path) -> None:
    one = api.annotate(part)["PB.B918"]
    for result in results:
        if result.station == "PB.B918" and result.picks:
            near = np.abs(one.times_ns - result.onset_ns) < 500_000_000
            assert np.abs(one["P"][near] - (result.event.trigger.probability or 0)).min() < 1e-3


def test_annotations_have_no_rows_in_a_gap() -> None:
    rng = np.random.default_rng(1)
    noise = np.ma.masked_array(rng.normal(0, 100, (3, 12_000)))
    noise[:, 5000:7000] = np.ma.masked
    one = api.annotate(noise, sampling_rate_hz=100, components="ZNE")["XX.ARRAY"]
    assert len(one.segments) == 2
    assert len(one.to_stream()) == 10
    first, second = one.segments
    gap_s = (one.times_ns[second.start] - one.times_ns[first.stop - 1]) / 1e9
    assert 15 < gap_s < 25


def test_annotate_needs_an_onset_detector_and_its_band(part: Path) -> None:
    with pytest.raises(InputError, match="a model for the task 'event_type', not an onset detector"):
        api.annotate(part, "event-type")
    noise = np.random.default_rng(1).normal(0, 100, (1, 3000))
    with pytest.raises(InputError, match=r"array: nothing to annotate: onset needs .* up to 15 Hz"):
        api.annotate(noise, sampling_rate_hz=25, components="Z")


def test_the_interface_is_marked_as_typed() -> None:
    """Beside api.py: mypy looks there for the modules of a namespace package."""
    assert (Path(api.__file__).parent / "py.typed").exists()
