"""One seam where the HTTP client's exceptions become our errors, with reasons in our words."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import aiohttp

from pypicached.errors import (
    AddressRefusedError,
    UpstreamAnswerError,
    UpstreamError,
    UpstreamTimeoutError,
    UpstreamUnavailableError,
    UpstreamUnreachableError,
)
from pypicached.upstream.guard import RefusedAddressError

SILENT, SLOW, UNREACHABLE = UpstreamUnavailableError, UpstreamTimeoutError, UpstreamUnreachableError

# First match wins, so the most particular classes stand first.
REASONS: tuple[tuple[type[BaseException], type[UpstreamUnavailableError], str], ...] = (
    (aiohttp.ClientConnectorDNSError, UNREACHABLE, "its name cannot be resolved"),
    (aiohttp.ClientConnectorCertificateError, UNREACHABLE, "its TLS certificate is not valid"),
    (aiohttp.ClientSSLError, UNREACHABLE, "TLS failed"),
    (aiohttp.ConnectionTimeoutError, UNREACHABLE, "timed out connecting"),
    (aiohttp.ServerTimeoutError, SLOW, "timed out waiting for an answer"),
    (TimeoutError, SLOW, "timed out"),
    (aiohttp.ClientProxyConnectionError, UNREACHABLE, "its proxy cannot be reached"),
    (aiohttp.ClientHttpProxyError, UNREACHABLE, "its proxy refused"),
    (aiohttp.ClientConnectorError, UNREACHABLE, "connection refused or unreachable"),
    (aiohttp.ServerDisconnectedError, SILENT, "closed the connection without an answer"),
    (aiohttp.ClientPayloadError, SILENT, "broke off its answer"),
    (aiohttp.ClientOSError, SILENT, "connection reset"),
    (aiohttp.ClientResponseError, SILENT, "sent an answer that is no HTTP"),
    (aiohttp.ClientError, SILENT, "request failed"),
    (OSError, SILENT, "connection failed"),
)


def error_of(index: str, error: BaseException) -> UpstreamError:
    """Return our error, with our phrase, for an exception of the HTTP client."""
    met = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    if isinstance(met, RefusedAddressError):
        return AddressRefusedError(
            index, f"led to {met.address} ({met.kind}): not allowed, see allow_addresses"
        )
    for kind, ours, reason in REASONS:
        if isinstance(error, kind):
            return ours(index, reason)
    return UpstreamUnavailableError(index, "request failed")


@contextlib.contextmanager
def mapped(index: str) -> Iterator[None]:
    """Turn whatever the HTTP client raises into UpstreamUnavailableError.

    What the address guard refused is AddressRefusedError. A URL that upstream made up and that no
    client can ask for is UpstreamAnswerError: yarl and idna raise ValueError for these only when
    they are used.
    """
    try:
        yield
    except aiohttp.InvalidURL as error:
        raise UpstreamAnswerError(index, "gave an address that is no URL") from error
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise error_of(index, error) from error
    except ValueError as error:
        raise UpstreamAnswerError(index, "gave an address that is no URL") from error
