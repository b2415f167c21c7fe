"""Settings of alerts: which events are sent to people, and how often."""

from __future__ import annotations

from typing import Annotated

import msgspec

from seisedge.runtime.config.conditions import PeopleConditions
from seisedge.runtime.config.formats import FilePath

NAME = "a name: 1 to 40 small letters, digits or dashes"


class AlertConfig(PeopleConditions, frozen=True, forbid_unknown_fields=True):
    """One message per event to the services of `urls_file`; see `sinks.alerts`."""

    name: Annotated[str, msgspec.Meta(pattern="^[a-z0-9-]{1,40}$", description=NAME, examples=["phone"])]
    urls_file: FilePath  # one URL of Apprise in each line
    deadline_s: Annotated[float, msgspec.Meta(ge=10, le=604_800)] = 3600.0  # an older message is not sent any more
