"""Said: what an emitted revision contains, to tell a repetition from another content under the same number."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import msgspec

from seisedge.runtime.event import Event, content_of


@dataclass(frozen=True, slots=True)
class Said:
    """What an emitted revision contains. digest: of its content, see `said`. last: of its event, no more follows."""

    digest: bytes
    last: bool


def said(line: Event) -> Said:
    """The content of a revision without its number; `new` and `update` count as equal."""
    last = line.status in ("final", "retracted")
    plain = msgspec.structs.replace(line, revision=0, status=line.status if last else "update")
    return Said(hashlib.sha256(content_of(plain)).digest()[:16], last)
