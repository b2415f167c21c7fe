"""Conditions of a sink: which revisions of which events it receives, and how often."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

SentStatus = Literal["new", "update", "final"]
HOURS = "the beginning and the end of the quiet hours in UTC"
TYPE = "the label of an event type"
Magnitude = Annotated[float, msgspec.Meta(ge=-3, le=10)]
Statuses = Annotated[tuple[SentStatus, ...], msgspec.Meta(min_length=1, max_length=3)]
Types = Annotated[
    tuple[Annotated[str, msgspec.Meta(pattern="^[a-z-]{1,40}$", description=TYPE, examples=["tectonic"])], ...],
    msgspec.Meta(min_length=1, max_length=10),
]
Messages = Annotated[int, msgspec.Meta(ge=1, le=1000)]
ALL: tuple[SentStatus, ...] = ("new", "update", "final")


class Conditions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which events a sink receives; see `sinks._conditions`."""

    status: Statuses = ALL
    types: Types | None = None  # None: any, also events without a type
    min_probability: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.0  # of the type
    min_magnitude: Magnitude | None = None
    min_magnitude_lower: Magnitude | None = None  # of the lower limit of the 90 % interval
    quiet_hours: (
        Annotated[
            str,
            msgspec.Meta(
                pattern="^([01][0-9]|2[0-3]):[0-5][0-9]-([01][0-9]|2[0-3]):[0-5][0-9]$",
                max_length=11,
                description=HOURS,
                examples=["22:00-06:00"],
            ),
        ]
        | None
    ) = None
    quiet_min_magnitude: Magnitude | None = None  # also sent in the quiet hours
    max_per_hour: Messages | None = None  # events


class PeopleConditions(Conditions, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Conditions with the defaults of messages to people."""

    types: Types = ("tectonic", "non-tectonic")
    min_probability: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.5
    max_per_hour: Messages = 10


class SettledConditions(Conditions, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Conditions whose default is a notice, 3 s after the onset, and the result."""

    status: Statuses = ("new", "final")
