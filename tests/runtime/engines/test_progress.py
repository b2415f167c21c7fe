"""Progress of a build: nested phases as one share that never decreases."""

import io

import pytest

from seisedge.runtime.engines._progress import Progress, ProgressPrinter


def test_a_phase_is_a_part_of_one_step_of_its_parent() -> None:
    told: list[float] = []
    progress = Progress(lambda share, _phase: told.append(share))
    progress.start("all", None, 4)
    progress.step("all", 0)
    assert progress.share == 0.25
    progress.start("inner", "all", 2)
    progress.step("inner", 0)
    assert progress.share == 0.25 + 0.25 * 0.5
    progress.start("innermost", "inner", 10)
    progress.step("innermost", 4)
    assert progress.share == pytest.approx(0.25 + 0.25 * (0.5 + 0.5 * 0.5))
    progress.finish("innermost")
    progress.finish("inner")
    assert progress.share < 0.5  # a finished phase counts only as a step of its parent
    progress.step("all", 3)
    progress.finish("all")
    assert progress.share == 1.0 and told == sorted(told)


def test_unknown_phases_and_phases_without_steps_are_ignored() -> None:
    progress = Progress(lambda share, phase: None)
    progress.step("unknown", 3)
    progress.finish("unknown")
    progress.start("empty", "unknown", 0)
    assert progress.share == 0.0
    progress.finish("empty")
    assert progress.share == 1.0


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_line_per_10_percent_or_a_bar_on_a_terminal() -> None:
    plain, terminal = io.StringIO(), _Terminal()
    for stream in (plain, terminal):
        tell = ProgressPrinter(stream, "rtx: m")
        for percent in range(0, 101, 2):
            tell(percent / 100, "Building")
    lines = plain.getvalue().splitlines()
    assert lines[0] == "rtx: m: 0%, Building" and lines[-1] == "rtx: m: 100%, Building" and len(lines) <= 11
    assert terminal.getvalue().count("\r") == 51 and terminal.getvalue().endswith("\n")
    assert f"[{'#' * 15}{'.' * 15}]  50% Building" in terminal.getvalue()
