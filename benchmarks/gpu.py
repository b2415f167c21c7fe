"""All that an NVIDIA card can show, in at most eight minutes: `make gpu`, or `python benchmarks/gpu.py [--dry]`.

Steps, each in its own process with a time limit: the tests that need a card; peak rates of the card; training
throughput beside SeisBench, with its share of the peak; the shipped recipes trained to the end; inference by torch and
by the engines that run there; copies through pycuda. A step that fails or runs too long is reported as such, and the
next one runs. The result is `benchmarks/results/DATE-CARD.md` (`--out FILE` for another place). `--dry` runs the same
steps on the CPU with few batches and steps, so that the script is known to work when a card is lent; its figures mean
nothing, and it writes only where `--out` says.

A bare machine needs torch, nvcc and this repository. What it lacks travels as wheels: `--collect DIR` downloads them
here (for the same Python and platform), and `--wheels DIR` installs them there into a folder, without a network.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
LIMIT_S = 480.0
DRY_LIMITS = 20  # times as long where no card is paid for
RECIPES = ("event-type", "magnitude", "onset")  # of the shipped models
PACKAGES = (  # with what they need themselves, but without numpy and torch, which a machine with torch has
    "click", "msgspec", "pymseed", "cffi", "pycparser", "onnxruntime", "flatbuffers", "protobuf", "packaging",
    "h5py", "scipy",
    "obspy", "lxml", "sqlalchemy", "decorator", "requests", "urllib3", "certifi", "idna", "charset-normalizer",
    "matplotlib", "contourpy", "cycler", "fonttools", "kiwisolver", "pillow", "pyparsing", "python-dateutil", "six",
    "onnx", "onnxscript", "onnx-ir", "ml-dtypes", "pytest", "pluggy", "iniconfig", "pygments",
    "seisbench", "pandas", "tqdm", "nest-asyncio", "bottleneck", "pycuda", "pytools", "platformdirs", "siphash24",
    "setuptools", "wheel",  # pycuda is built on the machine with the card
)  # fmt: skip
ROOTS = ("runtime", "train", "export", ".")


@dataclass(frozen=True)
class Step:
    """One process. limit_s: also cut to what is left of LIMIT_S."""

    title: str
    command: list[str]
    limit_s: float


def steps(device: str, dry: bool, folder: Path) -> list[Step]:
    """All steps in the order of their worth."""
    python = sys.executable
    probe = [python, "-m", "benchmarks.gpu_probe"]
    small = ["--dry"] if dry else []
    training = [python, "-m", "benchmarks.training", "--device", device]
    few = ["--set", "optimisation.steps=2", "--limit", "60"] if dry else []
    found = [
        Step(
            "Tests that need a card",
            [python, "-m", "pytest", "tests/train/test_cuda.py", "-q", "-rs", "-p", "no:cacheprovider"],
            90,
        ),
        Step("Peak rates of the card", [*probe, "peak", "--device", device, *small], 40),
        Step(
            "Training throughput",
            [*training, *(["--rounds", "1", "--batches", "1"] if dry else ["--rounds", "1"])],
            120,
        ),
        Step("Training, share of the peak", [*probe, "training", "--device", device, *small], 60),
        Step("Inference", [*probe, "inference", "--device", device, *small], 60),
    ]
    for recipe in RECIPES:
        command = [python, "-m", "seisedge.cli", "train", recipe, "--data", "datasets", "--device", device]
        found.append(Step(f"Recipe {recipe}, to the end", [*command, "-o", str(folder / recipe), *few], 120))
    return found


def chosen(found: list[Step], words: list[str] | None) -> list[Step]:
    """The steps with one of these words in their title; all without words. Exits where a word fits none."""
    for word in words or []:
        if not any(word.lower() in step.title.lower() for step in found):
            sys.exit(f"--only {word}: no such step; the steps are: {'; '.join(step.title for step in found)}")
    return [step for step in found if not words or any(word.lower() in step.title.lower() for word in words)]


def run(step: Step, limit_s: float) -> tuple[str, float, list[str]]:
    """Outcome, seconds and the last lines of a step."""
    began = time.monotonic()
    process = subprocess.Popen(
        step.command,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env=environment(),
        start_new_session=True,
    )
    try:
        output, _ = process.communicate(timeout=max(limit_s, 1.0))
        outcome = "done" if process.returncode == 0 else f"failed with exit code {process.returncode}"
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)  # with its workers
        output, _ = process.communicate()
        outcome = f"not finished in {limit_s:.0f} s"
    lines = [line.rpartition("\r")[2].rstrip() for line in output.splitlines()]
    return outcome, time.monotonic() - began, [line for line in lines if line][-25:]


def environment() -> dict[str, str]:
    """With the three halves of the package, and the folder of the wheels, on the path."""
    paths = [str(ROOT / name) for name in ROOTS]
    return os.environ | {
        "PYTHONPATH": os.pathsep.join([*paths, *filter(None, [os.environ.get("PYTHONPATH", "")])]),
        "ORT_DISABLE_TELEMETRY": "1",
    }


def machine_lines(device: str) -> list[str]:
    """Card, driver, compiler, torch."""
    lines = [f"- Python {platform.python_version()} on {platform.platform()}, {os.cpu_count()} processors"]
    for what, command in (
        (
            "card",
            [
                "nvidia-smi",
                "--query-gpu=name,driver_version,memory.total,clocks.max.sm,power.limit",
                "--format=csv,noheader",
            ],
        ),
        ("nvcc", ["nvcc", "--version"]),
        ("torch", [sys.executable, "-c", "import torch; print(torch.__version__, 'CUDA', torch.version.cuda)"]),
    ):
        if shutil.which(command[0]) is None:
            lines.append(f"- {what}: {command[0]} is not installed")
            continue
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        lines.append(
            f"- {what}: {(done.stdout or done.stderr).strip().splitlines()[-1:] or ['no answer']}".replace(
                "['", ""
            ).replace("']", "")
        )
    return [*lines, f"- device: {device}"]


def card_name(dry: bool) -> str:
    """For the file name."""
    if dry:
        return "dry"
    done = subprocess.run(
        ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"], capture_output=True, text=True, check=False
    )
    return re.sub(r"[^a-z0-9]+", "-", done.stdout.splitlines()[0].lower()).strip("-") if done.stdout else "unknown"


def install(wheels: Path, folder: Path) -> None:
    """Install the packages into a folder, without a network; pycuda is built with the nvcc that is there, if any."""
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--target", str(folder)]
    subprocess.run([*pip, *sorted(map(str, wheels.glob("*.whl")))], check=True)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    described = folder / f"{project['name']}-{project['version']}.dist-info"  # seisedge asks for its own version
    described.mkdir()
    text = f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    (described / "METADATA").write_text(text, encoding="utf-8")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH", ""), str(folder)]))
    for source in sorted(wheels.glob("*.tar.gz")):
        done = subprocess.run([*pip, "--no-build-isolation", str(source)], check=False)
        if done.returncode:
            print(f"{source.name}: cannot be built here; what needs it is left out", flush=True)


def main() -> None:
    """Run all steps and write the result; exits 1 if a step failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dry", action="store_true", help="on the CPU, with few batches: does the script work?")
    parser.add_argument("--out", type=Path, help="file of the result")
    parser.add_argument(
        "--collect", type=Path, metavar="DIR", help="only download the wheels that a bare machine lacks"
    )
    parser.add_argument("--wheels", type=Path, metavar="DIR", help="install these wheels first")
    parser.add_argument("--only", action="append", metavar="WORD", help="only steps with this in the title; repeatable")
    arguments = parser.parse_args()
    if arguments.collect:
        command = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "--quiet",
            "--no-deps",
            "-d",
            str(arguments.collect),
            *PACKAGES,
        ]
        sys.exit(subprocess.run(command, check=False).returncode)
    began, device = time.monotonic(), "cpu" if arguments.dry else "cuda"
    longer = DRY_LIMITS if arguments.dry else 1
    with tempfile.TemporaryDirectory(prefix="seisedge-gpu-") as name:
        plan = chosen(steps(device, arguments.dry, Path(name)), arguments.only)
        if arguments.wheels:
            install(arguments.wheels, Path(name) / "packages")
        date = time.strftime("%Y-%m-%d", time.gmtime())
        lines = [f"# {'Dry run' if arguments.dry else 'NVIDIA card'}, {date}", "", *machine_lines(device)]
        failed = 0
        for step in plan:
            left_s = longer * LIMIT_S - (time.monotonic() - began)
            outcome, seconds, output = (
                run(step, min(longer * step.limit_s, left_s)) if left_s > 1 else ("no time left", 0.0, [])
            )
            failed += outcome.startswith("failed")
            print(f"{step.title}: {outcome}, {seconds:.0f} s", flush=True)
            lines += ["", f"## {step.title}", "", f"{outcome}, {seconds:.0f} s", "", "```", *output, "```"]
        lines += ["", f"{time.monotonic() - began:.0f} s in all"]
    out = arguments.out or (
        None if arguments.dry else ROOT / "benchmarks" / "results" / f"{date}-{card_name(arguments.dry)}.md"
    )
    if out is None:
        print("\n".join(lines))
    else:
        out.write_text("\n".join([*lines, ""]), encoding="utf-8")
        print(f"{out} written, {time.monotonic() - began:.0f} s in all")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
