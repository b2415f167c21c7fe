"""Protection of files and folders that exist already: a command replaces them only with `--overwrite`."""

from __future__ import annotations

from pathlib import Path

import click

from seisedge.runtime.errors import InputError

overwrite_option = click.option("--overwrite", is_flag=True, help="Replace an existing result.")


def protect_file(path: Path, overwrite: bool, option: str = "-o") -> None:
    """Raise InputError if `path` exists and `overwrite` is false, or if it is a folder. option: that sets the path."""
    if path.is_dir():
        raise InputError(f"{path}: is a folder; {option} must be a file")
    if not overwrite and (path.exists() or path.is_symlink()):
        raise InputError(f"{path}: already exists; give another file with {option}, or --overwrite to replace it")


def protect_folder(path: Path, overwrite: bool | None = None, results: tuple[str, ...] = ()) -> None:
    """Raise InputError if `path` is a file, or if it is a folder with content and `overwrite` is not true.

    overwrite: None for a command without that option. results: names that make the content a result of the command;
    the message then calls it so.
    """
    if path.is_symlink() and not path.exists():
        raise InputError(f"{path}: is a link to a missing target; -o must be a folder")
    if path.exists() and not path.is_dir():
        raise InputError(f"{path}: is a file; -o must be a folder")
    if overwrite or not path.is_dir() or not any(path.iterdir()):
        return
    found = next((name for name in results if (path / name).exists()), None)
    what = "is not empty" if found is None else f"already contains a result ({found})"
    remedy = "remove the folder" if overwrite is None else "--overwrite to replace it"
    raise InputError(f"{path}: {what}; give another folder with -o, or {remedy}")
