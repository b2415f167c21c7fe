"""State-of-health channels beside seismic ones: values, units, limits, and no warning about them."""

import logging
from pathlib import Path

import numpy as np
import pytest
from tests.fakes import ListSource, burst, classic_config, fake_models, packets_of

from seisedge.runtime.config import StationConfig, StationIdentity, load_config
from seisedge.runtime.config.state_of_health import StateOfHealthConfig
from seisedge.runtime.errors import ConfigError
from seisedge.runtime.records.channelcode import state_of_health_of
from seisedge.runtime.records.packet import Packet, RecordFlag, SourceId
from seisedge.runtime.service.health import Health
from seisedge.runtime.service.loop import Loop
from seisedge.runtime.service.metrics import text_from_health
from seisedge.runtime.service.state_of_health import MAX_CHANNELS, StateOfHealth


def soh_packet(channel: str, value: int, second: int = 0, location: str = "") -> Packet:
    samples = np.array([0, value], np.int32)
    source_id = SourceId("XX", "STA", location, channel)
    return Packet(source_id, 1_600_000_000_000_000_000 + second * 10**9, 1.0, samples, RecordFlag(0), 0, "")


def run_with(settings: dict[str, StateOfHealthConfig], *packets: Packet) -> Health:
    traces = {f"HH{c}": burst(100, [40.0], seed=i) for i, c in enumerate("ZNE")}
    config = classic_config(station=StationIdentity("XX", "STA"), state_of_health=settings)
    seismic = list(packets_of(traces))
    health = Health()
    loop = Loop(fake_models(), [], {"XX.STA": config}, health=health)
    health.report = loop.report
    loop.run(ListSource([*seismic[:30], *packets, *seismic[30:]]))
    assert loop.report.events == 1
    return health


@pytest.mark.parametrize(
    ("code", "what"),
    [("VEP", "supply voltage"), ("LCQ", "clock quality"), ("VM1", "mass position"), ("VMZ", "mass position"),
     ("EHZ", None), ("HNZ", None), ("VPB", None), ("LOG", None), ("", None), ("B_X_Y", None)],
)  # fmt: skip
def test_which_channels_these_are(code: str, what: str | None) -> None:
    assert state_of_health_of(code) == what


def test_values_in_health_and_metrics(caplog: pytest.LogCaptureFixture) -> None:
    settings = {"VEP": StateOfHealthConfig(0.15, "V", 11.5), "XYZ": StateOfHealthConfig(unit="W")}
    packets = [
        soh_packet("VEP", 84),
        soh_packet("LCQ", 100),
        soh_packet("VMZ", -3, location="00"),
        soh_packet("XYZ", 7),
    ]
    with caplog.at_level(logging.INFO):
        health = run_with(settings, *packets, soh_packet("VEP", 10, second=-60))  # the last one is old
    assert health.station_document("XX.STA")["state_of_health"] == {
        ".LCQ": {"what": "clock quality", "value": 100, "unit": "counts"},
        ".VEP": {"what": "supply voltage", "value": pytest.approx(12.6), "unit": "V"},
        ".XYZ": {"what": "", "value": 7, "unit": "W"},
        "00.VMZ": {"what": "mass position", "value": -3, "unit": "counts"},
    }
    labels = 'station="XX.STA",location="",channel="VEP",what="supply voltage",unit="V"'
    assert f"seisedge_state_of_health{{{labels}}} 12.6\n" in text_from_health(health)
    assert health.state_of_health.faults() == []
    assert "clock quality 100 counts, supply voltage 12.6 V" in health._sentence
    assert not any(code in caplog.text for code in ("VEP", "LCQ", "VMZ"))


def test_a_value_beyond_its_limits_is_a_reason() -> None:
    settings = {"VEP": StateOfHealthConfig(0.15, "V", lowest=11.5), "LCQ": StateOfHealthConfig(highest=90.0)}
    health = run_with(settings, soh_packet("VEP", 70), soh_packet("LCQ", 91))
    condition, reasons = health.condition()
    assert condition == "degraded"
    assert "XX.STA: supply voltage (VEP) is 10.5 V, below 11.5" in reasons
    assert "XX.STA: clock quality (LCQ) is 91 counts, above 90" in reasons
    health.state_of_health.note(soh_packet("VEP", 80, second=60), settings)
    assert not any("VEP" in reason for reason in health.condition()[1])


def test_the_memory_is_bounded() -> None:
    found = StateOfHealth()
    for number in range(2 * MAX_CHANNELS):
        found.note(soh_packet("VEP", 1, location=f"{number}"), {})
    assert len(found.of("XX.STA")) == MAX_CHANNELS


def test_limits_that_contradict_each_other(tmp_path: Path) -> None:
    path = tmp_path / "station.toml"
    base = '[station]\nnetwork = "XX"\nstation = "STA"\n'
    path.write_text(f"{base}[state_of_health.VEP]\nlowest = 15\nhighest = 11\n")
    with pytest.raises(ConfigError, match=r"state_of_health\.VEP\.lowest must be below highest \(11\)"):
        load_config(path)
    path.write_text(f"{base}[state_of_health.voltage]\n")
    with pytest.raises(ConfigError, match=r"state_of_health\.voltage: a channel code has three"):
        load_config(path)
    assert StationConfig().state_of_health == {}
