from pathlib import Path

import pytest

from seisedge.runtime.config import secret
from seisedge.runtime.errors import InputError


def test_a_secret_is_the_first_line_of_its_file_or_the_environment_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "token"
    path.write_text(" abc \nsecond line\n", encoding="utf-8")
    monkeypatch.setenv("TOKEN", "from the environment")
    assert secret(str(path), "TOKEN") == "abc"
    assert secret(None, "TOKEN") == "from the environment"
    monkeypatch.delenv("TOKEN")
    assert secret(None, "TOKEN") is None


def test_a_secret_that_cannot_be_read_names_its_file(tmp_path: Path) -> None:
    empty, binary = tmp_path / "empty", tmp_path / "binary"
    empty.touch()
    binary.write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="empty: the file is empty; write the secret into its first line"):
        secret(str(empty), "TOKEN")
    for path in (binary, tmp_path / "missing"):
        with pytest.raises(InputError, match=f"{path.name}: cannot read the secret from this file"):
            secret(str(path), "TOKEN")
