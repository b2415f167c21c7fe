"""Faults of connections, for SeedLink and DataLink."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from seisedge.runtime.replay._fault import Fault, Link, Piece, key, register_fault
from seisedge.runtime.sources._seedlink_position import SEQUENCE_MODULUS


@register_fault("cut")
@dataclass
class Cut(Fault):
    """Disconnect inside a packet, after about EVERY packets."""

    on: ClassVar[str] = "link"
    every: int = key(50, 2)
    seed: int = key(0)

    def pieces(self, pieces: Iterator[Piece], link: Link) -> Iterator[Piece]:
        rng = random.Random(f"{self.seed}:{link.number}")
        whole = rng.randrange(self.every // 2, self.every * 3 // 2)
        yield from itertools.islice(pieces, whole)
        for piece in pieces:
            n = rng.randrange(1, max(2, len(piece.data)))
            yield Piece(piece.release_ns, piece.data[:n], last=True)


@register_fault("end")
@dataclass
class End(Fault):
    """Send the end-of-data message and disconnect after EVERY packets."""

    on: ClassVar[str] = "link"
    every: int = key(100, 1)

    def pieces(self, pieces: Iterator[Piece], link: Link) -> Iterator[Piece]:
        yield from itertools.islice(pieces, self.every)
        for piece in pieces:
            yield Piece(piece.release_ns, link.end_word, last=True)


@register_fault("garbage")
@dataclass
class Garbage(Fault):
    """Insert LENGTH random bytes between two packets, after one in EVERY."""

    on: ClassVar[str] = "link"
    every: int = key(40, 1)
    length: int = key(77, 1)
    seed: int = key(0)

    def pieces(self, pieces: Iterator[Piece], link: Link) -> Iterator[Piece]:
        rng = random.Random(f"{self.seed}:{link.number}")
        for piece in pieces:
            yield piece
            if rng.randrange(self.every) == 0:
                yield Piece(piece.release_ns, rng.randbytes(self.length))


@register_fault("half-open")
@dataclass
class HalfOpen(Fault):
    """Accept the FIRST connections and never send anything."""

    on: ClassVar[str] = "link"
    first: int = key(1, 1)

    def answers(self, number: int) -> str:
        return "silence" if number <= self.first else "serve"


@register_fault("refused")
@dataclass
class Refused(Fault):
    """Reset the FIRST connections as soon as they are made."""

    on: ClassVar[str] = "link"
    first: int = key(2, 1)

    def answers(self, number: int) -> str:
        return "reset" if number <= self.first else "serve"


@register_fault("sequence-wrap")
@dataclass
class SequenceWrap(Fault):
    """Wrap the 24-bit sequence numbers of SeedLink 3 after AFTER records per station."""

    on: ClassVar[str] = "link"
    after: int = key(60, 0)

    def first_sequence(self, first: int) -> int:
        return (SEQUENCE_MODULUS - self.after) % SEQUENCE_MODULUS


@register_fault("slow")
@dataclass
class Slow(Fault):
    """Send in pieces of CHUNK bytes, with PAUSE seconds before each."""

    on: ClassVar[str] = "link"
    chunk: int = key(200, 1)
    pause: float = key(0.0, 0)

    def pieces(self, pieces: Iterator[Piece], link: Link) -> Iterator[Piece]:
        for piece in pieces:
            for k in range(0, len(piece.data), self.chunk):
                yield Piece(piece.release_ns, piece.data[k : k + self.chunk], alone=True, pause_s=self.pause)


@register_fault("stall")
@dataclass
class Stall(Fault):
    """Stop sending after AFTER packets of the FIRST connections, but stay connected."""

    on: ClassVar[str] = "link"
    after: int = key(100, 0)
    first: int = key(1, 1)

    def pieces(self, pieces: Iterator[Piece], link: Link) -> Iterator[Piece]:
        yield from itertools.islice(pieces, self.after) if link.number <= self.first else pieces
