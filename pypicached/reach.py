"""How one index is reached, made from its settings: TLS, proxies, and the guard's exceptions."""

from __future__ import annotations

import base64
import os
import ssl
from collections.abc import Mapping
from pathlib import Path

from yarl import URL

from pypicached.errors import SettingsError
from pypicached.settings import SCHEMES, EnvironmentProxies, Index, Problem, ProxyUrl
from pypicached.settings.small_files import PEM_BYTES, SECRET_BYTES, UnusableFileError, read_small
from pypicached.upstream import Proxies, Proxy, Reach

# The settings of an index that name a file, and how much may be in it.
FILES = {
    "password_file": SECRET_BYTES,
    "token_file": SECRET_BYTES,
    "ca_file": PEM_BYTES,
    "client_cert": PEM_BYTES,
    "client_key": PEM_BYTES,
}


def read_files(index: Index) -> dict[str, bytes]:
    """Return what is in the files that an index names, by setting. Raises SettingsError."""
    contents: dict[str, bytes] = {}
    problems: list[Problem] = []
    for key, limit_bytes in FILES.items():
        path: Path | None = getattr(index, key)
        if path is None:
            continue
        try:
            contents[key] = read_small(path, limit_bytes)
        except UnusableFileError as error:
            problems.append(_problem(index, key, str(error)))
    if problems:
        raise SettingsError(problems)
    return contents


def build_reach(
    index: Index, environment: EnvironmentProxies, contents: Mapping[str, bytes]
) -> Reach:
    """Return how an index is reached. Raises SettingsError if a file that it names is of no use.

    `contents` is what `read_files` gave.
    """
    authorities = contents.get("ca_file")
    return Reach(
        tls=True if authorities is None else _tls(index, authorities),
        own_tls=_own_tls(index, authorities),
        proxies=_proxies(index, environment),
        allow_addresses=index.allow_addresses,
    )


def _tls(index: Index, authorities: bytes | None) -> ssl.SSLContext:
    """Return a context that believes these authorities; None: those of the host."""
    if authorities is None:
        return ssl.create_default_context()
    # Names in comments need not be ASCII, but what OpenSSL is given has to be. Nothing at all
    # would be the host's own authorities.
    text = authorities.decode("ascii", "ignore")
    if "-----BEGIN" not in text:
        raise SettingsError([_problem(index, "ca_file", "it holds no certificate in PEM form")])
    try:
        return ssl.create_default_context(cadata=text)
    except ssl.SSLError as error:
        reason = error.reason or "it holds no certificate in PEM form"
        raise SettingsError([_problem(index, "ca_file", reason)]) from error


def _own_tls(index: Index, authorities: bytes | None) -> ssl.SSLContext | bool:
    """Return what the index's own origin is shown: its certificate is a credential like others."""
    if index.client_cert is None:
        return True if authorities is None else _tls(index, authorities)
    context = _tls(index, authorities)
    try:
        # Without a pass phrase OpenSSL would ask for one on the terminal.
        context.load_cert_chain(index.client_cert, index.client_key, password="")
    except OSError as error:
        reason = error.reason if isinstance(error, ssl.SSLError) else os.strerror(error.errno or 0)
        needed = "PEM files of a certificate and of its key without a pass phrase are needed"
        problem = _problem(index, "client_cert", reason or "it is no PEM file", needed)
        raise SettingsError([problem]) from error
    return context


def _problem(index: Index, key: str, why: str, suggestion: str = "") -> Problem:
    return f"index.{index.name}.{key}", f"{getattr(index, key)} cannot be used: {why}", suggestion


def _proxies(index: Index, environment: EnvironmentProxies) -> Proxies:
    if index.proxy == "off":
        return Proxies()
    if index.proxy is not None:
        return Proxies(dict.fromkeys(SCHEMES, _proxy(index.proxy)))
    by_scheme = {str(scheme): _proxy(one) for scheme, one in environment.by_scheme.items()}
    return Proxies(by_scheme, environment.exempt)


def _proxy(given: ProxyUrl) -> Proxy:
    authorization = None
    if given.username is not None:
        password = "" if given.password is None else given.password.reveal()
        pair = f"{given.username}:{password}".encode()
        authorization = f"Basic {base64.b64encode(pair).decode('ascii')}"
    return Proxy(URL(given.url), authorization)
