"""SeedLink URLs."""

from __future__ import annotations

import pytest

from seisedge.runtime.clock import ns_from_iso
from seisedge.runtime.errors import InputError
from seisedge.runtime.sources._server_url import ServerAddress, address_from_url


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("seedlink://host", ServerAddress("host", 18_000, (), (), None)),
        ("seedlink://[::1]:18001/", ServerAddress("::1", 18_001, (), (), None)),
        (
            "seedlink://host:18001/PB_B918,PB_B921?select=EH?,!EHZ,00HH?.D&from=earliest",
            ServerAddress("host", 18_001, (("PB", "B918"), ("PB", "B921")), ("EH?", "!EHZ", "00HH?.D"), "earliest"),
        ),
        (
            "seedlink://host/*_*?from=2019-07-07T08:16:00Z",
            ServerAddress("host", 18_000, (("*", "*"),), (), ns_from_iso("2019-07-07T08:16:00")),
        ),
        ("seedlink://host/?from=latest", ServerAddress("host", 18_000, (), (), "latest")),
        (
            "seedlink://host/?protocol=4&select=00_B_H_?,!*_E_H_Z",
            ServerAddress("host", 18_000, (), ("00_B_H_?", "!*_E_H_Z"), None, 4),
        ),
    ],
)
def test_valid_urls(url: str, address: ServerAddress) -> None:
    assert address_from_url(url) == address


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("seedlink://", "a host must follow"),
        ("seedlink:///PB_B918", "a host must follow"),
        ("seedlink://host:0", "the port must be a number from 1 to 65535"),
        ("seedlink://host:99999", "the port must be a number from 1 to 65535"),
        ("seedlink://host:abc", "the port must be a number from 1 to 65535"),
        ("seedlink://host/B918", "'B918' is not a station; write NET_STA"),
        ("seedlink://host/PB_B918/EHZ", "is not a station"),
        ("seedlink://host?selekt=…", "unknown key 'selekt'; did you mean 'select'?"),
        ("seedlink://host?select=EHZZZZ", "select=EHZZZZ is not a channel pattern"),
        ("seedlink://host?from=yesterday", "from=yesterday must be 'earliest', 'latest' or a time"),
        ("seedlink://host?from=2019-13-01", "from=2019-13-01 must be"),
        ("seedlink://host?from=", "from= must be"),
        ("seedlink://host?protocol=5", "protocol=5 must be 3 or 4"),
        ("seedlink://host?select=E_H_Z", "select=E_H_Z is not a channel pattern"),
        ("seedlink://host/PB_B918#…", "no part after '#'"),
        ("seedlink://[::1/PB_B918", "not an IPv6 address in brackets"),
        ("seedlink://dig..example.org/PB_B918", "the host 'dig..example.org' has an empty part"),
        (f"seedlink://{'a' * 64}.org/PB_B918", "is longer than 63 characters"),
    ],
)
def test_invalid_urls(url: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        address_from_url(url)
    assert message in str(caught.value)
    assert str(caught.value).startswith(url) and "\n" not in str(caught.value)
