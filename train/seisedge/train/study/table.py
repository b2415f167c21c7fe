"""Studies as data: one TOML file for each table of the papers, with its rows, columns and the figures of the paper."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Any, Literal

import msgspec

from seisedge.runtime.errors import InputError
from seisedge.runtime.files import read_up_to
from seisedge.runtime.suggestion import suggestion
from seisedge.runtime.text import reason_of
from seisedge.runtime.tomlfile import MAX_BYTES, tables_from_toml
from seisedge.train.study.columns import COLUMNS, FEATURES, PLOTS

Task = Literal["event type", "magnitude"]


class Selection(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which records of the data a row uses, and how they are divided. A copy of metadata.csv states it.

    split: 'record' divides records, not events; this leaks, and the row says so in `leaks`. '': as the recipe.
    test_per_bin: records of each 0.1 magnitudes on the test side; 0: not changed.
    test_source: records of this source are the test side, all others the training side.
    synthetic_events: the row uses this many synthetic events instead of the data, for weights to start from.
    """

    split: Literal["", "record"] = ""
    test_per_bin: int = 0
    test_source: str = ""
    synthetic_events: int = 0


class Row(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One row: what is trained, and what the paper reports.

    recipe: '' for a row that only the paper has. set: keys of the recipe that the row changes. paper: column → figure.
    who: whose answers are counted, 'model' or a baseline of the evaluation. start: name of the row of this study whose
    weights the training starts from. columns_of_data: columns of metadata.csv without which the row means nothing.
    each_source: one row for each source of the data with records of all classes, which is then the test side. leaks:
    the split of the row divides events on purpose. feature: of a study of features, see `columns.FEATURES`.
    helper: trained for another row; not in the table.
    """

    name: str
    recipe: str = ""
    set: dict[str, Any] = {}
    paper: dict[str, float] = {}
    note: str = ""
    who: str = "model"
    start: str = ""
    data: Selection = Selection()
    columns_of_data: list[str] = []
    each_source: bool = False
    leaks: bool = False
    feature: str = ""
    helper: bool = False


class Study(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One table of a paper.

    paper: 'A' (magnitude) or 'B' (event type). about: one line for --list. source: where the paper has the figures.
    columns, plots: of the table, see `columns`. main: row of the plots that show one row; '' is the first.
    read: what to keep in mind when reading the table.
    """

    name: str
    paper: Literal["A", "B"]
    task: Task
    about: str
    source: str
    columns: list[str]
    row: list[Row]
    plots: list[str] = []
    main: str = ""
    read: str = ""

    def __post_init__(self) -> None:
        names = [row.name for row in self.row]
        for known, used, what in (
            (COLUMNS, self.columns, "column"),
            (PLOTS, self.plots, "plot"),
            (self.columns, [key for row in self.row for key in row.paper], "figure of the paper without a column"),
            (names, [row.start for row in self.row if row.start], "start"),
            (names, [self.main] if self.main else [], "main row"),
            (FEATURES, [row.feature for row in self.row if row.feature], "feature"),
        ):
            unknown = next((key for key in used if key not in known), None)
            if unknown is not None:
                raise ValueError(f"unknown {what} '{unknown}'; {suggestion(unknown, list(known))}")
        if len(set(names)) < len(names):
            raise ValueError("two rows have one name")


def study_names() -> list[str]:
    """Names of all studies, those of paper A first, in the order of the papers."""
    folder = resources.files("seisedge.train.study") / "tables"
    found = {entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml")}
    return [name for name in ORDER if name in found] + sorted(found - set(ORDER))


ORDER = (
    "baselines-a", "transfer", "attention", "depth", "shrinkage", "final-300", "kendall", "marks", "split",
    "baselines-b", "ablation", "cbam-location", "bottlenecks", "imbalance-strategies", "imbalance-ratio", "regions",
    "independent", "event-level", "misclassified",
)  # fmt: skip


def load_study(name: str) -> Study:
    """The study of that name, or that of a file that ends in .toml. Raises InputError."""
    if name.endswith(".toml"):
        path = Path(name)
        try:
            return study_from_toml(read_up_to(path, MAX_BYTES), path.stem)
        except OSError as error:
            raise InputError(f"{name}: the study cannot be read: {error.strerror}") from error
    if name not in study_names():
        raise InputError(f"no study named '{name}'; {suggestion(name, study_names())}")
    data = (resources.files("seisedge.train.study") / "tables" / f"{name}.toml").read_bytes()
    return study_from_toml(data, name)


def study_from_toml(data: bytes, name: str) -> Study:
    """A study from its TOML text. Raises InputError."""
    try:
        study = msgspec.convert(tables_from_toml(data), Study)
    except (msgspec.ValidationError, ValueError) as error:
        raise InputError(f"study {name}: {reason_of(error)}") from error
    if study.name != name:
        raise InputError(f"study {name}: name must be '{name}', the name of the file; got '{study.name}'")
    return study
