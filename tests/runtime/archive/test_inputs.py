"""Which files are read: SDS names, folders, and URLs of the memory file system and of a local object store."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest
from tests.runtime.archive.conftest import STATION, Recording, S

from seisedge.runtime.archive.inputs import LocalFiles, find_inputs, parse_unit, unit_starts
from seisedge.runtime.archive.unit import UnitRequest, analyse
from seisedge.runtime.clock import iso_from_ns, ns_from_iso
from seisedge.runtime.config import StationConfig
from seisedge.runtime.demo import RECORDING
from seisedge.runtime.errors import InputError
from seisedge.runtime.inference.infer import Models

DAY_NS = 86_400 * S
NAME = "2019/PB/B918/EHZ.D/PB.B918..EHZ.D.2019.188"


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    """An empty bucket of an object store on this machine."""
    server = pytest.importorskip("moto.server").ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    try:
        host, port = server.get_host_and_port()
        options = {"key": "a", "secret": "b", "client_kwargs": {"endpoint_url": f"http://{host}:{port}"}}
        fsspec.config.conf["s3"] = options
        fsspec.filesystem("s3").mkdir("bucket")
        yield "s3://bucket"
    finally:
        fsspec.config.conf.pop("s3", None)
        server.stop()


def put(url: str, data: bytes) -> None:
    with fsspec.open(url, "wb") as file:
        file.write(data)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_an_archive_in_a_bucket_is_read(
    bucket: str, recording: Recording, models: Models, config: StationConfig
) -> None:
    few = list(recording.records[: len(recording.records) // 4])
    put(f"{bucket}/sds/{NAME}", b"".join(few))
    put(f"{bucket}/sds/README.txt", b"an archive")
    inputs = find_inputs([f"{bucket}/sds"])
    (file,) = inputs.files[STATION]
    assert (file.url, file.size) == (f"s3://bucket/sds/{NAME}", len(b"".join(few)))
    assert file.mtime is not None and file.day_ns == ns_from_iso("2019-07-07")
    assert inputs.other_files == 1
    request = UnitRequest(STATION, "2019-07-07", file.day_ns, file.day_ns + DAY_NS, config, (file,))
    result = analyse(request, models, LocalFiles())
    assert (result.records, result.faults) == (len(few), {})
    assert result.revisions and result.revisions.keys() <= recording.events.keys()


def test_the_memory_file_system(recording: Recording) -> None:
    put("memory://archive/one.mseed", b"".join(recording.records))
    local = LocalFiles()
    (file,) = find_inputs(["memory://archive"], local=local).files[STATION]
    assert file.low_ns >= recording.first_ns and file.day_ns is None
    assert local(file.url).read_bytes() == b"".join(recording.records)
    with pytest.raises(InputError, match="memory://absent: no such file or folder"):
        find_inputs(["memory://absent"])
    with pytest.raises(InputError, match="nonsense://there: cannot be listed: "):
        find_inputs(["nonsense://there"])


def test_copies_of_remote_files_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("seisedge.runtime.archive.inputs.MAX_COPIES", 2)
    local = LocalFiles()
    paths = []
    for number in range(3):
        put(f"memory://copies/{number}", bytes([number]))
        paths.append(local(f"memory://copies/{number}"))
    assert [path.exists() for path in paths] == [False, True, True]
    assert local("memory://copies/0").read_bytes() == b"\x00"


def test_sds_files_are_placed_by_name_and_others_by_their_records(recording: Recording, tmp_path: Path) -> None:
    for name in (NAME, NAME.replace("188", "190"), NAME.replace("188", "367"), NAME.replace("B918", "B900")):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(recording.records[0])
    inputs = find_inputs([f"sds:{tmp_path}"], stations=["PB.B91?"])
    assert list(inputs.files) == [STATION]
    days = [file.day_ns for file in inputs.files[STATION]]
    assert days == [ns_from_iso("2019-07-07"), ns_from_iso("2019-07-09"), None]  # day 367 is none: its records count
    starts = unit_starts(inputs.files[STATION][:2], DAY_NS)
    assert starts == [ns_from_iso("2019-07-07"), ns_from_iso("2019-07-09")]
    assert len(unit_starts(inputs.files[STATION][:1], parse_unit("6h"))) == 4


@pytest.mark.parametrize("text", ["", "0d", "7h", "5m", "2d", "90", "1w"])
def test_a_unit_divides_a_day(text: str) -> None:
    with pytest.raises(InputError, match=f"--unit {text}: must be 1d or a part of a day"):
        parse_unit(text)


def test_a_record_with_a_broken_clock_plans_its_own_day_alone(tmp_path: Path) -> None:
    """And not each day between."""
    records = RECORDING.read_bytes()[: 512 * 60]
    changed = bytearray(records)
    struct.pack_into(">HH", changed, 512 * 31 + 20, 2055, 100)
    path = tmp_path / "clock.mseed"
    path.write_bytes(changed)
    inputs = find_inputs([str(path)], stations=(), local=LocalFiles(str(tmp_path)))
    days = {iso_from_ns(start)[:10] for files in inputs.files.values() for start in unit_starts(files, DAY_NS)}
    assert days == {"2019-07-07", "2055-04-10"}
    assert [file.url for file in inputs.all_files()] == [str(path)]
