"""Configuration of a station: the settings as structs, and the station file that sets them."""

from seisedge.runtime.config.alerts import AlertConfig
from seisedge.runtime.config.file import check_metadata, load_config
from seisedge.runtime.config.page import PageConfig, page_fault
from seisedge.runtime.config.settings import (
    BUNDLED,
    ChannelConfig,
    EngineName,
    EventsConfig,
    JournalConfig,
    LiveConfig,
    MagnitudeConfig,
    Mode,
    ModelsConfig,
    SensorConfig,
    StationConfig,
    StationIdentity,
    TimelineConfig,
    TriggerConfig,
    TriggerKind,
    settings_of,
)
from seisedge.runtime.config.sinks import (
    JsonLinesConfig,
    MqttConfig,
    QuakeMLConfig,
    SinksConfig,
    WebhookConfig,
    header_secret,
    secret,
)
from seisedge.runtime.config.snippets import ArchiveConfig, SnippetsConfig

__all__ = [
    "BUNDLED",
    "AlertConfig",
    "ArchiveConfig",
    "ChannelConfig",
    "EngineName",
    "EventsConfig",
    "JournalConfig",
    "JsonLinesConfig",
    "LiveConfig",
    "MagnitudeConfig",
    "Mode",
    "ModelsConfig",
    "MqttConfig",
    "PageConfig",
    "QuakeMLConfig",
    "SensorConfig",
    "SinksConfig",
    "SnippetsConfig",
    "StationConfig",
    "StationIdentity",
    "TimelineConfig",
    "TriggerConfig",
    "TriggerKind",
    "WebhookConfig",
    "check_metadata",
    "header_secret",
    "load_config",
    "page_fault",
    "secret",
    "settings_of",
]
