"""What MQTT publishes besides events, through a real mosquitto, and how Home Assistant reads it."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.runtime.sinks.mosquitto import MOSQUITTO, Broker, Listener
from tests.waiting import wait_until

from seisedge.runtime.config import MqttConfig, load_config
from seisedge.runtime.demo import RECORDING, STATIONS
from seisedge.runtime.errors import InputError
from seisedge.runtime.event import Event
from seisedge.runtime.replay import Digitizer
from seisedge.runtime.sinks import mqtt
from seisedge.runtime.sinks._mqtt_messages import Documents, topic_of
from seisedge.runtime.sinks.mqtt import MqttSink

pytestmark = pytest.mark.skipif(MOSQUITTO is None, reason="mosquitto is not installed; apt-get install mosquitto")
pytest.importorskip("paho.mqtt.client", reason="paho-mqtt is not installed; pip install 'seisedge[mqtt]'")

# Of https://www.home-assistant.io/integrations/sensor.mqtt/ and binary_sensor.mqtt/: the keys that are used here. Home
# Assistant drops unknown ones without a word.
KEYS = {
    "name", "unique_id", "state_topic", "value_template", "availability_topic", "device", "origin", "device_class",
    "entity_category", "expire_after", "json_attributes_topic",
}  # fmt: skip
SENSOR_KEYS = KEYS | {"state_class", "unit_of_measurement", "suggested_display_precision"}


def test_the_form_of_the_topics() -> None:
    assert topic_of(MqttConfig("h"), "XX.STA", "event") == "seisedge/XX.STA/event"
    other = MqttConfig("h", topic="net", topic_template="site/{network}/{topic}/{code}-{kind}")
    assert topic_of(other, "XX.STA", "health") == "site/XX/net/STA-health"


@pytest.mark.parametrize("form", ["{topic}/{kind}", "{topic}/{station}", "{station}/{kind}/#", "{station}/{kind}/{x}"])
def test_a_form_that_mixes_stations_or_messages_is_refused(tmp_path: Path, form: str) -> None:
    path = tmp_path / "station.toml"
    path.write_text(
        f'[station]\nnetwork = "XX"\nstation = "STA"\n[sinks.mqtt]\nhost = "h"\ntopic_template = "{form}"\n'
    )
    with pytest.raises(InputError, match=r"topic_template: must be an MQTT topic with \{kind\} and \{station\}"):
        load_config(path)


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_quality_of_service_of_events(broker: Broker, events: list[Event], qos: int) -> None:
    listener = Listener(broker.port)
    sink = MqttSink(MqttConfig("127.0.0.1", broker.port, qos=qos), ["XX.STA"])  # type: ignore[arg-type]
    for event in events:
        sink.write(event)
    sink.close()
    wait_until(lambda: [topic for topic, *_ in listener.received].count("seisedge/XX.STA/event") == len(events))
    assert listener.qos["seisedge/XX.STA/event"] == qos
    listener.close()


def test_station_and_health_are_published_again_after_an_outage(broker: Broker) -> None:
    """A broker without a disk has forgotten what was retained."""
    beats = iter(range(1000))
    documents = Documents(lambda name: {"station": name}, lambda name: {"station": name, "beat": next(beats)})
    config = MqttConfig("127.0.0.1", broker.port, heartbeat_s=0.05)
    sink = MqttSink(config, ["XX.STA", "XX.STB"], documents=documents)
    for _ in range(2):
        broker.stop()
        broker.start()
        _await_documents(broker)
    sink.close()


def test_a_new_status_is_published_at_once(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    """A subscriber must not see the outage of the first second for a whole minute."""
    monkeypatch.setattr(mqtt, "CHANGE_S", 0.05)
    states = ["outage"]
    documents = Documents(lambda name: {"station": name}, lambda name: {"station": name, "status": states[-1]})
    listener, topic = Listener(broker.port), "seisedge/XX.STA/health"
    sink = MqttSink(MqttConfig("127.0.0.1", broker.port, heartbeat_s=3600.0), ["XX.STA"], documents=documents)
    wait_until(lambda: listener.newest(topic) == b'{"station":"XX.STA","status":"outage"}')
    states.append("ok")
    wait_until(lambda: listener.newest(topic) == b'{"station":"XX.STA","status":"ok"}')
    sink.close()
    assert [name for name, *_ in listener.received].count(topic) == 2
    listener.close()


def _await_documents(broker: Broker) -> None:
    """The descriptions of both stations, and more than one message about the health."""
    listener = Listener(broker.port)
    health = "seisedge/XX.STA/health"
    topics = [f"seisedge/{name}/{kind}" for name in ("XX.STA", "XX.STB") for kind in ("station", "health")]
    wait_until(lambda: all(listener.newest(topic) is not None for topic in topics), 20)
    first = json.loads(listener.newest(health) or b"")["beat"]
    wait_until(lambda: json.loads(listener.newest(health) or b"")["beat"] > first)
    listener.close()


def test_a_run_is_seen_by_home_assistant(broker: Broker, tmp_path: Path) -> None:
    """A real run: station, health and entities; each entity reads a topic that exists, and finds its value there."""
    jinja2 = pytest.importorskip("jinja2")
    part, station = tmp_path / "part.mseed", tmp_path / "station.toml"
    part.write_bytes(RECORDING.read_bytes()[: 512 * 200])
    text = (STATIONS / "PB.B918.toml").read_text(encoding="utf-8")
    text = text.replace("[station]\n", "[station]\nelevation_m = 695.0\n")
    sink = f'[sinks.mqtt]\nhost = "127.0.0.1"\nport = {broker.port}\nhome_assistant = "homeassistant"\n'
    station.write_text(f"{text}\n{sink}", encoding="utf-8")
    listener = Listener(broker.port)
    with Digitizer([part], speed=0.0) as digitizer:
        command = [sys.executable, "-m", "seisedge.cli", "run", str(station), "--until-end", "--source"]
        done = subprocess.run([*command, f"{digitizer.url}/PB_B918"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    base = "seisedge/PB.B918"
    wait_until(lambda: listener.newest(f"{base}/status") == b"offline")
    described = json.loads(listener.newest(f"{base}/station") or b"")
    assert described["schema"] == "seisedge.station/1" and described["elevation_m"] == 695.0
    assert described["latitude_deg"] == pytest.approx(35.9, abs=0.1)
    assert [model["task"] for model in described["models"]] == ["event_type", "magnitude", "onset"]
    assert all(len(model["sha256"]) == 64 for model in described["models"])
    health = json.loads(listener.newest(f"{base}/health") or b"")
    assert health["schema"] == "seisedge.health/1" and health["status"] in ("ok", "degraded", "outage")
    entities = {topic: json.loads(body) for topic, body, _ in listener.received if topic.endswith("/config")}
    listener.close()
    assert len(entities) == 6 and len({one["unique_id"] for one in entities.values()}) == 6
    published = {topic for topic, *_ in listener.received}
    values = {}
    for topic, entity in entities.items():
        prefix, component, node, name, _ = topic.split("/")
        assert (prefix, node) == ("homeassistant", "seisedge_PB_B918")
        assert set(entity) <= (SENSOR_KEYS if component == "sensor" else KEYS)
        topics = {value for key, value in entity.items() if key.endswith("_topic")}
        assert topics <= published
        _check_by_home_assistant(component, entity)
        state = json.loads(listener.newest(entity["state_topic"]) or b"")
        values[name] = jinja2.Template(entity["value_template"]).render(value_json=state)
    final = json.loads(listener.newest(f"{base}/event") or b"")
    assert values["last_event"] == final["onset"] and values["last_type"] == final["event_type"]["label"]
    assert values["last_magnitude"] == str(final["magnitude"]["value"])
    assert values["condition"] == health["status"] and values["problem"] in ("ON", "OFF")
    retracted = final | {"status": "retracted"}
    for name in ("last_event", "last_type", "last_magnitude"):  # "None" is unknown in Home Assistant
        form = entities[f"homeassistant/sensor/seisedge_PB_B918/{name}/config"]["value_template"]
        assert jinja2.Template(form).render(value_json=retracted) == "None"


def _check_by_home_assistant(component: str, entity: dict[str, Any]) -> None:
    """By the schema of Home Assistant itself where it is installed; it must keep every key."""
    try:
        from homeassistant.components.mqtt import binary_sensor, sensor  # type: ignore[import-not-found]
    except ImportError:
        return
    module = sensor if component == "sensor" else binary_sensor
    assert set(module.DISCOVERY_SCHEMA(dict(entity))) >= set(entity)
