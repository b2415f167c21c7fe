"""`seisedge run --safe-mode`: a station that cannot be started becomes the program that reports the reason."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from seisedge.runtime.config import BUNDLED, load_config
from seisedge.runtime.errors import InputError, SeisedgeError
from seisedge.runtime.output import print_error
from seisedge.runtime.paths import text_of_message


@dataclass(slots=True)
class Start:
    """Whether the run has come up. From then on only wrong input leads to safe mode: a crash is for systemd."""

    up: bool = False


@contextlib.contextmanager
def reported_in_safe_mode(
    enabled: bool, data: Sequence[str], metrics: str | None, others: Sequence[Path | None]
) -> Iterator[Start]:
    """If the block fails before it is up, or with wrong input: replace this process by safe mode.

    data: arguments of the run; the station files among them, what they name and `others` are watched,
    and safe mode starts the command again when one of them changes.
    """
    start = Start()
    if not enabled:
        yield start
        return
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # `systemctl reload` ends safe mode only
    try:
        yield start
    except Exception as error:
        if isinstance(error, BrokenPipeError) or (start.up and not isinstance(error, InputError)):
            raise
        if isinstance(error, SeisedgeError):
            reasons = text_of_message(str(error)).splitlines()
        else:
            print_error(traceback.format_exc().rstrip())
            reasons = [text_of_message(f"{type(error).__name__}: {error}")]
        files = [Path(item) for item in data if item.endswith(".toml")]
        watched = [*files, *(path for path in others if path is not None), *_named_by(files)]
        command = [sys.executable, "-m", "seisedge.runtime.safe_mode"]
        command += [f"--reason={reason.strip()}" for reason in reasons]
        command += [f"--watch={path.absolute()}" for path in watched]
        command += [f"--station-file={path}" for path in files[:1]]
        command += [f"--metrics={metrics}"] if metrics else []
        os.execv(sys.executable, [*command, "--", *sys.orig_argv])


def _named_by(files: Sequence[Path]) -> Iterator[Path]:
    """The StationXML and model files that valid station files name."""
    for path in files:
        with contextlib.suppress(InputError):
            config = load_config(path)
            names = [config.models.event_type, config.models.magnitude, config.models.onset]
            yield from (Path(name) for name in names if name not in (BUNDLED, "none"))
            if config.station is not None and config.station.stationxml:
                yield Path(config.station.stationxml)
