"""RevisionContent: digest of an emitted revision, to recognise another content under the same number."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import msgspec

from seisedge.runtime.event import Event, content_of


@dataclass(frozen=True, slots=True)
class RevisionContent:
    """What an emitted revision contains: a digest (`content_of_revision`), and whether it is the last of its event."""

    digest: bytes
    last: bool


def content_of_revision(line: Event) -> RevisionContent:
    """The content of a revision without its number; `new` and `update` count as equal."""
    last = line.status in ("final", "retracted")
    plain = msgspec.structs.replace(line, revision=0, status=line.status if last else "update")
    return RevisionContent(hashlib.sha256(content_of(plain)).digest()[:16], last)
