"""The files of the page: how much the first load is, and that they need nothing from elsewhere."""

from __future__ import annotations

import re

from seisedge.runtime.http_server.message import Request
from seisedge.runtime.page.assets import FOLDER, INDEX, Assets

MOST_BYTES = 40_000  # compressed
SCRIPTS = sorted(FOLDER.glob("*.js"))


def _sent(name: str) -> bytes:
    return Assets().response(name, Request("GET", "/", {}, {"accept-encoding": "gzip"})).body


def test_the_first_load_is_at_most_40_kb() -> None:
    index = (FOLDER / INDEX).read_text(encoding="utf-8")
    loaded = re.findall(r'(?:href|src)="/assets/([^"]+)"', index)
    assert sorted(loaded) == sorted(path.name for path in FOLDER.iterdir() if path.suffix in (".js", ".css", ".svg"))
    sizes = {name: len(_sent(name)) for name in [INDEX, *loaded]}
    assert sum(sizes.values()) <= MOST_BYTES, sizes
    print(f"first load: {sum(sizes.values())} bytes compressed, {len(sizes)} files")  # 33 kB in November 2026


def test_types_and_comments_are_not_sent_but_all_code_is() -> None:
    assert "types.d.ts" not in Assets().by_name
    for script in SCRIPTS:
        text = script.read_text(encoding="utf-8")
        sent = Assets().by_name[script.name].body.decode()
        assert not re.search(r"^ */\*\*", sent, re.MULTILINE), script.name
        kept = [line for line in text.splitlines() if not re.match(r" *(/\*\*| \*)", line)]
        assert kept == sent.splitlines(), script.name


def test_nothing_is_inline_or_from_elsewhere() -> None:
    index = (FOLDER / INDEX).read_text(encoding="utf-8")
    assert not re.search(r"<style|\sstyle=|\son[a-z]+=|<script(?![^>]*\ssrc=)", index)
    for path in FOLDER.iterdir():
        text = path.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"https?:|@import|innerHTML|\burl\([\"']?//", text), path.name
