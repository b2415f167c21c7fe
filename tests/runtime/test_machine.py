"""The memory that a process may use, as the kernel reports it."""

import importlib.metadata
from pathlib import Path

import pytest

from seisedge.runtime import machine
from seisedge.runtime.machine import memory_limit_mib

MIB = 2**20


def _written(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return root


MEMINFO = {"proc/meminfo": "MemTotal:        1048576 kB\nMemFree:  1 kB\n"}
UNIT = "system.slice/system-seisedge.slice/seisedge@B918.service"


@pytest.mark.parametrize(
    ("files", "mib"),
    [
        (MEMINFO, 1024),
        (MEMINFO | {"proc/self/cgroup": "0::/\n"}, 1024),
        (MEMINFO | {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": f"{300 * MIB}\n"}, 300),
        (
            MEMINFO | {"proc/self/cgroup": f"0::/{UNIT}\n", f"sys/fs/cgroup/{UNIT}/memory.max": f"{512 * MIB}\n"},
            512,
        ),
        (
            MEMINFO
            | {
                "proc/self/cgroup": f"0::/{UNIT}\n",
                f"sys/fs/cgroup/{UNIT}/memory.max": "max\n",
                "sys/fs/cgroup/system.slice/memory.max": f"{700 * MIB}\n",
            },
            700,
        ),
        (
            MEMINFO
            | {
                "proc/self/cgroup": "5:cpu,cpuacct:/a\n4:memory:/a/b\n",
                "sys/fs/cgroup/memory/a/b/memory.limit_in_bytes": f"{256 * MIB}\n",
            },
            256,
        ),
        ({}, None),
    ],
    ids=["machine", "no limit", "container", "unit", "slice", "version 1", "no proc"],
)
def test_the_smallest_limit_counts(tmp_path: Path, files: dict[str, str], mib: float | None) -> None:
    assert memory_limit_mib(_written(tmp_path, files)) == mib


def test_this_machine() -> None:
    assert (memory_limit_mib() or 0) > 64


@pytest.mark.parametrize(
    ("stated", "command"),
    [
        (None, "pip install 'seisedge[train]'"),
        (
            '{"url": "file:///home/me/my%20clone", "dir_info": {"editable": true}}',
            "pip install -e '/home/me/my clone[train]'",
        ),
        ('{"url": "file:///srv/seisedge", "dir_info": {}}', "pip install '/srv/seisedge[train]'"),
        (
            '{"url": "https://example.org/seisedge-1-py3-none-any.whl", "archive_info": {}}',
            "pip install 'seisedge[train] @ https://example.org/seisedge-1-py3-none-any.whl'",
        ),
        ("no JSON", "pip install 'seisedge[train]'"),
    ],
)
def test_the_command_that_installs_an_extra(monkeypatch: pytest.MonkeyPatch, stated: str | None, command: str) -> None:
    """It names the place from which seisedge was installed: an index need not have it."""

    class Installed:
        def read_text(self, name: str) -> str | None:
            return stated if name == "direct_url.json" else None

    monkeypatch.setattr(importlib.metadata, "distribution", lambda _: Installed())
    assert machine.install_command("train") == command
