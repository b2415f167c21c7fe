import pytest

from seisedge.runtime.tomlfile import MAX_BYTES, tables_from_toml


def test_tables() -> None:
    assert tables_from_toml('a = 1\n[b]\nc = "é"\n'.encode()) == {"a": 1, "b": {"c": "é"}}


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (b"#" * (MAX_BYTES + 1), "it is larger than 256 KiB"),
        (b"a = 1\n" + b"a." * 101 + b"a = 1", "line 2 has more than 2500 characters or 100 dots"),
        (b"a = '" + b"x" * 2500 + b"'", "line 1 has more than"),
        (b"a = [" + b"\n[" * 50_000, "its tables or arrays are nested too deeply"),
        (b"a = " + b"1" * 2400 + b"\nb = " + b"\n", "Invalid value"),
        (b"a = \x1b", "Invalid value"),
        (b"a = 1\na = 2", "Cannot overwrite a value"),
        (b"\xff", "utf-8"),
    ],
    ids=range(8),
)
def test_a_fault_is_one_clause(data: bytes, fault: str) -> None:
    with pytest.raises(ValueError, match=fault) as caught:
        tables_from_toml(data)
    assert str(caught.value).isprintable() and len(str(caught.value)) < 400
