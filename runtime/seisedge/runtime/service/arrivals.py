"""Arrivals: what arrives of each station, compared with what is configured.

A station is unusable where no packet arrives that can be analysed: other channel or location codes than those of the
station file, a station file of another station, a URL that selects nothing, a refused instrument, data without new
samples. A channel is missing where the station file lists it, or data of it have arrived, and no packets of it arrive
now. The limits are stated below; records that are long in time extend them.

The loop writes, other threads read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from seisedge.runtime.clock import NS_PER_S, iso_from_ns
from seisedge.runtime.config import StationConfig
from seisedge.runtime.records.channelcode import COMPONENT_OF_ORIENTATION, TRIAXIAL
from seisedge.runtime.records.codes import location_from_text
from seisedge.runtime.records.packet import Packet, SourceId
from seisedge.runtime.station.station import Station

# Without a usable packet since the start, or of a channel while others of its station arrive. Longer than the longest
# usual record: 512 bytes at 20 Hz hold 35 s.
MISSING_S = 120.0
# Without a usable packet after the first. Longer than any source waits for data (120 s) and then needs to reconnect.
SILENT_S = 300.0
LONG_RECORDS = 2  # the limits grow by this many times the longest packet of the channel
MAX_RECORD_S = 3600.0  # longer packets do not extend the limits further
MAX_CHANNELS = 32  # of one station
MAX_OTHERS = 16  # stations whose packets are not analysed; the names in a message
MAX_NAMES = 5  # in one message


@dataclass(frozen=True, slots=True)
class Fault:
    """A difference between what arrives and what is configured.

    subject: station id, or the source. kind: identifies the fault while its text changes. outage: nothing of the
    subject is analysed.
    """

    subject: str
    kind: str
    outage: bool
    text: str

    def __str__(self) -> str:
        return f"{self.subject}: {self.text}" if self.subject else self.text


@dataclass(slots=True)
class _Channel:
    last_s: float
    length_s: float = 0.0  # of the longest packet
    used: bool = False  # the last packet was analysed
    reason: str = ""  # why it was not


@dataclass(slots=True)
class _Arrived:
    """What has arrived of one station. Times are on the monotonic clock."""

    config: StationConfig
    began_s: float  # the wait for the first packet began
    channels: dict[tuple[str, str], _Channel] = field(default_factory=dict)  # by location and channel code
    first_s: float = 0.0  # the first packet
    last_s: float | None = None  # the last packet
    used_s: float | None = None  # the last packet that was analysed
    new_s: float = 0.0  # the last packet that brought new samples
    newest_ns: int | None = None
    repeated_s: float | None = None  # the last record that had been read before and was dropped by the source
    triaxial: bool = False
    more_channels: int = 0  # packets of channels beyond MAX_CHANNELS

    @property
    def long_s(self) -> float:
        """By how much the limits are extended for the station."""
        return LONG_RECORDS * max((channel.length_s for channel in list(self.channels.values())), default=0.0)

    def listed(self, location: str, code: str) -> bool:
        """True where the station file does not exclude this channel."""
        wanted = self.config.station.location if self.config.station is not None else ""
        return (not self.config.channels or code in self.config.channels) and (
            not wanted or location_from_text(wanted) == location
        )


class Arrivals:
    """The arrivals of one run."""

    def __init__(self, now_s: Callable[[], float]) -> None:
        self._now_s = now_s
        self._began_s = now_s()
        self._connected = True
        self._stations: dict[str, _Arrived] = {}
        self._others: dict[str, float] = {}  # last packet by station, of stations that are not analysed

    def expect(self, configs: Mapping[str, StationConfig]) -> None:
        """Wait for the stations of these station files from now on."""
        now_s = self._now_s()
        for station_id, config in configs.items():
            self._stations.setdefault(station_id, _Arrived(config, now_s))

    def note(self, packet: Packet, station: Station, used: bool) -> None:
        """A packet of a station has arrived. used: it is analysed."""
        now_s, source_id = self._now_s(), packet.source_id
        arrived = self._stations.get(station.station_id)
        if arrived is None:
            arrived = self._stations[station.station_id] = _Arrived(StationConfig(), now_s)
        if arrived.last_s is None:
            arrived.first_s = now_s
        arrived.last_s = now_s
        key = (source_id.location, source_id.channel)
        channel = arrived.channels.get(key)
        if channel is None:
            if len(arrived.channels) >= MAX_CHANNELS and not used:
                arrived.more_channels += 1
                return
            channel = arrived.channels[key] = _Channel(now_s)
        if not used and (channel.used or not channel.reason):
            channel.reason = _reason(station, source_id)
        channel.used, channel.last_s = used, now_s
        length_s = min((packet.endtime_ns - packet.starttime_ns) / NS_PER_S, MAX_RECORD_S)
        channel.length_s = max(channel.length_s, length_s)
        if not used:
            return
        resumed = arrived.used_s is None or now_s - arrived.used_s > MISSING_S
        arrived.used_s = now_s
        arrived.triaxial = station.channels.triaxial
        if station.last_ns != arrived.newest_ns or resumed:
            arrived.new_s, arrived.newest_ns = now_s, station.last_ns

    def note_repeated(self, station_id: str) -> None:
        """A record of a station has arrived again; the source has dropped it."""
        arrived = self._stations.get(station_id)
        if arrived is not None:
            arrived.repeated_s = self._now_s()

    def note_other(self, station_id: str) -> None:
        """A packet has arrived of a station that is not analysed."""
        if station_id in self._others or len(self._others) < MAX_OTHERS:
            self._others[station_id] = self._now_s()

    def age_s(self, station_id: str) -> float | None:
        """Seconds since the last packet of a station, also one that was read before; None before the first."""
        arrived = self._stations.get(station_id)
        times_s = [] if arrived is None else [s for s in (arrived.last_s, arrived.repeated_s) if s is not None]
        return self._now_s() - max(times_s) if times_s else None

    def usable_ages_s(self) -> dict[str, float]:
        """By station, seconds since the last packet that was analysed, or since the wait for the first began."""
        now_s = self._now_s()
        return {
            station_id: now_s - (arrived.began_s if arrived.used_s is None else arrived.used_s)
            for station_id, arrived in list(self._stations.items())
        }

    def channel_ages_s(self) -> dict[tuple[str, str, str], float]:
        """By station, location and channel: seconds since the last packet, or since the wait for the first began.

        Of channels that are analysed and of those that a station file lists.
        """
        now_s, found = self._now_s(), {}
        for station_id, arrived in list(self._stations.items()):
            for location, code, channel in _expected(arrived):
                last_s = arrived.began_s if channel is None else channel.last_s
                found[station_id, location, code] = now_s - last_s
        return found

    def faults(self, connected: bool = True) -> list[Fault]:
        """All faults now. connected: whether the source is connected."""
        now_s, self._connected = self._now_s(), connected
        stations = list(self._stations.items())
        found: list[Fault] = []
        for station_id, arrived in stations:
            fault = self._unusable(station_id, arrived, now_s)
            found += [fault] if fault is not None else self._missing(station_id, arrived, now_s)
        if not stations and now_s - self._began_s > MISSING_S:
            text = f"no usable packet for {now_s - self._began_s:.0f} s: {self._nothing_of('')}"
            found.append(Fault("", "unusable", True, text))
        return found

    @property
    def count(self) -> int:
        """Number of stations that are configured or have arrived."""
        return len(self._stations)

    def _unusable(self, station_id: str, arrived: _Arrived, now_s: float) -> Fault | None:
        """The fault of a station of which nothing is analysed."""
        if arrived.used_s is None:
            age_s, limit_s = now_s - arrived.began_s, MISSING_S
        else:
            age_s, limit_s = now_s - arrived.used_s, SILENT_S
        limit_s += arrived.long_s
        if age_s > limit_s:
            if arrived.repeated_s is not None and now_s - arrived.repeated_s <= limit_s:
                text = f"no new packet for {age_s:.0f} s: only records that were read before arrive"
                return Fault(station_id, "unusable", True, text)
            if arrived.last_s is not None and now_s - arrived.last_s > limit_s:
                return Fault(station_id, "unusable", True, f"no packet for {now_s - arrived.last_s:.0f} s")
            text = f"no usable packet for {age_s:.0f} s: {self._why(station_id, arrived, now_s)}"
            return Fault(station_id, "unusable", True, text)
        if arrived.used_s is not None and now_s - arrived.new_s > SILENT_S + arrived.long_s:
            newest = "" if arrived.newest_ns is None else f"; the newest sample is of {iso_from_ns(arrived.newest_ns)}"
            text = f"packets arrive, but no new samples for {now_s - arrived.new_s:.0f} s{newest}"
            return Fault(station_id, "unusable", True, text)
        axes = self._missing_axes(arrived, now_s) if arrived.triaxial else {}
        if axes:
            age = f"no packet of {_few(axes)} for {max(axes.values()):.0f} s"
            return Fault(station_id, "unusable", True, f"{age}; without all of U, V, W there is no vertical")
        return None

    def _why(self, station_id: str, arrived: _Arrived, now_s: float) -> str:
        """Why nothing of a station can be analysed, and what arrives instead."""
        arriving = {
            key: channel
            for key, channel in list(arrived.channels.items())
            if now_s - channel.last_s <= SILENT_S + arrived.long_s
        }
        if not arriving:
            return self._nothing_of(station_id)
        if not any(arrived.listed(*key) for key in arriving):
            locations = {location for location, _ in arriving}
            wanted = arrived.config.station.location if arrived.config.station is not None else ""
            by_location = bool(wanted) and locations != {wanted}
            found = [
                f"{_few(code for at, code in arriving if at == place)}{_at(place, by_location)}"
                for place in sorted(locations)
            ]
            configured = f"{_few(arrived.config.channels, 'any channel')}{_at(wanted, by_location)}"
            one = len(arriving) == 1
            return (
                f"{' and '.join(found[:MAX_NAMES])} {'arrives' if one else 'arrive'}, "
                f"{configured} {'is' if len(arrived.config.channels) <= 1 else 'are'} configured; "
                "correct the channels or the location of the station file"
            )
        why: dict[str, list[str]] = {}
        for (_, code), channel in arriving.items():
            why.setdefault(channel.reason or "not used", []).append(code)
        return "; ".join(f"{_few(codes)}: {reason}" for reason, codes in list(why.items())[:MAX_NAMES])

    def _nothing_of(self, station_id: str) -> str:
        """What arrives instead of a station of which nothing arrives."""
        if not self._connected:
            return "the source is not connected"
        now_s = self._now_s()
        others = [name for name, last_s in list(self._others.items()) if now_s - last_s <= SILENT_S]
        others += [
            name
            for name, arrived in list(self._stations.items())
            if name != station_id and arrived.last_s is not None and now_s - arrived.last_s <= SILENT_S
        ]
        if others:
            of = station_id or "a configured station"
            return f"data of {_few(others)} arrive, and none of {of}; correct the station file or the URL of the source"
        return "nothing arrives from the source; check network, station and channels in its URL"

    def _missing(self, station_id: str, arrived: _Arrived, now_s: float) -> list[Fault]:
        """The channels of a station that are missing or not used, while others are analysed."""
        if arrived.used_s is None:
            return []
        found = []
        for location, code, channel in _expected(arrived):
            if channel is None:
                if (age_s := now_s - arrived.first_s) > MISSING_S + arrived.long_s:
                    text = f"{code} is configured, and no packet of it has arrived for {age_s:.0f} s"
                    found.append(Fault(station_id, f"missing {code}", False, text))
            elif not channel.used:
                text = f"{code} is configured and arrives, but is not used: {channel.reason or 'see the log'}"
                found.append(Fault(station_id, f"unused {location}.{code}", False, text))
        for code, age_s in self._dead(arrived):
            found.append(Fault(station_id, f"missing {code}", False, f"no packet of {code} for {age_s:.0f} s"))
        return found

    def _missing_axes(self, arrived: _Arrived, now_s: float) -> dict[str, float]:
        """Channels of a triaxial sensor of which no packets arrive, with the seconds since the last one."""
        axes = {code: age_s for code, age_s in self._dead(arrived) if code[-1] in TRIAXIAL}
        used = {code for (_, code), channel in list(arrived.channels.items()) if channel.used}
        if (age_s := now_s - arrived.first_s) > MISSING_S + arrived.long_s:
            all_axes = {f"{code[:-1]}{letter}" for code in used for letter in TRIAXIAL}
            axes |= dict.fromkeys(sorted(all_axes - used), age_s)
        return axes

    def _dead(self, arrived: _Arrived) -> list[tuple[str, float]]:
        """Channels that were analysed and whose packets no longer arrive, with the seconds since the last one."""
        now_s, used_s = self._now_s(), arrived.used_s
        return [
            (code, now_s - channel.last_s)
            for (_, code), channel in list(arrived.channels.items())
            if channel.used
            and used_s is not None
            and used_s - channel.last_s > MISSING_S + LONG_RECORDS * channel.length_s
        ]


def _expected(arrived: _Arrived) -> list[tuple[str, str, _Channel | None]]:
    """Location, code and arrivals of the channels that are analysed or listed by the station file."""
    found: list[tuple[str, str, _Channel | None]] = []
    by_code: dict[str, list[tuple[str, _Channel]]] = {}
    for (location, code), channel in list(arrived.channels.items()):
        if channel.used or (code in arrived.config.channels and arrived.listed(location, code)):
            by_code.setdefault(code, []).append((location, channel))
    wanted = arrived.config.station.location if arrived.config.station is not None else ""
    for code in dict.fromkeys([*arrived.config.channels, *by_code]):
        if code not in by_code and code[-1:] not in COMPONENT_OF_ORIENTATION:
            continue
        # of the same code at several locations, the one that is used
        places = by_code.get(code, [])
        if places:
            location, channel = max(places, key=lambda item: item[1].used)
            found.append((location, code, channel))
        else:
            found.append((wanted, code, None))
    return found


def _reason(station: Station, source_id: SourceId) -> str:
    """Why a station does not use a channel."""
    name, refusals = str(source_id), station.refusals
    for key, reason in refusals.items():
        if key == name or key.startswith(f"{name} ") or key == station.station_id:
            return reason
    return ""


def _at(location: str, shown: bool) -> str:
    return f" at location '{location}'" if shown else ""


def _few(names: Iterable[str], none: str = "") -> str:
    """The first names, and how many more there are."""
    listed = list(dict.fromkeys(names))
    more = len(listed) - MAX_NAMES
    return (", ".join(listed[:MAX_NAMES]) or none) + (f" and {more} more" if more > 0 else "")
