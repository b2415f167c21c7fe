"""Progress of long operations on standard error: a bar on a terminal, plain lines otherwise."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sized
from typing import TypeVar

import click

T = TypeVar("T")
Reporter = Callable[[str], None]  # receives messages for the user
LINES = 10  # largest number of lines without a terminal


def progress(items: Iterable[T], what: str, total: int | None = None) -> Iterator[T]:
    """Yield `items` and report the number processed. what: text after it, as in '500 of 1794 records read'."""
    n = total if total is not None else len(items) if isinstance(items, Sized) else 0
    if sys.stderr.isatty():
        with click.progressbar(items, length=n, label=what, file=sys.stderr) as bar:
            yield from bar
        return
    step = max(-(-n // LINES), 1)
    for i, item in enumerate(items, 1):
        yield item
        if i % step == 0 or i == n:
            click.echo(f"{i} of {n} {what}", err=True)
