import os
from pathlib import Path

import pytest

from seisedge.runtime.paths import text_from_path, text_of_message
from seisedge.runtime.text import MAX_SHOWN, error_clause, printable, quoted, reason_of, shortened

HOSTILE = "\x1b[31mred\x07\x9b2J\u202e\u2028\x7f"


def nested(depth: int) -> list[object]:
    value: list[object] = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize("show", [printable, shortened, quoted, text_from_path, text_of_message])
def test_no_control_character_is_shown(show: object) -> None:
    assert callable(show)
    shown = show(HOSTILE)
    assert shown.isprintable() and "red" in shown and r"\x1b[31m" in shown


def test_printable_letters_stay() -> None:
    assert printable("Zürich 日本 ≤0.0") == "Zürich 日本 ≤0.0"


def test_a_message_keeps_its_lines_and_a_name_does_not() -> None:
    assert text_of_message("one\n  two\x1b") == "one\n  two\\x1b"
    assert text_from_path("one\ntwo") == r"one\ntwo"
    assert text_from_path(Path(os.fsdecode(b"a\xff\x1b"))) == r"a\xff\x1b"


@pytest.mark.parametrize(
    "value",
    ["a" * 10**7, b"a" * 10**5, 10**4000, 1 << 200_000, nested(100_000), ["a"] * 10**5],
    ids=["text", "bytes", "integer", "long integer", "nested", "list"],
)
def test_a_value_is_never_repeated_whole(value: object) -> None:
    assert len(quoted(value)) < MAX_SHOWN + 60


def test_the_length_of_what_is_left_out_is_stated() -> None:
    assert quoted("a" * 10**6) == repr("a" * MAX_SHOWN) + "… (1000000 characters)"
    assert shortened("ab" * 100, 2) == "ab… (200 characters)"


def test_the_reason_is_one_short_line() -> None:
    assert reason_of(ValueError("first\x1b\nsecond")) == r"first\x1b"
    assert reason_of(KeyError()) == "KeyError"
    assert len(reason_of(ValueError("a" * 10**6))) < 400


def test_the_clause_of_an_error_has_no_number() -> None:
    assert error_clause(OSError(28, "No space left on device")) == "no space left on device"
    assert error_clause(FileNotFoundError(2, "No such file or directory", "a/b")) == "no such file or directory: a/b"
    assert error_clause(ConnectionError("the broker refused: Not authorized")) == "the broker refused: Not authorized"
