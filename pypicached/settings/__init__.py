"""Typed settings: defaults < TOML < environment < command line.

Only `daemon` and the CLI read them; everything below gets plain values. Reads the configuration
file and looks at directories; creates and changes nothing.
"""

from pypicached.settings.addresses import split_listen
from pypicached.settings.changes import Change, differences, needs_restart, without_restart
from pypicached.settings.indexes import INDEX_FILES
from pypicached.settings.load import Loaded, load
from pypicached.settings.model import (
    S3,
    SCHEMES,
    Audit,
    Cache,
    EnvironmentProxies,
    Index,
    Limits,
    Policy,
    ProxyUrl,
    Server,
    Settings,
    Share,
    Store,
)
from pypicached.settings.places import Places, default_sockets, find_places
from pypicached.settings.problems import Problem, describe
from pypicached.settings.secret import Secret
from pypicached.settings.source import Seen, Source
from pypicached.settings.spell import Row, rows, spell_toml
from pypicached.settings.units import (
    format_duration,
    format_size,
    parse_duration,
    parse_size,
    spell_size,
)

__all__ = [
    "INDEX_FILES",
    "S3",
    "SCHEMES",
    "Audit",
    "Cache",
    "Change",
    "EnvironmentProxies",
    "Index",
    "Limits",
    "Loaded",
    "Places",
    "Policy",
    "Problem",
    "ProxyUrl",
    "Row",
    "Secret",
    "Seen",
    "Server",
    "Settings",
    "Share",
    "Source",
    "Store",
    "default_sockets",
    "describe",
    "differences",
    "find_places",
    "format_duration",
    "format_size",
    "load",
    "needs_restart",
    "parse_duration",
    "parse_size",
    "rows",
    "spell_size",
    "spell_toml",
    "split_listen",
    "without_restart",
]
