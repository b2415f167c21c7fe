"""Settings of alerts: which events are sent to people, and how often."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from seisedge.runtime.config.formats import FilePath

Told = Literal["new", "update", "final"]
NAME = "a name: 1 to 40 small letters, digits or dashes"
HOURS = "the beginning and the end of the quiet hours in UTC"
TYPE = "the label of an event type"
Magnitude = Annotated[float, msgspec.Meta(ge=-3, le=10)]


class AlertConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One message per event to the services of `urls_file`; see `sinks.alerts`."""

    name: Annotated[str, msgspec.Meta(pattern="^[a-z0-9-]{1,40}$", description=NAME, examples=["phone"])]
    urls_file: FilePath  # one URL of Apprise in each line
    status: Annotated[tuple[Told, ...], msgspec.Meta(min_length=1, max_length=3)] = ("new", "update", "final")
    types: Annotated[
        tuple[Annotated[str, msgspec.Meta(pattern="^[a-z-]{1,40}$", description=TYPE, examples=["tectonic"])], ...],
        msgspec.Meta(min_length=1, max_length=10),
    ] = ("tectonic", "non-tectonic")
    min_probability: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.5
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
    max_per_hour: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 10
    deadline_s: Annotated[float, msgspec.Meta(ge=10, le=604_800)] = 3600.0  # an older message is not sent any more
