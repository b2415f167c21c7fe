"""Reports: figures from made samples, the compact form, and refusals."""

from pathlib import Path

import msgspec
import numpy as np
import pytest
from tests.runtime.bench.made import made_report

from seisedge.runtime.bench.report import (
    Report,
    check_figures,
    cold_figures_of,
    figures_of,
    packed,
    report_from_bytes,
    unpacked,
)
from seisedge.runtime.errors import InputError


def test_samples_survive_the_compact_form() -> None:
    values = [0, 1, 190_000, 2**40]
    assert unpacked(packed(values)) == values
    for text in ("!", "AAAA", packed(values)[:-8]):
        with pytest.raises(InputError, match="raw samples"):
            unpacked(text)


def test_figures_of_made_samples() -> None:
    """Ten rounds of 1,000 inferences: 1 ms, and every hundredth 5 ms; a second report at twice the latency."""
    rounds = [np.random.default_rng(k).permutation([1_000_000] * 980 + [5_000_000] * 20).tolist() for k in range(10)]
    figures = figures_of(rounds, 8)
    assert figures["p50"].value == 1.0 and figures["p99"].value == 5.0 and figures["max"].value == 5.0
    assert figures["mean"].value == pytest.approx(1.08) and figures["windows_per_s"].value == pytest.approx(8000 / 1.08)
    assert figures["jitter"].value == 0.0 and figures["jitter"].reason
    slow = figures_of([[2 * ns for ns in latencies] for latencies in rounds], 8)
    assert slow["p99"].value == 10.0


def test_percentiles_that_the_samples_do_not_carry() -> None:
    random = np.random.default_rng(4)
    few = figures_of(random.integers(1_000, 9_000, (3, 120)).tolist(), 1)  # 360 in all
    assert few["p99"].value is None and few["p99"].low is None
    assert "360 inferences count as" in few["p99"].reason and "p99 needs 368" in few["p99"].reason
    assert few["p95"].value is not None and "1000 in each" in few["p99.9"].reason
    enough = figures_of(random.integers(1_000, 9_000, (4, 1000)).tolist(), 1)
    assert enough["p99"].value is not None and enough["p99"].low is not None
    in_one_burst = [[1_000] * 980 + [9_000] * 20 for _ in range(4)]
    assert "count as" in figures_of(in_one_burst, 1)["p99"].reason


def test_cold_start_is_the_sum_of_its_parts() -> None:
    parts = {"numpy": 100_000_000, "import": 50_000_000, "load": 20_000_000, "first": 1_000_000}
    assert cold_figures_of([parts, parts])["ready"].value == pytest.approx(171.0)
    assert cold_figures_of([parts])["load"].low is None


def test_a_report_is_read_as_written() -> None:
    report = made_report()
    again = report_from_bytes(msgspec.json.encode(report), "it")
    assert again == report
    check_figures(again, "it")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"value": 0.1}, r"p99 is 0\.1 .* edited or is damaged$"),
        ({"low": 0.1}, r"p99 is 0\.1 \(low\) .* edited or is damaged, or an earlier build computed its intervals"),
    ],
)
def test_an_edited_report_is_refused(change: dict[str, float], words: str) -> None:
    report = made_report()
    row = report.settings[0].rows[0]
    better = row.figures | {"p99": msgspec.structs.replace(row.figures["p99"], **change)}
    rows = [msgspec.structs.replace(row, figures=better)]
    edited = msgspec.structs.replace(report, settings=[msgspec.structs.replace(report.settings[0], rows=rows)])
    with pytest.raises(InputError, match=words):
        check_figures(edited, "it")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "not a report"),
        (b"[]", "no 'schema'"),
        (b'{"schema": "seisedge.bench/2"}', "expected 'seisedge.bench/1'"),
        (b'{"schema": "seisedge.bench/1"}', "missing required field"),
        (b"[" * 100_000, "not a report"),
    ],
)
def test_what_is_not_a_report(data: bytes, words: str) -> None:
    with pytest.raises(InputError, match=words):
        report_from_bytes(data, "it")


def test_the_shipped_schema_accepts_a_report() -> None:
    jsonschema = pytest.importorskip("jsonschema")
    schema = Path(__file__).parents[3] / "firmware_configs" / "schemas" / "bench-1.schema.json"
    jsonschema.validate(
        msgspec.json.decode(msgspec.json.encode(made_report())), msgspec.json.decode(schema.read_bytes())
    )
    assert msgspec.json.decode(schema.read_bytes())["$ref"].endswith(Report.__name__)
