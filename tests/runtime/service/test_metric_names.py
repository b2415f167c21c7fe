"""Names, units and HELP of `/metrics`, by the published rules of Prometheus and by its own checker."""

import re
import shutil
import subprocess

import pytest
from tests.fakes import ListSource, burst, classic_config, fake_models, packets_of

from seisedge.runtime.clock import ns_from_iso
from seisedge.runtime.journal.journal import Journal
from seisedge.runtime.service.health import Health
from seisedge.runtime.service.loop import Loop
from seisedge.runtime.service.metric_help import HELP
from seisedge.runtime.service.metrics import PREFIX, text_from_health
from seisedge.runtime.sinks._drain import Drain
from seisedge.runtime.sinks.terminal import TerminalSink

PROMTOOL = shutil.which("promtool")
# https://prometheus.io/docs/practices/naming/ and the linter of client_golang (testutil/promlint).
NOT_BASE_UNITS = ("milliseconds", "microseconds", "minutes", "hours", "kilobytes", "megabytes", "mib", "percent", "ms")
TYPE_WORDS = ("gauge", "counter", "histogram", "summary")


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> str:
    health, folder = Health(), tmp_path_factory.mktemp("state")
    source = ListSource(list(packets_of({"HHZ": burst(100, [40.0])})), live=True)
    journal = Journal(folder, source.url)
    drain = Drain(TerminalSink(lambda _line: None), "sink", journal.outbox)
    drain.start()
    health.models = fake_models()
    loop = Loop(health.models, [], {}, default=classic_config(), journal=journal, health=health)
    health.report, health.source, health.journal, health.drains = loop.report, source, journal, [drain]
    loop.run(source)
    assert drain.close(5) == 0
    found = text_from_health(health)
    journal.close()
    return found


def lint(text: str) -> list[str]:
    """What breaks the rules: units, suffixes, type words, characters, HELP."""
    faults = []
    types = {name: kind for _, _, name, kind in (x.split() for x in text.splitlines() if x.startswith("# TYPE"))}
    helps = {x.split()[2]: x.split(maxsplit=3)[3:] for x in text.splitlines() if x.startswith("# HELP")}
    for name, kind in types.items():
        words = name.split("_")
        faults += [f"{name}: {unit} is no base unit" for unit in NOT_BASE_UNITS if unit in words]
        faults += [f"{name}: its type is in its name" for word in TYPE_WORDS if word in words]
        if (kind == "counter") is not name.endswith("_total"):
            faults.append(f"{name}: a {kind}; _total is for counters, and only for them")
        if kind != "histogram" and name.endswith(("_count", "_sum", "_bucket")):
            faults.append(f"{name}: a {kind} with the suffix of a histogram")
        if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
            faults.append(f"{name}: characters")
        if not helps.get(name):
            faults.append(f"{name}: no HELP")
    return faults


def test_names_and_units(text: str) -> None:
    assert lint(text) == []


@pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed; apt-get install prometheus")
def test_promtool_accepts_them(text: str) -> None:
    assert PROMTOOL is not None
    done = subprocess.run([PROMTOOL, "check", "metrics"], input=text, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    wrong = text.replace("work_seconds", "work_milliseconds")
    assert subprocess.run([PROMTOOL, "check", "metrics"], input=wrong, capture_output=True, text=True).returncode == 3


def test_the_lint_sees_a_fault(text: str) -> None:
    for before, after in (
        ("work_seconds", "work_milliseconds"),
        ("events_total", "events"),
        ("seisedge_stations", "seisedge_stations_total"),
        ("seisedge_up", "seisedge_up_gauge"),
        (HELP["up"], ""),
    ):
        assert lint(text.replace(before, after)), before


def test_help_says_what_to_do(text: str) -> None:
    names = {line.split()[2].removeprefix(PREFIX) for line in text.splitlines() if line.startswith("# HELP")}
    assert names <= HELP.keys() and len(names) > 60
    for name in names:
        if any(word in name for word in ("bad", "dropped", "failures", "down", "gaps", "_age_", "refused", "stalled")):
            assert " If " in HELP[name], name


def test_builds_models_and_the_newest_event(text: str) -> None:
    assert re.search(
        r'^seisedge_build_info\{version="[^"]+",onnxruntime="[^"]+",python="[^"]+"\} 1$', text, re.MULTILINE
    )
    assert 'seisedge_model_info{model="fake-magnitude",' in text
    values = dict(line.rsplit(" ", 1) for line in text.splitlines())
    onset_s = ns_from_iso("2020-09-13T12:27:19.8Z") / 1e9
    assert float(values['seisedge_last_event_timestamp_seconds{station="XX.STA"}']) == pytest.approx(onset_s, abs=0.2)
    last_s = ns_from_iso("2020-09-13T12:28:20Z") / 1e9
    assert float(values['seisedge_last_sample_timestamp_seconds{station="XX.STA"}']) == pytest.approx(last_s, abs=0.1)
    assert values["seisedge_source_connected"] == "1"
