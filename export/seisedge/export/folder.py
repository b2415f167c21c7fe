"""A release on disk.

    DIR/NAME.onnx, NAME-fp16.onnx …   every model inside the gate, written by the line itself
    DIR/NAME….card.json               their cards
    DIR/MODEL.md                      the model page
    DIR/evaluation/                   early answers and damaged records of the model for onnxruntime, with plots
    DIR/SHA256SUMS

Nothing in it names a folder of the machine that it was made on.
"""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path

import msgspec
import torch

from seisedge.export.page import Curves, page_of
from seisedge.export.release import Release
from seisedge.runtime.files import write_atomically
from seisedge.runtime.paths import text_from_path
from seisedge.train.evaluation.markdown import markdown_of
from seisedge.train.evaluation.plots import write_plots
from seisedge.train.evaluation.report import evaluate
from seisedge.train.evaluation.subject import subject_from

EVALUATION = "evaluation"


def write_curves(run: Path, model: Path, folders: list[Path], out: Path) -> Curves:
    """The report of `seisedge evaluate` with its plots, in a folder of the release: answers of the model file, on what
    the run held out, with the run's station terms.
    """
    device = torch.device("cpu")
    held, file = subject_from(str(run), device), subject_from(str(model), device)
    report = evaluate(dataclasses.replace(held, network=file.network, sha256=file.sha256), folders, device)
    report = msgspec.structs.replace(
        report, path=text_from_path(model.name), data=[text_from_path(f.resolve().name) for f in folders]
    )
    target = out / EVALUATION
    target.mkdir(parents=True)
    names = write_plots(report, target)
    write_atomically(target / "report.json", msgspec.json.format(msgspec.json.encode(report), indent=1))
    write_atomically(target / "report.md", markdown_of(report, names).encode())
    return Curves(model.name, f"{EVALUATION}/report.md", [f"{EVALUATION}/{name}" for name in names])


def write_folder(release: Release, out: Path, machine: str, curves: Curves | None) -> None:
    """Cards, page and checksums beside the models."""
    for variant in release.variants:
        if variant.file is not None:
            card = msgspec.json.format(msgspec.json.encode(variant.card, order="sorted"), indent=1)
            write_atomically(variant.file.with_suffix(".card.json"), card)
    write_atomically(out / "MODEL.md", page_of(release, machine, curves).encode())
    write_sums(out)


def write_sums(folder: Path) -> None:
    """SHA256SUMS of all files in a folder, as `sha256sum -c` reads it."""
    files = sorted(p for p in folder.rglob("*") if p.is_file() and p.name != "SHA256SUMS")
    lines = [f"{hashlib.sha256(p.read_bytes()).hexdigest()}  {p.relative_to(folder).as_posix()}\n" for p in files]
    write_atomically(folder / "SHA256SUMS", "".join(lines).encode())
