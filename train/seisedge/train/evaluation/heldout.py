"""Which records may count: those of events that the model was not trained on."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from seisedge.runtime.errors import InputError
from seisedge.train.archive.archive import Archive
from seisedge.train.evaluation.subject import Subject

Bool = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class HeldOut:
    """counts: (records,), may be counted. fits: may be used to fit the simple things; none where the data are not
    the model's own. why: in words. left_out: reason → records.
    """

    counts: Bool
    fits: Bool
    why: str
    left_out: dict[str, int]

    @property
    def own(self) -> bool:
        """The data are those that the model was trained on."""
        return bool(self.fits.any())


def held_out(subject: Subject, archive: Archive) -> HeldOut:
    """Of a run the events that it did not train on, of a model file the data's own test side if they are its data.

    The archive holds no synthetic record. Raises InputError where nothing is left, or where the card's split is not
    that of the data.
    """
    records = archive.records
    own = archive.sha256 == subject.data_sha256
    left_out: Counter[str] = Counter(archive.left_out)
    if subject.sides is not None:
        seen = {r.group for r in records if subject.sides.get(r.event) == "train"}
        trained = np.array([r.group in seen for r in records], dtype=bool)
        if own:
            known = np.array([subject.sides.get(r.event) == "test" for r in records], dtype=bool)
            why = f"the events that the run held out ({subject.split_rule})"
            counts = known & ~trained
            nowhere = int((~known & ~trained).sum())
            if nowhere:
                left_out["on neither side of the run's split"] = nowhere
        else:
            counts = ~trained
            why = "all records of events that the run was not trained on: these data are not the run's own"
            if trained.any():
                left_out["of an event in the run's training part"] = int(trained.sum())
        fits = trained if own else np.zeros(len(records), dtype=bool)
    elif own:
        if archive.split_rule != subject.split_rule:
            raise InputError(
                f"{subject.path}: the card says the split is '{subject.split_rule}', the data are split "
                f"'{archive.split_rule}'; give --split with the rule the model was trained with"
            )
        counts = np.array([r.split == "test" for r in records], dtype=bool)
        fits = np.array([r.split == "train" for r in records], dtype=bool)
        why = f"the test side of the model's own data ({subject.split_rule})"
    else:
        counts, fits = np.ones(len(records), dtype=bool), np.zeros(len(records), dtype=bool)
        why = (
            "all records: these data are not the model's own. Its card does not name its training events; that none "
            "of them is here is for you to know"
        )
    if not counts.any():
        reasons = "; ".join(f"{n} records {reason}" for reason, n in left_out.items()) or "all were trained on"
        raise InputError(f"{subject.path}: no record is left to evaluate on: {reasons}")
    return HeldOut(counts, fits, why, dict(left_out))
