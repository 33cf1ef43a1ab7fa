"""What goes wrong with a bucket, in our words: errors of botocore, aiohttp and the network.

Nothing of theirs is quoted but the code of an answer: addresses, keys and tokens stay out.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

import aiohttp
from botocore import exceptions as botocore_errors
from botocore.parsers import ResponseParserError

from pypicached.errors import BlobMissingError, StoreError, StoreRefusedError, StoreUnavailableError
from pypicached.store.access import NO_BUCKET

# Codes (S3's "Error responses", and those of Ceph) that later may not meet, whatever their status.
_PASSING = frozenset({
    "BadDigest", "ConditionalRequestConflict", "IncompleteBody", "InternalError",
    "OperationAborted", "RequestTimeout", "ServiceUnavailable", "SlowDown", "Throttling",
    "ThrottlingException", "TooManyRequests", "XAmzContentSHA256Mismatch",
})  # fmt: skip
_REFUSED = {
    "AccessDenied": "denies access",
    "AllAccessDisabled": "denies access",
    "AuthorizationHeaderMalformed": "is in another region",
    "ExpiredToken": "says that our credentials have expired",
    "InvalidAccessKeyId": "does not know our access key",
    "InvalidBucketName": "cannot have a bucket of that name",
    "InvalidToken": "does not accept our token",
    "NoSuchBucket": "has no bucket of that name",
    "PermanentRedirect": "is in another region, or at another address",
    "QuotaExceeded": "is full: its quota is used up",
    "RequestTimeTooSkewed": "says that the clock of this host is wrong",
    "SignatureDoesNotMatch": "says that our secret key is wrong",
    "UserSuspended": "has suspended our user",
    # HEAD has no body (RFC 9110 §9.3.2); botocore puts the status in the place of the code.
    "403": "denies access",
    "404": NO_BUCKET,
}
# What no other time will change.
_HOPELESS = (
    (
        (botocore_errors.NoCredentialsError, botocore_errors.PartialCredentialsError),
        "needs credentials, and none were found",
    ),
    (
        (botocore_errors.ProfileNotFound, botocore_errors.ConfigParseError),
        "needs credentials, and their file cannot be used",
    ),
    (
        (botocore_errors.ParamValidationError, botocore_errors.InvalidRegionError),
        "cannot be asked: the name of its bucket or region is not valid",
    ),
    (
        (botocore_errors.BaseEndpointResolverError, botocore_errors.EndpointProviderError),
        "cannot be asked: its region or endpoint is missing or not valid",
    ),
)
# What another time may; the first that fits.
_FAILURES = (
    (
        (botocore_errors.CredentialRetrievalError, botocore_errors.TokenRetrievalError),
        "needs credentials, and their source does not answer",
    ),
    ((botocore_errors.ConnectTimeoutError,), "did not accept a connection in time"),
    ((TimeoutError, botocore_errors.ReadTimeoutError), "did not answer in time"),
    ((botocore_errors.ProxyConnectionError,), "cannot be reached through the proxy"),
    ((botocore_errors.EndpointConnectionError,), "cannot be reached"),
    ((ResponseParserError,), "gave an answer that is none of S3's"),
    (
        (botocore_errors.HTTPClientError, aiohttp.ClientError, OSError),
        "broke off the connection",
    ),
)
# OpenSSL's word, which both libraries pass on.
_VERIFIES = "CERTIFICATE_VERIFY_FAILED"
_UNTRUSTED = "cannot be reached by TLS: its certificate is not trusted; see AWS_CA_BUNDLE"
_NO_TLS = "cannot be reached by TLS: perhaps it speaks plain http there"
_CODE = re.compile(r"[A-Za-z0-9.]{1,40}")
_NOT_IMPLEMENTED = 501


@contextlib.contextmanager
def explained() -> Iterator[None]:
    """Raise what goes wrong with a request as StoreError."""
    try:
        yield
    except (
        botocore_errors.BotoCoreError,
        botocore_errors.ClientError,
        ResponseParserError,
        aiohttp.ClientError,
        OSError,  # TimeoutError is one
    ) as error:
        # Not chained: theirs quote addresses and answers.
        raise explain(error) from None


def explain(error: Exception) -> StoreError:
    """Return the StoreError for what a request raised."""
    if isinstance(error, botocore_errors.ClientError):
        code = str(error.response.get("Error", {}).get("Code", ""))
        status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        return _explain_answer(code if _CODE.fullmatch(code) else str(status), status)
    refusal = _phrase_for(error, _HOPELESS)
    if refusal is not None:
        return StoreRefusedError(refusal)
    if isinstance(error, (botocore_errors.SSLError, aiohttp.ClientSSLError)):
        return StoreUnavailableError(_UNTRUSTED if _VERIFIES in str(error) else _NO_TLS)
    failure = _phrase_for(error, _FAILURES) or f"cannot be asked: {type(error).__name__}"[:79]
    return StoreUnavailableError(failure)


def _explain_answer(code: str, status: int) -> StoreError:
    if code == "NoSuchKey":
        return BlobMissingError()
    if code in _REFUSED:
        return StoreRefusedError(_REFUSED[code], code)
    passing = status in (408, 429) or (status >= 500 and status != _NOT_IMPLEMENTED)
    if code in _PASSING or passing:
        return StoreUnavailableError(f"answered {code}")
    return StoreRefusedError(f"refuses: {code}", code)


def _phrase_for(
    error: Exception, phrases: tuple[tuple[tuple[type[Exception], ...], str], ...]
) -> str | None:
    return next((phrase for classes, phrase in phrases if isinstance(error, classes)), None)
