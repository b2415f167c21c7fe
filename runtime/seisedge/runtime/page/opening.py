"""Opening the page of a run: its address, who may see it, and whether it shares the port of the metrics."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from seisedge.runtime.config import PageConfig, StationConfig, header_secret, page_fault
from seisedge.runtime.errors import InputError, SeisedgeError
from seisedge.runtime.page.access import Access
from seisedge.runtime.page.page import Page, PageSettings
from seisedge.runtime.page.snippets import Snippets
from seisedge.runtime.service.health import Health
from seisedge.runtime.service.metrics import address_from_text

logger = logging.getLogger(__name__)

NO_PAGE = "no page"
MIN_TOKEN = 16  # characters: not to be found by trying


def open_page(
    health: Health,
    listen: str,
    configs: Sequence[StationConfig] = (),
    metrics: str | None = None,
    events: Path | None = None,
    setting: str = "page.listen",
) -> Page | None:
    """The page at the address `listen`, which `setting` states.

    The other settings are those of the first station file with a [page] table; names are those of all of them. Where
    `metrics` is the same address, the page answers `/healthz` and `/metrics` too. Events of earlier runs are read from
    `events`, a file of JSON lines, and from those of the station files.

    No page stops a station: where it must not be shown to all who could connect, or has no usable token or host, that
    is an error in the log and a reason in `/healthz`, and None is returned. Raises InputError for a text that is no
    address.
    """
    address = address_from_text(listen, setting)
    config = next((config.page for config in configs if config.page != PageConfig()), PageConfig())
    names = [one.page.name for one in configs if one.page.name is not None]
    shared = metrics is not None and address_from_text(metrics) == address
    archive = any(one.archive is not None for one in configs)
    snippets = any(one.snippets is not None for one in configs)
    settings = PageSettings(config.low_rate, snippets, archive, shared)
    files = [Path(one.sinks.jsonl.path) for one in configs if one.sinks.jsonl is not None]
    earlier = list(dict.fromkeys(files + ([events] if events is not None else [])))
    try:
        if fault := page_fault(config, listen, setting):
            raise InputError(fault)
        page = Page(health, configs, Access(names, page_token(config)), settings, _snippets(configs), earlier)
        page.start(address)
    except SeisedgeError as error:
        reason = str(error)
        logger.error("%s: %s", NO_PAGE, reason)
        health.page_faults = lambda: [f"{NO_PAGE}: {reason}"]
        return None
    health.page_faults = page.faults
    return page


def _snippets(configs: Sequence[StationConfig]) -> Snippets | None:
    """What is stored of the stations; None where nothing is."""
    if all(one.snippets is None and one.archive is None for one in configs):
        return None
    from seisedge.runtime.snippets.library import SnippetLibrary

    return SnippetLibrary({str(one.station_id): one for one in configs})


def page_token(config: PageConfig) -> str | None:
    """The token of the page. Raises InputError where its file cannot be read or it is too short."""
    if config.token_file is None:
        return None
    token = header_secret(config.token_file, "page.token_file")
    if token is None or len(token) < MIN_TOKEN:
        raise InputError(
            f"page.token_file: the token in {config.token_file} has fewer than {MIN_TOKEN} characters; make one with "
            "`od -An -tx1 -N24 /dev/urandom | tr -d ' \\n'`"
        )
    return token
