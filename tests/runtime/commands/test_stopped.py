"""A command of a workstation that is stopped, or whose disk is full, leaves nothing half written."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from seisedge import cli
from seisedge.runtime.commands._stopped import Stopped, stops_on_signals, uninterrupted
from seisedge.runtime.files import folder_written_whole, write_atomically


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_is_an_exception_within_the_block_only(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with pytest.raises(Stopped, match=number.name) as caught, stops_on_signals():
        os.kill(os.getpid(), number)
    assert caught.value.exit_code == 128 + number
    assert signal.getsignal(number) == before


def test_an_ignored_signal_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # nohup
    try:
        with stops_on_signals():
            os.kill(os.getpid(), signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_signal_waits_until_a_library_has_written() -> None:
    written = []
    with pytest.raises(Stopped), stops_on_signals():
        with uninterrupted():
            os.kill(os.getpid(), signal.SIGTERM)
            written.append(1)
        written.append(2)
    assert written == [1]


def test_a_folder_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(Stopped), stops_on_signals(), folder_written_whole(out) as part:
        (part / "a").write_text("half")
        os.kill(os.getpid(), signal.SIGTERM)
    assert not list(tmp_path.iterdir())
    (tmp_path / ".out.partial" / "deep").mkdir(parents=True)  # of a process that was killed
    (tmp_path / ".out.partial" / "old").write_text("half")
    out.mkdir()
    with folder_written_whole(out) as part:
        assert not list(part.iterdir())
        (part / "a").write_text("whole")
        with pytest.raises(BlockingIOError), folder_written_whole(out):
            pass
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert (out / "a").read_text() == "whole"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EFBIG, errno.EIO])
def test_an_error_of_the_disk_is_one_sentence(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise OSError(number, os.strerror(number), "runs/mine/checkpoint.pt")

    monkeypatch.setattr(cli.LazyGroup, "get_command", lambda *_: click.Command("train", callback=fail))
    result = CliRunner().invoke(cli.main, ["train"])
    assert result.exit_code == 1
    assert result.output.startswith(f"Error: runs/mine/checkpoint.pt: {os.strerror(number)}; ")
    assert result.output.count("\n") == 1


def test_the_error_of_a_write_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"the old model")
    code = (
        "import pathlib, resource, sys\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"  # as a full disk
        "from seisedge.runtime.files import write_atomically\n"
        "try:\n"
        "    write_atomically(pathlib.Path(sys.argv[1]), bytes(100_000))\n"
        "except OSError as error:\n"
        "    print(error.filename)\n"
    )
    path = str(tmp_path / "model.onnx")
    found = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == path
    assert (tmp_path / "model.onnx").read_bytes() == b"the old model"
    assert [p.name for p in tmp_path.iterdir()] == ["model.onnx"]
    write_atomically(tmp_path / "model.onnx", b"the new model")
    assert (tmp_path / "model.onnx").read_bytes() == b"the new model"
