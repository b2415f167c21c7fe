"""Measured peak rates of this machine, in a fresh process: `python -P _peak.py THREADS BYTES...`.

Prints the best rate of a float32 matrix product in GFLOP/s, and for each size of a working set the best rate of a copy
in GB/s (bytes read and written). The environment limits the threads of the matrix product, the copy uses its own.
"""

import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np

SIDE = 1024  # of the matrices: 2.1 GFLOP a product
SECONDS = 0.4  # of each test


def matrix_gflops() -> float:
    """Best of the products within SECONDS, at least three."""
    a, b = (np.random.default_rng(k).random((SIDE, SIDE), np.float32) for k in (0, 1))
    out = np.empty_like(a)
    return 2 * SIDE**3 / _best_s(lambda: np.matmul(a, b, out=out)) / 1e9


def copy_gb_s(working_set: int, threads: int) -> float:
    """Best rate of copies between two halves of a working set, each thread with a part of its own."""
    size = max(working_set // 2 // threads, 4096)
    pairs = [(np.ones(size, np.uint8), np.zeros(size, np.uint8)) for _ in range(threads)]
    repeats = max(2**23 // size, 1)

    def copy(pair: tuple[np.ndarray, np.ndarray]) -> None:
        for _ in range(repeats):
            np.copyto(pair[1], pair[0])

    with ThreadPoolExecutor(threads) as pool:
        return 2 * size * threads * repeats / _best_s(lambda: list(pool.map(copy, pairs))) / 1e9


def _best_s(work) -> float:  # type: ignore[no-untyped-def]
    best, count, end = float("inf"), 0, time.perf_counter() + SECONDS
    while count < 3 or time.perf_counter() < end:
        start = time.perf_counter()
        work()
        best, count = min(best, time.perf_counter() - start), count + 1
    return best


if __name__ == "__main__":
    parallel, sizes = int(sys.argv[1]), [int(text) for text in sys.argv[2:]]
    print(json.dumps({"gflops": matrix_gflops(), "copy_gb_s": [copy_gb_s(size, parallel) for size in sizes]}))
