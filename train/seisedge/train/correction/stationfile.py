"""Set values of one table in a station file; everything else, including comments, is unchanged."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from seisedge.runtime.config import load_config
from seisedge.runtime.errors import InputError
from seisedge.runtime.files import write_atomically

HEADER = re.compile(r"\s*\[[^\]]+\]\s*(#.*)?$")


def with_values(text: str, table: str, values: Mapping[str, str]) -> str:
    """The text of a station file with the values of a table. values: key → number as it is to be written.

    >>> print(with_values("[events]\\n#noise_threshold = 0.0\\n", "events", {"noise_threshold": "0.25"}), end="")
    [events]
    noise_threshold = 0.25
    #noise_threshold = 0.0
    """
    wanted = dict(values)
    lines = text.splitlines()
    places = [i for i, line in enumerate(lines) if re.match(rf"\s*\[\s*{table}\s*\]\s*(#.*)?$", line)]
    if not places:
        blank = [""] if lines and lines[-1].strip() else []
        return "\n".join([*lines, *blank, f"[{table}]", *(f"{k} = {v}" for k, v in wanted.items())]) + "\n"
    begin = places[0] + 1
    end = next((i for i in range(begin, len(lines)) if HEADER.match(lines[i])), len(lines))
    body = lines[begin:end]
    for key, number in list(wanted.items()):
        for i, line in enumerate(body):
            found = re.match(rf"(\s*{key}\s*=\s*)[^#]*?(\s*#.*)?$", line)
            if found:
                body[i] = f"{found[1]}{number}{found[2] or ''}"
                del wanted[key]
                break
    return "\n".join([*lines[:begin], *(f"{k} = {v}" for k, v in wanted.items()), *body, *lines[end:]]) + "\n"


def write_values(station: Path, out: Path, table: str, values: Mapping[str, str]) -> None:
    """Write the edited station file to `out`, which may be the same file, atomically. Raises InputError."""
    text = with_values(station.read_text(encoding="utf-8"), table, values)
    trial = out.with_name(f".{out.name}.trial")  # beside `out`, because the path of a StationXML may be relative to it
    try:
        trial.write_text(text, encoding="utf-8")
        written = getattr(load_config(trial), table)
        if any(getattr(written, key) != float(value) for key, value in values.items()):
            raise InputError(f"{station}: the table [{table}] cannot be edited; set {' and '.join(values)} by hand")
        write_atomically(out, text.encode())
    except OSError as problem:
        raise InputError(f"{out}: cannot be written: {problem.strerror}") from problem
    finally:
        trial.unlink(missing_ok=True)
