"""What is said of an unknown word."""

from __future__ import annotations

import pytest

from seisedge.runtime.suggestion import suggestion


@pytest.mark.parametrize(
    ("word", "known", "text"),
    [
        ("selekt", ["select", "from"], "did you mean 'select'?"),
        ("stead", ["STEAD", "ETHZ"], "did you mean 'STEAD'?"),
        ("wibble", ["select", "from"], "known: select, from"),
        ("wibble", [], "known: none"),
        ("wibble", {"b": 1, "a": 2}, "known: b, a"),
    ],
)
def test_the_close_word_or_all_of_them(word: str, known: list[str], text: str) -> None:
    assert suggestion(word, known) == text
