"""The evaluation of a training without held-out events, and with synthetic records."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import torch

from seisedge.train.archive.archive import Archive
from seisedge.train.evaluation.card_metrics import metrics_of, write_metrics
from seisedge.train.evaluation.subject import subject_of_training
from seisedge.train.evaluation.unseen import unseen_records
from seisedge.train.fit.loop import Trained
from seisedge.train.fit.run import evaluation_of
from seisedge.train.models import create_model
from seisedge.train.recipes.recipe import load_recipe

CPU = torch.device("cpu")


def test_a_run_without_held_out_events_reports_that_it_is_not_evaluated(few: Archive, tmp_path: Path) -> None:
    everything = [dataclasses.replace(r, split="train") for r in few.records]
    archive = dataclasses.replace(few, records=everything)
    model, said = create_model("ganet_small", width=8), list[str]()
    report = evaluation_of(load_recipe("event-type"), Trained(model, {}), archive, None, CPU, 20, said.append)
    assert report is None
    assert len(said) == 1
    assert said[0].startswith("not evaluated: event-type: no record is left to evaluate on")
    write_metrics("event-type", metrics_of(report), report, tmp_path)
    assert (tmp_path / "metrics.json").read_text() == "[]"
    assert "No event is held out" in (tmp_path / "metrics.md").read_text()


def test_synthetic_records_are_not_evaluated_and_fit_no_baseline(few: Archive) -> None:
    synthetic = np.arange(len(few.records)) % 3 == 0
    records = [dataclasses.replace(r, synthetic=bool(s)) for r, s in zip(few.records, synthetic, strict=True)]
    archive = dataclasses.replace(few, records=records)
    subject = subject_of_training(
        load_recipe("event-type"), create_model("ganet_small", width=8), {}, archive, None, CPU
    )
    part = unseen_records(subject, archive)
    side = np.array([r.split for r in records])
    assert part.counts.tolist() == (~synthetic & (side == "test")).tolist()
    assert part.fits.tolist() == (~synthetic & (side == "train")).tolist()
