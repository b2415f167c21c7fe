"""Privacy: messages of the station without what the page must not show: paths, URLs, hosts of sinks, secrets."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

import msgspec

from seisedge.runtime.config import StationConfig
from seisedge.runtime.urls import HIDDEN

MIN_LENGTH = 3  # of a setting that is looked for in messages: a shorter text is part of usual words
PUBLIC_TABLES = ("station", "channels", "trigger", "events", "timeline", "magnitude", "mode", "sensors")

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://\S*|\b(?:file|sds|shake-udp):\S*")
_PATH = re.compile(r"(?<![A-Za-z0-9_*])~?/[^\s:;,'\"()]+(?:/[^\s:;,'\"()]*)*")
_RELATIVE = re.compile(r"\b[\w.-]+/[\w./-]+\.[A-Za-z0-9]{1,12}\b")
_ADDRESS = re.compile(r"\b(?:[0-9]{1,3}\.){3}[0-9]{1,3}(?::[0-9]+)?\b")

_FOLDER = re.compile(r'(?<=[{,])folder="((?:[^"\\]|\\.)*)"')


class Privacy:
    """Replaces texts of the station files, URLs, paths and addresses in messages."""

    def __init__(self, configs: Iterable[StationConfig] = ()) -> None:
        texts = {text for config in configs for text in _private_texts(config)}
        ordered = sorted((text for text in texts if len(text) >= MIN_LENGTH), key=len, reverse=True)
        self._known = re.compile("|".join(map(re.escape, ordered))) if ordered else None

    def shown(self, message: str, sinks: Mapping[str, str] | None = None) -> str:
        """The message with `…` in place of what is private. sinks: see `shown_sinks`."""
        message = self.without_known(message, sinks)
        for pattern in (_URL, _PATH, _RELATIVE, _ADDRESS):
            message = pattern.sub(HIDDEN, message)
        return message

    def shown_in(self, document: Any, sinks: Mapping[str, str]) -> Any:
        """A JSON document with all its texts as `shown`; its keys are left as they are."""
        if isinstance(document, str):
            return self.shown(document, sinks)
        if isinstance(document, dict):
            return {key: self.shown_in(value, sinks) for key, value in document.items()}
        if isinstance(document, list):
            return [self.shown_in(value, sinks) for value in document]
        return document

    def shown_metrics(self, text: str, sinks: Mapping[str, str]) -> str:
        """The text of `/metrics`, in which each folder has a number: two series must not become the same."""
        numbers: dict[str, int] = {}
        text = _FOLDER.sub(lambda match: f'folder="{numbers.setdefault(match[1], len(numbers) + 1)}"', text)
        return self.without_known(text, sinks)

    def without_known(self, text: str, sinks: Mapping[str, str] | None = None) -> str:
        """A text without the names of sinks and the private settings of the station files."""
        for name in sorted(sinks or {}, key=len, reverse=True):
            text = text.replace(name, (sinks or {})[name])
        return text if self._known is None else self._known.sub(HIDDEN, text)


def shown_sinks(names: Iterable[str]) -> dict[str, str]:
    """The kind of each sink by its name, which contains an address or a path; further ones of a kind have a number."""
    shown: dict[str, str] = {}
    for name in names:
        kind = name if name == "standard output" else name.partition(" ")[0]
        number = sum(other.partition(" ")[0] == kind for other in shown.values()) + 1
        shown[name] = kind if number == 1 else f"{kind} {number}"
    return shown


def _private_texts(config: StationConfig) -> Iterator[str]:
    """Texts of the settings of input, output and storage, with the hosts of their URLs."""
    plain: dict[str, Any] = msgspec.to_builtins(config)
    models = plain.pop("models")
    for text in _texts([value for key, value in plain.items() if key not in PUBLIC_TABLES]):
        yield from _parts(text)
    if config.sinks.mqtt is not None:
        yield config.sinks.mqtt.host
        yield config.sinks.mqtt.username or ""
    if config.station is not None and config.station.stationxml:
        yield from _parts(config.station.stationxml)
    for key in ("event_type", "magnitude", "onset", "engine_cache"):
        if models[key] not in (None, "bundled", "none"):
            yield from _parts(models[key])


def _texts(value: Any) -> Iterator[str]:
    """All texts in nested lists and tables."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)


def _parts(text: str) -> Iterator[str]:
    """The text where it may be private, and the host, user and password of a URL."""
    if not re.search(r"[/.:@\\]", text):
        return
    yield text
    try:
        url = urlsplit(text)
        for part in (url.hostname, url.username, url.password, url.netloc):
            if part:
                yield part
    except ValueError:
        return
