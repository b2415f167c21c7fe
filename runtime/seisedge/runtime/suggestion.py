"""What to say of an unknown word: the known word that is close to it, or all known words."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def suggestion(word: str, known: Iterable[str]) -> str:
    """`did you mean 'x'?` where a known word is close, upper and lower case alike; else `known: a, b`.

    >>> suggestion("Evnet-type", ["event-type", "magnitude"])
    "did you mean 'event-type'?"
    >>> suggestion("depth", ["event-type", "magnitude"])
    'known: event-type, magnitude'
    """
    words = list(known)
    by_lower = {w.lower(): w for w in words}
    near = difflib.get_close_matches(word.lower(), by_lower, n=1)
    return f"did you mean '{by_lower[near[0]]}'?" if near else f"known: {', '.join(words) or 'none'}"
