"""What `seisedge bench` writes: terminal, JSON (signed or not), Markdown, HTML."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click
import msgspec

from seisedge.runtime.bench import archive_text, html, stream_html, stream_text, text
from seisedge.runtime.bench.archive_report import ArchiveReport
from seisedge.runtime.bench.kinds import AnyReport
from seisedge.runtime.bench.report import PAYLOAD_TYPE, Report
from seisedge.runtime.bundle.envelope import MAX_PAYLOAD, Envelope
from seisedge.runtime.commands._overwrite import protect_file
from seisedge.runtime.errors import FailedError, InputError
from seisedge.runtime.files import write_atomically

PASSPHRASE_VARIABLE = "SEISEDGE_SIGNING_PASSPHRASE"


@dataclass(frozen=True, slots=True)
class Outputs:
    """The files of a report, by the names of the options. sign: a private key."""

    output: Path | None
    markdown: Path | None
    html: Path | None
    sign: Path | None
    overwrite: bool

    def check(self) -> None:
        """Find faults before minutes are spent. Raises InputError."""
        if self.sign is not None and self.output is None:
            raise InputError("--sign needs a file for the signed report; give it with -o FILE")
        for path, option in ((self.output, "-o"), (self.markdown, "--markdown"), (self.html, "--html")):
            if path is not None:
                protect_file(path, self.overwrite, option)
                if not path.absolute().parent.is_dir():
                    raise InputError(f"{path}: its folder does not exist; create it first")
        if self.sign is not None:
            _signed(b"{}", self.sign)


def write_outputs(report: AnyReport, outputs: Outputs, *, as_json: bool) -> None:
    """Print and write the report. Raises FailedError where a file cannot be written."""
    data = msgspec.json.format(msgspec.json.encode(report), indent=1)
    if as_json:
        click.echo(data.decode())
    else:
        click.echo("\n".join(_terminal(report)))
    if outputs.output is not None:
        _write(outputs.output, data + b"\n" if outputs.sign is None else _signed(data, outputs.sign))
    if outputs.markdown is not None:
        _write(outputs.markdown, ("\n".join(_markdown(report)) + "\n").encode())
    if outputs.html is not None:
        _write(outputs.html, _page(report).encode())


def _terminal(report: AnyReport) -> Iterator[str]:
    if isinstance(report, ArchiveReport):
        return archive_text.terminal_lines(report)
    return text.terminal_lines(report) if isinstance(report, Report) else stream_text.terminal_lines(report)


def _markdown(report: AnyReport) -> Iterator[str]:
    if isinstance(report, ArchiveReport):
        return archive_text.markdown_lines(report)
    return text.markdown_lines(report) if isinstance(report, Report) else stream_text.markdown_lines(report)


def _page(report: AnyReport) -> str:
    if isinstance(report, ArchiveReport):
        return archive_text.page(report)
    return html.page(report) if isinstance(report, Report) else stream_html.page(report)


def _write(path: Path, data: bytes) -> None:
    try:
        write_atomically(path, data)
    except OSError as error:
        raise FailedError(f"{path}: cannot write the report: {error.strerror}") from error


def _signed(data: bytes, key: Path) -> bytes:
    """The envelope of a report with one signature. Raises InputError."""
    try:
        from seisedge.runtime.flash.signing import private_key, sign
    except ModuleNotFoundError as error:
        raise InputError(f"--sign needs the package {error.name}; pip install {error.name}") from error
    if len(data) > MAX_PAYLOAD:
        raise InputError(
            f"the report has {len(data) / 2**20:.0f} MiB, and at most {MAX_PAYLOAD // 2**20} can be signed"
        )
    pem, place = private_key(key)
    envelope, _ = sign(Envelope(PAYLOAD_TYPE, data), pem, os.environ.get(PASSPHRASE_VARIABLE, ""), place)
    return envelope.to_bytes()
