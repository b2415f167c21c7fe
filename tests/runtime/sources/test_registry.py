"""The source for a URL or path."""

from __future__ import annotations

from pathlib import Path

import pytest

from seisedge.runtime.errors import InputError
from seisedge.runtime.sources import known_schemes, open_source, register_source
from seisedge.runtime.sources.miniseed import MiniSeedSource
from seisedge.runtime.sources.seedlink import SeedLinkSource


def test_built_in_sources() -> None:
    assert set(known_schemes()) >= {"file", "sds", "seedlink"}


def test_paths_need_no_scheme() -> None:
    assert isinstance(open_source("a.mseed"), MiniSeedSource)
    assert isinstance(open_source(Path("a.mseed")), MiniSeedSource)
    assert isinstance(open_source(["a.mseed", "b.mseed"]), MiniSeedSource)


def test_options_reach_the_source() -> None:
    source = open_source("seedlink://h/PB_B918", until_end=True, connect_timeout_s=3, resume={"PB.B918": "00000A"})
    assert isinstance(source, SeedLinkSource)
    assert source.options.until_end and source.options.connect_timeout_s == 3
    assert source.live


def test_a_file_with_a_colon_in_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("08:16.mseed").write_bytes(b"")
    Path("xx:16.mseed").write_bytes(b"")
    assert isinstance(open_source("08:16.mseed"), MiniSeedSource)
    assert isinstance(open_source("xx:16.mseed"), MiniSeedSource)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("seedlnk://host", ["unknown kind of source 'seedlnk'; did you mean 'seedlink'?"]),
        ("gopher://host", ["unknown kind of source 'gopher'", "known: "]),
        ("", ["the source is empty"]),
        ("file:", ["a path must follow"]),
        ("sds:/no/such/folder", ["is not a folder"]),
    ],
)
def test_invalid_urls(url: str, words: list[str]) -> None:
    with pytest.raises(InputError) as caught:
        open_source(url)
    assert all(word in str(caught.value) for word in words)
    assert url in str(caught.value)


def test_urls_cannot_be_combined() -> None:
    with pytest.raises(InputError, match="cannot be combined"):
        open_source(["a.mseed", "seedlink://host"])


def test_a_second_source_of_a_scheme_is_refused() -> None:
    known_schemes()
    with pytest.raises(ValueError, match="'file' is already registered"):
        register_source("file")(lambda url, options: MiniSeedSource([url]))
