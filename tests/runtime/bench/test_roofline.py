"""The floor of a model on a board, by hand."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import msgspec
import pytest

from seisedge.runtime.bench.roofline import BOARDS, Board, floor_of, roofline_lines
from seisedge.runtime.card import ModelCard
from seisedge.runtime.engines import open_engine

CARD: ModelCard = open_engine(Path(str(resources.files("seisedge.runtime") / "models" / "event-type.onnx"))).card
BOARD = Board("hand", cores=1_000, clock_ghz=0.5, bandwidth_gb_s=10)  # 1,000 GFLOP/s in fp32, 16,000 in int8


def test_compute_by_hand() -> None:
    card = msgspec.structs.replace(CARD, flops=10_000_000, front_end_flops=2_000_000, precision="int8")
    floor = floor_of(card, 0, BOARD)
    assert floor.compute_us == pytest.approx(2.0 + 0.5)  # 2 MFLOP at 1,000 GFLOP/s, 8 at 16,000
    assert floor_of(msgspec.structs.replace(card, precision="fp32"), 0, BOARD).compute_us == pytest.approx(10.0)
    assert floor_of(msgspec.structs.replace(card, front_end_flops=None), 0, BOARD).compute_us == pytest.approx(10.0)


def test_memory_by_hand() -> None:
    # 156,788 bytes of weights; 2 · 3 · 1,800 samples in and 3 probabilities out, 4 bytes each: 43,212; at 10 GB/s
    floor = floor_of(CARD, 156_788, BOARD)
    assert floor.memory_us == pytest.approx(20.0)
    assert floor.bound == "memory" and floor.floor_us == floor.memory_us


def test_the_boards_have_their_stated_rates() -> None:
    rates = [(round(b.gflops("fp16") / 1e3), round(b.gflops("int8") / 1e3)) for b in BOARDS]
    assert rates == [(17, 33), (15, 30), (43, 85)]  # TFLOP/s and TOP/s, dense


def test_the_table_says_that_it_is_projected() -> None:
    lines = roofline_lines(CARD, 255_000)
    assert "projected, not measured" in lines[0]
    assert sum("Jetson" in line for line in lines) == 3
