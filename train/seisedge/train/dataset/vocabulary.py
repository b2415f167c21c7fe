"""Meaning of source types for training: the table from words to kinds, and from kinds to labels.

The words are those of QuakeML's EventType, of SeisBench's data sets and of ComCat, in lower case with spaces. Records
whose word is missing here, or is listed under `unused`, are not used for training; they are counted and named.

| kind | label | meaning |
| --- | --- | --- |
| tectonic | tectonic | shear failure of rock, natural or induced |
| blast | non-tectonic | explosions |
| mass movement | non-tectonic | rock, snow or ice that falls, slides, flows or collapses |
| noise | noise | no event |
| unused | none | signals of neither class: volcanic tremor, sonic booms, rock bursts, doubtful entries |
"""

from __future__ import annotations

__all__ = ["KINDS", "KNOWN_WORDS", "LABEL_OF_KIND", "UNTYPED", "UNUSED", "WORDS", "kind_of_word"]

UNUSED = "unused"
UNTYPED = "untyped"  # an event whose type is not stated; only the onset detector is trained on such records
LABEL_OF_KIND = {"tectonic": "tectonic", "blast": "non-tectonic", "mass movement": "non-tectonic", "noise": "noise"}
KINDS = tuple(LABEL_OF_KIND)

WORDS: dict[str, tuple[str, ...]] = {
    "tectonic": (
        "earthquake", "earthquake local", "earthquake regional", "local", "regional", "eq", "le", "re", "tectonic",
        "tectonic earthquake", "volcano tectonic", "vt", "induced earthquake", "induced or triggered event",
        "fluid injection", "reservoir loading", "fluid extraction", "aftershock", "foreshock", "mainshock",
    ),
    "blast": (
        "explosion", "quarry blast", "mining explosion", "mine blast", "blast", "quarry", "chemical explosion",
        "controlled explosion", "experimental explosion", "industrial explosion", "accidental explosion",
        "nuclear explosion", "probable explosion", "qb", "ex", "px", "road cut", "blasting levee",
    ),
    "mass movement": (
        "mass movement", "landslide", "rockslide", "rock slide", "rockfall", "rock fall", "slide", "debris flow",
        "debris avalanche", "debris fall", "debris slide", "snow avalanche", "avalanche", "rock avalanche",
        "ice avalanche", "ice fall", "lahar", "outburst flood", "collapse", "cavity collapse", "mine collapse",
        "building collapse", "submarine landslide", "surface event", "su", "mass wasting",
    ),
    "noise": ("noise", "no event", "seismic noise", "ambient noise", "background"),
    UNUSED: (
        "volcanic eruption", "volcanic", "long period", "lp", "hybrid", "tremor", "volcanic tremor", "rock burst",
        "sonic boom", "sonic blast", "thunder", "plane crash", "crash", "train crash", "boat crash", "meteorite",
        "meteor impact", "ice quake", "icequake", "crack", "hydroacoustic event", "atmospheric event", "other event",
        "other", "not reported", "not existing", "not locatable", "unknown", "undetermined", "anthropogenic event",
        "acoustic noise", "duplicate", "low frequency", "lf", "other seismic event", "teleseism", "ts",
    ),
}  # fmt: skip
_KIND_OF = {word: kind for kind, words in WORDS.items() for word in words}
KNOWN_WORDS = frozenset(_KIND_OF)


def kind_of_word(word: str) -> str:
    """'tectonic', 'blast', 'mass movement', 'noise' or 'unused' for a source type; 'unused' if it is unknown.

    For a list (`lahar, debris flow`) the kind that all its known words have in common.

    >>> kind_of_word("Quarry_Blast"), kind_of_word("earthquake_local"), kind_of_word("rain")
    ('blast', 'tectonic', 'unused')
    """
    words = [" ".join(part.replace("_", " ").replace("-", " ").lower().split()) for part in word.split(",")]
    kinds = {_KIND_OF[part] for part in words if part in _KIND_OF}
    return kinds.pop() if len(kinds) == 1 else UNUSED
