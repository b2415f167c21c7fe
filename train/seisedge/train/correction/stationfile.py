"""Set the two magnitude values in a station file; everything else, including comments, is unchanged."""

from __future__ import annotations

import re
from pathlib import Path

from seisedge.runtime.config import load_config
from seisedge.runtime.errors import InputError
from seisedge.runtime.files import write_atomically

TABLE = "[magnitude]"


def with_correction(text: str, value: float, error: float) -> str:
    """The text of a station file with `station_correction` and its error.

    >>> print(with_correction("[magnitude]\\n#station_correction = 0.0\\n", 0.123, 0.04), end="")
    [magnitude]
    station_correction = 0.123
    station_correction_error = 0.040
    #station_correction = 0.0
    """
    wanted = {"station_correction": f"{value:.3f}", "station_correction_error": f"{error:.3f}"}
    lines = text.splitlines()
    header = re.compile(r"\s*\[[^\]]+\]\s*(#.*)?$")
    places = [i for i, line in enumerate(lines) if re.match(r"\s*\[\s*magnitude\s*\]\s*(#.*)?$", line)]
    if not places:
        blank = [""] if lines and lines[-1].strip() else []
        return "\n".join([*lines, *blank, TABLE, *(f"{k} = {v}" for k, v in wanted.items())]) + "\n"
    begin = places[0] + 1
    end = next((i for i in range(begin, len(lines)) if header.match(lines[i])), len(lines))
    body = lines[begin:end]
    for key, number in list(wanted.items()):
        for i, line in enumerate(body):
            found = re.match(rf"(\s*{key}\s*=\s*)[^#]*?(\s*#.*)?$", line)
            if found:
                body[i] = f"{found[1]}{number}{found[2] or ''}"
                del wanted[key]
                break
    return "\n".join([*lines[:begin], *(f"{k} = {v}" for k, v in wanted.items()), *body, *lines[end:]]) + "\n"


def write_correction(station: Path, out: Path, value: float, error: float) -> None:
    """Write the edited station file to `out`, which may be the same file, atomically. Raises InputError."""
    text = with_correction(station.read_text(encoding="utf-8"), value, error)
    trial = out.with_name(f".{out.name}.trial")  # beside `out`, because the path of a StationXML may be relative to it
    try:
        trial.write_text(text, encoding="utf-8")
        written = load_config(trial).magnitude
        if written.station_correction != round(value, 3) or written.station_correction_error != round(error, 3):
            raise InputError(f"{station}: the table [magnitude] cannot be edited; set the two values by hand")
        write_atomically(out, text.encode())
    except OSError as problem:
        raise InputError(f"{out}: cannot be written: {problem.strerror}") from problem
    finally:
        trial.unlink(missing_ok=True)
