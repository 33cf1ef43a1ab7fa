"""Takes apart what came back on a connection, to the byte. Pure.

`NotHttpError` is a finding. That the last answer is cut is none by itself: the daemon breaks off
what it cannot vouch for, and we leave before the end.
"""

from __future__ import annotations

import re
from typing import NamedTuple

_STATUS_LINE = re.compile(rb"HTTP/1\.[01] ([1-5]\d\d) [\t -~]*\Z")
_FIELD = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+:[ \t]*[\t -~]*\Z")


class NotHttpError(Exception):
    """What came back is no answer of HTTP."""


class Answer(NamedTuple):
    """One answer; header names are lower case. `whole`: its body came to its end."""

    status: int
    headers: dict[bytes, bytes]
    body: bytes
    whole: bool


def parse_answers(data: bytes, *, heads: bool = False) -> list[Answer]:
    """Return the answers on a connection in their order.

    `heads`: some may answer HEAD, and have no body whatever they say. Raises NotHttpError.
    """
    found = []
    while data:
        head, mark, data = data.partition(b"\r\n\r\n")
        if not mark:
            raise NotHttpError(f"a head without an end: {head[:200]!r}")
        status, headers = _parse_head(head)
        bodiless = status in (204, 304) or status < 200
        bodiless = bodiless or (heads and (not data or data.startswith(b"HTTP/1.")))
        if bodiless:
            body, whole = b"", True
        elif headers.get(b"transfer-encoding") == b"chunked":
            body, data, whole = _parse_chunks(data)
        elif b"content-length" in headers:
            length = int(headers[b"content-length"])
            body, data, whole = data[:length], data[length:], len(data) >= length
        else:
            body, data, whole = data, b"", True
        found.append(Answer(status, headers, body, whole))
    return found


def _parse_head(head: bytes) -> tuple[int, dict[bytes, bytes]]:
    line, *fields = head.split(b"\r\n")
    match = _STATUS_LINE.match(line)
    if match is None:
        raise NotHttpError(f"no status line: {line[:200]!r}")
    headers: dict[bytes, bytes] = {}
    for field in fields:
        if _FIELD.match(field) is None:
            raise NotHttpError(f"no header field: {field[:200]!r}")
        name, _, value = field.partition(b":")
        if name.lower() in headers:
            raise NotHttpError(f"a header twice: {field[:200]!r}")
        headers[name.lower()] = value.strip()
    return int(match[1]), headers


def _parse_chunks(data: bytes) -> tuple[bytes, bytes, bool]:
    body = b""
    while True:
        line, mark, rest = data.partition(b"\r\n")
        if not mark:
            return body, b"", False
        if re.fullmatch(rb"[0-9a-fA-F]{1,8}", line) is None:
            raise NotHttpError(f"no size of a chunk: {line[:200]!r}")
        size = int(line, 16)
        body += rest[:size]
        if len(rest) < size + 2:
            return body, b"", False
        if rest[size : size + 2] != b"\r\n":
            raise NotHttpError(f"a chunk without an end: {rest[size : size + 20]!r}")
        data = rest[size + 2 :]
        if size == 0:
            return body, data, True
