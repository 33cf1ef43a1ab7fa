"""The one table from error class to status, and how an error is told (PRODUCT.md section 6)."""

from __future__ import annotations

import msgspec
from aiohttp import web

from pypicached import errors
from pypicached.cache.renderings import VARY

# First match wins. pip obeys Retry-After five times in a row, so it is never more than 2.
STATUSES: tuple[tuple[type[Exception], int], ...] = (
    (errors.NotFoundError, 404),
    (errors.RefusedError, 403),
    (errors.NotAcceptableError, 406),
    (errors.LoopError, 508),
    (errors.UpstreamLoopError, 508),
    (errors.UpstreamRefusedError, 403),
    (errors.UpstreamUnavailableError, 503),
    (errors.UpstreamError, 502),
    (errors.OfflineError, 503),
    (errors.StoppingError, 503),
    (errors.NoRoomError, 503),
    (errors.LedgerError, 503),
    (errors.HostError, 503),
    (errors.PypicachedError, 500),
)
RETRY_AFTER_SECONDS = "1"


class Reply(msgspec.Struct, frozen=True):
    """An answer that is not what was asked for: status, reason phrase, words, headers."""

    status: int
    text: str
    reason: str | None = None
    headers: dict[str, str] = {}


def reply_of(error: Exception) -> Reply:
    """Return how an error is answered."""
    status = next(code for kind, code in STATUSES if isinstance(error, kind))
    text = str(error)
    if status == 406:
        return Reply(status, text, headers={"Vary": VARY})
    if status not in (403, 502, 503, 508):
        return Reply(status, text)
    # uv shows the reason phrase, pip only the status: both get our own words, and of upstream's
    # only those with which a cache refuses, quoted.
    reason = errors.clean(text, 79).encode("ascii", "replace").decode()
    if status in (403, 508):
        return Reply(status, text, reason)
    return Reply(status, text, reason, {"Retry-After": RETRY_AFTER_SECONDS})


def build_reply(reply: Reply, request_id: str) -> web.Response:
    """Build the answer: plain text for people, with the id under which the log has it.

    A refusal is problem details (RFC 9457), whose `detail` names the rule (rule 61).
    """
    if reply.status == 403:
        problem = {
            "type": "about:blank",
            "title": "Refused by a rule",
            "status": 403,
            "detail": reply.text,
            "instance": f"urn:pypicached:request:{request_id}",
        }
        return web.Response(
            status=403,
            reason=reply.reason,
            body=msgspec.json.encode(problem),
            headers={"Content-Type": "application/problem+json", "Cache-Control": "no-store"},
        )
    return web.Response(
        status=reply.status,
        reason=reply.reason,
        text=f"{reply.text}\n(request {request_id})\n",
        headers={"Cache-Control": "no-store", **reply.headers},
    )
