"""Settings of the sinks. A station file holds no secrets: they are read from a file or from the environment."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from seisedge.runtime.config.conditions import Conditions, SettledConditions
from seisedge.runtime.config.formats import FilePath, HostName, WebUrl
from seisedge.runtime.errors import InputError

# A tenth of a second is one round trip to a distant server; a sink that waits ten minutes for one line falls behind.
Seconds = Annotated[float, msgspec.Meta(ge=0.1, le=600)]

# What the texts with a pattern must be, for messages and the JSON Schema.
RIGHTS = "octal rights in which the owner reads and writes, and group and others read, write or neither"
AUTHORITY = r"^[A-Za-z0-9][A-Za-z0-9.-]{2,252}$"
AUTHORITY_WORDS = "a domain name, or 'local'"
TOPIC = "an MQTT topic without the wildcards + and #"
TEMPLATE = (
    "an MQTT topic with {kind} and {station}, or {kind}, {network} and {code}; {topic} is sinks.mqtt.topic, and the "
    "wildcards + and # are not allowed"
)
_FIELDS = r"(\{(topic|station|network|code|kind)\}|[^+#{}])"

# Rights of files that are created, in octal. The owner reads and writes; group and others read, write or neither.
FileMode = Annotated[str, msgspec.Meta(pattern="^06[046][046]$", max_length=4, description=RIGHTS, examples=["0640"])]


class JsonLinesConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """JSON lines appended to a file, which is rotated by size; see `sinks.jsonl`."""

    path: FilePath
    max_mb: Annotated[float, msgspec.Meta(ge=0.001, le=1_000_000)] = 64.0  # 1 kB, a line, to 1 TB, a disk
    keep_files: Annotated[int, msgspec.Meta(ge=0, le=1000)] = 8
    file_mode: FileMode = "0600"


class QuakeMLConfig(SettledConditions, frozen=True, forbid_unknown_fields=True):
    """One QuakeML document per event, with the newest revision that meets the conditions; see `sinks.quakeml`."""

    folder: FilePath
    authority: Annotated[
        str, msgspec.Meta(pattern=AUTHORITY, max_length=253, description=AUTHORITY_WORDS, examples=["example.org"])
    ] = "local"
    file_mode: FileMode = "0600"
    # a day to ten years; None: documents are never removed
    keep_days: Annotated[float, msgspec.Meta(ge=1, le=3650)] | None = None


class WebhookConfig(SettledConditions, frozen=True, forbid_unknown_fields=True):
    """One HTTP POST per revision of an event that meets the conditions; see `sinks.webhook`."""

    url: WebUrl
    token_file: FilePath | None = None
    timeout_s: Seconds = 10.0


class MqttConfig(Conditions, frozen=True, forbid_unknown_fields=True):
    """One MQTT message per revision of an event that meets the conditions; see `sinks.mqtt`."""

    host: HostName
    port: Annotated[int, msgspec.Meta(ge=1, le=65535)] = 1883
    topic: Annotated[
        str, msgspec.Meta(pattern="^[^+#]+$", max_length=256, description=TOPIC, examples=["seisedge"])
    ] = "seisedge"
    topic_template: Annotated[
        str,
        msgspec.Meta(
            pattern=rf"^(?=.*\{{kind\}})(?=.*(\{{station\}}|\{{network\}}.*\{{code\}}|\{{code\}}.*\{{network\}})){_FIELDS}+$",
            max_length=256,
            description=TEMPLATE,
            examples=["{topic}/{station}/{kind}"],
        ),
    ] = "{topic}/{station}/{kind}"
    qos: Literal[0, 1, 2] = 1  # of events
    heartbeat_s: Annotated[float, msgspec.Meta(ge=0, le=86_400)] = 60.0  # 0: no messages about the health
    home_assistant: (
        Annotated[str, msgspec.Meta(pattern="^[^+#]+$", max_length=256, description=TOPIC, examples=["homeassistant"])]
        | None
    ) = None  # prefix of the topics for discovery; None: no discovery
    username: Annotated[str, msgspec.Meta(min_length=1, max_length=256)] | None = None
    password_file: FilePath | None = None
    tls: bool = False
    ca_file: FilePath | None = None
    timeout_s: Seconds = 10.0


class SinksConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Sinks besides the terminal and `--events`; each kind at most once per station."""

    jsonl: JsonLinesConfig | None = None
    quakeml: QuakeMLConfig | None = None
    webhook: WebhookConfig | None = None
    mqtt: MqttConfig | None = None


def secret(path: str | None, variable: str) -> str | None:
    """The first line of the file at `path`; without a path the environment variable, None where it is not set.

    Raises InputError where the file cannot be read or is empty, or the variable contains no printable text.
    """
    if path is None:
        value = os.environ.get(variable)
        if value is not None and not value.isprintable():  # also bytes that are not UTF-8
            raise InputError(f"{variable}: the secret in this variable contains a character that is not printable text")
        return value
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot read the secret from this file: {error}") from error
    if not lines:
        raise InputError(f"{path}: the file is empty; write the secret into its first line")
    return lines[0].strip()


def header_secret(path: str | None, variable: str) -> str | None:
    """As `secret`, for a value that is sent in an HTTP header. Raises InputError also if a header cannot carry it."""
    value = secret(path, variable)
    for place, character in enumerate(value or "", start=1):
        if not (character.isascii() and character.isprintable()):
            raise InputError(
                f"{path or variable}: character {place} of the token cannot be sent in an HTTP header (it may be a "
                "typographic quote); write the token in plain ASCII characters"
            )
    return value
