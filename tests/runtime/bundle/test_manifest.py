"""What a manifest may say."""

import json
from dataclasses import replace
from typing import Any

import pytest
from tests.runtime.bundle.conftest import CONTENTS, manifest_of, with_files

from seisedge.runtime.bundle.manifest import File, manifest_from_bytes

MANIFEST = manifest_of(CONTENTS)
HASH = "0" * 64


def test_read_as_written() -> None:
    assert manifest_from_bytes(MANIFEST.to_bytes()) == MANIFEST
    assert manifest_from_bytes(MANIFEST.to_bytes()).to_bytes() == MANIFEST.to_bytes()


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd", "../a", "a/../b", "a/./b", "./a", "a//b", "a/", "", ".hidden", "a b", "a\\b", "a\nb", "ä", "a:b",
        "a/b/c/d/e/f/g", "x" * 101, "a/" * 5 + "b/c", "-a",
    ],
)  # fmt: skip
def test_a_path_that_leaves_the_folder_or_is_not_plain_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match="is not allowed"):
        with_files(MANIFEST, File(path, 0, HASH))


@pytest.mark.parametrize(
    ("paths", "why"),
    [
        (["a/b", "a/b"], "are the same file"),
        (["a/b", "A/b"], "are the same file on some systems"),
        (["a", "a/b"], "one of its folders is a file"),
        (["a/b", "A"], "one of its folders is a file"),
    ],
)
def test_paths_that_collide_are_refused(paths: list[str], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        with_files(MANIFEST, *(File(path, 0, HASH) for path in paths))


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"serial": 0}, "serial must be 1 or higher"),
        ({"serial": True}, "'serial' has the wrong type"),
        ({"serial": 2**60}, "serial must be"),
        ({"version": "a b"}, "version has the wrong form"),
        ({"built": "yesterday"}, "built has the wrong form"),
        ({"not_after": "2027"}, "not_after has the wrong form"),
        ({"stations": {"XX.STA": "stations/none.toml"}}, "no file of the bundle"),
        ({"stations": {"../x": "stations/XX.STA.toml"}}, "stations: "),
        ({"stations": {"XX.STA": 1}}, "expected text"),
        ({"installed_bytes": -1}, "installed_bytes"),
        ({"extra": 1}, "unknown key 'extra'"),
        ({"schema": "seisedge.bundle/2"}, "upgrade"),
        ({"files": [{"path": "a", "size": -1, "sha256": HASH}]}, "size or sha256"),
        ({"files": [{"path": "a", "size": 1, "sha256": "0" * 63}]}, "size or sha256"),
        ({"files": [{"path": "a", "size": 2**33, "sha256": HASH}], "stations": {}}, "more than 4 GiB"),
        ({"files": [{"path": p, "size": 0, "sha256": HASH} for p in "ba"], "stations": {}}, "not sorted"),
        ({"files": [{"path": f"f{k:05}", "size": 0, "sha256": HASH} for k in range(2001)]}, "at most 2000 files"),
        ({"files": ["a"]}, "a file must be an object"),
    ],
)
def test_other_values_are_refused(change: dict[str, Any], why: str) -> None:
    tree = json.loads(MANIFEST.to_bytes()) | change
    with pytest.raises(ValueError, match=why):
        manifest_from_bytes(json.dumps(tree).encode())


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"machine": "mips"}, "hardware.machine must be one of aarch64, x86_64"),
        ({"python": []}, "hardware.python"),
        ({"python": ["2.7"]}, "hardware.python"),
        ({"python": "3.12"}, "'python' has the wrong type"),
        ({"l4t": ["36"]}, "hardware.l4t has a lowest and a highest"),
    ],
)
def test_other_hardware_is_refused(change: dict[str, Any], why: str) -> None:
    tree = json.loads(MANIFEST.to_bytes())
    tree["hardware"] |= change
    with pytest.raises(ValueError, match=why):
        manifest_from_bytes(json.dumps(tree).encode())


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "no valid JSON"),
        (b"\xff", "no valid JSON"),
        (b"[1]", "must be an object"),
        (b'{"serial": 1, "serial": 2}', "the key 'serial' occurs twice"),
        (b'{"serial": NaN}', "NaN is no number"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"serial": ' + b"9" * 10_000 + b"}", "no valid JSON"),
    ],
)
def test_what_is_no_manifest_is_refused(data: bytes, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        manifest_from_bytes(data)


def test_equal_content_gives_equal_bytes() -> None:
    other = replace(MANIFEST, stations=dict(reversed(MANIFEST.stations.items())))
    assert other.to_bytes() == MANIFEST.to_bytes()
