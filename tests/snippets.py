"""The Python blocks of a page, run one after the other, with the output that the page shows below them."""

from __future__ import annotations

import contextlib
import io
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

BLOCK = re.compile(r"^```python\n(.*?)^```\n(?:\n```\n(.*?)^```\n)?", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Snippet:
    """line: of the page. shown: lines of the output; None where the page shows none."""

    line: int
    code: str
    shown: list[str] | None


def snippets_of(page: Path) -> list[Snippet]:
    """All Python blocks, each with the plain block that follows it."""
    text = page.read_text(encoding="utf-8")
    return [
        Snippet(text.count("\n", 0, m.start()) + 2, m[1], m[2].splitlines() if m[2] is not None else None)
        for m in BLOCK.finditer(text)
    ]


def run(snippet: Snippet, page: Path, names: dict[str, Any]) -> list[str]:
    """The lines that a block prints. names: those of the blocks before it; its own are added."""
    out = io.StringIO()
    code = compile("\n" * (snippet.line - 1) + snippet.code, str(page), "exec")
    with contextlib.redirect_stdout(out):
        exec(code, names)
    return out.getvalue().splitlines()
