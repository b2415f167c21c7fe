"""The step from a run to a model file, of `seisedge export` and of a release."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import msgspec
import onnx

from seisedge.export.card import card_from_run
from seisedge.export.onnx import Array, checked_graph, parity_difference, save_model, write_card
from seisedge.runtime.card import Comparison, ModelCard
from seisedge.train.models._base import Model
from seisedge.train.run_file import Run


@dataclass(frozen=True)
class Exported:
    """A run as a graph with its card, not yet on disk."""

    model: Model
    graph: onnx.ModelProto
    card: ModelCard

    def save(self, path: Path, waveform: Array, valid: Array, comparison: Comparison | None = None) -> float:
        """Write the model file; returns the largest difference of a probability from torch on the given windows.

        waveform, valid: (n, 3, n_samples), real windows in the model's unit. Raises FailedError where the difference
        is too large; then nothing is written.
        """
        file = write_card(self.graph, msgspec.structs.replace(self.card, comparison=comparison))
        difference = parity_difference(self.model, file, waveform, valid)
        save_model(path, file, difference)
        return difference


def export_run(run: Run) -> Exported:
    """Raises FailedError where the model has no valid graph."""
    model = run.model()
    graph = checked_graph(model)
    return Exported(model, graph, card_from_run(run, model, graph))
