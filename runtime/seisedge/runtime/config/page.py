"""Settings of the page of the station."""

from __future__ import annotations

from typing import Literal

import msgspec

from seisedge.runtime.addresses import is_loopback
from seisedge.runtime.config.formats import FilePath, HostName, ListenAddress


class PageConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The page of the station: waveforms, events and health in a browser.

    listen: address of the page; None: no page. token_file, access: needed where others than this machine can connect.
    name: host name by which the page is called, besides addresses, localhost and *.local.
    low_rate: updates once a minute, for links that are paid by volume.
    """

    listen: ListenAddress | None = None
    token_file: FilePath | None = None
    access: Literal["token", "open"] = "token"
    name: HostName | None = None
    low_rate: bool = False


def page_fault(config: PageConfig, listen: str | None, setting: str = "page.listen") -> str | None:
    """What is wrong with who may see the page at this address, as a sentence. setting: where the address is given."""
    if config.token_file is not None and config.access == "open":
        return "page.access = 'open' and page.token_file contradict each other: remove one of them"
    if listen is None or is_loopback(listen) or config.token_file is not None or config.access == "open":
        return None
    return (
        f"{setting}: other machines can connect to {listen}: in the station file set page.token_file to a file with a "
        "secret text, or page.access to 'open' to show the page to everybody, or listen on 127.0.0.1"
    )
