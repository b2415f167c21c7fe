"""Conduct studies: check, estimate the time, train the rows, and write tables and plots."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec
import torch

from seisedge.runtime import machine
from seisedge.runtime.errors import FailedError, InputError
from seisedge.runtime.files import MIB, read_up_to, write_atomically
from seisedge.train.dataset.store import chunks_of
from seisedge.train.fit.loop import VALIDATIONS
from seisedge.train.fit.progress import clock
from seisedge.train.fit.schedule import planned_steps
from seisedge.train.fit.validation import AT_MOST
from seisedge.train.study.cost import cost_of
from seisedge.train.study.plan import Choice, Job, Line, folders_of, items_of, lines_of, network_of, used_items
from seisedge.train.study.plots import write_plots
from seisedge.train.study.result import Cost, Result, read_result
from seisedge.train.study.rows import Item
from seisedge.train.study.runner import run_jobs
from seisedge.train.study.selection import selected
from seisedge.train.study.table import Selection, Study
from seisedge.train.study.tabulate import Table, TableRow, csv_of, feature_row, markdown_of, row_of
from seisedge.train.study.work import DRAWS, DRAWS_SMOKE, ROWS

FILE = "study.json"  # in OUT: what the folder belongs to
COSTS = "costs.json"
LOAD_S = 0.02  # seconds to read and resample a record, three times for each training
START_S = 5.0  # of a training
PARAMETER_S = 3e-7  # of a training: its state is copied and written several times
PASSES = 5  # of the network over the held-out records
MAX_REASONS = 4  # in a message
SMOKE_RECORDS = 60  # about
Report = Callable[[str], None]


class Owner(msgspec.Struct, frozen=True):
    """What an output folder belongs to. stamp: of the data."""

    study: str
    choice: Choice
    stamp: str


def conduct(
    studies: Sequence[Study], name: str, choice: Choice, out: Path, devices: Sequence[str], *,
    partial: bool = False, report: Report = print,
) -> list[tuple[Table, list[str]]]:  # fmt: skip
    """Run the studies and write OUT/STUDY/table.md, .json, .csv and plots; `name` stands for all of them. partial:
    leave out rows that the data do not allow. Raises InputError, FailedError, KeyboardInterrupt.
    """
    if choice.weights and not any(row.start for study in studies for row in study.row):
        raise InputError(
            f"--weights {choice.weights}: no row of the study {name} starts from given weights; leave out --weights, "
            "or run the study transfer"
        )
    items = items_of(choice)
    plans = [(study, *lines_of(study, choice, items)) for study in studies]
    jobs: dict[str, Job] = {key: job for _, _, found in plans for key, job in found.items()}
    if not partial:
        refuse_incomplete([(study.name, line) for study, lines, _ in plans for line in lines if line.missing])
    claim(out, Owner(name, choice, stamp_of(choice)))
    todo = {key: job for key, job in jobs.items() if read_result(out / ROWS / key) is None}
    costs = costs_of(jobs, out, torch.device(devices[0]))
    report(estimate_of(jobs, todo, costs, items, devices))
    made, results, done = made_by(devices), dict[str, Result | str](), []
    for study, lines, own in plans:
        if len(plans) > 1:
            report(f"{study.name}:")
        again = {key: job for key, job in own.items() if not isinstance(results.get(key), str)}
        results |= run_jobs(again, out, devices, report)
        done.append(_written(study, lines, results, costs, items, choice, out, made))
    failed = {key: text for key, text in results.items() if isinstance(text, str)}
    if failed:
        first = next(iter(failed))
        raise FailedError(
            f"{out}: {len(failed)} of {len(jobs)} trainings failed; the first is {first}: {failed[first]}; see "
            f"{out / ROWS / first / 'log.txt'}; the same command tries them again"
        )
    return done


def refuse_incomplete(missing: Sequence[tuple[str, Line]]) -> None:
    """Raises InputError for rows that the data do not allow, given with the names of their studies: the first row for
    each of the first reasons.
    """
    rows: dict[str, list[str]] = {}
    for study, line in missing:
        rows.setdefault(line.missing, []).append(f"study {study}, row '{line.row.name}'")
    if not rows:
        return
    shown = list(rows.items())[:MAX_REASONS]
    parts = [f"{of[0]}{f' (and {len(of) - 1} more)' if len(of) > 1 else ''}: {why}" for why, of in shown]
    rest = len(missing) - sum(len(of) for _, of in shown)
    raise InputError(
        f"{'; '.join(parts)}{f'; {rest} rows for other reasons' if rest else ''}; give other data, or --partial to "
        "run the other rows"
    )


def claim(out: Path, owner: Owner) -> None:
    """Create the folder of a study, or check that it belongs to the same one. Raises InputError."""
    if out.exists() and not out.is_dir():
        raise InputError(f"{out}: is a file; -o must be a folder")
    file = out / FILE
    if not file.is_file():
        if out.is_dir() and any(out.iterdir()):
            raise InputError(f"{out}: is not empty and not the folder of a study; give another folder with -o")
        out.mkdir(parents=True, exist_ok=True)
        write_atomically(file, msgspec.json.format(msgspec.json.encode(owner), indent=1))
        return
    try:
        before = msgspec.json.decode(read_up_to(file, MIB), type=Owner)
    except (OSError, msgspec.MsgspecError) as error:
        raise InputError(f"{file}: not the file of a study ({error}); give another folder with -o") from error
    for what, old, new in (
        ("study", before.study, owner.study),
        ("data", ", ".join(before.choice.data), ", ".join(owner.choice.data)),
        *((f"--{key}", getattr(before.choice, key), getattr(owner.choice, key)) for key in DECIDING),
        ("--set", _settings(before.choice), _settings(owner.choice)),
        ("content of the data", before.stamp, owner.stamp),
    ):
        if old != new:
            raise InputError(
                f"{out}: contains a study with another {what.replace('_', '-')} ({old}, now {new}); give another "
                "folder with -o"
            )
    write_atomically(file, msgspec.json.format(msgspec.json.encode(owner), indent=1))


DECIDING = ("smoke", "shuffle_labels", "scale", "weights")


def _settings(choice: Choice) -> str:
    """The values of --set, in words."""
    return ", ".join(f"{key}={value}" for key, value in sorted(choice.settings.items())) or "none"


def stamp_of(choice: Choice) -> str:
    """A hash of the metadata and of the sizes of the waveform files; cheaper than reading them. Raises InputError."""
    digest = hashlib.sha256()
    for folder in folders_of(choice):
        for chunk in chunks_of(folder):
            digest.update((folder / f"metadata{chunk}.csv").read_bytes())
            digest.update(str((folder / f"waveforms{chunk}.hdf5").stat().st_size).encode())
    return digest.hexdigest()[:16]


def costs_of(jobs: dict[str, Job], out: Path, device: torch.device) -> dict[str, Cost]:
    """The costs of the networks of the trainings, by `network_of`; measured once for a folder."""
    file = out / COSTS
    known = msgspec.json.decode(file.read_bytes(), type=dict[str, Cost]) if file.is_file() else {}
    for job in jobs.values():
        network = network_of(job.recipe)
        if network not in known:
            known[network] = cost_of(job.recipe, device)
            write_atomically(file, msgspec.json.format(msgspec.json.encode(known), indent=1))
    return known


def estimate_of(
    jobs: dict[str, Job], todo: dict[str, Job], costs: dict[str, Cost], items: Sequence[Item], devices: Sequence[str]
) -> str:
    """How long the remaining trainings will take, in words."""
    counts: dict[str, int] = {}
    for job in todo.values():
        if (data := str(job.recipe.data)) not in counts:
            counts[data] = len(used_items(job.recipe, items))
    threads = 1 if devices[0].startswith("cuda") else max(machine.cores() // len(devices), 1)
    seconds = [
        seconds_of(j, costs[network_of(j.recipe)], counts[str(j.recipe.data)], threads) for j in todo.values()
    ]  # fmt: skip
    total = max([sum(seconds) / len(devices), *seconds], default=0.0)
    early = any(o.patience and o.epochs for o in (job.recipe.optimisation for job in todo.values()))
    return (
        f"trainings to run: {len(todo)}, finished before: {len(jobs) - len(todo)}, at the same time: {len(devices)}; "
        f"expected time: {clock(total)}{', less if they stop early' if early else ''}"
    )


def seconds_of(job: Job, cost: Cost, n_used: int, threads: int) -> float:
    """Expected time of one run on `threads` cores: two trainings, validations, evaluations, three readings of the
    data.
    """
    n = min(n_used, SMOKE_RECORDS) if job.choice.smoke else n_used
    n = 2 * job.selection.synthetic_events or n
    o = job.recipe.optimisation
    epoch = max(-(-n // o.batch), 1)
    steps = planned_steps(o, epoch)
    fold, held_out = 0.16 * n, 0.2 * n
    validations = max(min(steps, VALIDATIONS), steps // epoch if o.patience else 0)
    answers = (validations * min(fold, AT_MOST) + 2 * fold + PASSES * held_out) * len(job.recipe.nuisance.answers_s)
    of_network = (2 * steps * o.batch * o.copies + answers / 3) * cost.step_s  # an answer: a third of a step
    return of_network / threads + cost.parameters * PARAMETER_S + 3 * n * LOAD_S + START_S


def made_by(devices: Sequence[str]) -> str:
    """Machine, date and versions, in words."""
    device = torch.cuda.get_device_name() if devices[0].startswith("cuda") else "CPU"
    date = dt.datetime.now(tz=dt.UTC).strftime("%Y-%m-%d")
    return (
        f"Made on {date} with seisedge {version('seisedge')}, torch {torch.__version__}, {len(devices)} × {device}, "
        f"{machine.processor()}."
    )


def _written(
    study: Study,
    lines: list[Line],
    results: dict[str, Result | str],
    costs: dict[str, Cost],
    items: Sequence[Item],
    choice: Choice,
    out: Path,
    made: str,
) -> tuple[Table, list[str]]:
    """Write the table and the plots of a study."""
    rows: list[TableRow] = []
    of_row: dict[str, list[Result]] = {}
    chosen: Any = None
    for line in lines:
        if line.row.feature:
            if chosen is None:
                chosen = selected(
                    items, Selection(), choice.shuffle_labels, None
                )  # cheap: all records, also with --smoke
            rows.append(feature_row(line, chosen, study.columns, DRAWS_SMOKE if choice.smoke else DRAWS))
            continue
        found = [results[key] for key in line.keys]
        good = [r for r in found if isinstance(r, Result)]
        errors = [r for r in found if isinstance(r, str)]
        if errors:
            line = msgspec.structs.replace(line, missing=f"failed: {errors[0]}")
        elif good and line.row.who == "model":
            of_row[line.row.name] = good
        rows.append(row_of(line, good, costs.get(line.network) if good else None, study.columns))
    table = Table(
        study=study.name, paper=study.paper, about=study.about, source=study.source, read=study.read,
        choice=msgspec.structs.replace(choice, data=[folder.resolve().name for folder in folders_of(choice)]),
        made=made, columns=study.columns, rows=rows,
    )  # fmt: skip
    folder = out / study.name
    folder.mkdir(exist_ok=True)
    names = write_plots(study, table, of_row, folder)
    write_atomically(folder / "table.json", msgspec.json.format(msgspec.json.encode(table), indent=1))
    write_atomically(folder / "table.csv", csv_of(table))
    write_atomically(folder / "table.md", markdown_of(table, names).encode())
    return table, names
