"""What the environment says: `PYPICACHED_…` as values, and warnings about the rest. Pure.

An empty variable counts as not set, because compose files pass on empty ones.
"""

from __future__ import annotations

from collections.abc import Mapping

from pypicached.settings.places import SOCKET_VARIABLE
from pypicached.settings.schema import known_keys
from pypicached.settings.values import ask_for, find_nearest

PREFIX = "PYPICACHED_"
INDEX_URL_VARIABLE = "PYPICACHED_INDEX_URL"
# Kubernetes and Docker links inject these for a service that is called pypicached.
_INJECTED = ("PYPICACHED_PORT", "PYPICACHED_SERVICE_")

_NONE = "has no counterpart here"
# PRODUCT section 8, as variables: theirs → ours.
_FOREIGN = {
    "PROXPI_INDEX_URL": "use `[[index]] url` or PYPICACHED_INDEX_URL",
    "PROXPI_INDEX_TTL": "use `[cache] page_ttl` or PYPICACHED_CACHE__PAGE_TTL",
    "PROXPI_EXTRA_INDEX_URLS": "use one `[[index]]` each; they are not merged",
    "PROXPI_EXTRA_INDEX_TTLS": "use `ttl` of each `[[index]]`",
    "PROXPI_CACHE_SIZE": "use `[cache] max_size` or PYPICACHED_CACHE__MAX_SIZE",
    "PROXPI_CACHE_DIR": "use `[cache] directory` or PYPICACHED_CACHE__DIRECTORY",
    "PROXPI_DOWNLOAD_TIMEOUT": f"{_NONE}: files always stream, and no client is sent away",
    "PROXPI_CONNECT_TIMEOUT": "use `connect_timeout` of `[[index]]`",
    "PROXPI_READ_TIMEOUT": "use `timeout` of `[[index]]`",
    "PROXPI_BINARY_FILE_MIME_TYPE": f"{_NONE}: files are always application/octet-stream",
    "PROXPI_DISABLE_INDEX_SSL_VERIFICATION": f"{_NONE}, on purpose: use `ca_file` of `[[index]]`",
    "PROXPI_LOGGING_LEVEL": "use `[server] log_level` or PYPICACHED_SERVER__LOG_LEVEL",
    "MYPYPI_UPSTREAM_URL": "use `[[index]] url` or PYPICACHED_INDEX_URL, with /simple/ at its end",
    "MYPYPI_UPSTREAM_STRICT": f"{_NONE}: files always stream, and no client is sent away",
    "MYPYPI_DATA_DIRECTORY": "use `[cache] directory` or PYPICACHED_CACHE__DIRECTORY",
    "MYPYPI_CACHE_MINUTES": "use `[cache] page_ttl` or PYPICACHED_CACHE__PAGE_TTL",
    "MYPYPI_TIMEOUT_SECONDS": "use `timeout` of `[[index]]`",
}


def variable_of(dotted: str) -> str:
    """Return the variable that sets `section.name`."""
    return PREFIX + dotted.upper().replace(".", "__")


def read_environment(env: Mapping[str, str]) -> dict[str, str]:
    """Return dotted key → text for every setting that the environment gives."""
    found = {dotted: env.get(variable_of(dotted), "") for dotted in known_keys()}
    return {dotted: text for dotted, text in found.items() if text}


def environment_warnings(env: Mapping[str, str]) -> list[str]:
    """Return a sentence for each variable that looks like ours or a relative's, and is not."""
    return [*_unknown(env), *_foreign(env)]


def _unknown(env: Mapping[str, str]) -> list[str]:
    known = {*map(variable_of, known_keys()), INDEX_URL_VARIABLE, SOCKET_VARIABLE}
    strangers = sorted(
        name
        for name in env
        if name.startswith(PREFIX) and name not in known and not name.startswith(_INJECTED)
    )
    return [
        f"environment variable {name} is unknown and ignored{_hint(name, known)}"
        for name in strangers
    ]


def _hint(name: str, known: set[str]) -> str:
    # Compared without the prefix, which would make every name look near.
    plain = {variable.removeprefix(PREFIX).lower(): variable for variable in sorted(known)}
    near = find_nearest(name.removeprefix(PREFIX), plain)
    return f"; {ask_for(plain[near])}" if near else ""


def _foreign(env: Mapping[str, str]) -> list[str]:
    return [
        f"environment variable {name} is not read; {ours}"
        if ours.startswith("use ")
        else f"environment variable {name} {ours}"
        for name, ours in _FOREIGN.items()
        if env.get(name)
    ]
