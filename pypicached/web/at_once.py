"""Answering a request in the moment in which its head has been parsed.

aiohttp makes a task, a request, a writer and a response of every request, which takes longer than
all that we do for a page or a small file that memory has. So a connection's parser is asked first:
what it has parsed is offered to `PublicApp.at_once`, and if that has the whole answer, it is
written here and aiohttp never hears of the request. Everything else goes on as it would: requests
that are not plain, answers that are not at hand, and whatever came while another request is being
answered, because answers leave in the order of their requests.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from aiohttp.helpers import rfc822_formatted_time
from aiohttp.http_parser import HttpRequestParser, RawRequestMessage
from aiohttp.http_writer import _serialize_headers
from aiohttp.streams import EMPTY_PAYLOAD, StreamReader

from pypicached.web.exchange import SERVER, Asked, Whole

_STATUS_LINES = {
    status: f"HTTP/1.1 {status} {HTTPStatus(status).phrase}" for status in (200, 206, 304, 416)
}


class Parser:
    """A connection's parser, as aiohttp's protocol uses it; `offer` takes what can be answered."""

    __slots__ = ("_offer", "_parser", "begun_at")

    def __init__(
        self,
        parser: HttpRequestParser,
        offer: Callable[[RawRequestMessage, StreamReader], bool],
    ) -> None:
        self._parser = parser
        self._offer = offer
        # When (monotonic) a head began to arrive of which the end is missing; None: none has.
        self.begun_at: float | None = None

    def feed_data(self, data: bytes) -> tuple[Any, bool, bytes]:
        """Parse, and give on what was not answered."""
        messages, upgraded, tail = self._parser.feed_data(data)
        if data.endswith(b"\r\n\r\n") and messages:
            self.begun_at = None
        elif messages or self.begun_at is None:
            # Behind the end of a head that came in parts nothing may have begun: no matter.
            self.begun_at = time.monotonic()
        if len(messages) == 1 and not upgraded and self._offer(*messages[0]):
            self._parser.message_consumed()
            return (), False, tail
        return messages, upgraded, tail

    def __getattr__(self, name: str) -> Any:
        return getattr(self._parser, name)


def is_plain(message: RawRequestMessage, payload: StreamReader) -> bool:
    """Tell whether a request is a GET of HTTP/1.1 that stays on its connection, without a body."""
    return (
        message.method == "GET"
        and payload is EMPTY_PAYLOAD
        and not message.should_close
        and not message.upgrade
        and message.version == (1, 1)
    )


def written(asked: Asked, whole: Whole) -> bytes:
    """Return an answer's bytes, as aiohttp would write them."""
    headers = whole.headers
    headers["X-Request-Id"] = asked.id
    headers["Server"] = SERVER
    headers["Date"] = rfc822_formatted_time()
    return _serialize_headers(_STATUS_LINES[whole.status], headers) + whole.body
