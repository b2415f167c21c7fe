"""What the streams for the onset detector are mixed of: the table `[streams]` of a recipe."""

from __future__ import annotations

import msgspec

BASES = {"noise": 0.4, "event": 0.35, "mass movement": 0.1, "continuous": 0.15}


class StreamSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What streams are mixed of.

    blocks: length of a stream after its context. bases: 'noise', 'event', 'mass movement', 'continuous' → weight.
    sources: data set → weight among the events; data sets not named have weight 1. extra: mean number of added events;
    swarm_share: share of streams with several events close together. ratio: range of the size of added events, as ratio
    of amplitudes to the noise. hard_share: share of the noise that is drawn where the detector was wrong.
    splice_share: share of the streams of noise in which the level of the noise changes.
    artefact_share, vertical_share, dead_share, gap_share, late_share, slow_share: shares of streams with artefacts,
    with the vertical only, with a dead component, with a gap, with data that begin late, with a low-pass filter.
    """

    blocks: int = 30
    bases: dict[str, float] = msgspec.field(default_factory=BASES.copy)
    sources: dict[str, float] = {}
    extra: float = 0.8
    swarm_share: float = 0.15
    ratio: tuple[float, float] = (1.2, 60.0)
    hard_share: float = 0.5
    splice_share: float = 0.4
    artefact_share: float = 0.25
    vertical_share: float = 0.35
    dead_share: float = 0.05
    gap_share: float = 0.12
    late_share: float = 0.1
    slow_share: float = 0.08
