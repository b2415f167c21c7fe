"""The transcripts of a page: commands after `$ ` in a code block, with the output that the page shows.

A line `…` or `...` of a transcript stands for any lines, `…` within a line for any text. A number agrees if it differs
by less than 1 % or 0.01, because processors round differently; one of a model that the page trains if it differs by
less than 0.1, because each of its steps adds to the difference (0.40 on one processor, 0.44 on another).
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

BLOCK = re.compile(r"^```\w*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NUMBER = re.compile(r"\d+(?:\.\d+)?")
ANY = ("…", "...")
TRAINED = "**model**"  # in the rows of a table with figures of a model


@dataclass(frozen=True)
class Step:
    """command: a line for the shell. shown: the lines of its output on the page."""

    command: str
    shown: list[str]


def steps_of(page: Path) -> list[Step]:
    """The steps of all blocks that contain a prompt, in order."""
    out = []
    for block in BLOCK.findall(page.read_text(encoding="utf-8")):
        if not block.startswith("$ "):
            continue
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, shown = part.replace("\\\n", "").partition("\n")
            out.append(Step(command, shown.splitlines()))
    return out


def difference(shown: list[str], printed: list[str]) -> str:
    """The first line of the page that the output lacks; '' if it contains all of them in order."""
    at, anywhere = 0, False
    for line in shown:
        if line.strip() in ANY:
            anywhere = True
            continue
        if not line.strip():
            continue
        hits = [k for k in range(at, len(printed)) if agrees(line, printed[k])]
        while at < len(printed) and not printed[at].strip():
            at += 1
        if not hits or (not anywhere and hits[0] != at):
            return f"{line!r}, but the output continues with {printed[at : at + 3]}"
        at, anywhere = hits[0] + 1, False
    return ""


def agrees(shown: str, printed: str) -> bool:
    """True if a line of the page agrees with a line of the output."""
    pattern = ".*".join(
        NUMBER.sub(r"(\\d+(?:\\.\\d+)?)", re.escape(part).replace(r"\ ", r"\s+").replace(r"\.", "."))
        for part in shown.rstrip().split("…")
    )
    match = re.fullmatch(pattern, printed.rstrip())
    if match is None:
        return False
    numbers = [float(n) for n in NUMBER.findall(shown)]
    least = 0.1 if TRAINED in shown else 0.0101
    return all(abs(a - float(b)) <= max(0.01 * abs(a), least) for a, b in zip(numbers, match.groups(), strict=True))


def assignments_of(command: str) -> dict[str, str]:
    """The variables that a step sets, as in `D=folder`; empty for a command."""
    words = shlex.split(command)
    pairs = [word.partition("=") for word in words]
    return {name: value for name, equals, value in pairs if equals} if all(p[1] for p in pairs) else {}
