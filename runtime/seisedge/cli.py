"""The `seisedge` command: a lazy click group, which imports a command only when it is used."""

from __future__ import annotations

import errno
import importlib
import io
import json
import logging
import sys
import traceback
import warnings
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import TextIO

import click

from seisedge.runtime.errors import FailedError, InputError, SeisedgeError
from seisedge.runtime.machine import install_command
from seisedge.runtime.output import print_error
from seisedge.runtime.paths import PRINTABLE, text_of_message
from seisedge.runtime.suggestion import suggestion
from seisedge.runtime.text import shortened

# command → module and attribute, the extra it needs, one line of help
COMMANDS: dict[str, tuple[str, str | None, str]] = {
    "demo": ("seisedge.runtime.commands.demo:command", None, "Replay the bundled recording through a station."),
    "run": ("seisedge.runtime.commands.run:command", None, "Read a stream or files and emit events."),
    "replay": (
        "seisedge.runtime.commands.replay:command",
        None,
        "Serve recorded data over SeedLink: a virtual digitizer.",
    ),
    "config": ("seisedge.runtime.commands.config:command", None, "Write and check station files."),
    "state": ("seisedge.runtime.commands.state:command", None, "Inspect, copy and move the state of a run."),
    "inspect": ("seisedge.runtime.commands.inspect:command", None, "Print the card of a model file."),
    "bench": ("seisedge.runtime.commands.bench:command", None, "Measure latency, FLOPs and memory of models."),
    "flash": ("seisedge.runtime.commands.flash:command", "flash", "Make, sign and compare bundles for stations."),
    "archive": (
        "seisedge.runtime.commands.archive:command",
        "archive",
        "Turn years of a network into tables of events.",
    ),
    "doctor": (
        "seisedge.runtime.commands.doctor:command",
        None,
        "Check this machine: packages, engines, clock, disk.",
    ),
    "dataset": ("seisedge.train.commands.dataset:command", "train", "Build, check and describe training sets."),
    "train": ("seisedge.train.commands.train:command", "train", "Train a model from a recipe."),
    "evaluate": (
        "seisedge.train.commands.evaluate:command",
        "train",
        "Measure a model on events not used for training.",
    ),
    "study": ("seisedge.train.commands.study:command", "train", "Train and compare the tables of the seed papers."),
    "calibrate": ("seisedge.train.commands.calibrate:command", "train", "Fit a station's magnitude correction."),
    "export": ("seisedge.export.commands.export:command", "export", "Export a training run as a model file."),
    "compile": ("seisedge.export.commands.compile:command", None, "Build TensorRT engines of model files."),
    "prune": ("seisedge.export.commands.prune:command", "export", "Make a smaller run that passes the gate."),
    "quantize": (
        "seisedge.export.commands.quantize:command",
        "export",
        "Convert a model to fp16 or int8, with the gate.",
    ),
    "release": ("seisedge.export.commands.release:command", "export", "Make model files, page and checksums of a run."),
    "gate": ("seisedge.export.commands.gate:command", "export", "Compare a model with the one it was made from."),
}
EXTRAS_OF = {
    "torch": "train",
    "h5py": "train",
    "obspy": "train",
    "matplotlib": "train",
    "onnx": "export",
    "onnxscript": "export",
    "securesystemslib": "flash",
    "cryptography": "flash",
    "distributed": "archive",
    "fsspec": "archive",
    "pyarrow": "archive",
}

HELP_OF_EXTRAS = "runtime/commands/help_of_extras.json"  # made by `make docs`

# Errors of the disk, which every command reports in one sentence, and what to do
DISK_ERRORS = {
    errno.ENOSPC: "free some space, and repeat the command",
    errno.EDQUOT: "free some space, and repeat the command",
    errno.EFBIG: "the limit of the size of a file was reached; raise it, and repeat the command",
    errno.EROFS: "choose another place",
    errno.EACCES: "change the permissions, or choose another place",
    errno.EPERM: "change the permissions, or choose another place",
    errno.EIO: "check the disk",
    errno.ENOTDIR: "a part of the path is a file; choose another place",
    errno.EISDIR: "give a file, not a folder",
    errno.EEXIST: "choose another place",
    errno.ENOENT: "create the folder, or choose another place",
    errno.ENOTEMPTY: "choose an empty folder",
    errno.ELOOP: "a link leads to itself; choose another place",
    errno.EAGAIN: "another process writes there; wait until it ends, or choose another place",
}

EPILOG = """\b
Examples:
  seisedge demo
  seisedge run recording.mseed --events events.jsonl
"""


class MissingExtra(click.ClickException):
    """A command needs a package of an extra that is not installed."""


def _help_without_extra(args: list[str]) -> str:
    """The help of a command that cannot be imported, as it was when this version was made."""
    texts = json.loads((Path(__file__).parent / HELP_OF_EXTRAS).read_text(encoding="utf-8"))
    words = [arg for arg in args if not arg.startswith("-")]
    found: str = texts.get(" ".join(words[:2]), texts[words[0]])
    return found


class LazyGroup(click.Group):
    """Finds commands by name; a command is imported with its dependencies when it is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        module, extra, _ = COMMANDS[name]
        module, _, attribute = module.partition(":")
        try:
            command: click.Command = getattr(importlib.import_module(module), attribute)
        except ModuleNotFoundError as error:
            root = (error.name or "").partition(".")[0]
            if extra is None or root not in EXTRAS_OF:
                raise
            raise MissingExtra(f"'seisedge {name}' needs {root}; {install_command(extra)}") from None
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            raise click.UsageError(f"no command '{args[0]}'; {suggestion(args[0], COMMANDS)}", ctx)
        if args and args[0] in COMMANDS and COMMANDS[args[0]][1] is not None:  # the long commands of a workstation
            from seisedge.runtime.commands._stopped import stops_on_signals

            ctx.with_resource(stops_on_signals())
        try:
            return super().resolve_command(ctx, args)
        except MissingExtra as error:
            if not {"-h", "--help"} & set(args):
                raise
            click.echo(f"{_help_without_extra(args)}\n\n{error.message}")
            ctx.exit(0)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, _, text) in COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except SeisedgeError as error:
            print_error(f"Error: {text_of_message(str(error))}")
            ctx.exit(error.exit_code)
        except ModuleNotFoundError as error:  # an extra that only a part of a command needs
            root = (error.name or "").partition(".")[0]
            if root not in EXTRAS_OF:
                raise
            name = f"seisedge {ctx.invoked_subcommand or ''}".strip()
            print_error(f"Error: '{name}' needs {root}; {install_command(EXTRAS_OF[root])}")
            ctx.exit(1)
        except OSError as error:
            if error.errno == errno.ENAMETOOLONG and error.filename is not None:
                print_error(f"Error: {shortened(str(error.filename))}: no file can have a name of this length")
                ctx.exit(InputError.exit_code)
            if error.errno not in DISK_ERRORS:
                raise
            where = "" if error.filename is None else f"{shortened(str(error.filename), 300)}: "
            print_error(f"Error: {where}{error.strerror}; {DISK_ERRORS[error.errno]}")
            ctx.exit(FailedError.exit_code)
        except KeyboardInterrupt as error:
            number = getattr(error, "exit_code", None)  # of `Stopped`, which is imported where it can occur
            if number is None:
                raise
            print_error(f"Error: stopped by {error}")
            ctx.exit(number)


class _Formatter(logging.Formatter):
    """A log line in which every name is printable."""

    def format(self, record: logging.LogRecord) -> str:
        return text_of_message(super().format(record))


def _print_exception(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """A traceback on standard error; a reader that has stopped must not keep a process that has failed."""
    print_error("".join(traceback.format_exception(kind, error, trace)).rstrip())


def _log_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Write a Python warning of a library as one line of the log, for those who ask for more with -v."""
    place = f"{Path(filename).name}:{lineno}"
    logging.getLogger(__name__).info("%s: %s: %s", place, category.__name__, " ".join(str(message).split()))


@click.group(cls=LazyGroup, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(version("seisedge"), prog_name="seisedge")
@click.option("-v", "--verbose", count=True, help="Log more; twice for debugging.")
def main(verbose: int) -> None:
    """Classify seismic events and estimate their magnitude at the station, from raw counts."""
    level = (logging.WARNING, logging.INFO, logging.DEBUG)[min(verbose, 2)]
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=PRINTABLE)  # a name that the terminal cannot show must not end a run
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Formatter("%(levelname)s %(message)s"))
    logging.basicConfig(handlers=[handler], level=level)
    sys.excepthook = _print_exception
    warnings.showwarning = _log_warning


if __name__ == "__main__":
    main()
