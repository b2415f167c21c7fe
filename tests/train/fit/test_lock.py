"""Two trainings never write to one folder."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner
from tests.train.dataset.sets import make_arrays, make_rows, write_set

from seisedge.cli import main
from seisedge.runtime.errors import InputError
from seisedge.train.fit.distributed import World
from seisedge.train.fit.run import locked_run

SINGLE = World()


def test_a_second_training_is_refused_while_the_first_one_runs(tmp_path: Path) -> None:
    data = write_set(tmp_path / "mine", make_rows(4), make_arrays(4))
    out = tmp_path / "run"
    with locked_run(out, SINGLE):
        result = CliRunner().invoke(main, ["train", "event-type", "--data", str(data), "-o", str(out)])
        assert result.exit_code == 2
        assert f"{out}: another training writes to this folder" in result.output
    assert not out.exists()  # no training was started in it


def test_the_other_processes_of_one_training_need_no_lock(tmp_path: Path) -> None:
    with locked_run(tmp_path / "run", SINGLE), locked_run(tmp_path / "run", World(1, 2)):
        assert (tmp_path / "run").is_dir()


def test_the_lock_ends_with_the_training(tmp_path: Path) -> None:
    for _ in range(2):
        with pytest.raises(RuntimeError), locked_run(tmp_path / "run", SINGLE):
            (tmp_path / "run" / "run.json").touch()  # it was started, and can be resumed
            raise RuntimeError
    assert (tmp_path / "run" / "run.json").exists()


def test_a_training_that_could_not_begin_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="full"), locked_run(tmp_path / "run", SINGLE):
        (tmp_path / "run" / "state").mkdir()
        raise OSError(28, "full")
    assert not (tmp_path / "run").exists()


def test_a_target_that_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for name, message in (("file", "is a file"), ("link", "is a link to a missing target")):
        with pytest.raises(InputError, match=message), locked_run(tmp_path / name, SINGLE):
            pass
    assert not (tmp_path / "nowhere").exists()
