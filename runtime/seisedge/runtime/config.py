"""The station file: one TOML file a station, validated whole, every fault listed.

Sensitivities and the station correction give magnitudes their physical scale; everything else has a default.
Each setting is documented in `firmware_configs/stations/example.toml`.
"""

from __future__ import annotations

import difflib
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

import msgspec

from seisedge.runtime.detection.trigger import TriggerSettings
from seisedge.runtime.errors import ConfigError, InputError
from seisedge.runtime.records.channelcode import COMPONENT_OF_ORIENTATION, COMPONENTS, TRIAXIAL, VERTICAL, refusal_of
from seisedge.runtime.records.orientation import ON_AXIS_DEG
from seisedge.runtime.records.stationxml import StationXml
from seisedge.runtime.sinks._config import SinksConfig

Positive = Annotated[float, msgspec.Meta(gt=0)]
NotNegative = Annotated[float, msgspec.Meta(ge=0)]
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Code = Annotated[str, msgspec.Meta(pattern="^[A-Z0-9]{1,8}$")]
Mode = Literal["triggered", "continuous"]
EngineName = Literal["onnxruntime", "tensorrt", "tensorrt-rtx"]

BUNDLED = "bundled"


class ChannelConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One channel of the station; what is given goes before StationXML."""

    sensitivity: Positive | None = None  # counts per m/s of ground velocity
    polarity: Literal[1, -1] | None = None  # by default 1, or what StationXML says
    azimuth_deg: Annotated[float, msgspec.Meta(ge=0, le=360)] | None = None
    dip_deg: Annotated[float, msgspec.Meta(ge=-90, le=90)] | None = None


class StationIdentity(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which station this file is about."""

    network: Code
    station: Code
    location: Annotated[str, msgspec.Meta(pattern="^[A-Z0-9]{0,8}$")] = ""
    latitude_deg: Annotated[float, msgspec.Meta(ge=-90, le=90)] | None = None
    longitude_deg: Annotated[float, msgspec.Meta(ge=-180, le=180)] | None = None
    stationxml: Annotated[str, msgspec.Meta(min_length=1)] | None = None  # after `load_config` with its folder


class ModelsConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Model files: a path, `bundled`, or `none`; what runs them; and where built engines are kept."""

    event_type: str = BUNDLED
    magnitude: str = BUNDLED
    engine: EngineName = "onnxruntime"
    engine_cache: Annotated[str, msgspec.Meta(min_length=1)] | None = None


class TriggerConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """See `seisedge.runtime.detection.trigger`."""

    highpass_hz: Annotated[float, msgspec.Meta(gt=0, lt=15)] = 4.0
    sta_s: Annotated[float, msgspec.Meta(ge=0.1, le=10)] = 0.5
    lta_s: Annotated[float, msgspec.Meta(ge=1, le=60)] = 8.0
    on_ratio: Annotated[float, msgspec.Meta(gt=1)] = 4.2
    off_ratio: Annotated[float, msgspec.Meta(gt=0)] = 1.7

    def settings(self) -> TriggerSettings:
        return TriggerSettings(self.highpass_hz, self.sta_s, self.lta_s, self.on_ratio, self.off_ratio)


class EventsConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Rules of life of an event."""

    min_event_separation_s: NotNegative = 5.0
    noise_threshold: Share = 0.5


class TimelineConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How long to wait for late samples and for late components, in data time."""

    components: Annotated[str, msgspec.Meta(pattern="^Z?N?E?$", min_length=1)] = COMPONENTS
    max_wait_s: Annotated[float, msgspec.Meta(ge=1, le=600)] = 60.0
    reorder_wait_s: Annotated[float, msgspec.Meta(ge=0, le=60)] = 2.0


class MagnitudeConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Added to log10 of the amplitude before the model sees it."""

    station_correction: float | None = None
    station_correction_error: NotNegative | None = None


class ContinuousConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Thresholds on 1 - P(noise), and durations, of continuous mode."""

    hop_s: Annotated[float, msgspec.Meta(ge=0.1, le=60)] = 1.0
    open_threshold: Share = 0.8
    close_threshold: Share = 0.5
    min_duration_s: NotNegative = 3.0
    max_duration_s: Positive = 120.0


class LiveConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a live stream may ask of this machine; see `seisedge.runtime.station.backlog`."""

    max_behind_s: Annotated[float, msgspec.Meta(ge=1, le=300)] = 30.0


class JournalConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How much and how long is remembered in the state folder; see `seisedge.runtime.journal.journal`."""

    commit_s: Annotated[float, msgspec.Meta(ge=0, le=60)] = 1.0
    keep_days: Annotated[float, msgspec.Meta(gt=0)] = 30.0
    max_lines: Annotated[int, msgspec.Meta(ge=100)] = 100_000


class StationConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A whole station file."""

    station: StationIdentity | None = None
    source: str | None = None
    mode: Mode = "triggered"
    state: str | None = None
    metrics: Annotated[str, msgspec.Meta(pattern=r"^.*:[0-9]{1,5}$")] | None = None
    channels: dict[str, ChannelConfig] = {}
    models: ModelsConfig = ModelsConfig()
    trigger: TriggerConfig = TriggerConfig()
    events: EventsConfig = EventsConfig()
    timeline: TimelineConfig = TimelineConfig()
    magnitude: MagnitudeConfig = MagnitudeConfig()
    continuous: ContinuousConfig = ContinuousConfig()
    live: LiveConfig = LiveConfig()
    journal: JournalConfig = JournalConfig()
    sinks: SinksConfig = SinksConfig()

    @property
    def station_id(self) -> str | None:
        """`NET.STA`, or None where the file is about no station."""
        return f"{self.station.network}.{self.station.station}" if self.station else None


# They say where lines come from and go to, not what they say.
CIRCUMSTANTIAL = ("source", "state", "metrics", "live", "journal", "sinks")


def settings_of(config: StationConfig) -> dict[str, Any]:
    """The settings that what a station says depends on."""
    plain: dict[str, Any] = msgspec.to_builtins(config)
    if config.station is not None:
        del plain["station"]["stationxml"]  # what it says matters, not where it lies
    del plain["models"]["engine"], plain["models"]["engine_cache"]  # what runs counts, not what was asked for
    return {key: value for key, value in plain.items() if key not in CIRCUMSTANTIAL}


def load_config(path: Path) -> StationConfig:
    """Read and validate a station file, and the StationXML it names.

    Raises InputError where a file is missing or says nothing of the station, ConfigError with every fault.
    """
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such station file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: the station file cannot be read: {error}") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(str(path), [f"not valid TOML: {error}"]) from error
    faults: list[str] = []
    _collect(data, StationConfig, "", faults)
    if "station" not in data:
        faults.insert(0, "[station] is missing: a station file names its network and station")
    if not faults:
        config = msgspec.convert(data, StationConfig)
        faults = _contradictions(config)
        if not faults:
            return _with_metadata(config, path.parent)
    raise ConfigError(str(path), faults)


def _contradictions(config: StationConfig) -> list[str]:
    faults = []
    if config.trigger.off_ratio >= config.trigger.on_ratio:
        faults.append(
            f"trigger.off_ratio must be below trigger.on_ratio ({config.trigger.on_ratio:g}); "
            f"got {config.trigger.off_ratio:g}"
        )
    if config.trigger.sta_s >= config.trigger.lta_s:
        faults.append(
            f"trigger.sta_s must be below trigger.lta_s ({config.trigger.lta_s:g}); got {config.trigger.sta_s:g}"
        )
    if config.continuous.close_threshold > config.continuous.open_threshold:
        faults.append("continuous.close_threshold must not be above continuous.open_threshold")
    mqtt = config.sinks.mqtt
    if mqtt is not None and mqtt.password_file is not None and mqtt.username is None:
        faults.append("sinks.mqtt.password_file needs sinks.mqtt.username: a broker takes no password without a name")
    for code in config.channels:
        if len(code) != 3 or not code.isalnum() or not code.isupper():
            faults.append(f"channels.{code}: a channel code has three characters, as in EHZ")
        elif code[-1] not in COMPONENT_OF_ORIENTATION:
            letters = ", ".join(COMPONENT_OF_ORIENTATION)
            faults.append(f"channels.{code}: the last letter must be one of {letters}; got {code[-1]}")
        elif why := refusal_of(code):
            faults.append(f"channels.{code}: {why}")
        else:
            faults += _misdirected(code, config.channels)
    return faults


def _misdirected(code: str, channels: dict[str, ChannelConfig]) -> list[str]:
    """Faults of a channel's azimuth and dip."""
    azimuth_deg, dip_deg = channels[code].azimuth_deg, channels[code].dip_deg
    if code[-1] == VERTICAL:
        if azimuth_deg is not None:
            return [f"channels.{code}.azimuth_deg: a vertical channel has none"]
        if dip_deg is not None and abs(dip_deg) < 90 - ON_AXIS_DEG:
            return [f"channels.{code}.dip_deg: a vertical channel has -90 (up is positive) or 90; got {dip_deg:g}"]
        return []
    if code[-1] not in TRIAXIAL:
        if dip_deg is not None and abs(dip_deg) > ON_AXIS_DEG:
            return [f"channels.{code}.dip_deg: a horizontal channel has 0; got {dip_deg:g}"]
        other = code[:-1] + {"1": "2", "2": "1"}.get(code[-1], code[-1])
        if azimuth_deg is not None and other in channels and channels[other].azimuth_deg is None:
            return [f"channels.{other}.azimuth_deg is missing: 1 and 2 are rotated together, {code} has one"]
        return []
    stated = [
        (channels[c].azimuth_deg, channels[c].dip_deg) for c in (code[:-1] + a for a in TRIAXIAL) if c in channels
    ]
    given = {value is not None for pair in stated for value in pair}
    if code[-1] == TRIAXIAL[0] and len(given) > 1:
        return [f"channels.{code}: give azimuth_deg and dip_deg for all of U, V and W, or for none"]
    return []


def _with_metadata(config: StationConfig, folder: Path) -> StationConfig:
    """The station file with the path of its StationXML, which is read and checked."""
    station = config.station
    if station is None or station.stationxml is None:
        return config
    path = folder / station.stationxml
    check_metadata(config, StationXml.read(path))
    return msgspec.structs.replace(config, station=msgspec.structs.replace(station, stationxml=str(path)))


def check_metadata(config: StationConfig, metadata: StationXml) -> None:
    """Raise InputError where StationXML lacks the station, or a channel that the station file lists without a gain."""
    wanted = [code for code, entry in config.channels.items() if entry.sensitivity is None]
    metadata.check(str(config.station_id), wanted, config.station.location if config.station is not None else "")


def _collect(data: dict[str, Any], kind: type, prefix: str, faults: list[str]) -> None:
    """Every fault below `prefix`: msgspec stops at the first, an operator wants them all."""
    fields = {field.name: field for field in msgspec.structs.fields(kind)}
    for key, value in data.items():
        name = f"{prefix}{key}"
        if key not in fields:
            close = difflib.get_close_matches(key, fields, n=1)
            known = f"did you mean '{close[0]}'?" if close else f"known: {', '.join(fields)}"
            faults.append(f"{name}: unknown key; {known}")
            continue
        inner = fields[key].type
        struct = next((k for k in (inner, *get_args(inner)) if _is_struct(k)), None)
        if get_origin(inner) is dict and isinstance(value, dict):
            for code, entry in value.items():
                if isinstance(entry, dict):
                    _collect(entry, get_args(inner)[1], f"{name}.{code}.", faults)
                else:
                    faults.append(f"{name}.{code}: must be a table; got {entry!r}")
        elif struct is not None and isinstance(value, dict):
            _collect(value, struct, f"{name}.", faults)
        else:
            try:
                msgspec.convert(value, inner)
            except msgspec.ValidationError as error:
                faults.append(f"{name}: {error}; got {value!r}")
    for name, field in fields.items():
        if field.required and name not in data:
            faults.append(f"{prefix}{name} is missing")


def _is_struct(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)
