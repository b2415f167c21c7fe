"""The two bundled model files: their cards against their graphs, their parity on stored records, their size."""

from __future__ import annotations

import hashlib
import re
import tomllib
from importlib import resources
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from seisedge.export.flops import count_flops
from seisedge.runtime.card import CARD_KEY, ModelCard, card_from_json
from seisedge.train.archive.archive import Wanted, load_archive
from seisedge.train.archive.cutter import WindowCutter
from seisedge.train.evaluation.predict import FixedWindows

NAMES = ["event-type", "magnitude"]
ROOT = Path(__file__).parents[2]


def path_of(name: str) -> Path:
    return Path(str(resources.files("seisedge.runtime") / "models" / f"{name}.onnx"))


@pytest.fixture(params=NAMES, scope="module")
def shipped(request: pytest.FixtureRequest) -> tuple[onnx.ModelProto, ModelCard]:
    path = path_of(request.param)
    model = onnx.load(path)
    return model, card_from_json({p.key: p.value for p in model.metadata_props}.get(CARD_KEY), str(path))


def test_card_agrees_with_the_graph(shipped: tuple[onnx.ModelProto, ModelCard]) -> None:
    model, card = shipped
    dims = [d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim]
    assert dims[1:] == [3, card.n_samples]
    assert model.graph.output[0].type.tensor_type.shape.dim[1].dim_value == len(card.labels)
    count = count_flops(model)
    assert (count.macs, count.flops, count.by_operator) == (card.macs, card.flops, card.flops_by_operator)


def test_card_states_band_limits_and_metrics(shipped: tuple[onnx.ModelProto, ModelCard]) -> None:
    _, card = shipped
    assert card.band_hz == (1.0, 15.0)
    assert card.sampling_rate_hz == 40.0
    assert card.not_for
    assert card.metrics
    assert {m.baseline for m in card.metrics} > {""}
    for metric in card.metrics:
        assert metric.n_events > 0


def sources_not_shipped(name: str, datasets: Path) -> dict[str, str]:
    """Source → what the card says of it, of the training data that the repository does not contain."""
    model = onnx.load(path_of(name))
    card = card_from_json({p.key: p.value for p in model.metadata_props}[CARD_KEY], name)
    described = [tomllib.loads(path.read_text(encoding="utf-8")) for path in datasets.rglob("sources.toml")]
    shipped_sources = {source for table in described for source in table}
    return {entry.split()[0]: entry for entry in card.training.data if entry.split()[0] not in shipped_sources}


def test_the_page_states_which_training_data_are_not_shipped(datasets: Path) -> None:
    """The event-type model learned from data that the repository may not contain: it must not look reproducible."""
    missing = sources_not_shipped("event-type", datasets)
    assert set(missing) == {"alpine_temporary", "noise_copyleft", "noise_copyleft_triggers"}
    assert all("not shipped" in text for text in missing.values())
    page = (ROOT / "docs" / "models" / "event-type" / "MODEL.md").read_text(encoding="utf-8")
    for repository in ("d-chambers/EQcorrscan", "jpvantassel/hvsrpy", "jpvantassel/swprocess", "marzeck/seismo-huddle"):
        assert repository in page
        assert repository in (datasets / "README.md").read_text(encoding="utf-8")


def test_card_page_and_readme_name_the_script_of_the_synthetic_records(datasets: Path) -> None:
    missing = sources_not_shipped("magnitude", datasets)
    assert set(missing) == {"synthetic"}
    assert missing["synthetic"].startswith("synthetic of datasets/build_synthetic.py (Apache-2.0), ")
    for page in (ROOT / "docs" / "models" / "magnitude" / "MODEL.md", datasets / "README.md"):
        assert "build_synthetic" in page.read_text(encoding="utf-8")


def test_sizes() -> None:
    assert sum(path_of(name).stat().st_size for name in NAMES) <= 8e6
    limits = {"event-type": 500_000, "magnitude": 1_500_000}
    for name, limit in limits.items():
        model = onnx.load(path_of(name))
        card = card_from_json({p.key: p.value for p in model.metadata_props}[CARD_KEY], name)
        assert card.parameters <= limit


@pytest.mark.parametrize("name", NAMES)
def test_the_bundled_file_is_the_one_that_the_release_chose(name: str) -> None:
    page = (ROOT / "docs" / "models" / name / "MODEL.md").read_text(encoding="utf-8")
    digest = hashlib.sha256(path_of(name).read_bytes()).hexdigest()
    chosen = re.search(r"^- onnxruntime, one x86-64 thread: \*\*(.+?)\*\*, `(.+?)`", page, re.MULTILINE)
    assert chosen is not None
    assert f"| `{chosen[2]}` | {chosen[1]} | `{digest}` |" in page


@pytest.mark.parametrize("name", NAMES)
def test_the_bundled_file_is_not_worse_as_far_as_its_events_can_tell(name: str) -> None:
    """Of so few events half a point cannot be seen: the card must not read as if the gate had been passed."""
    model = onnx.load(path_of(name))
    c = card_from_json({p.key: p.value for p in model.metadata_props}[CARD_KEY], name).comparison
    assert c is not None
    assert c.windows >= 2000
    assert c.outcome == "not tested"
    assert c.n_events == {"event-type": 77, "magnitude": 21}[name]
    assert c.verdict_text.startswith(f"cannot be tested at 0.5 points ({c.n_events} events, 200 are needed)")
    assert c.loss_points <= c.allowed_points


def test_no_path_of_a_machine_in_the_files() -> None:
    for name in NAMES:
        file = path_of(name).read_bytes()
        for trace in (b"site-packages", b"/home", b"/root", b"/work", b"/tmp"):
            assert trace not in file


def test_labels() -> None:
    cards = {}
    for name in NAMES:
        model = onnx.load(path_of(name))
        cards[name] = card_from_json({p.key: p.value for p in model.metadata_props}[CARD_KEY], name)
    assert cards["event-type"].labels == ["tectonic", "non-tectonic", "noise"]
    assert cards["event-type"].unit == "counts"
    assert cards["magnitude"].unit == "m/s"
    assert cards["magnitude"].magnitude is not None
    assert cards["magnitude"].magnitude.edges == [None, *[k / 10 for k in range(31)], None]


def test_stored_records_are_answered_as_they_were_at_release(datasets: Path) -> None:
    """A clear earthquake and a noise stretch of the held-out events."""
    archive = load_archive([datasets], 40.0, 15.0, wanted=Wanted(subsets=["phasenet_ncedc"]))
    session = onnxruntime.InferenceSession(path_of("event-type"), providers=["CPUExecutionProvider"])
    card = card_from_json(session.get_modelmeta().custom_metadata_map[CARD_KEY], "event-type")
    test = archive.indices(split="test", three=True)
    start = np.array([round(archive.records[i].onset - card.onset_s * 40) for i in test])
    bound = np.array([archive.records[i].n_samples for i in test])
    from seisedge.train.models._base import Geometry

    geometry = Geometry(card.n_samples, card.sampling_rate_hz, card.onset_s)
    windows = FixedWindows(test, np.zeros(len(test), np.int64), start, bound)
    import torch

    x, valid = WindowCutter(archive, geometry, torch.device("cpu")).cut(windows.draw(geometry, 30.0, False))
    p = session.run(None, {"waveform": x.numpy(), "valid": valid.numpy()})[0]
    assert p.shape == (len(test), 3)
    assert (p.argmax(1) == 0).mean() >= 0.8  # clear Californian earthquakes with analyst picks
