"""The columns, plots and features that a study can name."""

from __future__ import annotations

from dataclasses import dataclass

from seisedge.train.evaluation.event_type import MEAN, PAIR, VISIBLE
from seisedge.train.evaluation.magnitude import EITHER, KNOWN

ANY_GAIN = (EITHER, KNOWN)  # the first of them that the report has


@dataclass(frozen=True, slots=True)
class Column:
    """A figure of the evaluation: its name there, the parts of the data (the first that exists counts) and the level.

    title: in the table. percent: shown in percent. transform: 'absolute', 'variance' (square of an sd), 'wrong'
    (number of records that are not counted as right).
    """

    title: str
    what: str
    on: tuple[str, ...]
    level: str = "record"
    percent: bool = True
    transform: str = ""


COLUMNS: dict[str, Column] = {
    "sensitivity": Column("sensitivity, %", "sensitivity", (PAIR,)),
    "specificity": Column("specificity, %", "specificity", (PAIR,)),
    "accuracy": Column("accuracy, %", "accuracy", (PAIR,)),
    "auc": Column("AUC", "AUC", (PAIR,), percent=False),
    "wrong": Column("wrong records", "accuracy", (PAIR,), percent=False, transform="wrong"),
    "confident": Column("probability 0–0.2 or 0.8–1, %", "confident", (PAIR,)),
    "event_accuracy": Column("accuracy by event, %", "accuracy", (VISIBLE,), MEAN),
    "events_wrong": Column("wrong events", "accuracy", (VISIBLE,), MEAN, percent=False, transform="wrong"),
    "event_recall_tectonic": Column("recall of tectonic events, %", "recall, tectonic", (VISIBLE,), MEAN),
    "event_recall_blast": Column("recall of blasts, %", "recall, blast", (VISIBLE,), MEAN),
    "event_recall_mass": Column("recall of mass movements, %", "recall, mass movement", (VISIBLE,), MEAN),
    "bin_accuracy": Column("accuracy of the bin, %", "bin accuracy", ANY_GAIN),
    "bin_precision": Column("precision, mean of bins, %", "bin precision", ANY_GAIN),
    "bin_recall": Column("recall, mean of bins, %", "bin recall", ANY_GAIN),
    "bin_f1": Column("F1, mean of bins, %", "bin F1", ANY_GAIN),
    "within_03": Column("within ±0.3, %", "within ±0.3", ANY_GAIN),
    "within_02": Column("within ±0.2, %", "within ±0.2", ANY_GAIN),
    "variance": Column("variance of the error", "sd", ANY_GAIN, percent=False, transform="variance"),
    "mae": Column("mean absolute error", "MAE", ANY_GAIN, percent=False),
    "bias": Column("bias", "bias", ANY_GAIN, percent=False),
    "tau": Column(
        "Kendall's tau with magnitude, absolute",
        "Kendall tau with magnitude",
        ("all",),
        percent=False,
        transform="absolute",
    ),
    "parameters": Column("parameters", "parameters", (), percent=False),
    "flops": Column("FLOPs of an answer", "flops", (), percent=False),
    "latency": Column("latency, one thread, ms", "latency", (), percent=False),
}
COST = ("parameters", "flops", "latency")

# Plots of a study: the file name without .png → what it shows
PLOTS: dict[str, str] = {
    "bars": "the first columns by row, with the paper's figures",
    "curves": "learning curves of all rows: loss, score and F1",
    "classes": "accuracy by magnitude class",
    "predicted": "predicted against catalogued magnitude, with lines at ±0.3",
    "confusion": "confusion matrix",
    "roc": "ROC curves",
    "confidence": "histogram of the probability",
    "gallery": "waveforms of right and wrong records",
}

# Features of a record: the later time minus the earlier one, as names of columns of metadata.csv or 'start', 'origin'
FEATURES: dict[str, tuple[str, str]] = {
    "P arrival in the record": ("trace_p_arrival_sample", "start"),
    "S arrival in the record": ("trace_s_arrival_sample", "start"),
    "coda end in the record": ("trace_coda_end_sample", "start"),
    "S minus P": ("trace_s_arrival_sample", "trace_p_arrival_sample"),
    "coda end minus P": ("trace_coda_end_sample", "trace_p_arrival_sample"),
}
