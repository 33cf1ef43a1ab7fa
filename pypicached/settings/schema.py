"""Which settings there are, their defaults, and how each is read. PRODUCT section 4 as a table.

Only what the program honours stands here; anything else in a file is an unknown key. Defaults are
written as in a file and pass the same parsers. Directories have none: `places` knows them.
"""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

from pypicached.settings import buckets, rules, values
from pypicached.settings.proxies import parse_proxy
from pypicached.settings.urls import PYPI_URL, parse_plain_url
from pypicached.settings.values import Kind, Parse


class Key(msgspec.Struct, frozen=True):
    """How one setting is read; `kind` says what text from the environment is turned into."""

    parse: Parse
    # None: from `places`, or (in an index) simply not set.
    default: object = None
    kind: Kind = "text"
    # What a running daemon holds on to: another value takes effect with its next start.
    restart: bool = False
    # The path of a file that is read, which may be a credential of systemd.
    names_file: bool = False


# By the name of the section, `store.s3` after the `store` that it is in.
SECTIONS: dict[str, dict[str, Key]] = {
    "server": {
        "listen": Key(values.parse_listen, ["127.0.0.1:3143", "[::1]:3143"], "list", restart=True),
        "trusted_proxies": Key(values.parse_networks, (), "list"),
        "allow_from": Key(values.parse_networks, (), "list"),
        "control_socket": Key(values.parse_socket_path, restart=True),
        "access_log": Key(values.parse_boolean, default=False, kind="boolean"),
        "log_format": Key(values.one_of("text", "json"), "text"),
        "log_level": Key(values.one_of("debug", "info", "warning", "error"), "info"),
        "drain": Key(values.duration(zero=True), "10s"),
    },
    "cache": {
        "directory": Key(values.parse_path, restart=True),
        "ledger": Key(values.parse_path, restart=True),
        "max_size": Key(values.parse_max_size, "20GiB"),
        "min_free": Key(values.parse_min_free, "5%"),
        "prune_after": Key(values.parse_prune_after, "never"),
        "memory": Key(values.size(zero=True), "64MiB"),
        "page_ttl": Key(values.duration(zero=True), "10m"),
        "stale_while_revalidate": Key(values.duration(off=True), "off"),
        "stale_if_error": Key(values.duration(off=True), "30d"),
        "negative_ttl": Key(values.duration(zero=True), "1m"),
        "page_deadline": Key(values.duration(), "5s"),
        "cold_deadline": Key(values.duration(), "10s"),
        "offline": Key(values.parse_boolean, default=False, kind="boolean"),
    },
    "store": {
        "kind": Key(values.one_of("local", "s3"), "local", restart=True),
    },
    "store.s3": {
        "bucket": Key(buckets.parse_bucket, restart=True),
        "prefix": Key(buckets.parse_prefix, "", restart=True),
        "endpoint_url": Key(parse_plain_url, restart=True),
        "region": Key(buckets.parse_region, restart=True),
        "access_key_id": Key(values.parse_text, restart=True),
        "secret_access_key": Key(values.parse_secret, restart=True),
        "secret_access_key_file": Key(values.parse_path, restart=True, names_file=True),
        "addressing": Key(values.one_of("auto", "path", "virtual"), "auto", restart=True),
        "serve": Key(values.one_of("proxy", "redirect"), "proxy"),
        "redirect_status": Key(buckets.parse_redirect_status, buckets.DEFAULT_REDIRECT, "number"),
        "public_url": Key(parse_plain_url),
    },
    "limits": {
        "clients": Key(values.count, 4096, "number"),
        "request_head": Key(values.duration(), "30s"),
        "page_size": Key(values.size(), "128MiB"),
        "metadata_size": Key(values.size(), "8MiB"),
    },
    "policy": {
        "min_age": Key(values.parse_min_age, "off"),
        "deny": Key(rules.parse_requirements, (), "list"),
        "allow": Key(rules.parse_requirements, (), "list"),
        "exempt": Key(rules.parse_globs, (), "list"),
        "removed_files": Key(values.one_of("keep", "refuse"), "keep"),
    },
    "audit": {
        "keep": Key(values.parse_keep, "90d"),
    },
}
# `name` and `url` are read by `indexes`, because they depend on each other.
INDEX: dict[str, Key] = {
    "ttl": Key(values.duration(zero=True)),
    "username": Key(values.parse_username),
    "password": Key(values.parse_secret),
    "password_file": Key(values.parse_path),
    "token": Key(values.parse_secret),
    "token_file": Key(values.parse_path),
    "ca_file": Key(values.parse_path),
    "client_cert": Key(values.parse_path),
    "client_key": Key(values.parse_path),
    "proxy": Key(parse_proxy),
    "timeout": Key(values.duration(), "30s"),
    "connect_timeout": Key(values.duration(), "5s"),
    "page_deadline": Key(values.duration()),
    "cold_deadline": Key(values.duration()),
    "file_deadline": Key(values.duration()),
    "projects": Key(rules.parse_globs, (), "list"),
    "exclude": Key(rules.parse_globs, (), "list"),
    "allow_addresses": Key(values.parse_networks, (), "list"),
}
INDEX_KEYS = ("name", "url", *INDEX)
INDEX_NAME = re.compile(r"[a-z0-9][a-z0-9-]*")
# First path segments that the public listener uses itself (PRODUCT section 2).
RESERVED_NAMES = frozenset(
    {"simple", "files", "index", "static", "api", "healthz", "readyz", "metrics"}
)
DEFAULT_INDEX: dict[str, object] = {"name": "pypi", "url": PYPI_URL}


def find_key(dotted: str) -> Key | None:
    """Return the key of `section.name`, or None if there is none."""
    section, _, name = dotted.rpartition(".")
    return SECTIONS.get(section, {}).get(name)


def known_keys() -> list[str]:
    """Return every `section.name` there is (`store.s3.name`, too), but for those of an index."""
    return [f"{section}.{name}" for section, keys in SECTIONS.items() for name in keys]


def suggest_key(section: str, name: str) -> str:
    """Return the way out for an unknown key: the nearest one, or the section it belongs to."""
    here = INDEX_KEYS if section == "index" else tuple(SECTIONS.get(section, ()))
    if near := values.find_nearest(name, here):
        return values.ask_for(near)
    for other, keys in [*SECTIONS.items(), ("index", INDEX_KEYS)]:
        if name in keys:
            return f"it belongs into {'[[index]]' if other == 'index' else f'[{other}]'}"
    everywhere = {dotted.rpartition(".")[2]: dotted for dotted in known_keys()}
    near = values.find_nearest(name, everywhere)
    return values.ask_for(everywhere[near] if near else None)


def default_of(key: Key, base: Path) -> object:
    """Return the typed default of `key`."""
    return None if key.default is None else key.parse(key.default, base)
