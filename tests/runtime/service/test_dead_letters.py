import base64
import json
import logging
from pathlib import Path

import pytest

from seisedge.runtime.records.miniseed import BadRecord
from seisedge.runtime.service.dead_letters import FILE_NAME, MAX_BYTES, MAX_PER_S, MAX_RECORD_BYTES, DeadLetters


def test_a_letter_has_the_record_its_source_and_the_reason(tmp_path: Path) -> None:
    letters = DeadLetters(tmp_path, "seedlink://host")
    letters(BadRecord(bytes(range(256)) * 2, "its sampling rate is 0"))
    (letter,) = map(json.loads, (tmp_path / FILE_NAME).read_text(encoding="utf-8").splitlines())
    assert base64.b64decode(letter["record"]) == bytes(range(256)) * 2
    assert (letter["source"], letter["reason"]) == ("seedlink://host", "its sampling rate is 0")
    assert letter["time"].endswith("Z") and letter["bytes"] == 512


def test_rate_and_size_are_bounded(tmp_path: Path) -> None:
    now_s = [0.0]
    letters = DeadLetters(tmp_path, "x", now_s=lambda: now_s[0])
    bad = BadRecord(b"\0" * 65536, "nonsense")
    for _ in range(3 * MAX_PER_S):
        letters(bad)
    assert (letters.kept, letters.left_out) == (MAX_PER_S, 2 * MAX_PER_S)
    needed = 3 * MAX_BYTES // MAX_RECORD_BYTES
    for k in range(needed):
        now_s[0] = float(k + 1)
        letters(bad)
    assert letters.kept == MAX_PER_S + needed
    files = {path.name: path.stat().st_size for path in tmp_path.iterdir()}
    assert set(files) <= {FILE_NAME, f"{FILE_NAME}.1"}
    assert max(files.values()) < MAX_BYTES + 2 * MAX_RECORD_BYTES


def test_a_disk_fault_is_logged_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    letters = DeadLetters(tmp_path / "gone", "x")
    for _ in range(3):
        letters(BadRecord(b"x", "y"))
    assert letters.left_out == 3
    assert [record.levelname for record in caplog.records] == ["WARNING", "DEBUG", "DEBUG"]
