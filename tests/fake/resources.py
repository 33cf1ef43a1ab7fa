"""What a path stands for, and the RFC 9110 rules that turn it into a reply.

Conditional requests (§13), ranges (§14) and nothing else; misbehaviour is in `faults`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from tests.fake.wire import Reply, Request


@dataclass(slots=True)
class Resource:
    """A representation to be answered; `last_modified` is an HTTP date.

    Only a resource with status 200 takes part in conditional requests and ranges.
    """

    body: bytes = b""
    content_type: str = "application/octet-stream"
    etag: str | None = None
    last_modified: str | None = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    ranges: bool = False


def evaluate(resource: Resource, request: Request) -> Reply:
    """Answer a GET or HEAD for the resource: 200, 206, 304, 416, or the resource's own status."""
    headers = {"Content-Type": resource.content_type} | resource.headers
    if resource.status != 200:
        return Reply(resource.status, headers, resource.body)
    if resource.etag is not None:
        headers["ETag"] = resource.etag
    if resource.last_modified is not None:
        headers["Last-Modified"] = resource.last_modified
    if _is_unchanged(resource, request):
        return Reply(304, headers)
    if resource.ranges:
        headers["Accept-Ranges"] = "bytes"
        if request.method == "GET" and _range_applies(resource, request):
            return _evaluate_range(resource, request, headers)
    return Reply(200, headers, resource.body)


def _is_unchanged(resource: Resource, request: Request) -> bool:
    """Tell whether a 304 is due; If-None-Match wins over If-Modified-Since (§13.2.2)."""
    tags = request.headers.get("if-none-match")
    if tags is not None:
        known = {tag.strip().removeprefix("W/") for tag in tags.split(",")}
        return resource.etag is not None and bool(known & {resource.etag, "*"})
    since = request.headers.get("if-modified-since")
    return since is not None and since == resource.last_modified


def _range_applies(resource: Resource, request: Request) -> bool:
    """Tell whether Range counts: If-Range must be the strong validator or the date (§13.1.5)."""
    if_range = request.headers.get("if-range")
    return if_range is None or if_range in {resource.etag, resource.last_modified}


def _evaluate_range(resource: Resource, request: Request, headers: dict[str, str]) -> Reply:
    match = re.fullmatch(r"bytes=(\d*)-(\d*)", request.headers.get("range", ""))
    if match is None or match.group() == "bytes=-":
        return Reply(200, headers, resource.body)
    size = len(resource.body)
    first, last = match.groups()
    start = int(first) if first else max(0, size - int(last))
    stop = min(size, int(last) + 1) if first and last else size
    if start >= size or stop <= start:
        return Reply(416, headers | {"Content-Range": f"bytes */{size}"})
    headers["Content-Range"] = f"bytes {start}-{stop - 1}/{size}"
    return Reply(206, headers, memoryview(resource.body)[start:stop])
