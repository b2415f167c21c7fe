"""docs/notebook.md and docs/notebook.ipynb: each snippet runs, in order, and shows what is stored."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from tests.notebooks import NOTEBOOK, execute
from tests.paths import ROOT
from tests.snippets import run, snippets_of
from tests.transcripts import difference

PAGE = ROOT / "docs" / "notebook.md"


def test_the_page_does_what_it_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("obspy")
    pytest.importorskip("pandas")
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    snippets = snippets_of(PAGE)
    assert len(snippets) > 8
    for snippet in snippets:
        printed = run(snippet, PAGE, names)
        if snippet.shown is not None:
            assert not difference(snippet.shown, printed), f"line {snippet.line}: {difference(snippet.shown, printed)}"
    assert (tmp_path / "map.png").stat().st_size > 5000
    assert (tmp_path / "beside-the-catalogue.png").stat().st_size > 5000


def _texts(outputs: list[dict[str, Any]]) -> list[tuple[str, list[str]]]:
    """Kind and lines of each output; of HTML the text alone, of a figure that it exists."""
    found: list[tuple[str, list[str]]] = []
    for output in outputs:
        if output["output_type"] == "stream":
            found.append(("printed", "".join(output["text"]).splitlines()))
        for kind, data in output.get("data", {}).items():
            text = "".join(data)
            if kind == "text/html":
                text = re.sub(r"<path[^>]*>", "", text)
                found.append((kind, re.sub(r"<[^>]*>", "\n", text).split("\n")))
            else:
                found.append((kind, [] if kind == "image/png" else text.splitlines()))
    return found


def test_the_notebook_has_the_outputs_of_a_run() -> None:
    """`python -m tests.notebooks` stores them again."""
    pytest.importorskip("obspy")
    pytest.importorskip("pandas")
    pytest.importorskip("matplotlib")
    notebook = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    stored = [_texts(cell["outputs"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    now = [_texts(outputs) for outputs in execute(notebook)]
    assert len(stored) > 5
    kinds = [[kind for kind, _ in outputs] for outputs in stored]
    assert kinds == [[kind for kind, _ in outputs] for outputs in now]
    assert {kind for cell in kinds for kind in cell} == {"printed", "text/plain", "text/html", "image/png"}
    for number, (old, new) in enumerate(zip(stored, now, strict=True), start=1):
        for (kind, shown), (_, printed) in zip(old, new, strict=True):
            shown, printed = ([line for line in lines if line.strip()] for lines in (shown, printed))
            assert not difference(shown, printed), f"cell {number}, {kind}: {difference(shown, printed)}"


def test_the_notebook_is_small_and_has_no_trace_of_a_machine() -> None:
    text = NOTEBOOK.read_text(encoding="utf-8")
    assert len(text) < 300_000
    assert str(ROOT) not in text and "/home/" not in text and "/tmp" not in text
