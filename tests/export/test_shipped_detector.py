"""The bundled onset detector: its card against its graph and its data, and what it emits on stored records."""

from __future__ import annotations

import hashlib
import re
from importlib import resources
from pathlib import Path

import numpy as np
import onnx
import pytest

from seisedge.export.flops import count_flops
from seisedge.runtime.card import CARD_KEY, ONSET_LABELS, ModelCard, card_from_json
from seisedge.runtime.engines.onnxruntime import session_from
from seisedge.train.archive.archive import fingerprint
from seisedge.train.dataset.store import Store

ROOT = Path(__file__).parents[2]
MODEL = Path(str(resources.files("seisedge.runtime") / "models" / "onset.onnx"))


@pytest.fixture(scope="module")
def shipped() -> tuple[onnx.ModelProto, ModelCard]:
    model = onnx.load(MODEL)
    return model, card_from_json({p.key: p.value for p in model.metadata_props}.get(CARD_KEY), str(MODEL))


def test_card_agrees_with_graph_and_data(shipped: tuple[onnx.ModelProto, ModelCard], datasets: Path) -> None:
    model, card = shipped
    assert (card.task, card.labels, card.output_shape) == ("onset", ONSET_LABELS, (10, 5))
    count = count_flops(model, n_samples=card.n_samples)
    assert (count.macs, count.flops, count.by_operator) == (card.macs, card.flops, card.flops_by_operator)
    assert card.training.data_sha256 == fingerprint([datasets, datasets / "onsets", datasets / "noise"])
    assert card.metrics and card.not_for
    assert MODEL.stat().st_size < 300_000


def test_page_states_the_bundled_file() -> None:
    page = (ROOT / "docs" / "models" / "onset" / "MODEL.md").read_text(encoding="utf-8")
    found = re.search(r"`onset\.onnx` \| fp32 \| `([0-9a-f]{64})`", page)
    assert found is not None
    assert found.group(1) == hashlib.sha256(MODEL.read_bytes()).hexdigest()


def test_a_clear_pick_is_found_and_the_noise_before_it_is_silent(
    shipped: tuple[onnx.ModelProto, ModelCard], datasets: Path
) -> None:
    """Held-out records of phasenet_ncedc with an analyst's P, on three components at 100 Hz."""
    session = session_from(MODEL.read_bytes())
    scale = shipped[1].onset
    assert scale is not None
    found = quiet = n = 0
    with Store(datasets) as store:
        rows = [
            r
            for r in store.rows
            if r["subset"] == "phasenet_ncedc"
            and r["split"] == "test"
            and float(r["trace_onset_snr"]) > 20
            and r["trace_component_order"] == "ZNE"
            and float(r["trace_sampling_rate_hz"]) == 100
        ]
        for row in rows:
            x = store.samples(row).astype(np.float64)
            x = np.stack([np.interp(np.arange(0, x.shape[1], 2.5), np.arange(x.shape[1]), c) for c in x])
            p = int(float(row["trace_p_arrival_sample"]) * 0.4)

            def answer(end: int, x: np.ndarray = x) -> np.ndarray:
                wave = x[None, :, end - 960 : end].astype(np.float32)
                out = session.run(None, {"waveform": wave, "valid": np.ones_like(wave)})[0]
                return np.asarray(out[0])

            end = (p // 40 + 3) * 40
            around = np.concatenate([answer(end - 40), answer(end)])[:, 0]
            found += around.max() >= scale.p_threshold
            quiet += answer(p - 80)[:, 0].max() < scale.p_threshold if p >= 1040 else 1
            n += 1
    assert n >= 8
    assert found >= 0.8 * n
    assert quiet >= 0.9 * n
