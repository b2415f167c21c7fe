from __future__ import annotations

from collections import Counter

import pytest

from seisedge.train.dataset.vocabulary import LABEL_OF_KIND, WORDS, kind_of_word


@pytest.mark.parametrize(
    ("word", "kind"),
    [
        ("earthquake", "tectonic"),
        ("earthquake_local", "tectonic"),  # STEAD
        ("vt", "tectonic"),  # VCSEIS
        ("Quarry Blast", "blast"),
        ("mining explosion", "blast"),
        ("surface event", "mass movement"),  # PNW
        ("debris slide, debris flow", "mass movement"),
        ("noise", "noise"),
        ("sonic boom", "unused"),
        ("quarry blast, landslide", "unused"),  # two kinds: neither
        ("", "unused"),
        ("earthquack", "unused"),
    ],
)
def test_words(word: str, kind: str) -> None:
    assert kind_of_word(word) == kind


def test_a_word_stands_for_one_kind_and_every_kind_for_a_label() -> None:
    count = Counter(word for words in WORDS.values() for word in words)
    assert [word for word, n in count.items() if n > 1] == []
    assert set(WORDS) == {*LABEL_OF_KIND, "unused"}
    assert set(LABEL_OF_KIND.values()) == {"tectonic", "non-tectonic", "noise"}
