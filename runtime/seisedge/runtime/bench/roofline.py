"""Minimum time of a model on a board, from its FLOPs and bytes: projected, not measured.

floor = max(FLOP / peak rate, bytes / memory bandwidth), with the front end at the fp32 rate and the network at the rate
of its precision. Bytes are weights, input and output, once each. Peak rates are cores × 2 × clock for fp32, eight times
that for dense fp16 and sixteen times for dense int8 on tensor cores; no sparsity, no DLA. Kernel launches are not
counted: some microseconds each, which for such small models is most of the time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from seisedge.runtime.card import ModelCard

RATE = {"fp32": 1, "fp16": 8, "int8": 16}  # times the fp32 rate
FLOAT_BYTES = 4


@dataclass(frozen=True, slots=True)
class Board:
    """cores: CUDA cores. clock_ghz: of the GPU in the highest power mode. bandwidth_gb_s: of the memory."""

    name: str
    cores: int
    clock_ghz: float
    bandwidth_gb_s: float

    def gflops(self, precision: str) -> float:
        """Dense peak rate in GFLOP/s."""
        return self.cores * 2 * self.clock_ghz * RATE[precision]


BOARDS = (
    Board("Jetson Orin Nano 8 GB (Super)", 1024, 1.02, 102.0),
    Board("Jetson Orin NX 16 GB", 1024, 0.918, 102.4),
    Board("Jetson AGX Orin 64 GB", 2048, 1.3, 204.8),
)


@dataclass(frozen=True, slots=True)
class Floor:
    """Minimum times of one inference at batch 1, in microseconds."""

    board: str
    compute_us: float
    memory_us: float

    @property
    def floor_us(self) -> float:
        """The larger of compute and memory time."""
        return max(self.compute_us, self.memory_us)

    @property
    def bound(self) -> str:
        """What limits the time: 'compute' or 'memory'."""
        return "compute" if self.compute_us >= self.memory_us else "memory"


def floor_of(card: ModelCard, weight_bytes: int, board: Board) -> Floor:
    """The floor on one board. If the card does not state the FLOPs of the front end, all count at the fp32 rate."""
    front = card.flops if card.front_end_flops is None else card.front_end_flops
    compute = front / board.gflops("fp32") + (card.flops - front) / board.gflops(card.precision)
    moved = weight_bytes + FLOAT_BYTES * (2 * 3 * card.n_samples + math.prod(card.output_shape))
    return Floor(board.name, compute / 1e3, moved / board.bandwidth_gb_s / 1e3)


def roofline_lines(card: ModelCard, file_bytes: int) -> list[str]:
    """The table of `inspect --roofline`. If the card does not state the size of the weights, the file size is used."""
    weights = file_bytes if card.weight_bytes is None else card.weight_bytes
    moved = weights + FLOAT_BYTES * (2 * 3 * card.n_samples + math.prod(card.output_shape))
    lines = [
        f"projected, not measured: {card.flops / 1e6:.2f} MFLOP, {moved / 1e3:.0f} kB, "
        f"{card.flops / moved:.1f} FLOP per byte; kernel launches not counted",
        f"  {'board':32}{'fp32':>8}{card.precision if card.precision != 'fp32' else '':>8}"
        f"{'GB/s':>8}{'compute':>11}{'memory':>11}{'floor':>11}",
    ]
    for board in BOARDS:
        floor = floor_of(card, weights, board)
        own = f"{board.gflops(card.precision) / 1e3:.1f}" if card.precision != "fp32" else ""
        lines.append(
            f"  {board.name:32}{board.gflops('fp32') / 1e3:>8.1f}{own:>8}{board.bandwidth_gb_s:>8.0f}"
            f"{floor.compute_us:>8.2f} µs{floor.memory_us:>8.2f} µs{floor.floor_us:>8.2f} µs  {floor.bound}"
        )
    return [*lines, "  peak rates in TFLOP/s (TOP/s for int8), dense, without DLA"]
