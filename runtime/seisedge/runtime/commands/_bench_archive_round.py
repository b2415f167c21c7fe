"""One process of `seisedge bench archive`: `python -P _bench_archive_round.py`.

Reads a line of JSON (file, mode, models), loads the models, prints `{"ready_s": …}`, waits for another line, analyses
the file and prints the result.
"""

import time

BEGAN_S = time.perf_counter()

import json  # noqa: E402  (the time of the imports is measured)
import resource  # noqa: E402
import sys  # noqa: E402
from pathlib import Path  # noqa: E402

from seisedge.runtime.config import ModelsConfig, StationConfig  # noqa: E402
from seisedge.runtime.event import Event, Hop  # noqa: E402
from seisedge.runtime.inference.infer import Models  # noqa: E402
from seisedge.runtime.service.loop import Loop  # noqa: E402
from seisedge.runtime.sinks import Sink  # noqa: E402
from seisedge.runtime.sources import open_source  # noqa: E402


class Counted(Sink):
    """Encodes each line, as a file of events would, and counts the events."""

    def __init__(self) -> None:
        self.written = 0

    def write(self, line: Event | Hop) -> None:
        """See Sink."""
        import msgspec

        self.written += len(msgspec.json.encode(line))


def main() -> None:
    """Analyse once."""
    request = json.loads(sys.stdin.readline())
    models = Models.load(ModelsConfig(), tuple(Path(path) for path in request["models"]))
    print(json.dumps({"ready_s": time.perf_counter() - BEGAN_S}), flush=True)
    sys.stdin.readline()
    began_s, before = time.perf_counter(), time.process_time()
    with open_source([request["file"]]) as source:
        report = Loop(models, [Counted()], {}, default=StationConfig(), mode=request["mode"]).run(source)
    wall_s, processor_s = time.perf_counter() - began_s, time.process_time() - before
    spans_ns = [s.last_ns - s.first_ns for s in report.stations.values() if s.first_ns and s.last_ns]
    result = {
        "station_s": sum(spans_ns) / 1e9,
        "wall_s": wall_s,
        "processor_s": processor_s,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "events": report.events,
        "triggers": report.triggers,
        "inferences": report.inferences,
    }
    print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
