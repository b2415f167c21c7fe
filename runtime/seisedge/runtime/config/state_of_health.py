"""Settings of the state-of-health channels of a digitizer: their unit and their limits."""

from __future__ import annotations

from typing import Annotated

import msgspec

Limit = Annotated[float, msgspec.Meta(ge=-1e12, le=1e12)]


class StateOfHealthConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One channel; see `service.state_of_health`."""

    per_count: Annotated[float, msgspec.Meta(gt=0, le=1e6)] = 1.0  # units per count
    unit: Annotated[str, msgspec.Meta(min_length=1, max_length=16)] = "counts"
    lowest: Limit | None = None  # in units; below it the station is degraded
    highest: Limit | None = None
