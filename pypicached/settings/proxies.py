"""HTTP proxies towards upstreams: an index's own `proxy`, and those of the environment. Pure.

No message quotes a proxy's URL as it was given: it may hold a password.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal
from urllib.parse import SplitResult, unquote, urlsplit

from pypicached.settings.model import SCHEMES, EnvironmentProxies, ProxyUrl, Scheme
from pypicached.settings.secret import Secret, is_clean
from pypicached.settings.values import BadValueError, name_type


def parse_proxy(value: object, _base: Path) -> ProxyUrl | Literal["off"]:
    """Accept `http://[user:password@]host:port`, or "off": asked directly, whatever else is set."""
    if not isinstance(value, str):
        raise BadValueError(f"must be text in quotes, not {name_type(value)}")
    if value == "off":
        return "off"
    text = value.strip()
    if not is_clean(text) or " " in text:
        raise BadValueError("has spaces or control characters")
    parts = _split(text)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    url = f"http://{host}" if parts.port is None else f"http://{host}:{parts.port}"
    if parts.username is None:
        return ProxyUrl(url)
    username, password = unquote(parts.username), unquote(parts.password or "")
    if not username or ":" in username or not is_clean(username + password):
        raise BadValueError("the user:password@ in it is malformed", "percent-encode its parts")
    return ProxyUrl(url, username, Secret(password))


def _split(text: str) -> SplitResult:
    try:
        # As people write it into the environment: without a scheme.
        parts = urlsplit(text if "://" in text else f"http://{text}")
        _ = parts.port
    except ValueError:
        raise BadValueError("is no URL: its host or port is malformed") from None
    if parts.scheme != "http":
        raise BadValueError(
            "must begin with http://: only HTTP proxies can be used (TLS goes through them)"
        )
    if not parts.hostname or parts.path not in ("", "/") or parts.query or parts.fragment:
        raise BadValueError("is no proxy", 'say e.g. "http://proxy.example:3128"')
    return parts


def read_proxies(env: Mapping[str, str]) -> tuple[EnvironmentProxies, list[str]]:
    """Return the proxies of the environment, and a warning for each that cannot be used."""
    by_scheme: dict[Scheme, ProxyUrl] = {}
    variables: dict[Scheme, str] = {}
    warnings = []
    for scheme in SCHEMES:
        # As curl and the standard library: small letters win.
        names = (f"{scheme}_proxy", f"{scheme.upper()}_PROXY")
        name = next((name for name in names if env.get(name)), None)
        if name is None:
            continue
        try:
            proxy = parse_proxy(env[name], Path())
        except BadValueError as error:
            warnings.append(f"environment variable {name} is ignored: it {error.message}")
            continue
        if isinstance(proxy, ProxyUrl):
            by_scheme[scheme], variables[scheme] = proxy, name
    exempt = env.get("no_proxy") or env.get("NO_PROXY") or ""
    return EnvironmentProxies(by_scheme, variables, exempt), warnings
