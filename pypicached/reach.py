"""How one index is reached, made from its settings: TLS, proxies, and the guard's exceptions."""

from __future__ import annotations

import base64
import ssl

from yarl import URL

from pypicached.errors import StartError
from pypicached.settings import SCHEMES, EnvironmentProxies, Index, ProxyUrl
from pypicached.upstream import Proxies, Proxy, Reach


def build_reach(index: Index, environment: EnvironmentProxies) -> Reach:
    """Return how an index is reached. Raises StartError if a file that it names cannot be used."""
    return Reach(
        tls=_tls(index),
        own_tls=_own_tls(index),
        proxies=_proxies(index, environment),
        allow_addresses=index.allow_addresses,
    )


def _tls(index: Index) -> ssl.SSLContext | bool:
    if index.ca_file is None:
        return True
    try:
        return ssl.create_default_context(cafile=str(index.ca_file))
    except (OSError, ssl.SSLError) as error:
        raise StartError(f"index {index.name}: cannot use its ca_file: {error}") from error


def _own_tls(index: Index) -> ssl.SSLContext | bool:
    """Return what the index's own origin is shown: its certificate is a credential like others."""
    if index.client_cert is None:
        return _tls(index)
    context = ssl.create_default_context(cafile=index.ca_file)
    try:
        # Without a pass phrase OpenSSL would ask for one on the terminal.
        context.load_cert_chain(index.client_cert, index.client_key, password="")
    except (OSError, ssl.SSLError) as error:
        reason = error.reason if isinstance(error, ssl.SSLError) else error.strerror
        raise StartError(
            f"index {index.name}: cannot use its client_cert: {reason}; PEM files of a "
            "certificate and of its key without a pass phrase are needed"
        ) from error
    return context


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
