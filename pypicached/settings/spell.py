"""Settings spelled as one would write them in a file, each with where it came from. Pure.

What this prints can be read back by `load`, but for secrets, which are asterisks.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from pypicached.settings.load import Loaded
from pypicached.settings.model import Index, ProxyUrl, Settings, Share, section_of
from pypicached.settings.schema import INDEX_KEYS, SECTIONS
from pypicached.settings.secret import HIDDEN, Secret
from pypicached.settings.units import format_duration, spell_size

_OFF = frozenset(
    {"cache.stale_while_revalidate", "cache.stale_if_error", "policy.min_age", "audit.keep"}
)

_BEFORE_INDEXES = ("server", "cache")
# Numbers that are no sizes.
_NUMBERS = frozenset({"limits.clients", "store.s3.redirect_status"})
_NONE = {"cache.max_size": "unlimited", "cache.prune_after": "never"}


class Row(msgspec.Struct, frozen=True):
    """One setting: `value` is text, a number, true or false, or a list, as TOML has them."""

    key: str
    value: str | int | bool | list[str]
    source: str


def rows(loaded: Loaded) -> list[Row]:
    """Return every setting that has a value, in the order of PRODUCT section 4."""
    found: list[Row] = []
    sources = dict(loaded.sources)
    for index in loaded.settings.indexes:
        if index.proxy is None and (given := loaded.settings.proxies.of(index.url)):
            sources[f"index.{index.name}.proxy"] = f"environment {given[1]}"
    for dotted, value in _walk(loaded.settings):
        if value is not None or dotted in _NONE:
            found.append(Row(dotted, _spell(dotted, value), sources[dotted]))
    return found


def _walk(settings: Settings) -> list[tuple[str, object]]:
    found: list[tuple[str, object]] = []
    for section in _BEFORE_INDEXES:
        found += _section(settings, section)
    for index in settings.indexes:
        found += [
            (f"index.{index.name}.{key}", _index_value(settings, index, key))
            for key in INDEX_KEYS
            if getattr(index, key) != ()
        ]
    for section in [name for name in SECTIONS if name not in _BEFORE_INDEXES]:
        found += _section(settings, section)
    return found


def _section(settings: Settings, section: str) -> list[tuple[str, object]]:
    struct = section_of(settings, section)
    return [(f"{section}.{key}", getattr(struct, key)) for key in SECTIONS[section]]


def _index_value(settings: Settings, index: Index, key: str) -> object:
    if key == "proxy" and index.proxy is None:
        given = settings.proxies.of(index.url)
        return None if given is None else given[0]
    if key == "username" and index.username is not None and index.username_is_secret:
        return HIDDEN
    return getattr(index, key)


def _spell(dotted: str, value: object) -> str | int | bool | list[str]:
    if value is None:
        return _NONE[dotted]
    if isinstance(value, Share):
        return f"{str(value.percent).removesuffix('.0')}%"
    if isinstance(value, float):
        return "off" if dotted in _OFF and not value else format_duration(value)
    if isinstance(value, tuple):
        return [str(item) for item in value]
    if isinstance(value, bool) or dotted in _NUMBERS:
        return bool(value) if isinstance(value, bool) else int(str(value))
    if isinstance(value, int):
        return spell_size(value)
    assert isinstance(value, str | Path | Secret | ProxyUrl)
    return str(value)


def spell_toml(found: list[Row]) -> str:
    """Return rows as a TOML document, each line with its source as a comment."""
    lines: list[str] = []
    opened = ""
    for row in found:
        table, _, key = row.key.rpartition(".")
        if table != opened:
            opened = table
            header = "[[index]]" if table.startswith("index.") else f"[{table}]"
            lines += ["", header] if lines else [header]
        lines.append(f"{key} = {_toml(row.value)}  # from {row.source}")
    return "\n".join(lines) + "\n"


def _toml(value: str | int | bool | list[str]) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return f"[{', '.join(_toml(item) for item in value)}]"
    return _quoted(value) if isinstance(value, str) else str(value)


def _quoted(text: str) -> str:
    """Return a TOML basic string, with everything escaped that a terminal might obey."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(c if c.isprintable() else f"\\U{ord(c):08X}" for c in escaped) + '"'
