"""Bundles as files: what is written is read, and nothing else is."""

import io
import random
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.runtime.bundle.conftest import CONTENTS, Pair, bundle_bytes, manifest_of

from seisedge.runtime.bundle.container import BLOCK, open_bundle
from seisedge.runtime.bundle.trust import Trust
from seisedge.runtime.errors import InputError

DATA = bundle_bytes(CONTENTS)


def _opened(path: Path, data: bytes) -> None:
    """Open a bundle and read all of it, as a station does before anything is written."""
    path.write_bytes(data)
    bundle = open_bundle(path)
    with bundle.file:
        bundle.check_contents()


def test_contents_are_read_as_written(tmp_path: Path) -> None:
    path = tmp_path / "b.seisedge"
    path.write_bytes(DATA)
    bundle = open_bundle(path)
    with bundle.file:
        assert bundle.manifest == manifest_of(CONTENTS)
        assert {f.path: bundle.content(f.path) for f in bundle.manifest.files} == CONTENTS


def test_a_common_tar_program_reads_it() -> None:
    with tarfile.open(fileobj=io.BytesIO(DATA)) as tar:
        assert tar.getnames() == ["manifest.dsse.json", *sorted(CONTENTS)]
        member = tar.extractfile("models/a.onnx")
        assert member is not None and member.read() == CONTENTS["models/a.onnx"]


def test_every_flipped_bit_is_found(tmp_path: Path, pairs: list[Pair]) -> None:
    """One bit of each byte: the bundle is refused, or no trusted key has signed it any more."""
    data = bundle_bytes(CONTENTS, pairs[0].sign)
    trust = Trust(1, (pairs[0].public,), 1)
    path, bits = tmp_path / "b.seisedge", random.Random(1)
    accepted = []
    for place in range(len(data)):
        if place % 7 and not place < 2 * BLOCK:
            continue
        changed = bytearray(data)
        changed[place] ^= 1 << bits.randrange(8)
        path.write_bytes(changed)
        try:
            bundle = open_bundle(path)
        except InputError:
            continue
        with bundle.file:
            try:
                bundle.check_contents()
            except InputError:
                continue
            if trust.accepts(bundle.envelope):
                accepted.append(place)
    assert accepted == []


@pytest.mark.parametrize("size", [0, 1, 511, 512, 700, len(DATA) - 1024, len(DATA) - 1, -1])
def test_a_bundle_that_is_cut_off_or_longer_is_refused(tmp_path: Path, size: int) -> None:
    data = DATA + b"\0" if size < 0 else DATA[:size]
    with pytest.raises(InputError, match=r"b\.seisedge: no bundle of seisedge, or a damaged one"):
        _opened(tmp_path / "b.seisedge", data)


def _member(name: str, **changes: object) -> Callable[[tarfile.TarInfo], None]:
    def change(info: tarfile.TarInfo) -> None:
        for key, value in {"name": name, **changes}.items():
            setattr(info, key, value)

    return change


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (_member("models/a.onnx", type=tarfile.SYMTYPE, linkname="/etc/passwd", size=0), "a symbolic link"),
        (_member("models/a.onnx", type=tarfile.LNKTYPE, linkname="b", size=0), "a hard link"),
        (_member("models/a.onnx", type=tarfile.CHRTYPE, size=0), "a device"),
        (_member("models/a.onnx", type=tarfile.BLKTYPE, size=0), "a device"),
        (_member("models/a.onnx", type=tarfile.FIFOTYPE, size=0), "a pipe"),
        (_member("models/a.onnx", type=tarfile.DIRTYPE, size=0), "a folder"),
        (_member("../a.onnx"), r"'\.\./a\.onnx', 1500 bytes"),
        (_member("/etc/a.onnx"), "'/etc/a.onnx', 1500 bytes"),
        (_member("models/b.onnx"), "'models/b.onnx', 1500 bytes"),
        (_member("models/a.onnx", size=1499), "1499 bytes"),
        (_member("models/a.onnx", mode=0o4755), "with other rights or owner"),
        (_member("models/a.onnx", uname="root"), "with other rights or owner"),
    ],
)
def test_a_member_that_is_not_the_listed_file_is_refused(
    tmp_path: Path, change: Callable[[tarfile.TarInfo], None], why: str
) -> None:
    at = DATA.index(b"models/a.onnx\0")
    info = tarfile.TarInfo.frombuf(DATA[at : at + BLOCK], "utf-8", "strict")
    change(info)
    data = DATA[:at] + info.tobuf(tarfile.USTAR_FORMAT) + DATA[at + BLOCK :]
    with pytest.raises(InputError, match=f"{why}.* where the manifest lists 'models/a.onnx', 1500 bytes"):
        _opened(tmp_path / "b.seisedge", data)


def test_other_content_than_the_manifest_lists_is_refused(tmp_path: Path) -> None:
    data = DATA.replace(b"[station]\n", b"[stations\n")
    with pytest.raises(InputError, match=r"stations/XX\.STA\.toml is damaged: its SHA-256 is not that of the manifest"):
        _opened(tmp_path / "b.seisedge", data)


@pytest.mark.parametrize("data", [b"PK\3\4" + bytes(600), b"\x1f\x8b" + bytes(600), bytes(2000), b"x" * 2000])
def test_another_format_is_refused(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(InputError, match="it does not begin as one"):
        _opened(tmp_path / "b.seisedge", data)


def test_a_manifest_of_gigabytes_is_not_read(tmp_path: Path) -> None:
    info = tarfile.TarInfo("manifest.dsse.json")
    info.size = 2**33 - 1
    with pytest.raises(InputError, match="expected 'manifest"):
        _opened(tmp_path / "b.seisedge", info.tobuf(tarfile.USTAR_FORMAT) + bytes(2000))


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "missing.seisedge", tmp_path):
        with pytest.raises(InputError, match="cannot read the bundle"):
            open_bundle(path)
