"""The file of a bundle: a tar archive (POSIX ustar), not compressed, of one form only.

The first member is the signed manifest; then follow the files in the order of the manifest. Owner, rights and time of
each member are constants and the content is stored, so the same manifest and files give the same bytes anywhere.
A reader compares each header with the one that the manifest demands: a link, a device, another name, size or order
cannot occur.
"""

from __future__ import annotations

import hashlib
import os
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from seisedge.runtime.bundle.envelope import MAX_ENVELOPE, Envelope, envelope_from_bytes
from seisedge.runtime.bundle.manifest import PAYLOAD_TYPE, File, Manifest, manifest_from_bytes
from seisedge.runtime.errors import InputError
from seisedge.runtime.text import quoted

MANIFEST_NAME = "manifest.dsse.json"
BLOCK = 512
END = bytes(2 * BLOCK)
CHUNK = 2**20
KINDS = {
    tarfile.LNKTYPE: "a hard link", tarfile.SYMTYPE: "a symbolic link", tarfile.CHRTYPE: "a device",
    tarfile.BLKTYPE: "a device", tarfile.DIRTYPE: "a folder", tarfile.FIFOTYPE: "a pipe",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Bundle:
    """An opened bundle: its structure is checked, signatures and contents are not.

    offsets: path → position of the content in the file.
    """

    file: BinaryIO
    name: str
    envelope: Envelope
    manifest: Manifest
    offsets: dict[str, int]

    def chunks(self, entry: File) -> Iterator[bytes]:
        """The content of a file. Raises InputError behind the last piece where size or SHA-256 differ."""
        digest, left = hashlib.sha256(), entry.size
        self.file.seek(self.offsets[entry.path])
        while left:
            piece = self.file.read(min(CHUNK, left))
            if not piece:
                raise InputError(f"{self.name}: it ends inside {entry.path}; copy the bundle again")
            digest.update(piece)
            left -= len(piece)
            yield piece
        if digest.hexdigest() != entry.sha256:
            raise InputError(
                f"{self.name}: {entry.path} is damaged: its SHA-256 is not that of the manifest; copy it again"
            )

    def content(self, path: str) -> bytes:
        """The whole content of a file. Raises KeyError, InputError."""
        entry = next((entry for entry in self.manifest.files if entry.path == path), None)
        if entry is None:
            raise KeyError(path)
        return b"".join(self.chunks(entry))

    def check_contents(self) -> None:
        """Read all files. Raises InputError for the first that is damaged."""
        for entry in self.manifest.files:
            for _ in self.chunks(entry):
                pass


def write_bundle(file: BinaryIO, envelope: Envelope, parts: Iterator[tuple[File, Iterator[bytes]]]) -> None:
    """Write a bundle: the signed manifest, and the content of its files in its order."""
    data = envelope.to_bytes()
    file.write(_header(MANIFEST_NAME, len(data)) + data + _padding(len(data)))
    for entry, pieces in parts:
        file.write(_header(entry.path, entry.size))
        written = 0
        for piece in pieces:
            file.write(piece)
            written += len(piece)
        if written != entry.size:
            raise InputError(
                f"{entry.path}: it has {written} bytes, the manifest says {entry.size}; it changed meanwhile"
            )
        file.write(_padding(entry.size))
    file.write(END)


def open_bundle(path: Path) -> Bundle:
    """Open a bundle and check its structure. Raises InputError. The caller closes `Bundle.file`."""
    try:
        file = path.open("rb")
    except OSError as error:
        raise InputError(f"{path}: cannot read the bundle: {error.strerror}") from error
    try:
        return bundle_from_file(file, path.name)
    except BaseException:
        file.close()
        raise


def bundle_from_file(file: BinaryIO, name: str) -> Bundle:
    """As `open_bundle`, from a file opened for reading bytes at any position."""
    try:
        size = os.fstat(file.fileno()).st_size
        envelope, at = _envelope(file)
        manifest = manifest_from_bytes(envelope.payload)
        offsets: dict[str, int] = {}
        for entry in manifest.files:
            file.seek(at)
            header = file.read(BLOCK)
            if header != _header(entry.path, entry.size):
                raise ValueError(
                    f"{_described(header)} where the manifest lists {quoted(entry.path)}, {entry.size} bytes"
                )
            offsets[entry.path] = at + BLOCK
            at += BLOCK + entry.size
            padding = _padding(entry.size)
            file.seek(at)
            if file.read(len(padding)) != padding:
                raise ValueError(f"{entry.path} is not followed by zeros, or it is cut off")
            at += len(padding)
        file.seek(at)
        if file.read(len(END) + 1) != END:
            raise ValueError("it is cut off" if size < at + len(END) else "it has more data than the manifest lists")
    except ValueError as error:
        raise InputError(f"{name}: no bundle of seisedge, or a damaged one: {error}") from error
    return Bundle(file, name, envelope, manifest, offsets)


def _envelope(file: BinaryIO) -> tuple[Envelope, int]:
    """The signed manifest and the position behind it. Raises ValueError."""
    file.seek(0)
    header = file.read(BLOCK)
    try:
        size = tarfile.TarInfo.frombuf(header, "utf-8", "strict").size
    except (tarfile.HeaderError, ValueError):
        raise ValueError("it does not begin as one") from None
    if size > MAX_ENVELOPE or header != _header(MANIFEST_NAME, size):
        raise ValueError(f"it begins with {_described(header)}, expected '{MANIFEST_NAME}'")
    data = file.read(size)
    if len(data) < size:
        raise ValueError("it is cut off")
    padding = _padding(size)
    if file.read(len(padding)) != padding:
        raise ValueError("the manifest is not followed by zeros")
    return envelope_from_bytes(data, PAYLOAD_TYPE), BLOCK + size + len(padding)


def _header(name: str, size: int) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.mode, info.mtime = size, 0o644, 0
    return info.tobuf(tarfile.USTAR_FORMAT, "ascii", "strict")


def _padding(size: int) -> bytes:
    return bytes(-size % BLOCK)


def _described(header: bytes) -> str:
    """What a header is, for a message."""
    if len(header) < BLOCK:
        return "the end of the file"
    try:
        info = tarfile.TarInfo.frombuf(header, "utf-8", "replace")
    except (tarfile.HeaderError, ValueError):
        return "no header of a file"
    kind = KINDS.get(info.type)
    return f"{quoted(info.name)}, {kind or f'{info.size} bytes'}" + ("" if kind else ", or with other rights or owner")
