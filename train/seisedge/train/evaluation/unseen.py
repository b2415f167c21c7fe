"""Selects the records to evaluate: those of events on which the model was not trained."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from seisedge.runtime.errors import InputError
from seisedge.train.archive.archive import Archive, Record
from seisedge.train.dataset.event_hashes import event_hash
from seisedge.train.evaluation.subject import Subject

Bool = npt.NDArray[np.bool_]


class NothingToEvaluate(InputError):
    """No record is left to evaluate."""


@dataclass(frozen=True)
class Unseen:
    """counts: (records,), records to evaluate. fits: (records,), records to fit the baselines; all False if the data
    are not the training data. why: the selection in words. left_out: reason → number of records.
    """

    counts: Bool
    fits: Bool
    why: str
    left_out: dict[str, int]

    @property
    def own(self) -> bool:
        """True if the data are the training data of the model."""
        return bool(self.fits.any())


TRAINED_ON = "of an event that the model was trained on"


def unseen_records(subject: Subject, archive: Archive) -> Unseen:
    """Select the records to evaluate. Records of training events that the subject names are never evaluated.

    On the training data, the test side is evaluated: as stored by a run, or for a model file as given by the data. On
    other data, all records except those of training events. Synthetic records are never evaluated. Raises
    NothingToEvaluate if no record is left, InputError if the split in the card differs from that of the data.
    """
    records = archive.records
    real = np.array([not r.synthetic for r in records], dtype=bool)
    own = archive.sha256 == subject.data_sha256
    left_out: Counter[str] = Counter(archive.left_out)
    trained = trained_on(subject, records)
    if own:
        side = _own_sides(subject, archive)
        fits = np.array([s == "train" for s in side], dtype=bool)
        test = np.array([s == "test" for s in side], dtype=bool)
        counts = test & ~trained
        nowhere = int((~test & ~fits & ~trained).sum())
        if nowhere:
            left_out["on neither side of the run's split"] = nowhere
        what = (
            "the events that the run held out" if subject.sides is not None else "the test side of the model's own data"
        )
        why = f"{what} ({subject.split_rule})"
    else:
        counts, fits = ~trained, np.zeros(len(records), dtype=bool)
        why = "all records of events that the model was not trained on (the data are not its training data). " + _named(
            subject
        )
    n_trained = int(trained.sum())
    if n_trained:
        left_out[TRAINED_ON] = n_trained
        n_events = len({r.event for r, hit in zip(records, trained, strict=True) if hit})
        why += f"; {n_events} events that the model was trained on are left out"
    counts, fits = counts & real, fits & real
    if not counts.any():
        reasons = (
            "; ".join(f"{n} records {reason}" for reason, n in left_out.items()) or "no record is on the test side"
        )
        raise NothingToEvaluate(
            f"{subject.path}: no record is left to evaluate on: {reasons}; give --data with events that the model was "
            "not trained on"
        )
    return Unseen(counts, fits, why, dict(left_out))


def trained_on(subject: Subject, records: Sequence[Record]) -> Bool:
    """True for records of training events of the subject, and of events that share samples with one."""
    hashes = subject.event_hashes or frozenset()
    groups = {r.group for r in records if r.key and event_hash(r.key) in hashes}
    return np.array([r.group in groups for r in records], dtype=bool)


def _own_sides(subject: Subject, archive: Archive) -> list[str]:
    """Side of each record of the training data: 'train', 'test' or ''. Raises InputError if the splits differ."""
    if subject.sides is not None:
        sides = subject.sides
        training = {r.group for r in archive.records if sides.get(r.event) == "train"}
        return ["train" if r.group in training else sides.get(r.event, "") for r in archive.records]
    if archive.split_rule != subject.split_rule:
        raise InputError(
            f"{subject.path}: the card states the split '{subject.split_rule}', but the data have the split "
            f"'{archive.split_rule}'; give --split with the rule used in training"
        )
    return [r.split for r in archive.records]


def _named(subject: Subject) -> str:
    """How training events are recognised, in words."""
    if subject.event_hashes is None:
        return (
            "The card, written by an older version of seisedge, does not name the training events, so records of "
            "training events may be included"
        )
    text = "Training events are recognised by event id"
    if subject.n_unnamed_records:
        text += f", except {subject.n_unnamed_records} training records without an id"
    return text
