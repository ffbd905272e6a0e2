"""What the operator decides: `indexer.toml`, with the environment over it."""

from indexer.settings.model import (
    BackfillSettings,
    ChainSettings,
    ContractSettings,
    DatabaseSettings,
    EndpointSettings,
    HealthSettings,
    HttpSettings,
    JournalSettings,
    LogsSettings,
    Settings,
    TimeoutSettings,
)
from indexer.settings.reading import load_settings

__all__ = [
    "BackfillSettings",
    "ChainSettings",
    "ContractSettings",
    "DatabaseSettings",
    "EndpointSettings",
    "HealthSettings",
    "HttpSettings",
    "JournalSettings",
    "LogsSettings",
    "Settings",
    "TimeoutSettings",
    "load_settings",
]
