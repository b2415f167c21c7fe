"""Fuzz of what a workstation reads: metadata, HDF5, recipes, catalogues and StationXML, damaged with a fixed seed.

`python -m tests.train.hostile_fuzz KIND,… FIRST LAST` runs the commands on the cases [FIRST, LAST) of the kinds in this
process, within `MEMORY_MIB` and `LIMIT_S` for each case, and prints one line for each: number, exit code, message. A
case that is killed, crashes, takes too long or too much memory ends the process.
"""

from __future__ import annotations

import json
import logging
import re
import resource
import shutil
import signal
import sys
import tempfile
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from click.testing import CliRunner
from tests.train.dataset.sets import make_arrays, make_rows, write_set

from seisedge.cli import main

MEMORY_MIB = 2048
LIMIT_S = 60
RECIPES = Path(__file__).parents[2] / "train" / "seisedge" / "train" / "recipes"
VALUES = [
    "", "nan", "inf", "-inf", "-999", "-9", "0", "-1", "1e-300", "1e300", "1e20", "9" * 40, "1e9", "0.5", "text",
    "true", "\x00", "\x1b[31m", "é" * 50, "../../x", "/etc/passwd", "a" * 10_000, "0000-00-00T00:00:00Z",
    "9999-12-31T23:59:59Z", "2020-01-01T00:00:00Z", "1;2:3-4", "Z:0-50 300-400", "Z:-5-99999999999", "ZNE", "12Z",
    "$0,:3,:6000", "train",
    "test", "earthquake", "noise", "explosion", "1,2", '"', "None", "٣", "1_000", "0x10", "1e5", "-0.0",
]  # fmt: skip
TOML_VALUES = [
    "inf", "nan", "-1", "0", "1e300", "-0.5", "99999999999999999999", "[]", "[1e9]", "[3.0, 1.0]", '""', '"../x"', "{}",
    "true", "[[[]]]", "1979-05-27", '"\\u0000"', "{ pnw = -1.0 }", "[nan]", "1e6", "[0.0, 0.0]", '"plateau"', "2",
]  # fmt: skip

Rng = np.random.Generator


def damaged_bytes(data: bytes, rng: Rng) -> bytes:
    """Some bytes changed, removed, repeated or inserted."""
    out = bytearray(data)
    for _ in range(int(rng.integers(1, 6))):
        at, size = int(rng.integers(0, max(len(out), 1))), int(2 ** rng.integers(0, 10))
        what = rng.integers(5)
        if what == 0 and out:
            out[at % len(out)] = int(rng.integers(256))
        elif what == 1:
            del out[at : at + size]
        elif what == 2:
            out[at:at] = out[at : at + size] * int(rng.integers(1, 4))
        elif what == 3:
            out[at:at] = bytes(rng.integers(0, 256, size, dtype=np.uint8))
        elif out:
            out[at : at + 8] = [b"\xff" * 8, b"\x00" * 8, b"\x7f" + b"\xff" * 7][rng.integers(3)]
    return bytes(out)


def small_set(folder: Path) -> Path:
    rows = make_rows(
        6, source_magnitude=2.0, trace_gain_counts_per_m_s=4e8, station_network_code="XX", station_code="A",
        trace_start_time="2020-01-01T00:00:00Z", source_origin_time="2020-01-01T00:00:12Z", trace_visible="True",
        trace_S_arrival_sample=2600, trace_missing="", trace_component_order="ZNE", source_depth_km=5, split="",
        source_latitude_deg=45, source_longitude_deg=7, trace_onset_sample="", trace_noise_end_sample=1800, fold="",
        source_group="", source_class="", trace_unit="counts", trace_npts=6000, source_magnitude_type="ML",
    )  # fmt: skip
    for i, row in enumerate(rows):
        row["trace_start_time"] = f"2020-01-0{i + 1}T00:00:00Z"
        row["source_origin_time"] = f"2020-01-0{i + 1}T00:00:12Z"
        row["source_type"] = ("earthquake", "quarry blast")[i % 2]
    return write_set(folder, rows, make_arrays(6))


def on_data(data: Path, folder: Path, rng: Rng) -> list[list[str]]:
    """The commands that read a data set; training, which takes longest, for one case in eight."""
    commands = [["dataset", "info", str(data)], ["dataset", "check", str(data)]]
    if rng.random() < 1 / 8:
        commands.append(
            ["train", "magnitude", "--data", str(data), "-o", str(folder / "run"), "--device", "cpu"]
            + [f"--set={key}" for key in ("optimisation.steps=1", "optimisation.batch=2", "arguments.width=4")]
        )
    return commands


def metadata_case(folder: Path, rng: Rng) -> list[list[str]]:
    data = small_set(folder / "mine")
    path = data / "metadata.csv"
    lines = [line.split(",") for line in path.read_text().splitlines()]
    for _ in range(int(rng.integers(1, 5))):
        row = lines[rng.integers(0 if rng.random() < 0.1 else 1, len(lines))]
        row[rng.integers(len(row))] = str(rng.choice(np.array(VALUES, dtype=object)))
    content = "\n".join(map(",".join, lines)).encode()
    path.write_bytes(damaged_bytes(content, rng) if rng.random() < 0.3 else content)
    if rng.random() < 0.1:
        (data / "sources.toml").write_bytes(damaged_bytes(b'[mine]\nlicence = "CC0"\nnot_for.magnitude = ["x"]\n', rng))
    return on_data(data, folder, rng)


def hdf5_case(folder: Path, rng: Rng) -> list[list[str]]:
    data = small_set(folder / "mine")
    path = data / "waveforms.hdf5"
    if rng.random() < 0.6:
        content = path.read_bytes()
        head = damaged_bytes(content[:8000], rng) if rng.random() < 0.7 else content[:8000]
        path.write_bytes(head + (damaged_bytes(content[8000:], rng) if rng.random() < 0.3 else content[8000:]))
        return on_data(data, folder, rng)
    with h5py.File(path, "a") as file:
        for k in range(int(rng.integers(1, 4))):
            name = f"data/t{k}"
            del file[name]
            shape = tuple(int(2 ** rng.integers(0, 44)) for _ in range(rng.integers(0, 4)))
            dtype = str(rng.choice(["i1", "i4", "f8", "f2", "c8", "S3", "u8", "?"]))
            chunks = tuple(min(n, 1000) for n in shape) or None
            if chunks and np.prod(chunks) > 10**6:
                chunks = (1,) * len(shape)
            what = rng.integers(4)
            if what == 0:
                file[name] = h5py.SoftLink(f"/data/t{rng.integers(6)}")
            elif what == 1:
                file[name] = h5py.ExternalLink("other.hdf5", "/x")
            elif what == 2:
                file.create_group(name)
            else:
                file.create_dataset(name, shape=shape, dtype=dtype, chunks=chunks)
        if rng.random() < 0.3:
            del file["data_format"]
            file["data_format"] = np.zeros(3)
    return on_data(data, folder, rng)


def recipe_case(folder: Path, rng: Rng) -> list[list[str]]:
    text = (RECIPES / f"{rng.choice(['event-type', 'magnitude', 'ganet-paper'])}.toml").read_text()
    keys = list(re.finditer(r"^(\w+) = (.*)$", text, re.MULTILINE))
    chosen = keys[rng.integers(len(keys))]
    text = text[: chosen.start(2)] + str(rng.choice(np.array(TOML_VALUES, dtype=object))) + text[chosen.end(2) :]
    path = folder / "recipe.toml"
    path.write_bytes(damaged_bytes(text.encode(), rng) if rng.random() < 0.5 else text.encode())
    commands = [["train", str(path), "--data", str(folder / "missing"), "-o", str(folder / "run")]]
    if rng.random() < 1 / 12 and _is_toml(path):
        small = [f"--set={key}" for key in ("optimisation.steps=1", "optimisation.epochs=0", "optimisation.batch=2")]
        data = str(small_set(folder / "mine"))
        commands.append(["train", str(path), "--data", data, "-o", str(folder / "run"), "--device", "cpu", *small])
    return commands


def _is_toml(path: Path) -> bool:
    try:
        tomllib.loads(path.read_text())
    except ValueError:
        return False
    return True


def build_inputs(folder: Path) -> Path:
    from tests.train.dataset.test_build import made_catalogue, made_stationxml, made_trace

    (folder / "rec").mkdir(parents=True)
    made_trace("HHZ", 0).write(str(folder / "rec" / "z.mseed"), format="MSEED", reclen=512)
    made_catalogue(folder / "catalogue.xml")
    made_stationxml(folder / "stations.xml")
    return folder


def damaged_xml(text: str, rng: Rng) -> bytes:
    """The text of some elements replaced, or bytes changed."""
    for _ in range(int(rng.integers(1, 5))):
        spots = list(re.finditer(r">([^<>\n]+)<|\"([^\"]+)\"", text))
        spot = spots[rng.integers(len(spots))]
        group = 1 if spot[1] is not None else 2
        value = str(rng.choice(np.array(VALUES, dtype=object))).replace("<", "&lt;")
        text = text[: spot.start(group)] + value + text[spot.end(group) :]
    content = text.encode("utf-8", "replace")
    return damaged_bytes(content, rng) if rng.random() < 0.3 else content


def build_command(made: Path, folder: Path, *more: str) -> list[list[str]]:
    catalogue = next(made.glob("catalogue.*"))
    return [
        ["dataset", "build", str(catalogue), str(made / "rec"), "--stations", str(made / "stations.xml"), "-o",
         str(folder / "out"), "--travel-times", "6", *more]
    ]  # fmt: skip


def catalogue_case(folder: Path, rng: Rng) -> list[list[str]]:
    made = build_inputs(folder / "made")
    path = made / "catalogue.xml"
    if rng.random() < 0.6:
        path.write_bytes(damaged_xml(path.read_text(), rng))
        return build_command(made, folder)
    path.unlink()
    rows = [["origin_time", "latitude", "longitude", "depth_km", "event_id", "event_type", "magnitude"]]
    rows += [[f"2020-01-01T00:0{m}:00Z", "45", "7", "5", f"e{m}", "earthquake", "1.5"] for m in (2, 5, 8)]
    for _ in range(int(rng.integers(1, 4))):
        row = rows[rng.integers(len(rows))]
        row[rng.integers(len(row))] = str(rng.choice(np.array(VALUES, dtype=object)))
    content = "\n".join(map(",".join, rows)).encode()
    (made / "catalogue.csv").write_bytes(damaged_bytes(content, rng) if rng.random() < 0.3 else content)
    picks = b"event_id,station,phase,time\ne2,XX.AAA,P,2020-01-01T00:02:03Z\ne5,XX.AAA,S,2020-01-01T00:05:05Z\n"
    (made / "picks.csv").write_bytes(damaged_bytes(picks, rng))
    return build_command(made, folder, *(["--picks", str(made / "picks.csv")] if rng.random() < 0.3 else []))


def stationxml_case(folder: Path, rng: Rng) -> list[list[str]]:
    made = build_inputs(folder / "made")
    path = made / "stations.xml"
    path.write_bytes(damaged_xml(path.read_text(), rng))
    return build_command(made, folder)


KINDS: dict[str, Callable[[Path, Rng], list[list[str]]]] = {
    "metadata": metadata_case,
    "hdf5": hdf5_case,
    "recipe": recipe_case,
    "catalogue": catalogue_case,
    "stationxml": stationxml_case,
}


def outcome(words: list[str]) -> dict[str, Any]:
    """Exit code, last line and fault of a command; the fault is '' if it ended as it must."""
    result = CliRunner().invoke(main, words)
    error = result.exception
    last = (result.stderr.strip().splitlines() or [""])[-1]
    fault = ""
    if error is not None and not isinstance(error, SystemExit):
        fault = f"{type(error).__name__}: {error}"[:300]
    elif result.exit_code not in (0, 1, 2):
        fault = f"exit code {result.exit_code}"
    elif result.exit_code and not last.startswith(("Error: ", "  ")):  # the faults of a station file are indented
        fault = f"not one sentence: {last[:200]}"
    return {"words": words[:2], "exit": result.exit_code, "last": last[:300], "fault": fault}


def run_case(kind: str, number: int) -> list[dict[str, Any]]:
    """The outcome of each command on a case."""
    folder = Path(tempfile.mkdtemp(prefix="seisedge-fuzz-"))
    signal.alarm(LIMIT_S)  # ends the process
    try:
        rng = np.random.default_rng([sorted(KINDS).index(kind), number])
        return [outcome(words) for words in KINDS[kind](folder, rng)]
    finally:
        signal.alarm(0)
        shutil.rmtree(folder)


def run_cases(kind: str, first: int, last: int) -> None:
    limit = MEMORY_MIB * 2**20
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    logging.disable(logging.CRITICAL)
    for number in range(first, last):
        print(json.dumps({"kind": kind, "case": number}), flush=True)
        for found in run_case(kind, number):
            print(json.dumps({"kind": kind, "case": number, **found}), flush=True)


if __name__ == "__main__":
    for each in sys.argv[1].split(","):
        run_cases(each, int(sys.argv[2]), int(sys.argv[3]))
