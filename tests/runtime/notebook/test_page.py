"""Each snippet of docs/notebook.md runs, in order, and prints what the page shows."""

from pathlib import Path
from typing import Any

import pytest
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
