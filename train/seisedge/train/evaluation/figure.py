"""One figure of a report, and the collection of figures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from seisedge.train.bootstrap import Statistics, estimate

MIN_RECORDS = 3  # a figure on fewer records is not computed
MIN_EVENTS = 3  # an interval on fewer events is meaningless and not computed
DECIMALS = 4
MODEL = "model"
VERTICAL = "vertical only, of three-component records"  # the horizontals were removed

Bool = npt.NDArray[np.bool_]


class Figure(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A value with its 95 % bootstrap interval over events (over groups of events that share samples).

    what: 'accuracy', 'sd' …; on: the part of the data; who: 'model' or the name of a baseline. level:
    'record', 'event by vote' or 'event by mean'. damage, amount: kind and amount of damage to the records, if any.
    """

    what: str
    value: float
    low: float | None
    high: float | None
    n_events: int
    n_records: int
    on: str = "all"
    who: str = MODEL
    level: str = "record"
    answer_s: float | None = None
    damage: str = ""
    amount: float | None = None


class Figures:
    """Computes and collects figures. draws: number of resamplings of the bootstrap."""

    def __init__(self, draws: int) -> None:
        self.draws = draws
        self.rows: list[Figure] = []

    def add(  # noqa: PLR0913 - one parameter for each column of the table
        self,
        what: str,
        group: npt.NDArray[np.generic],
        statistic: Statistics,
        *,
        on: str = "all",
        who: str = MODEL,
        level: str = "record",
        answer_s: float | None = None,
        damage: str = "",
        amount: float | None = None,
        needs: Sequence[Bool] = (),
    ) -> None:
        """Compute and add a figure. Omitted if undefined or on too few records; without an interval on too
        few events.

        needs: (records,) each; records on which the statistic depends, for example those of one label. Each of these
        parts must have enough events for an interval, too.
        """
        if len(group) < MIN_RECORDS:
            return
        e = estimate(group, statistic, self.draws)
        if not np.isfinite(e.value):
            return
        fewest = min([e.n_groups, *(len(np.unique(group[part])) for part in needs)])
        sure = fewest >= MIN_EVENTS and np.isfinite(e.low) and np.isfinite(e.high)
        self.rows.append(
            Figure(
                what=what,
                value=round(e.value, DECIMALS),
                low=round(e.low, DECIMALS) if sure else None,
                high=round(e.high, DECIMALS) if sure else None,
                n_events=e.n_groups,
                n_records=e.n_records,
                on=on,
                who=who,
                level=level,
                answer_s=answer_s,
                damage=damage,
                amount=amount,
            )
        )
