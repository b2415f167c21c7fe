"""Reading a station file: one TOML file per station, validated as a whole, with every fault listed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, get_args, get_origin

import msgspec

from seisedge.runtime.config.formats import SECRET, format_of, text_fault
from seisedge.runtime.config.page import page_fault
from seisedge.runtime.config.settings import ChannelConfig, StationConfig
from seisedge.runtime.errors import MAX_FAULTS, ConfigError, InputError
from seisedge.runtime.files import read_up_to
from seisedge.runtime.records.channelcode import (
    COMPONENT_OF_ORIENTATION,
    GRAVIMETER,
    TRIAXIAL,
    VERTICAL,
    contradiction_of,
    instrument_of,
    quantity_of_code,
    refusal_of,
)
from seisedge.runtime.records.orientation import ON_AXIS_DEG
from seisedge.runtime.records.stationxml import StationXml
from seisedge.runtime.records.units import UNIT_OF, Quantity
from seisedge.runtime.suggestion import suggestion
from seisedge.runtime.text import quoted, shortened
from seisedge.runtime.tomlfile import MAX_BYTES, tables_from_toml

# Settings of earlier versions, by the name of their key or table, and what replaces them.
REMOVED = {
    "continuous": "continuous mode now writes a line a second, and its events are those of the onset detector; remove "
    "the table and, to change how easily an event opens, set trigger.p_threshold",
}
CHANNEL_CODE = re.compile("[A-Z0-9]{3}")


def load_config(path: Path, *, check_page: bool = False) -> StationConfig:
    """Read and validate a station file and the StationXML file that it names.

    check_page: a page that a run would not show, because of who could see it, is a fault as well.

    Raises InputError where a file is missing or the StationXML does not contain the station, and ConfigError with
    the list of all faults.
    """
    data = _tables(path)
    faults: list[str] = []
    _collect(data, StationConfig, "", faults)
    if "station" not in data:
        faults.insert(0, "[station] is missing: add it with the keys network and station")
    wrong = {re.split(r"[.:\[ ]", fault, maxsplit=1)[0] for fault in faults}  # top-level keys
    sound = {key: data[key] for key in StationConfig.__struct_fields__ if key in data and key not in wrong}
    config = msgspec.convert(sound, StationConfig)  # the tables with a fault have their defaults
    faults += _cross_faults(config)
    if check_page and (fault := page_fault(config.page, config.page.listen)):
        faults.append(fault)
    if not faults:
        return _with_metadata(config, path.parent)
    if config.station is not None and "channels" in sound:
        try:
            _with_metadata(config, path.parent)
        except InputError as error:
            faults.append(f"station.stationxml: {error}")
    raise ConfigError(str(path), faults)


def _tables(path: Path) -> dict[str, Any]:
    """The content of a TOML file. Raises InputError if it cannot be read or is too large, ConfigError for no TOML."""
    try:
        return tables_from_toml(read_up_to(path, MAX_BYTES))
    except FileNotFoundError:
        raise InputError(f"{path}: no such station file") from None
    except OSError as error:
        raise InputError(f"{path}: cannot read the station file: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: cannot read the station file: not UTF-8: {error}") from error
    except ValueError as error:
        raise ConfigError(str(path), [f"not valid TOML: {error}"]) from error


def _cross_faults(config: StationConfig) -> list[str]:
    """Faults of valid values that contradict each other, and of channel codes."""
    faults: list[str] = []
    if config.trigger.off_ratio >= config.trigger.on_ratio:
        faults.append(
            f"trigger.off_ratio must be below trigger.on_ratio ({config.trigger.on_ratio:g}); "
            f"got {config.trigger.off_ratio:g}"
        )
    if config.trigger.sta_s >= config.trigger.lta_s:
        faults.append(
            f"trigger.sta_s must be below trigger.lta_s ({config.trigger.lta_s:g}); got {config.trigger.sta_s:g}"
        )
    shares = config.models.prevalence.values()
    if shares and abs(sum(shares) - 1) > 1e-6:
        faults.append(f"models.prevalence: the shares must sum to 1; got {sum(shares):g}")
    mqtt = config.sinks.mqtt
    if mqtt is not None and mqtt.password_file is not None and mqtt.username is None:
        faults.append("sinks.mqtt.password_file needs sinks.mqtt.username: a broker accepts no password without it")
    names = [alert.name for alert in config.alerts]
    for number, name in enumerate(names):
        if name in names[:number]:
            faults.append(f"alerts[{number}].name: there is already an alert '{name}'; give each its own name")
    for code, state in config.state_of_health.items():
        if not CHANNEL_CODE.fullmatch(code):
            faults.append(f"state_of_health.{shortened(code)}: a channel code has three capital letters or digits: VEP")
        elif state.lowest is not None and state.highest is not None and state.lowest >= state.highest:
            faults.append(f"state_of_health.{code}.lowest must be below highest ({state.highest:g})")
    snippets, archive = config.snippets, config.archive
    if snippets is not None and archive is not None and Path(snippets.folder) == Path(archive.folder):
        both = quoted(archive.folder)
        faults.append(f"archive.folder must be another folder than snippets.folder; got {both} for both")
    return faults + _sensor_faults(config) + _channel_faults(config.channels)


def _sensor_faults(config: StationConfig) -> list[str]:
    faults: list[str] = []
    quantities = [quantity_of_code(f"{sensor.code}Z") for sensor in config.sensors]
    for number, quantity in enumerate(quantities):
        if quantity in quantities[:number]:
            kind = "seismometer" if quantity == "velocity" else "accelerometer"
            faults.append(f"sensors[{number}]: a second {kind}; give one seismometer and one accelerometer at most")
    codes = [sensor.code for sensor in config.sensors]
    for channel in config.channels if codes else ():
        if channel[:2] not in codes:
            faults.append(
                f"channels.{shortened(channel)}: no sensor of [[sensors]] has the code {shortened(channel[:2])}; "
                f"add it or remove the channel"
            )
    return faults


def _unit_faults(code: str, entry: ChannelConfig) -> list[str]:
    """Faults of the unit of a channel."""
    quantity = quantity_of_code(code)
    if quantity is None:
        return []
    if entry.unit is not None and entry.unit != UNIT_OF[quantity]:
        stated: Quantity = "velocity" if quantity == "acceleration" else "acceleration"
        return [f"channels.{code}.unit: {entry.unit} ({stated}), {contradiction_of(code, stated)}; correct one of them"]
    return []


def _channel_faults(channels: dict[str, ChannelConfig]) -> list[str]:
    faults: list[str] = []
    for code in channels:
        if not CHANNEL_CODE.fullmatch(code):
            faults.append(
                f"channels.{shortened(code)}: a channel code must be three capital letters or digits, as in EHZ"
            )
        elif code[-1] not in COMPONENT_OF_ORIENTATION:
            letters = ", ".join(COMPONENT_OF_ORIENTATION)
            faults.append(f"channels.{code}: the last letter must be one of {letters}; got {code[-1]}")
        elif (why := refusal_of(code)) and not (instrument_of(code) == GRAVIMETER and channels[code].unit == "m/s**2"):
            faults.append(f"channels.{code}: {why}")
        else:
            faults += _unit_faults(code, channels[code])
            faults += _direction_faults(code, channels)
    return faults


def _direction_faults(code: str, channels: dict[str, ChannelConfig]) -> list[str]:
    """Faults of the azimuth and dip of channel `code`."""
    azimuth_deg, dip_deg = channels[code].azimuth_deg, channels[code].dip_deg
    if code[-1] == VERTICAL:
        if azimuth_deg is not None:
            return [f"channels.{code}.azimuth_deg: a vertical channel has no azimuth; remove the key"]
        if dip_deg is not None and abs(dip_deg) < 90 - ON_AXIS_DEG:
            expected = "the dip of a vertical channel must be -90 (up is positive) or 90"
            return [f"channels.{code}.dip_deg: {expected}; got {dip_deg:g}"]
        return []
    if code[-1] not in TRIAXIAL:
        if dip_deg is not None and abs(dip_deg) > ON_AXIS_DEG:
            return [f"channels.{code}.dip_deg: the dip of a horizontal channel must be 0; got {dip_deg:g}"]
        other = code[:-1] + {"1": "2", "2": "1"}.get(code[-1], code[-1])
        if azimuth_deg is not None and other in channels and channels[other].azimuth_deg is None:
            return [f"channels.{other}.azimuth_deg is missing: {code} has an azimuth, and 1 and 2 are rotated together"]
        return []
    stated = [
        (channels[c].azimuth_deg, channels[c].dip_deg) for c in (code[:-1] + a for a in TRIAXIAL) if c in channels
    ]
    given = {value is not None for pair in stated for value in pair}
    if code[-1] == TRIAXIAL[0] and len(given) > 1:
        return [f"channels.{code}: give azimuth_deg and dip_deg for all three of U, V and W, or for none of them"]
    return []


def _with_metadata(config: StationConfig, folder: Path) -> StationConfig:
    """Read and check the StationXML file, and return the settings with its full path."""
    station = config.station
    if station is None or station.stationxml is None:
        return config
    path = folder / station.stationxml
    check_metadata(config, StationXml.read(path))
    return msgspec.structs.replace(config, station=msgspec.structs.replace(station, stationxml=str(path)))


def check_metadata(config: StationConfig, metadata: StationXml) -> None:
    """Check that StationXML has what the station file leaves out.

    Raises InputError where it does not contain the station, or has no gain for a channel listed without sensitivity.
    """
    wanted = [code for code, entry in config.channels.items() if entry.sensitivity is None]
    metadata.check(str(config.station_id), wanted, config.station.location if config.station is not None else "")


def _collect(data: dict[str, Any], kind: type, prefix: str, faults: list[str]) -> None:
    """Append all faults of the table `data` at `prefix`, validated as the struct `kind`.

    msgspec stops at the first fault; an operator wants to see all of them at once.
    """
    fields = {field.name: field for field in msgspec.structs.fields(kind)}
    for key, value in data.items():
        name = f"{prefix}{shortened(key)}"
        if key not in fields:
            hint = f"; {suggestion(key, fields)}" if len(faults) < MAX_FAULTS else ""  # is not shown, and takes 2 ms
            removed = REMOVED.get(name)
            faults.append(f"{name}: " + (f"this setting was removed: {removed}" if removed else f"unknown key{hint}"))
            continue
        inner = fields[key].type
        struct = next((k for k in (inner, *get_args(inner)) if _is_struct(k)), None)
        entries: list[tuple[str, Any]] | None = None
        if get_origin(inner) is dict and isinstance(value, dict) and not _is_struct(get_args(inner)[1]):
            faults += _entry_faults(value, inner, name)
            continue
        if get_origin(inner) is dict and isinstance(value, dict):
            struct = get_args(inner)[1]
            entries = [(f"{name}.{shortened(code)}", entry) for code, entry in value.items()]
        elif get_origin(inner) is list and struct is not None and isinstance(value, list):
            entries = [(f"{name}[{number}]", entry) for number, entry in enumerate(value)]
        if entries is not None:
            _collect_each(entries, struct, faults)
        elif struct is not None and isinstance(value, dict):
            _collect(value, struct, f"{name}.", faults)
        elif fault := _value_fault(value, inner):
            faults.append(f"{name}: {fault}")
    for name, field in fields.items():
        if field.required and name not in data:
            faults.append(f"{prefix}{name} is missing")


def _entry_faults(table: dict[str, Any], kind: Any, prefix: str) -> list[str]:
    """Faults of the keys and values of a table of plain values."""
    key_kind, value_kind = get_args(kind)
    names = {key: f"{prefix}.{shortened(key)}" for key in table}
    faults = [f"{names[key]}: the key {fault}" for key in table if (fault := _value_fault(key, key_kind))]
    return faults + [
        f"{names[key]}: {fault}" for key, value in table.items() if (fault := _value_fault(value, value_kind))
    ]


def _collect_each(entries: list[tuple[str, Any]], kind: Any, faults: list[str]) -> None:
    """As `_collect`, for several tables of one struct, each with its name."""
    for name, entry in entries:
        if isinstance(entry, dict):
            _collect(entry, kind, f"{name}.", faults)
        else:
            faults.append(f"{name}: must be a table; got {quoted(entry)}")


def _value_fault(value: Any, kind: Any) -> str | None:
    """What is wrong with the value of a setting of type `kind`, as a clause; None if nothing is."""
    form = format_of(kind)
    try:
        msgspec.convert(value, kind)
    # OverflowError: a long integer; msgspec before 0.21 reports it as SystemError for some of its constraints
    except (msgspec.ValidationError, OverflowError, SystemError, RecursionError):
        from seisedge.runtime.config.words import expectation

        why = expectation(kind)
        return why if form in SECRET else f"{why}; got {quoted(value)}"
    return text_fault(value, form) if isinstance(value, str) else None


def _is_struct(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)
