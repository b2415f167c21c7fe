"""Configuration of a station: the settings as structs, and the station file that sets them."""

from seisedge.runtime.config.file import check_metadata, load_config
from seisedge.runtime.config.settings import (
    BUNDLED,
    ChannelConfig,
    ContinuousConfig,
    EngineName,
    EventsConfig,
    JournalConfig,
    LiveConfig,
    MagnitudeConfig,
    Mode,
    ModelsConfig,
    StationConfig,
    StationIdentity,
    TimelineConfig,
    TriggerConfig,
    settings_of,
)
from seisedge.runtime.config.sinks import JsonLinesConfig, MqttConfig, QuakeMLConfig, SinksConfig, WebhookConfig, secret

__all__ = [
    "BUNDLED",
    "ChannelConfig",
    "ContinuousConfig",
    "EngineName",
    "EventsConfig",
    "JournalConfig",
    "JsonLinesConfig",
    "LiveConfig",
    "MagnitudeConfig",
    "Mode",
    "ModelsConfig",
    "MqttConfig",
    "QuakeMLConfig",
    "SinksConfig",
    "StationConfig",
    "StationIdentity",
    "TimelineConfig",
    "TriggerConfig",
    "WebhookConfig",
    "check_metadata",
    "load_config",
    "secret",
    "settings_of",
]
