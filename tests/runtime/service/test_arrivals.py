"""What is configured, compared with what arrives: the condition of a run that receives other data than it expects."""

import logging

import numpy as np
import pytest
from tests.fakes import ListSource, classic_config, fake_models, packet

from seisedge.runtime.config import ChannelConfig, StationConfig, StationIdentity
from seisedge.runtime.notify import Notifier
from seisedge.runtime.records.packet import Packet, RecordFlag
from seisedge.runtime.service.arrivals import LONG_RECORDS, MAX_CHANNELS, MISSING_S, SILENT_S
from seisedge.runtime.service.health import MAX_REASONS, REPORT_EVERY_S, Health
from seisedge.runtime.service.loop import Loop
from seisedge.runtime.service.metrics import text_from_health
from seisedge.runtime.sources import LinkState

STEP_S = 10.0
OK: tuple[str, list[str]] = ("ok", [])


class Statuses(Notifier):
    def __init__(self) -> None:
        super().__init__({})
        self.shown: list[str] = []
        self.pings = 0

    def _send(self, text: str) -> None:
        self.shown.append(text.removeprefix("STATUS="))

    def ping(self) -> None:
        self.pings += 1


class Run:
    """A live run on a clock of its own: `arrive` sends packets of channels, `tick` only lets time pass."""

    def __init__(self, *configs: StationConfig, mode: str = "triggered") -> None:
        self.now_s = 1000.0
        self.notifier = Statuses()
        self.health = Health(self.notifier, lambda: self.now_s)
        self.source = ListSource([], live=True)
        self.health.source = self.source
        by_id = {str(config.station_id): config for config in configs}
        default = None if configs else classic_config(mode=mode)
        self.loop = Loop(fake_models(), [], by_id, default=default, health=self.health)

    def arrive(
        self, seconds: float, *channels: str, rate_hz: float = 100.0, flags: RecordFlag = RecordFlag.NONE
    ) -> None:
        """Packets of 10 s for some time. channels: `STATION.LOCATION.CHANNEL`."""
        for _ in range(round(seconds / STEP_S)):
            self.now_s += STEP_S
            items: list[Packet | None] = []
            for name in channels:
                station, location, code = name.split(".")
                zeros = np.zeros(int(STEP_S * rate_hz), np.int32)
                one = packet(zeros, self.now_s, code, rate_hz, flags, station)
                items.append(_at(one, location))
            self.source._packets = items or [None]
            self.loop.run(self.source)

    @property
    def condition(self) -> tuple[str, list[str]]:
        return self.health.condition()


def _at(one: Packet, location: str) -> Packet:
    source_id = type(one.source_id)(one.source_id.network, one.source_id.station, location, one.source_id.channel)
    return Packet(source_id, one.starttime_ns, one.sampling_rate_hz, one.samples, one.flags, 0, "")


def _config(*channels: str, station: str = "STA", location: str = "") -> StationConfig:
    return classic_config(
        station=StationIdentity("XX", station, location), channels={code: ChannelConfig() for code in channels}
    )


EH = ("STA..EHZ", "STA..EH1", "STA..EH2")
LIMIT_S = MISSING_S + LONG_RECORDS * STEP_S  # of a channel with packets of 10 s


@pytest.mark.parametrize(
    ("config", "arriving", "why"),
    [
        (_config("HHZ", "HHN", "HHE"), EH, "EHZ, EH1, EH2 arrive, HHZ, HHN, HHE are configured"),
        (_config("HHZ"), EH[:1], "EHZ arrives, HHZ is configured"),
        (
            _config("EHZ", "EH1", "EH2", location="00"),
            EH,
            "EHZ, EH1, EH2 at location '' arrive, EHZ, EH1, EH2 at location '00' are configured",
        ),
        (_config(location="00"), EH, "EHZ, EH1, EH2 at location '' arrive, any channel at location '00' is configured"),
        (_config(station="OTHER"), EH, "data of XX.STA arrive, and none of XX.OTHER; correct the station file"),
        (_config("EHZ"), (), "nothing arrives from the source; check network, station and channels in its URL"),
        (_config("HMZ"), ("STA..HMZ",), "HMZ: instrument code M is a mass position"),
    ],
    ids=["channels", "one channel", "location", "any channel", "station", "select", "mass position"],
)
def test_nothing_usable_is_an_outage(
    config: StationConfig, arriving: tuple[str, ...], why: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    run = Run(config)
    run.arrive(100, *arriving)
    assert run.condition == OK  # within the stated time
    before = run.notifier.pings
    run.arrive(100, *arriving)
    condition, reasons = run.condition
    assert condition == "outage"
    assert len(reasons) == 1
    assert reasons[0].startswith(f"{config.station_id}: no usable packet for 200 s: {why}")
    # a restart does not correct a station file: the watchdog is notified, and its status line says what is wrong
    assert run.notifier.pings - before == 10 * max(len(arriving), 1)
    assert run.notifier.shown[-1].startswith(f"outage: {config.station_id}: no usable packet for ")
    assert [r.levelname for r in caplog.records if "no usable packet" in r.getMessage()] == ["WARNING"]
    assert "seisedge_up 0" in text_from_health(run.health)
    # the right data end it
    place = config.station.location if config.station is not None else ""
    station = str(config.station_id).removeprefix("XX.")
    good = [f"{station}.{place}.{code}" for code in config.channels or ("EHZ",) if code != "HMZ"]
    if good:
        run.arrive(20, *good)
        assert run.condition == OK
        assert "usable packets arrive again" in caplog.text


def test_without_a_station_file_and_without_data() -> None:
    run = Run()
    run.arrive(MISSING_S)
    assert run.condition == OK
    run.arrive(10)
    condition, reasons = run.condition
    assert condition == "outage" and reasons == ["no usable packet for 130 s: nothing arrives from the source; "
                                                 "check network, station and channels in its URL"]  # fmt: skip


def test_one_of_two_stations() -> None:
    run = Run(_config("EHZ"), _config("HHZ", station="OTHER"))
    run.arrive(200, "STA..EHZ", "OTHER..EHZ")
    condition, reasons = run.condition
    assert condition == "degraded" and len(reasons) == 1
    assert reasons[0].startswith("XX.OTHER: no usable packet for 200 s: EHZ arrives, HHZ is configured")


def test_a_source_without_a_connection_is_not_blamed_on_codes() -> None:
    run = Run(_config("EHZ"))
    run.source.state = LinkState.WAITING
    run.arrive(200)
    assert run.condition == (
        "outage",
        ["XX.STA: no usable packet for 200 s: the source is not connected", "the source is waiting"],
    )


@pytest.mark.parametrize("channels", [("EHZ", "EH1", "EH2"), ()], ids=["configured", "any"])
def test_a_vertical_that_dies(channels: tuple[str, ...], caplog: pytest.LogCaptureFixture) -> None:
    run = Run(_config(*channels))
    run.arrive(60, *EH)
    run.arrive(LIMIT_S, *EH[1:])
    assert run.condition == OK
    run.arrive(10, *EH[1:])
    assert run.condition == ("degraded", [f"XX.STA: no packet of EHZ for {LIMIT_S + 10:.0f} s"])
    run.arrive(REPORT_EVERY_S, *EH[1:])
    assert any("XX.STA: no packet of EHZ for" in record.getMessage() for record in caplog.records)
    assert 'seisedge_channel_age_seconds{station="XX.STA",location="",channel="EHZ"} 160' in text_from_health(
        run.health
    )
    run.arrive(10, *EH)
    assert run.condition == OK


def test_a_configured_channel_that_never_comes() -> None:
    run = Run(_config("EHZ", "EH1", "EH2"))
    run.arrive(LIMIT_S, *EH[:2])
    assert run.condition == OK
    run.arrive(20, *EH[:2])
    assert run.condition == (
        "degraded",
        [f"XX.STA: EH2 is configured, and no packet of it has arrived for {LIMIT_S + 10:.0f} s"],
    )


def test_a_configured_channel_that_is_not_used() -> None:
    run = Run(_config("EHZ", "HHZ"))
    run.arrive(20, "STA..EHZ", "STA..HHZ")
    condition, reasons = run.condition
    assert condition == "degraded" and len(reasons) == 1
    assert reasons[0].startswith("XX.STA: HHZ is configured and arrives, but is not used: this station uses EHZ")


@pytest.mark.parametrize("came", [True, False])
def test_an_axis_of_a_triaxial_sensor(came: bool) -> None:
    run = Run(_config())
    run.arrive(10, "STA..BHU", "STA..BHV", *(["STA..BHW"] if came else []))
    run.arrive(200, "STA..BHU", "STA..BHV")
    assert run.condition == (
        "outage",
        ["XX.STA: no packet of BHW for 200 s; without all of U, V, W there is no vertical"],
    )


def test_calibration_only_is_not_usable() -> None:
    run = Run(_config("EHZ"))
    run.arrive(200, "STA..EHZ", flags=RecordFlag.CALIBRATION)
    condition, reasons = run.condition
    assert condition == "outage" and "EHZ: its records are flagged as calibration" in reasons[0]


def test_the_same_record_again_and_again_is_no_progress() -> None:
    run = Run(_config("EHZ"))
    run.arrive(10, "STA..EHZ")
    same = run.source._packets
    for _ in range(round(SILENT_S / STEP_S) + 3):
        run.now_s += STEP_S
        run.source._packets = same
        run.loop.run(run.source)
    condition, reasons = run.condition
    assert condition == "outage"
    assert reasons == ["XX.STA: packets arrive, but no new samples for 330 s; the newest sample is of "
                       "2020-09-13T12:43:40.000000Z"]  # fmt: skip


def test_records_that_the_source_drops_as_repeated_are_arrivals() -> None:
    run = Run(_config("EHZ"))
    run.arrive(10, "STA..EHZ")
    arrivals = run.health.arrivals
    run.now_s += SILENT_S + 21  # records of 10 s extend the limit
    assert arrivals.faults()[0].text == f"no packet for {SILENT_S + 21:.0f} s"
    arrivals.note_repeated("XX.STA")
    assert arrivals.age_s("XX.STA") == 0.0
    run.now_s += 1
    assert arrivals.age_s("XX.STA") == 1.0
    assert arrivals.faults()[0].text == (
        f"no new packet for {SILENT_S + 22:.0f} s: only records that were read before arrive"
    )


def test_long_records_extend_the_limits() -> None:
    run = Run(_config("EHZ", "EH1"))
    for _ in range(3):
        run.now_s += 280.0  # 4,096 bytes at 20 Hz
        run.source._packets = [
            packet(np.zeros(5600, np.int32), run.now_s, code, rate_hz=20.0) for code in ("EHZ", "EH1")
        ]
        run.loop.run(run.source)
        assert run.condition == OK
    run.now_s += 400.0
    run.health.record_item(False)
    assert run.condition == OK
    run.now_s += 500.0
    run.health.record_item(False)
    assert run.condition == ("outage", ["XX.STA: no packet for 900 s"])


def test_channels_and_reasons_are_bounded() -> None:
    run = Run()
    run.arrive(10, *(f"STA.{k:02}.HMZ" for k in range(3 * MAX_CHANNELS)))
    assert len(run.health.arrivals._stations["XX.STA"].channels) == MAX_CHANNELS
    run = Run()
    run.arrive(10, *(f"S{k}..EHZ" for k in range(2 * MAX_REASONS)))
    run.now_s += SILENT_S + 30
    run.health.record_item(False)
    _, reasons = run.condition
    assert len(reasons) == MAX_REASONS + 1 and reasons[-1] == f"and {MAX_REASONS} more"
