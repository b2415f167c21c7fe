"""`bench stream`: latency by the schedule, the delay of the digitizer, the search; real processes in long tests."""

import gc
import io
import json
import os
import signal
import socket
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner
from tests.runtime.bench.made import made_machine, made_stream_run

from seisedge.cli import main
from seisedge.runtime.bench import _generator, stream_html, stream_text
from seisedge.runtime.bench._generator import Lateness
from seisedge.runtime.bench.report import unpacked
from seisedge.runtime.bench.stream import Running, StreamPlan, run_stream, why_invalid
from seisedge.runtime.bench.stream_data import match
from seisedge.runtime.bench.stream_report import Generator, StreamReport, StreamRun
from seisedge.runtime.clock import iso_from_ns
from seisedge.runtime.commands._bench_stream import find_max, judge, row_of
from seisedge.runtime.demo import RECORDING
from seisedge.runtime.replay._clock import ReplayClock

MS = 1_000_000
START = 1_800_000_000_000_000_000
WORK = {"wait": 1.0, "assemble": 2.0, "host_to_device": 0.0, "infer": 3.0, "device_to_host": 0.0, "emit": 0.5}
PLAN = StreamPlan(Path(RECORDING), 100, 10.0)


def made_line(due_ms: float, transport_ms: float | None, station: str = "XX.C0001") -> bytes:
    """A line whose record was due at `due_ms` and arrived `transport_ms` later."""
    emitted_ms = due_ms + (transport_ms or 0.0) + 6.0
    latency = WORK | ({} if transport_ms is None else {"transport": transport_ms}) | {"total": 0.0}
    emitted = iso_from_ns(START + round(emitted_ms * MS))
    return msgspec.json.encode({"station": station, "emitted": emitted, "latency_ms": latency})


def test_latency_counts_from_the_schedule() -> None:
    """The second line waited three seconds in a socket of a station that did not run; all of it is latency."""
    schedule = {"XX.C0001": [1000 * MS, 2000 * MS]}
    lines = [
        (START + 1010 * MS, made_line(1000, 0.25)),
        (START + 5020 * MS, made_line(2000, 3000.0)),
        (START + 1010 * MS, made_line(1500, 0.25)),  # no record is due then
        (START + 1010 * MS, made_line(1000, 0.25, "XX.C0002")),
        (START + 1010 * MS, made_line(1000, None)),
    ]
    found = match(lines, schedule, START)
    assert found.latency == [10 * MS, 3020 * MS] and found.due == [1000 * MS, 2000 * MS] and found.unmatched == 3
    assert found.stages["infer"] == [3 * MS, 3 * MS] and found.stages["output"] == [3_250_000, 13_500_000]
    assert found.stages["delivery"] == [250_000, 3000 * MS]
    sums = [sum(each) for each in zip(*found.stages.values(), strict=True)]
    assert sums == found.latency


def test_digitizer_counts_its_own_delay_and_not_that_of_a_full_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0]
    monkeypatch.setattr("seisedge.runtime.bench._generator.time.monotonic_ns", lambda: now[0])
    late = Lateness(ReplayClock(0, 1.0, lambda: now[0], 0))

    def send(due_ms: int, at_ms: int, until_ms: int) -> None:
        late.note(due_ms * MS)
        now[0] = at_ms * MS
        late.sending()
        now[0] = until_ms * MS
        late.sent()

    send(100, 103, 103)
    send(200, 200, 900)  # the reader took nothing for 700 ms
    send(300, 901, 901)
    send(950, 1950, 1950)  # the digitizer did not run for a second
    assert late.lag_ns == [3 * MS, 0, 1 * MS, 1000 * MS] and late.blocked_ns == 700 * MS


def test_what_makes_a_run_invalid() -> None:
    good = Generator(packets=10, lag_ms=[0.1, 1.0, 20.0], pulse_ms=5.0, blocked_ms=0.0, clock_step_ms=0.0)
    assert why_invalid(good, 0, 50.0) == []
    assert "21 ms late; the limit is 20 ms" in why_invalid(msgspec.structs.replace(good, pulse_ms=21.0), 0, 20.0)[0]
    assert "late" in why_invalid(msgspec.structs.replace(good, lag_ms=[0.1, 1.0, 90.0]), 0, 50.0)[0]
    assert "clock" in why_invalid(msgspec.structs.replace(good, clock_step_ms=-3.0), 0, 50.0)[0]
    assert "3 lines" in why_invalid(good, 3, 50.0)[0]
    assert "no record" in why_invalid(msgspec.structs.replace(good, packets=0), 0, 50.0)[0]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"invalid": ["the digitizer was late"]}, "invalid"),
        ({"dropped_windows": 1}, "1 windows dropped"),
        ({"latencies_ms": []}, "no event"),
        ({"latencies_ms": [5.0] * 98 + [150.0] * 2}, "p99 150.0 ms, above 100 ms"),
        ({"latencies_ms": [5.0] * 20 + [150.0]}, "largest of 21 lines 150.0 ms, above"),
    ],
)
def test_a_run_that_does_not_pass(changes: dict[str, Any], reason: str) -> None:
    assert judge(made_stream_run(), 10, 100.0).passed
    trial = judge(made_stream_run(**changes), 10, 100.0)
    assert not trial.passed and reason in trial.reason


def test_search_finds_the_largest_number_and_confirms_it() -> None:
    """A box that carries 700 stations; and one that at 640 and more fails every third time."""
    asked: list[int] = []

    def box(plan: StreamPlan) -> StreamRun:
        asked.append(plan.stations)
        return made_stream_run(latencies_ms=[5.0 if plan.stations <= 700 else 200.0] * 200)

    found = find_max(PLAN, "swarm", 100.0, lambda line: None, box)
    assert found.stations is not None and 700 / 1.1 <= found.stations <= 700
    assert asked[-3:] == [found.stations] * 3 and [trial.stations for trial in found.trials] == asked

    def moody(plan: StreamPlan) -> StreamRun:
        asked.append(plan.stations)
        fails = plan.stations > 700 or (plan.stations >= 640 and len(asked) % 3 == 0)
        return made_stream_run(latencies_ms=[200.0 if fails else 5.0] * 200)

    assert 0 < (find_max(PLAN, "swarm", 100.0, lambda line: None, moody).stations or 0) < 640
    none = find_max(replace(PLAN, stations=3), "swarm", 1.0, lambda line: None, box)
    assert none.stations is None and [trial.stations for trial in none.trials] == [3, 1]


def test_search_goes_on_where_few_stations_have_no_event() -> None:
    """Quiet data: one event per run for every 100 stations. A box that carries 700."""

    def quiet(plan: StreamPlan) -> StreamRun:
        return made_stream_run(latencies_ms=[5.0 if plan.stations <= 700 else 200.0] * (plan.stations // 100))

    found = find_max(replace(PLAN, stations=10), "quiet", 100.0, lambda line: None, quiet)
    assert found.stations is not None and 700 / 1.1 <= found.stations <= 700
    never = find_max(PLAN, "quiet", 100.0, lambda line: None, lambda plan: made_stream_run(latencies_ms=[]))
    assert never.stations is None and "longer --duration" in never.trials[-1].reason


def test_search_repeats_an_invalid_run() -> None:
    """A machine on which every second run is invalid, and one on which every run of more than 300 stations is."""
    runs: list[int] = []

    def often(plan: StreamPlan) -> StreamRun:
        runs.append(plan.stations)
        invalid = ["the digitizer was up to 90 ms late"] if len(runs) % 2 else []
        return made_stream_run([5.0 if plan.stations <= 700 else 200.0] * 200, invalid=invalid)

    found = find_max(PLAN, "swarm", 100.0, lambda line: None, often)
    assert found.stations is not None and 700 / 1.1 <= found.stations <= 700

    def slow(plan: StreamPlan) -> StreamRun:
        return made_stream_run(invalid=["the digitizer was up to 90 ms late"] if plan.stations > 300 else [])

    found = find_max(PLAN, "swarm", 100.0, lambda line: None, slow)
    assert found.stations is not None and 300 / 1.1 <= found.stations <= 300


def test_outputs_name_invalid_runs_and_show_each_stage() -> None:
    runs = [made_stream_run(), made_stream_run(invalid=["the digitizer was up to 90 ms late"])]
    report = made_stream_report(runs)
    row = report.rows[0]
    assert row.figures["p50"].value == 10.0 and row.stages["infer"][0] == 3.0  # of the valid run alone
    for lines in (stream_text.terminal_lines(report), stream_text.markdown_lines(report)):
        text = "\n".join(lines)
        assert "INVALID: run 2: the digitizer was up to 90 ms late" in text and "not an MLPerf result" in text
        assert "host to device" in text and "all at once" in text
    page = stream_html.page(report)
    assert page.count("<svg") == 4 and "INVALID" in page and "<script" not in page


def test_figures_of_no_valid_run_and_of_no_event() -> None:
    late = made_stream_run(invalid=["the digitizer was up to 90 ms late"])
    figures = [row_of("quiet", 10, together=False, runs=[run]).figures for run in (late, made_stream_run([]))]
    assert [figure["p99"].reason for figure in figures] == ["no run is valid", "a run has no event"]


def test_a_slow_station_has_readable_columns() -> None:
    report = made_stream_report([made_stream_run([4740.0] * 500)])
    lines = list(stream_text.terminal_lines(report))
    assert "    4740    4740    4740" in "\n".join(lines)
    few = row_of("swarm", 10, together=False, runs=[made_stream_run([5.0] * 50)])
    assert few.figures["p99"].reason == "a run has 50 lines; p99 needs 100 in each"
    assert "e+0" not in "\n".join(lines)


def made_stream_report(runs: list[StreamRun]) -> StreamReport:
    return StreamReport(
        created="2026-01-01T00:00:00Z",
        seisedge="0.2",
        command=["seisedge"],
        machine=made_machine(),
        method={"latency": "from the due time", "seconds": 10.0},
        protocol="seedlink",
        windows="swarm",
        models={"made": "a" * 64},
        rows=[row_of("swarm", 10, together=True, runs=runs)],
        searches=[],
    )


def test_the_digitizer_is_not_interrupted_by_searches_for_garbage(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    request = {"data": str(RECORDING), "seconds": 8.0, "stations": 1, "protocol": "udp", "together": False}
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as reader:
        reader.bind(("127.0.0.1", 0))
        lines = f"{json.dumps(request | {'lead_s': 0.0})}\n{reader.getsockname()[1]}\n"
        monkeypatch.setattr("sys.stdin", io.StringIO(lines))
        monkeypatch.setattr("seisedge.runtime.bench._generator.time.sleep", lambda seconds: None)  # all packets at once
        try:
            _generator.main()
            assert not gc.isenabled()
        finally:
            gc.enable()
    _port, begin, own = map(json.loads, capsys.readouterr().out.splitlines())
    assert own["packets"] == sum(len(unpacked(times)) for times in begin["schedule"].values()) > 0


@pytest.mark.long
def test_a_stopped_digitizer_makes_the_run_invalid() -> None:
    run = run_stream(StreamPlan(Path(RECORDING), 2, 8.0, max_lag_ms=500.0), _stop("generator", 3.0, 1.5))
    assert "ms late" in run.invalid[0] and max(run.generator.pulse_ms, run.generator.lag_ms[-1]) > 1000


@pytest.mark.long
def test_a_stopped_station_cannot_hide_its_queue() -> None:
    """The lines of records that were due while the station was stopped carry all of the wait."""
    began_s, length_s = 22.0, 5.0
    run = run_stream(StreamPlan(Path(RECORDING), 20, 32.0, max_lag_ms=2000.0), _stop("station", began_s, length_s))
    waited = [
        (due_ns, latency_ns)
        for due_ns, latency_ns in zip(unpacked(run.due), run.latencies_ns, strict=True)
        if began_s + 0.2 < due_ns / 1e9 < began_s + length_s
    ]
    assert run.invalid == [] and waited
    assert all(due_ns + latency_ns > (began_s + length_s) * 1e9 for due_ns, latency_ns in waited)


def _stop(which: str, at_s: float, seconds: float) -> Any:
    def started(running: Running) -> None:
        def stop() -> None:
            pid = getattr(running, which)
            time.sleep(max(running.start_s + at_s - time.monotonic(), 0.0))
            os.kill(pid, signal.SIGSTOP)
            time.sleep(max(running.start_s + at_s + seconds - time.monotonic(), 0.0))
            os.kill(pid, signal.SIGCONT)

        threading.Thread(target=stop).start()

    return started


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--speed", "2"], "latency is measured in real time; give 1"),
        (["--protocol", "udp", "--stations", "2"], "give --stations 1 without --find-max"),
        (["--protocol", "udp", "--stations", "1", "--find-max"], "give --stations 1 without --find-max"),
        (["--data", "quiet", "--simultaneous"], "too few events"),
        (["a.mseed", "--data", "swarm"], "files or --data, not both"),
        (["missing.mseed"], "missing.mseed: no such file or folder"),
        ([str(Path(__file__))], "test_stream.py: is not miniSEED"),
        (["--data", "swarm", "--duration", "9000"], "9000 s are to be sent; give longer data or a shorter --duration"),
        (["--sign", "key.pem"], "-o FILE"),
    ],
)
def test_unusable_options_are_one_sentence(arguments: list[str], sentence: str) -> None:
    done = CliRunner().invoke(main, ["bench", "stream", *arguments])
    assert done.exit_code == 2 and sentence in done.output and len(done.output.strip().splitlines()) == 1
