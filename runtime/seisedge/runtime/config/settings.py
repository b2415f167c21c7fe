"""Settings of a station: one struct per table of the station file; `file` reads and validates them.

Sensitivities and the station correction give magnitudes their physical scale; every other setting has a default.
`firmware_configs/stations/example.toml` documents each setting.

Every number has a lower and an upper bound, so that no valid file makes a number overflow later: infinity and nan are
outside all of them. Every text has a length or a pattern, and a path, a URL or an address has a `format`, which
`file` checks. A test goes through all settings and refuses one without.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from seisedge.runtime.config.alerts import AlertConfig
from seisedge.runtime.config.formats import FilePath, ListenAddress, SourceUrl
from seisedge.runtime.config.page import PageConfig
from seisedge.runtime.config.sinks import FileMode, SinksConfig
from seisedge.runtime.config.snippets import ArchiveConfig, SnippetsConfig
from seisedge.runtime.config.state_of_health import StateOfHealthConfig
from seisedge.runtime.records.channelcode import COMPONENTS
from seisedge.runtime.records.codes import LOCATION, NETWORK, STATION
from seisedge.runtime.records.units import MAX_GAIN, MIN_ACCELERATION_GAIN

Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
PositiveShare = Annotated[float, msgspec.Meta(gt=0, le=1)]
Label = Annotated[
    str,
    msgspec.Meta(pattern="^[A-Za-z0-9 _-]{1,64}$", description="a label of the event-type model", examples=["noise"]),
]
Mode = Literal["triggered", "continuous"]
TriggerKind = Literal["onset", "sta-lta"]
EngineName = Literal["onnxruntime", "tensorrt", "tensorrt-rtx"]

# What the texts with a pattern must be, for messages and the JSON Schema.
SENSOR = "a band code and an instrument code (H, L or P of a seismometer, N of an accelerometer, G)"
PLACE = "a location code: up to 8 capital letters, digits or dashes; '--' is the blank one"
NET = "a network code: 1 to 8 capital letters or digits"
STA = "a station code: 1 to 8 capital letters, digits or dashes"
AXES = "the components in the order Z, N, E, without repetition"

BUNDLED = "bundled"
# Default of events.min_event_separation_s: the classic trigger also fires at the S wave of the same event.
SEPARATION_S: dict[TriggerKind, float] = {"onset": 2.0, "sta-lta": 5.0}
# Default of events.noise_threshold. By training data: docs/detection.md, "The noise threshold".
NOISE_THRESHOLD: dict[TriggerKind, float] = {"onset": 0.05, "sta-lta": 0.0}


class ChannelConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One channel of the station; a value given here takes precedence over StationXML."""

    # counts per `unit`; the bounds are those of StationXML, see `units`
    sensitivity: Annotated[float, msgspec.Meta(ge=MIN_ACCELERATION_GAIN, le=MAX_GAIN)] | None = None
    polarity: Literal[1, -1] | None = None  # default: by StationXML's dip or azimuth, else 1
    azimuth_deg: Annotated[float, msgspec.Meta(ge=0, le=360)] | None = None
    dip_deg: Annotated[float, msgspec.Meta(ge=-90, le=90)] | None = None
    unit: Literal["m/s", "m/s**2"] | None = None  # default: m/s**2 for an accelerometer, else m/s


class SensorConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One sensor of a station that has a seismometer and an accelerometer."""

    code: Annotated[str, msgspec.Meta(pattern="^[A-Z0-9]{1}[HLPNG]$", description=SENSOR, examples=["HN"])]
    location: Annotated[str, msgspec.Meta(pattern=f"^{LOCATION}$", description=PLACE, examples=["00"])] = (
        ""  # default: that of [station], else any
    )


class StationIdentity(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Codes and position of the station, and its StationXML file."""

    network: Annotated[str, msgspec.Meta(pattern=f"^{NETWORK}$", description=NET, examples=["PB"])]
    station: Annotated[str, msgspec.Meta(pattern=f"^{STATION}$", description=STA, examples=["B918"])]
    location: Annotated[str, msgspec.Meta(pattern=f"^{LOCATION}$", description=PLACE, examples=["00"])] = (
        ""  # default: any; '--' is the blank one
    )
    latitude_deg: Annotated[float, msgspec.Meta(ge=-90, le=90)] | None = None
    longitude_deg: Annotated[float, msgspec.Meta(ge=-180, le=180)] | None = None
    elevation_m: Annotated[float, msgspec.Meta(ge=-12_000, le=12_000)] | None = None  # above sea level
    stationxml: FilePath | None = None  # `load_config` adds the folder


class ModelsConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Model files (a path, `bundled` or `none`), the engine that runs them, and the folder of built engines.

    prevalence: expected share of each label of the event-type model among the onsets of the station.
    """

    event_type: FilePath = BUNDLED
    magnitude: FilePath = BUNDLED
    onset: FilePath = BUNDLED
    prevalence: dict[Label, PositiveShare] = {}  # default: the output of the model, without weights
    engine: EngineName = "onnxruntime"
    engine_cache: FilePath | None = None


class TriggerConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What opens events: the onset detector, or the STA/LTA trigger with these settings.

    kind: None is the onset detector; without one (models.onset is 'none') it is the STA/LTA trigger in triggered mode.
    Of STA/LTA: high-pass corner (Hz), lengths of the averages (s), ratios of amplitudes.
    """

    kind: TriggerKind | None = None
    p_threshold: Annotated[float, msgspec.Meta(gt=0, lt=1)] | None = None  # default: that of the detector's card
    # below half of the trigger's sampling rate; a corner under 0.01 Hz has a longer period than any buffer
    highpass_hz: Annotated[float, msgspec.Meta(ge=0.01, lt=15)] = 4.0
    sta_s: Annotated[float, msgspec.Meta(ge=0.1, le=10)] = 0.5
    lta_s: Annotated[float, msgspec.Meta(ge=1, le=60)] = 8.0
    # a ratio of 1000 is not reached even by an earthquake that clips the digitizer
    on_ratio: Annotated[float, msgspec.Meta(gt=1, le=1000)] = 4.2
    off_ratio: Annotated[float, msgspec.Meta(ge=0.01, le=1000)] = 1.7

    def kind_in(self, mode: Mode, *, has_detector: bool) -> TriggerKind:
        """What opens events in a mode. has_detector: an onset detector is loaded."""
        return self.kind or ("onset" if has_detector or mode == "continuous" else "sta-lta")


class EventsConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When a trigger starts a new event, and when an event is retracted as noise or as too improbable."""

    # longer than S after P at 4000 km; a longer one would hide events, not repetitions. Default: by SEPARATION_S
    min_event_separation_s: Annotated[float, msgspec.Meta(ge=0, le=600)] | None = None
    # Probability of noise from which on an event is retracted. 0: where noise is the most probable label; 1: never;
    # in between, with the onset detector, also where noise is the most probable label. Default: by NOISE_THRESHOLD
    noise_threshold: Share | None = None
    min_probability: Share = 0.0  # of the most probable label that is not noise

    def separation_s(self, kind: TriggerKind) -> float:
        """The smallest time between the onsets of two events that this kind of opener opens."""
        return SEPARATION_S[kind] if self.min_event_separation_s is None else self.min_event_separation_s

    def noise_limit(self, kind: TriggerKind) -> float:
        """`noise_threshold`, or its default for this kind of opener."""
        return NOISE_THRESHOLD[kind] if self.noise_threshold is None else self.noise_threshold


class TimelineConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How long to wait for late samples and late components, in seconds of data time."""

    components: Annotated[str, msgspec.Meta(pattern="^Z?N?E?$", min_length=1, description=AXES, examples=["ZNE"])] = (
        COMPONENTS
    )
    max_wait_s: Annotated[float, msgspec.Meta(ge=1, le=600)] = 60.0
    reorder_wait_s: Annotated[float, msgspec.Meta(ge=0, le=60)] = 2.0


class MagnitudeConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Station correction, added to log10 of the amplitude before the model receives the window."""

    # 5 units of log10 are a factor 100,000 in amplitude: more than any site effect or forgotten gain of a preamplifier
    station_correction: Annotated[float, msgspec.Meta(ge=-5, le=5)] | None = None
    station_correction_error: Annotated[float, msgspec.Meta(ge=0, le=5)] | None = None


class LiveConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How far inference may lag behind a live stream before windows are dropped, in seconds."""

    max_behind_s: Annotated[float, msgspec.Meta(ge=1, le=300)] = 30.0


class JournalConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How often the journal is committed, how long and how much it keeps, and the rights of the files beside it."""

    commit_s: Annotated[float, msgspec.Meta(ge=0, le=60)] = 1.0
    # 86 s to ten years; ten million lines are about 20 GB
    keep_days: Annotated[float, msgspec.Meta(ge=0.001, le=3650)] = 30.0
    max_lines: Annotated[int, msgspec.Meta(ge=100, le=10_000_000)] = 100_000
    file_mode: FileMode = "0600"


class StationConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """All settings of a station file."""

    station: StationIdentity | None = None
    source: SourceUrl | None = None
    mode: Mode = "triggered"
    state: FilePath | None = None
    metrics: ListenAddress | None = None
    page: PageConfig = PageConfig()
    channels: dict[str, ChannelConfig] = {}
    sensors: list[SensorConfig] = []
    models: ModelsConfig = ModelsConfig()
    trigger: TriggerConfig = TriggerConfig()
    events: EventsConfig = EventsConfig()
    timeline: TimelineConfig = TimelineConfig()
    magnitude: MagnitudeConfig = MagnitudeConfig()
    live: LiveConfig = LiveConfig()
    journal: JournalConfig = JournalConfig()
    snippets: SnippetsConfig | None = None
    archive: ArchiveConfig | None = None
    sinks: SinksConfig = SinksConfig()
    alerts: list[AlertConfig] = []
    state_of_health: dict[str, StateOfHealthConfig] = {}

    @property
    def station_id(self) -> str | None:
        """`NET.STA`, or None without a [station] table."""
        return f"{self.station.network}.{self.station.station}" if self.station else None


# Settings of input, output and storage: events do not depend on them.
WITHOUT_EFFECT_ON_EVENTS = (
    "source", "state", "metrics", "page", "live", "journal", "snippets", "archive", "sinks", "alerts",
    "state_of_health",
)  # fmt: skip


def settings_of(config: StationConfig) -> dict[str, Any]:
    """The settings that the events of a station depend on, as plain values."""
    plain: dict[str, Any] = msgspec.to_builtins(config)
    if config.station is not None:
        del plain["station"]["stationxml"]  # events depend on its content, not on its path
        del plain["station"]["elevation_m"]  # only for display
    del plain["models"]["engine"], plain["models"]["engine_cache"]  # the engine in use may be another one
    return {key: value for key, value in plain.items() if key not in WITHOUT_EFFECT_ON_EVENTS}
