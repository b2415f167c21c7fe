"""A SeedLink server with a prepared answer: the first client's packets are kept, joined, and sent to all others.

So the server does not limit the measured client. `python -m benchmarks.precut DATA` prints its URL.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

from seisedge.runtime.replay import Digitizer
from seisedge.runtime.replay._fault import Fault, Link, Piece

JOINED_BYTES = 1 << 16


@dataclass
class Precut(Fault):
    """Uses the hook of a fault: the bytes sent depend only on the protocol of the client."""

    kept: dict[bytes, list[Piece]] = field(default_factory=dict)

    def pieces(self, pieces: Iterator[Piece], link: Link) -> Iterator[Piece]:
        first = next(pieces, None)
        if first is None:
            return
        key = first.data[:2]
        if key not in self.kept:
            joined, packets = bytearray(first.data), []
            for piece in pieces:
                joined += piece.data
                if len(joined) >= JOINED_BYTES:
                    packets.append(Piece(first.release_ns, bytes(joined)))
                    joined.clear()
            self.kept[key] = [*packets, Piece(first.release_ns, bytes(joined))]
        yield from self.kept[key]


def main() -> None:
    with Digitizer(sys.argv[1], speed=0, record_length=512, faults=[Precut()]) as digitizer:
        print(digitizer.url, flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
