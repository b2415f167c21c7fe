"""What a station file says of its sinks. Secrets are not in it: a file or the environment holds them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import msgspec

from seisedge.runtime.errors import InputError

Seconds = Annotated[float, msgspec.Meta(gt=0, le=600)]


class JsonLinesConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file that is gone on with; see `sinks.jsonl`."""

    path: str
    max_mb: Annotated[float, msgspec.Meta(gt=0)] = 64.0
    keep_files: Annotated[int, msgspec.Meta(ge=0, le=1000)] = 8


class QuakeMLConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A document an event; see `sinks.quakeml`."""

    folder: str
    authority: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9.-]{2,}$")] = "local"


class WebhookConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A POST a revision; see `sinks.webhook`."""

    url: Annotated[str, msgspec.Meta(pattern="^https?://")]
    token_file: str | None = None
    timeout_s: Seconds = 10.0


class MqttConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A message a revision; see `sinks.mqtt`."""

    host: Annotated[str, msgspec.Meta(min_length=1)]
    port: Annotated[int, msgspec.Meta(ge=1, le=65535)] = 1883
    topic: Annotated[str, msgspec.Meta(pattern="^[^+#]+$")] = "seisedge"
    username: str | None = None
    password_file: str | None = None
    tls: bool = False
    ca_file: str | None = None
    timeout_s: Seconds = 10.0


class SinksConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Sinks besides the terminal and `--events`; each at most once a station."""

    jsonl: JsonLinesConfig | None = None
    quakeml: QuakeMLConfig | None = None
    webhook: WebhookConfig | None = None
    mqtt: MqttConfig | None = None


def secret(path: str | None, variable: str) -> str | None:
    """First line of a file, else an environment variable, else None. Raises InputError where a file cannot be read."""
    if path is None:
        return os.environ.get(variable)
    try:
        return Path(path).read_text(encoding="utf-8").splitlines()[0].strip()
    except (OSError, UnicodeDecodeError, IndexError) as error:
        raise InputError(f"{path}: no secret can be read from there: {error}") from error
