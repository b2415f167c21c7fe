"""Golden windows: real windows with the probabilities that a model gave for them on the workstation.

They travel beside the model. A device computes them again with the installed code before it uses a new version. They
are made once for a model file and copied into each bundle: computed anew, the last digits depend on the processor.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np

from seisedge.runtime.bench.recorded import windows_from
from seisedge.runtime.demo import RECORDING
from seisedge.runtime.engines import open_engine
from seisedge.runtime.errors import InputError
from seisedge.runtime.files import read_up_to, write_atomically

SUFFIX = ".golden.npz"
WINDOWS = 4
TOLERANCE = {"fp32": 1e-3, "fp16": 0.02, "int8": 0.05}  # of a probability, by the precision of the engine on the device
MAX_BYTES = 16 * 2**20


def golden_path(model: Path) -> Path:
    """Where the golden windows of a model file are: `NAME.golden.npz` beside `NAME.onnx`."""
    return model.with_name(model.stem + SUFFIX)


def make_golden(model: Path, recording: Path = RECORDING) -> Path:
    """Write the golden windows of a model: at most `WINDOWS`, spread over the onsets of a recording.

    The file holds `waveform` and `valid`, (n, 3, n_samples), `probabilities` of onnxruntime, and the model's `sha256`.
    Raises CardError, DataError.
    """
    engine = open_engine(model)
    pairs = windows_from([recording], engine.card, limit=6 * WINDOWS)
    chosen = [pairs[round(k * (len(pairs) - 1) / (WINDOWS - 1))] for k in range(WINDOWS)]
    content = io.BytesIO()
    np.savez(
        content,
        waveform=np.concatenate([waveform for waveform, _ in chosen]),
        valid=np.concatenate([valid for _, valid in chosen]),
        probabilities=np.concatenate([engine.infer(waveform, valid)[0] for waveform, valid in chosen]),
        sha256=np.array(engine.sha256),
    )
    path = golden_path(model)
    write_atomically(path, content.getvalue())
    return path


def read_golden(path: Path, sha256: str) -> dict[str, Any]:
    """The arrays of a file of golden windows. sha256: of the model they must belong to. Raises InputError."""
    try:
        with np.load(io.BytesIO(read_up_to(path, MAX_BYTES)), allow_pickle=False) as arrays:
            found = {name: arrays[name] for name in ("waveform", "valid", "probabilities", "sha256")}
    except FileNotFoundError:
        raise InputError(f"{path}: the golden windows of this model are missing; run 'seisedge flash golden'") from None
    except OSError as error:
        raise InputError(f"{path}: cannot read the golden windows: {error.strerror}") from error
    except Exception as error:  # numpy and zipfile raise many kinds for a damaged file
        raise InputError(f"{path}: no file of golden windows; run 'seisedge flash golden'") from error
    if str(found["sha256"]) != sha256:
        raise InputError(
            f"{path}: these golden windows belong to another model file; run 'seisedge flash golden' again"
        )
    return found
