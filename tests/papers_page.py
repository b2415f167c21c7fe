"""The tables of docs/papers.md: every row of every study, with the paper's figures and the committed results."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from seisedge.train.study.columns import COLUMNS
from seisedge.train.study.table import Row, Study, load_study, study_names
from seisedge.train.study.tabulate import Cell, of_paper, text_of

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs/papers.md"
RESULTS = ROOT / "benchmarks/results/studies"  # NAME.json: the table.json of a study on the bundled data
BEGIN, END = "<!-- rows: made by `make docs` -->", "<!-- end of rows -->"
SHOWN = 3  # columns of a row in the table


def page() -> str:
    """The page, with the present rows between the marks."""
    text = PAGE.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{_tables()}\n{END}{after}"


def _tables() -> str:
    parts = []
    for name in study_names():
        study = load_study(name)
        file = RESULTS / f"{name}.json"
        result: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
        made = result.get("made", "").removeprefix("Made ").rstrip(".")
        parts += [
            f"### {name}: {study.about}",
            "",
            f"`seisedge study {name}` ({study.source}). {f'Ours: {made}.' if made else 'Not run on the bundled data.'}",
            "",
            "| row | recipe | the paper | bundled data |",
            "| --- | --- | --- | --- |",
            *(_line(study, row, result) for row in study.row if not row.helper and not (row.each_source and result)),
            *_expanded(study, result),
            "",
        ]
    return "\n".join(parts)


def _line(study: Study, row: Row, result: dict[str, Any]) -> str:
    paper = "; ".join(f"{COLUMNS[key].title}: {of_paper(value, key)}" for key, value in row.paper.items())
    recipe = f"`{row.recipe}`" + (f" with {_settings(row)}" if row.set else "") if row.recipe else "nothing is trained"
    if not row.recipe and not row.feature:
        recipe = "only in the paper"
    found = next((r for r in result.get("rows", []) if r["name"] == row.name), None)
    ours = _ours(study, found) if row.recipe or row.feature else "–"
    return f"| {row.name} | {recipe} | {paper or 'no number'} | {ours} |"


def _expanded(study: Study, result: dict[str, Any]) -> list[str]:
    """Rows that the data decide, for example one for each source."""
    names = {row.name for row in study.row}
    more = [r for r in result.get("rows", []) if r["name"] not in names]
    return [f"| {r['name']} | `{r['recipe']}` | | {_ours(study, r)} |" for r in more]


def _settings(row: Row) -> str:
    return ", ".join(f"`{key}={value}`" for key, value in row.set.items())


def _ours(study: Study, found: dict[str, Any] | None) -> str:
    if found is None:
        return "not run"
    if found.get("missing"):
        return f"not run: {found['missing']}"
    cells = {key: Cell(**found["cells"][key]) for key in study.columns if "value" in found["cells"].get(key, {})}
    figures = [f"{COLUMNS[key].title}: {text_of(cell, key)}" for key, cell in list(cells.items())[:SHOWN]]
    if not figures:
        return "not run"
    if found.get("smoke"):
        return f"SMOKE, means nothing: {'; '.join(figures)}"
    return "; ".join([*figures, found["how"], *found.get("notes", [])])
