"""What the operator decides: `indexer.toml`, with the environment over it."""

from indexer.settings.model import (
    AlertSettings,
    BackfillSettings,
    ChainSettings,
    ContractSettings,
    DatabaseSettings,
    EndpointSettings,
    HealthSettings,
    HttpSettings,
    JournalSettings,
    LogsSettings,
    SentrySettings,
    Settings,
    TimeoutSettings,
)
from indexer.settings.reading import load_settings

__all__ = [
    "AlertSettings",
    "BackfillSettings",
    "ChainSettings",
    "ContractSettings",
    "DatabaseSettings",
    "EndpointSettings",
    "HealthSettings",
    "HttpSettings",
    "JournalSettings",
    "LogsSettings",
    "SentrySettings",
    "Settings",
    "TimeoutSettings",
    "load_settings",
]
