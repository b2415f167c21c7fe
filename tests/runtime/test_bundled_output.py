"""What the bundled models really emit over the whole bundled recording, read by independent readers.

Event and hop lines against the shipped JSON Schemas, QuakeML against its XML Schema, `/metrics` by Prometheus' own
parser; through the sinks that a station has.
"""

import dataclasses
import io
import json
import re
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import jsonschema  # type: ignore[import-untyped]
import msgspec
import pytest
from obspy import read_events
from obspy.io.quakeml.core import _validate
from prometheus_client.parser import text_string_to_metric_families
from tests.runtime.sinks.receiver import Receiver, serving

from seisedge.runtime.card import ModelCard
from seisedge.runtime.commands._service import Outputs
from seisedge.runtime.config import (
    JsonLinesConfig,
    Mode,
    ModelsConfig,
    QuakeMLConfig,
    SinksConfig,
    TriggerConfig,
    WebhookConfig,
    load_config,
)
from seisedge.runtime.demo import RECORDING, STATIONS
from seisedge.runtime.event import Event, Hop, content_of
from seisedge.runtime.inference.infer import Models
from seisedge.runtime.journal.journal import Journal
from seisedge.runtime.service.health import Health
from seisedge.runtime.service.loop import Loop
from seisedge.runtime.service.metrics import text_from_health
from seisedge.runtime.sinks import Sink
from seisedge.runtime.sinks.quakeml import quakeml_from_event
from seisedge.runtime.sinks.terminal import narrow_lines, wide_lines
from seisedge.runtime.sources import open_source

ROOT = Path(__file__).parents[2]
SCHEMAS = ROOT / "firmware_configs" / "schemas"
LONGEST_TYPE = 32  # characters of a magnitude type, by the QuakeML 1.2 schema


class Kept(Sink):
    """Keeps all lines."""

    def __init__(self) -> None:
        self.lines: list[Event | Hop] = []

    def write(self, line: Event | Hop) -> None:
        self.lines.append(line)


@dataclasses.dataclass
class Emitted:
    """Of one run: what each sink was given or wrote, and `/metrics` at its end."""

    lines: list[Event | Hop]
    jsonl: list[bytes]
    posted: list[bytes]
    documents: list[bytes]
    metrics: str
    magnitude: ModelCard
    mode: Mode

    @property
    def events(self) -> list[Event]:
        return [line for line in self.lines if isinstance(line, Event)]


@pytest.fixture(scope="module", params=get_args(Mode))
def emitted(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emitted]:
    """Both stations, the journal and the sinks of the station files, as `seisedge run` sets them up."""
    folder = tmp_path_factory.mktemp(request.param)
    with serving(Receiver()) as receiver:
        sinks = SinksConfig(
            jsonl=JsonLinesConfig(str(folder / "events.jsonl")),
            quakeml=QuakeMLConfig(str(folder / "quakeml")),
            webhook=WebhookConfig(receiver.url),
        )
        # both openers: the onset detector in continuous mode, the classic trigger in triggered mode
        trigger = TriggerConfig(kind="onset" if request.param == "continuous" else "sta-lta")
        stations = [load_config(path) for path in sorted(STATIONS.glob("*.toml"))]
        configs = [msgspec.structs.replace(station, sinks=sinks, trigger=trigger) for station in stations]
        models, kept, health = Models.load(ModelsConfig()), Kept(), Health()
        with open_source([RECORDING]) as source:
            journal = Journal(folder / "state", source.url)
            outputs = Outputs(journal, kept, None, configs, models)
            loop = Loop(
                models, outputs.direct, {str(c.station_id): c for c in configs}, mode=request.param, journal=journal,
                health=health,
            )  # fmt: skip
            outputs.stations = loop.report.stations
            health.models, health.report, health.source = models, loop.report, source
            health.journal, health.backlog, health.drains = journal, loop.backlog, outputs.drains
            loop.run(source)
            assert [drain.close(60) for drain in outputs.drains] == [0] * len(outputs.drains)
            text = text_from_health(health)
            outputs.close(60)
    assert models.magnitude is not None
    yield Emitted(
        kept.lines,
        (folder / "events.jsonl").read_bytes().splitlines(),
        [body for _, body in receiver.got],
        [path.read_bytes() for path in sorted((folder / "quakeml").rglob("*.xml"))],
        text,
        models.magnitude.card,
        request.param,
    )


def strict(name: str) -> jsonschema.Draft202012Validator:
    """The shipped schema, and besides that no object may have a property that it does not name."""

    def closed(node: Any) -> Any:
        if isinstance(node, list):
            return [closed(item) for item in node]
        if not isinstance(node, dict):
            return node
        out = {key: closed(value) for key, value in node.items()}
        return out | {"additionalProperties": False} if isinstance(node.get("properties"), dict) else out

    schema = json.loads((SCHEMAS / name).read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(closed(schema))


def faults_of(lines: list[bytes]) -> list[str]:
    """What the schemas have against JSON lines, by the schema that a line names."""
    schemas = {"seisedge.event/1": strict("event-1.schema.json"), "seisedge.hop/1": strict("hop-1.schema.json")}
    found = []
    for line in lines:
        tree = json.loads(line)
        found += [f"{tree.get('id')}: {e.json_path}: {e.message}" for e in schemas[tree["schema"]].iter_errors(tree)]
    return found


def _decoded(line: bytes) -> Event | Hop:
    if b'"seisedge.hop/1"' in line:
        return msgspec.json.decode(line, type=Hop)
    return msgspec.json.decode(line, type=Event)


def test_json_lines_keep_their_schemas(emitted: Emitted) -> None:
    """Also the bodies of the webhook, which are those that MQTT publishes."""
    assert len(emitted.events) > 10
    assert faults_of(emitted.jsonl) == []
    assert faults_of(emitted.posted) == []
    written = [_decoded(line) for line in emitted.jsonl]
    # `latency_ms.journal` is known only for the newest lines, so a slow sink may receive a line without it
    assert sorted(content_of(line) for line in written) == sorted(content_of(line) for line in emitted.lines)
    posted = [content_of(_decoded(line)) for line in emitted.posted]
    wanted = [event for event in emitted.events if event.status != "update"]  # the default of a webhook
    assert sorted(posted) == sorted(map(content_of, wanted)) and len(wanted) < len(emitted.events)
    kinds = Counter(json.loads(line)["schema"] for line in emitted.jsonl)
    assert kinds["seisedge.event/1"] == len(emitted.events)
    assert kinds["seisedge.hop/1"] == len(emitted.lines) - len(emitted.events)
    assert (kinds["seisedge.hop/1"] > 3000) == (emitted.mode == "continuous")  # 26 minutes of two stations


def test_answers_of_three_components_from_10_s_on_have_the_same_weight(emitted: Emitted) -> None:
    long = []
    for event in emitted.events:
        whole = event.window.coverage == 1 and not {q.code for q in event.quality} & {"clipped", "overlap"}
        if event.event_type is not None and event.event_type.combined is not None and whole:
            weights = [part.weight for part in event.event_type.combined if part.answer_s >= 10]
            assert weights == pytest.approx(weights[:1] * len(weights), abs=2e-3), event.id
            long.append(len(weights))
    assert max(long) == 3  # at 10, 30 and 40 s


def test_events_of_the_onset_detector_state_the_probability_of_noise_of_both(emitted: Emitted) -> None:
    of_both = [event.event_type.noise_probability for event in emitted.events if event.event_type is not None]
    if emitted.mode == "triggered":
        assert set(of_both) == {None}
        return
    kept = [
        (event.event_type.noise_probability, event.event_type.probabilities["noise"])
        for event in emitted.events
        if event.event_type is not None and event.status != "retracted"
    ]
    assert all(both is not None and both < 0.1 for both, _ in kept)
    assert any(alone > 0.1 for _, alone in kept)  # what the type model alone would have lost


def test_the_check_of_json_lines_sees_a_fault(emitted: Emitted) -> None:
    tree = json.loads(msgspec.json.encode(emitted.events[0]))
    for change in ({"status": "maybe"}, {"revision": "0"}, {"colour": "red"}, {"window": {"start": "now"}}):
        assert faults_of([json.dumps(tree | change).encode()])


def test_every_quakeml_document_keeps_the_schema(emitted: Emitted) -> None:
    """Of each revision, and the files that the sink left: one an event."""
    remarks = {e.magnitude.sha256: "as catalogued" for e in emitted.events if e.magnitude is not None}
    documents = [*emitted.documents, *(quakeml_from_event(event, "local", remarks) for event in emitted.events)]
    assert len(emitted.documents) == len({event.id for event in emitted.events})
    assert [body.decode() for body in documents if not _validate(io.BytesIO(body))] == []
    assert any(b"<stationMagnitude" in body for body in emitted.documents)


def test_the_magnitude_type_is_a_code_and_its_remark_a_comment(emitted: Emitted) -> None:
    scale = emitted.magnitude.magnitude
    assert scale is not None
    assert (scale.type, scale.remark[:18]) == ("M", "as catalogued: ML ")
    assert {e.magnitude.type for e in emitted.events if e.magnitude is not None} == {"M"}
    seen = 0
    for body in emitted.documents:
        (event,) = read_events(io.BytesIO(body), format="QUAKEML")
        comments = [comment.text for comment in event.comments]
        assert all(size.station_magnitude_type == "M" for size in event.station_magnitudes)
        if any(text.startswith("magnitude bin") for text in comments):
            assert f"magnitude type: {scale.remark}" in comments
            seen += 1
    assert seen > 10


def test_picks_and_magnitudes_name_their_channel(emitted: Emitted) -> None:
    for body in emitted.documents:
        (event,) = read_events(io.BytesIO(body), format="QUAKEML")
        for part in (*event.picks, *event.station_magnitudes):
            assert part.waveform_id.location_code == "" and 'locationCode=""' in body.decode()
            assert part.waveform_id.channel_code in ("EHZ", "EH1", "EH2")


def test_the_check_of_quakeml_sees_a_type_that_is_a_sentence(emitted: Emitted) -> None:
    body = next(body for body in emitted.documents if b"<type>M</type>" in body)
    for length in (LONGEST_TYPE, LONGEST_TYPE + 1):
        changed = body.replace(b"<type>M</type>", b"<type>" + b"M" * length + b"</type>")
        assert _validate(io.BytesIO(changed)) == (length <= LONGEST_TYPE)


def test_the_terminal_has_a_line_of_every_event(emitted: Emitted) -> None:
    for event in emitted.events:
        (line,) = wide_lines(event)
        assert event.station in line and event.onset[:10] in line
        for lines, columns in ((narrow_lines(event, 80), 80), (wide_lines(event, 120), 120)):
            assert max(map(len, lines)) <= columns
            assert len(lines) <= 2 and event.station in lines[0]


def exposition_faults(text: str) -> list[str]:
    """What breaks the rules of https://prometheus.io/docs/instrumenting/exposition_formats/ (format 0.0.4)."""
    found = []
    comments = Counter(tuple(line.split()[1:3]) for line in text.splitlines() if line.startswith("#"))
    found += [f"{' '.join(key)} stands {count} times" for key, count in comments.items() if count > 1]
    families = list(text_string_to_metric_families(text))
    names = Counter(family.name for family in families)
    found += [f"{name}: its samples do not stand together" for name, count in names.items() if count > 1]
    samples = [sample for family in families for sample in family.samples]
    keys = Counter((s.name, tuple(sorted(s.labels.items()))) for s in samples)
    found += [f"{key}: {count} values" for key, count in keys.items() if count > 1]
    for family in families:
        if family.type not in ("gauge", "counter", "histogram") or not family.documentation:
            found.append(f"{family.name}: type {family.type}, help '{family.documentation}'")
        if family.type == "histogram":
            for total in [s for s in family.samples if s.name.endswith("_count")]:
                buckets = [
                    (float(s.labels["le"]), s.value) for s in family.samples
                    if s.name.endswith("_bucket") and s.labels.items() >= total.labels.items()
                ]  # fmt: skip
                values = [value for _, value in buckets]
                if buckets != sorted(buckets) or values != sorted(values) or buckets[-1] != (float("inf"), total.value):
                    found.append(f"{family.name}{total.labels}: buckets {buckets}, count {total.value}")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    typed = [line.split() for line in text.splitlines() if line.startswith("# TYPE")]
    found += [
        f"{name}: a counter without _total" for _, _, name, kind in typed if kind == "counter" and name[-6:] != "_total"
    ]
    if len(lines) != len(samples) or not text.endswith("\n"):
        found.append(f"{len(lines)} lines, {len(samples)} samples")
    return found


def test_metrics_keep_the_rules_of_the_exposition_format(emitted: Emitted) -> None:
    assert exposition_faults(emitted.metrics) == []
    families = {family.name: family for family in text_string_to_metric_families(emitted.metrics)}
    counted = {s.labels["station"]: s.value for s in families["seisedge_events"].samples}
    events = {station: {e.id for e in emitted.events if e.station == station} for station in counted}
    assert counted == {station: len(ids) for station, ids in events.items()}
    models = {s.labels["model"] for s in families["seisedge_inference_seconds"].samples}
    assert models == {"event-type", "magnitude", "onset"}


def test_the_check_of_metrics_sees_a_fault(emitted: Emitted) -> None:
    text = emitted.metrics
    line = next(line for line in text.splitlines(keepends=True) if line.startswith("seisedge_events_total"))
    kind = "# TYPE seisedge_events_total counter\n"
    for changed in (text + line, text + kind, text.replace("_events_total", "_events"), text[:-1]):
        assert exposition_faults(changed)


@pytest.mark.parametrize(
    "path", [*sorted(STATIONS.glob("*.toml")), *sorted((ROOT / "firmware_configs/stations").glob("*.toml"))], ids=str
)
def test_shipped_station_files_keep_their_schema(path: Path) -> None:
    schema = strict("station.schema.json")
    tree = tomllib.loads(path.read_text(encoding="utf-8"))
    assert [f"{e.json_path}: {e.message}" for e in schema.iter_errors(tree)] == []
    assert list(schema.iter_errors(tree | {"station": {"colour": "red"}}))


def test_the_metrics_of_the_field_guide_exist(emitted: Emitted) -> None:
    table = (ROOT / "docs/field-guide.md").read_text(encoding="utf-8").partition("## Metrics")[2].partition("\n## ")[0]
    cells = [row.split("|")[1] for row in table.splitlines() if row.startswith("| `")]
    named = {name for cell in cells for name in re.findall(r"`([a-z_]+)`", cell)}
    assert len(named) > 20
    found = {name.partition(" ")[0] for name in re.findall(r"^# TYPE seisedge_(.*)$", emitted.metrics, re.MULTILINE)}
    code = (ROOT / "runtime/seisedge/runtime/service/health.py").read_text(encoding="utf-8")
    assert [name for name in named - found if f'"{name}"' not in code] == []  # of a live run, or a board with sensors
