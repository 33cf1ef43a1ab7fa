"""One seam where the HTTP client's exceptions become our errors, with reasons in our words."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import aiohttp

from pypicached.errors import UpstreamAnswerError, UpstreamUnavailableError

# First match wins, so the most particular classes stand first.
REASONS: tuple[tuple[type[BaseException], str], ...] = (
    (aiohttp.ClientConnectorDNSError, "its name cannot be resolved"),
    (aiohttp.ClientConnectorCertificateError, "its TLS certificate is not valid"),
    (aiohttp.ClientSSLError, "TLS failed"),
    (aiohttp.ConnectionTimeoutError, "timed out connecting"),
    (aiohttp.ServerTimeoutError, "timed out waiting for an answer"),
    (TimeoutError, "timed out"),
    (aiohttp.ClientProxyConnectionError, "its proxy cannot be reached"),
    (aiohttp.ClientHttpProxyError, "its proxy refused"),
    (aiohttp.ClientConnectorError, "connection refused or unreachable"),
    (aiohttp.ServerDisconnectedError, "closed the connection without an answer"),
    (aiohttp.ClientPayloadError, "broke off its answer"),
    (aiohttp.ClientOSError, "connection reset"),
    (aiohttp.ClientResponseError, "sent an answer that is no HTTP"),
    (aiohttp.ClientError, "request failed"),
    (OSError, "connection failed"),
)


def reason_of(error: BaseException) -> str:
    """Return our phrase for an exception of the HTTP client."""
    for kind, reason in REASONS:
        if isinstance(error, kind):
            return reason
    return "request failed"


@contextlib.contextmanager
def mapped(index: str) -> Iterator[None]:
    """Turn whatever the HTTP client raises into UpstreamUnavailableError.

    A URL that upstream made up and that no client can ask for is UpstreamAnswerError: yarl and
    idna raise ValueError for these only when they are used.
    """
    try:
        yield
    except aiohttp.InvalidURL as error:
        raise UpstreamAnswerError(index, "gave an address that is no URL") from error
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise UpstreamUnavailableError(index, reason_of(error)) from error
    except ValueError as error:
        raise UpstreamAnswerError(index, "gave an address that is no URL") from error
