"""`seisedge bench compare` and `seisedge bench import`: commands that read reports."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import click
import msgspec

from seisedge.runtime.bench.archive_report import ArchiveReport
from seisedge.runtime.bench.compare import (
    FIGURES,
    Compared,
    check_comparable,
    compare,
    left_out,
    lines_of,
    overall,
)
from seisedge.runtime.bench.compare_other import check_alike, compare_other
from seisedge.runtime.bench.kinds import OtherReport, read_any
from seisedge.runtime.bench.report import (
    MAX_BYTES,
    PAYLOAD_TYPE,
    Report,
)
from seisedge.runtime.bench.roofline import BOARDS
from seisedge.runtime.bench.stream_report import StreamReport
from seisedge.runtime.bundle.envelope import MAX_ENVELOPE, envelope_from_bytes
from seisedge.runtime.bundle.keys import PublicKey, key_from_line
from seisedge.runtime.commands._overwrite import overwrite_option, protect_file
from seisedge.runtime.errors import FailedError, InputError
from seisedge.runtime.files import read_up_to, write_atomically

EXIT_INCONCLUSIVE = 3
MAX_KEY_BYTES = 64 * 1024


def limits_from(words: tuple[str, ...]) -> dict[str, float]:
    """`p99=10%` → {"p99": 0.1}. Raises InputError."""
    limits = {}
    for word in words:
        found = re.fullmatch(r"([a-z0-9.]+)=([0-9]+(?:\.[0-9]+)?)%", word)
        if not found or found[1] not in FIGURES or float(found[2]) <= 0:
            raise InputError(
                f"--fail-over {word}: expected FIGURE=PERCENT%, as p99=10%; the figures are {', '.join(FIGURES)}"
            )
        limits[found[1]] = float(found[2]) / 100
    return limits


def compare_files(
    old: Path, new: Path, fail_over: tuple[str, ...], *, allow_inconclusive: bool, other_machine: bool
) -> int:
    """Print the verdicts; returns the exit code: 0, 1 for worse, 3 for inconclusive. Raises InputError."""
    before, after = read_any(old), read_any(new)
    if type(before) is not type(after):
        raise InputError(f"{old} is of schema {before.schema} and {new} of {after.schema}; compare reports of one kind")
    limits = limits_from(fail_over or ("mean=10%" if isinstance(before, ArchiveReport) else "p99=10%",))
    if not isinstance(before, Report) or not isinstance(after, Report):
        return _compare_other(
            cast("OtherReport", before), cast("OtherReport", after), limits, allow_inconclusive, other_machine
        )
    for remark in check_comparable(before, after, other_machine=other_machine):
        click.echo(remark)
    for remark in left_out(before, limits):
        click.echo(remark)
    return print_verdict(compare(before, after, limits), allow_inconclusive=allow_inconclusive)


def _compare_other(
    before: OtherReport, after: OtherReport, limits: dict[str, float], allow_inconclusive: bool, other_machine: bool
) -> int:
    for remark in check_alike(before, after, other_machine=other_machine):
        click.echo(remark)
    return print_verdict(compare_other(before, after, limits), allow_inconclusive=allow_inconclusive)


def print_verdict(rows: Sequence[Compared], *, allow_inconclusive: bool) -> int:
    """Print one line per figure and the verdict; returns the exit code."""
    verdict = overall(rows)
    click.echo("\n".join([*lines_of(rows), f"verdict: {verdict}"]))
    if verdict == "worse":
        return 1
    return EXIT_INCONCLUSIVE if verdict == "inconclusive" and not allow_inconclusive else 0


@click.command("import")
@click.argument("report", type=click.Path(path_type=Path), metavar="REPORT.json")
@click.option("--hardware", required=True, metavar="NAME", help="Name of the hardware, as 'Jetson Orin Nano'.")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), default=Path("measured"), show_default=True, metavar="DIR"
)
@click.option("--key", type=click.Path(path_type=Path), help="Public key; the report must be signed with it.")
@overwrite_option
def import_command(report: Path, hardware: str, output: Path, key: Path | None, overwrite: bool) -> None:
    """File a report as measured for a hardware, beside what is projected for it.

    Every figure is computed again from the raw samples; a report whose figures differ is refused. Someone who edits
    the samples as well is detected only by a signature (--key).
    """
    name = re.sub(r"[^a-z0-9]+", "-", hardware.lower()).strip("-")
    if not name:
        raise InputError(f"--hardware {hardware!r}: needs a letter or a digit")
    if key is not None:
        _verify(report, key)
    content = read_any(report)
    kind = "" if isinstance(content, Report) else ".stream" if isinstance(content, StreamReport) else ".archive"
    path = output / f"{name}{kind}.measured.json"
    protect_file(path, overwrite)
    try:
        output.mkdir(parents=True, exist_ok=True)
        write_atomically(path, msgspec.json.format(msgspec.json.encode(content), indent=1) + b"\n")
    except OSError as error:
        raise FailedError(f"{path}: cannot write the report: {error.strerror}") from error
    click.echo(
        "\n".join(
            [
                f"{path}: measured on {content.machine.description}",
                *(_beside_projected(content, hardware) if isinstance(content, Report) else []),
            ]
        )
    )


def _verify(path: Path, key: Path) -> None:
    """Raises InputError where the report is not signed with this key."""
    try:
        public: PublicKey = key_from_line(read_up_to(key, MAX_KEY_BYTES).decode("utf-8", "replace"))
        envelope = envelope_from_bytes(read_up_to(path, max(MAX_BYTES, MAX_ENVELOPE)), PAYLOAD_TYPE)
    except OSError as error:
        raise InputError(f"{error.filename or path}: cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise InputError(
            f"{path}: not a report that was signed with --sign, or {key} is no public key: {error}"
        ) from error
    if not envelope.signers([public]):
        raise InputError(f"{path}: has no valid signature of the key {public.shown}")


def _beside_projected(report: Report, hardware: str) -> list[str]:
    """Measured medians beside the floor that `inspect --roofline` projects, for boards and models it knows."""
    board = next((each for each in BOARDS if hardware.lower() in each.name.lower()), None)
    lines = []
    for setting in report.settings:
        model = next(each for each in report.models if each.sha256 == setting.model)
        projected = "projected: nothing for this hardware"
        if board is not None:
            rate = board.gflops(model.precision)
            floor_us = max(model.flops / rate / 1e3, (model.weight_bytes + model.io_bytes) / board.bandwidth_gb_s / 1e3)
            projected = f"projected floor {floor_us:.2f} µs ({board.name})"
        for row in setting.rows:
            if row.batch == 1:
                median = row.figures["p50"]
                value = median.reason if median.value is None else f"{median.value:.3g} ms"
                lines.append(
                    f"  {model.name}, {setting.engine}, pace {row.pace_ms:g} ms: measured p50 {value}; {projected}"
                )
    return lines
