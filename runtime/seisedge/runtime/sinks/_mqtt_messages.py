"""Messages of the MQTT sink besides events: the station, its health, and what Home Assistant needs to show both.

`station`, schema `seisedge.station/1`, retained: what and where the station is. `health`, schema `seisedge.health/1`,
retained, repeated every `heartbeat_s`. Home Assistant: one retained message per entity under its discovery prefix,
https://www.home-assistant.io/integrations/mqtt/#mqtt-discovery
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, Literal

import msgspec

from seisedge.runtime.config import MqttConfig

MISSED_BEATS = 3  # after which Home Assistant shows the health as unavailable

Kind = Literal["event", "status", "station", "health", "test"]
Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Documents:
    """The source of the documents, by station id. Both are called from threads of the sink."""

    station: Callable[[str], Document]
    health: Callable[[str], Document]


def topic_of(config: MqttConfig, station_id: str, kind: Kind) -> str:
    """The topic of a message by `topic_template`."""
    network, _, code = station_id.partition(".")
    fields = {"topic": config.topic, "station": station_id, "network": network, "code": code, "kind": kind}
    return re.sub(r"\{(\w+)\}", lambda found: fields[found[1]], config.topic_template)


def discovery(config: MqttConfig, station_id: str, status_topic: str) -> Iterator[tuple[str, bytes]]:
    """Topic and message of each entity of a station. status_topic: `online` and `offline` of the connection."""
    name = f"seisedge {station_id}"
    node = f"seisedge_{re.sub('[^A-Za-z0-9-]', '_', station_id)}"
    software = version("seisedge")
    device = {
        "identifiers": [node],
        "name": name,
        "manufacturer": "seisedge",
        "model": "seismic station",
        "sw_version": software,
    }
    for component, entity, settings in _entities(config, station_id):
        payload = settings | {
            "unique_id": f"{node}_{entity}",
            "availability_topic": status_topic,
            "device": device,
            "origin": {"name": "seisedge", "sw_version": software},
        }
        yield f"{config.home_assistant}/{component}/{node}/{entity}/config", msgspec.json.encode(payload)


def _entities(config: MqttConfig, station_id: str) -> Iterator[tuple[str, str, Document]]:
    """Component, object id and settings of each entity."""
    event = topic_of(config, station_id, "event")
    of_event = {"state_topic": event}
    sent = "value_json.status != 'retracted'"
    yield (
        "sensor",
        "last_event",
        of_event
        | {
            "name": "Last event",
            "device_class": "timestamp",
            "value_template": f"{{{{ value_json.onset if {sent} else None }}}}",
            "json_attributes_topic": event,
        },
    )
    yield (
        "sensor",
        "last_type",
        of_event
        | {
            "name": "Last event type",
            "value_template": f"{{{{ value_json.event_type.label if value_json.event_type is defined and {sent} "
            "else None }}",
        },
    )
    yield (
        "sensor",
        "last_magnitude",
        of_event
        | {
            "name": "Last magnitude",
            "state_class": "measurement",
            "suggested_display_precision": 1,
            "value_template": "{{ value_json.magnitude.value if value_json.magnitude is defined and "
            f"value_json.magnitude.value is defined and {sent} else None }}}}",
        },
    )
    if not config.heartbeat_s:
        return
    health = topic_of(config, station_id, "health")
    of_health = {
        "state_topic": health,
        "entity_category": "diagnostic",
        "expire_after": max(int(MISSED_BEATS * config.heartbeat_s), 1),
    }
    yield (
        "sensor",
        "condition",
        of_health | {"name": "Condition", "value_template": "{{ value_json.status }}", "json_attributes_topic": health},
    )
    yield (
        "binary_sensor",
        "problem",
        of_health
        | {
            "name": "Problem",
            "device_class": "problem",
            "value_template": "{{ 'OFF' if value_json.status == 'ok' else 'ON' }}",
        },
    )
    yield (
        "sensor",
        "data_age",
        of_health
        | {
            "name": "Age of the newest sample",
            "device_class": "duration",
            "unit_of_measurement": "s",
            "state_class": "measurement",
            "value_template": "{{ value_json.data_age_s }}",
        },
    )
