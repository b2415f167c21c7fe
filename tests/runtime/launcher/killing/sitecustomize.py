"""Kill this process with signal 9 before change number SEISEDGE_KILL_BEFORE of the files below SEISEDGE_KILL_ROOT.

Python imports this file at its start where its folder is in PYTHONPATH. A change creates, renames or removes a name,
sets its mode, or starts a program. Writing to a file is a change as well; half of the data are written before the kill.
SEISEDGE_KILL_LOG: a file that gets the number of changes at the end of a process that was not killed.
"""

import atexit
import io
import os
import signal
import sys
from pathlib import Path
from typing import Any

ROOT = os.environ["SEISEDGE_KILL_ROOT"]
BEFORE = int(os.environ["SEISEDGE_KILL_BEFORE"])
CHANGES = ("os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.symlink", "os.chmod", "os.link", "os.truncate")
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
count = 0


def _is_last() -> bool:
    """Count a change; True where the process ends before it."""
    global count
    count += 1
    return count > BEFORE


def _kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "open":
        path, _, flags = arguments
        if not isinstance(flags, int) or not flags & WRITES:
            return
    elif event == "subprocess.Popen":
        path = ROOT
    elif event in CHANGES:
        path = arguments[1 if event == "os.symlink" else 0]
    else:
        return
    if not isinstance(path, int) and os.fsdecode(path).startswith(ROOT) and _is_last():
        _kill()


class HalfWritten(io.FileIO):
    def write(self, data: Any, /) -> int:
        if os.fsdecode(self.name).startswith(ROOT) and _is_last():
            super().write(data[: len(data) // 2])
            _kill()
        return super().write(data)


_open = io.open


def _opened(path: Any, mode: str = "r", buffering: int = -1, *rest: Any) -> Any:
    return HalfWritten(path, mode) if (mode, buffering) == ("xb", 0) else _open(path, mode, buffering, *rest)


@atexit.register
def _store() -> None:
    Path(os.environ["SEISEDGE_KILL_LOG"]).write_text(str(count), encoding="ascii")


io.open = _opened  # type: ignore[assignment]
sys.addaudithook(_audit)
