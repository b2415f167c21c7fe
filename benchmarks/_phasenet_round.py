"""One round of SeisBench's PhaseNet, in a process of a virtual environment with torch and seisbench.

`python _phasenet_round.py torch SECONDS` prints its latencies in ns as JSON; `… export FILE.onnx` writes its graph.
Random weights: the published ones change no latency. seisedge is not needed.
"""

import json
import os
import sys
import tempfile
import time

os.environ.setdefault("SEISBENCH_CACHE_ROOT", tempfile.mkdtemp(prefix="seisbench-"))

import numpy as np
import seisbench
import torch
from seisbench.models import PhaseNet

SAMPLES = 3001  # of PhaseNet's window, 30 s at 100 Hz; it takes no other length
WARM_UP = 20


def main() -> None:
    torch.set_num_threads(1)
    model = PhaseNet().eval()
    window = np.random.default_rng(0).normal(0, 1, (1, 3, SAMPLES)).astype(np.float32)
    if sys.argv[1] == "export":
        torch.onnx.export(
            model, (torch.from_numpy(window),), sys.argv[2], dynamo=False, input_names=["x"], output_names=["y"]
        )
        return
    latencies: list[int] = []
    with torch.inference_mode():
        until_s = time.perf_counter() + float(sys.argv[2])
        while time.perf_counter() < until_s or len(latencies) < WARM_UP + 3:
            began_ns = time.perf_counter_ns()
            model(torch.from_numpy(window)).numpy()
            latencies.append(time.perf_counter_ns() - began_ns)
    versions = {"torch": torch.__version__, "seisbench": seisbench.__version__}
    print(json.dumps({"samples_ns": latencies[WARM_UP:], "versions": versions}))


if __name__ == "__main__":
    main()
