"""Patterns of clients, compared with Python's own regular expressions."""

from __future__ import annotations

import random
import re

import pytest

from seisedge.runtime.replay._pattern import Pattern, PatternError
from seisedge.runtime.sources._datalink_wire import pattern_of

NAMES = [
    "",
    "a",
    "FDSN:PB_B918__E_H_Z/MSEED",
    "FDSN:PB_B921_00_B_H_1/MSEED3",
    "PB_B918_10_EHZ/MSEED",
    "XX_A-B__L_O_G/TEXT",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab",
]


@pytest.mark.parametrize(
    "text",
    [
        "", "a", "PB_B918", ".*", "^FDSN:", "MSEED$", "^$", "^PB_B9(18|21)_.*/MSEED$", "(?:PB|XX)_", "[A-Z]{2}_[^_]+__",
        "B9[12]\\d", "_[BE]_?H_?[Z12]/", "\\w+_\\w+", "\\.", "[.]", "[]_]", "[a-]", "[^]]", "a|", "(|a)b", "(a*)*b",
        "(a+)+$", "(a|aa)+$", "(a|b|ab)*c?", "x{0}a", "a{3}", "^a{2,}b", "a{30,31}b", "a{0,2}b",
        "a*?b", "a??", "(^|_)B", "(_|$)", "^(a?){25}a{25}", "\\D\\d", "\\S+", "[\\d_]+", "[A\\]]", "()*", "((a)|b)+?",
    ],
)  # fmt: skip
def test_the_same_names_match_as_by_python(text: str) -> None:
    pattern = Pattern(text)
    for name in NAMES:
        if text not in ("(a+)+$", "(a|aa)+$", "(a|b|ab)*c?", "(a*)*b") or len(name) < 20:  # Python takes too long
            assert pattern.search(name) == bool(re.search(text, name)), name


def test_random_patterns_match_as_by_python() -> None:
    rng = random.Random(0)
    pieces = ["a", "b", ".", "[ab]", "[^a]", "(a|b)", "(ab?)", "^", "$", "\\w", "(?:b|)", "\\d"]
    for _ in range(2000):
        text = "".join(
            rng.choice(pieces) + rng.choice(["", "", "", "*", "+", "?", "{2}", "{1,2}"])
            for _ in range(rng.randrange(5))
        )
        text = re.sub(r"([\^$])[*+?{][^a-z(\[.\\^$]*", r"\1", text)
        pattern = Pattern(text)
        for _ in range(5):
            name = "".join(rng.choice("abc1") for _ in range(rng.randrange(7)))
            assert pattern.search(name) == bool(re.search(text, name)), (text, name)


def test_patterns_that_backtrack_end_at_once() -> None:
    """By the number of states visited, which is the time they take."""
    for text in ("(a+)+$", "(a|aa)+$", "(a*)*c$", "(.*)*(.*)*(.*)*c$", "^(a?){60}a{60}$"):
        pattern = Pattern(text)
        assert not pattern.search("a" * 59 + "b")
        assert pattern._visits < 50_000


def test_a_pattern_of_many_stations() -> None:
    stations = tuple(("XX", f"A{k:04d}") for k in range(5000))
    pattern = Pattern(pattern_of(stations, ("EH?",)))
    assert pattern.search("FDSN:XX_A4321_00_E_H_Z/MSEED") and pattern.search("XX_A0000__EHZ/MSEED")
    assert not pattern.search("FDSN:XX_A5000_00_E_H_Z/MSEED")
    names = [f"FDSN:XX_A{k:04d}__E_H_{component}/MSEED" for k in range(6000) for component in "ZNE"]
    assert sum(map(pattern.search, names)) == 15_000


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("(", "the pattern ends too early"),
        (")", "')' without '(' at character 1"),
        ("[a", "the pattern ends too early"),
        ("\\", "the pattern ends too early"),
        ("*a", "'*' repeats nothing at character 1"),
        ("a**", "'*' behind a repetition is not supported"),
        ("a*+", "'+' behind a repetition is not supported"),
        ("a{x}", "'{' must begin {m}, {m,} or {m,n}"),
        ("a{2,1}", "a repetition must be from 0 to 255"),
        ("a{256}", "a repetition must be from 0 to 255"),
        ("(?=a)", "groups other than ( ) and (?: ) are not supported"),
        ("(?P<n>a)", "groups other than"),
        ("(a)\\1", "'\\1' is not supported"),
        ("\\ba", "'\\b' is not supported"),
        ("[z-a]", "the range z-a is empty"),
        ("(" * 5000, "more than 50 groups within groups"),
        ("a" * 80_000, "the pattern is too long"),
        ("((a{200}){200}){200}", "the pattern is too long"),
        ("((((){200}){200}){200}){200}", "the pattern is too long"),
    ],
)
def test_refused_patterns(text: str, reason: str) -> None:
    with pytest.raises(PatternError) as caught:
        Pattern(text)
    assert reason in str(caught.value)


def test_the_work_for_all_names_is_limited() -> None:
    pattern = Pattern("(" + "|".join(f".*{k}" for k in range(1000)) + ")$")
    with pytest.raises(PatternError, match="too complex"):
        for k in range(100):
            pattern.search("x" * 60 + str(k))
