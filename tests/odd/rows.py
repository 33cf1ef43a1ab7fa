"""Pages written row by row, in JSON or HTML, for what one kind of server alone would not show."""

from __future__ import annotations

import html
import json
from typing import Any, Literal

from tests.fake import FakeUpstream
from tests.fake.pages import JSON_TYPE

Style = Literal["json", "html"]
STYLES: list[Style] = ["json", "html"]


def row(filename: str, url: str, hashes: dict[str, str] | None = None) -> dict[str, Any]:
    """Return a file's row as PEP 691 has it."""
    return {"filename": filename, "url": url, "hashes": hashes or {}}


def serve_page(
    upstream: FakeUpstream,
    project: str,
    rows: list[dict[str, Any]],
    style: Style,
    *,
    path: str | None = None,
    head: str = "",
    content_type: str | None = None,
    members: dict[str, Any] | None = None,
) -> None:
    """Serve a project page, at `path` if that is not where it belongs.

    `head` is for HTML; `members` are further ones of a JSON page, which then speaks 1.1.
    """
    if style == "json":
        version = "1.0" if members is None else "1.1"
        page = {"meta": {"api-version": version}, "name": project, "files": rows, **(members or {})}
        body, usual = json.dumps(page), JSON_TYPE
    else:
        body = f"<!DOCTYPE html><html><head>{head}</head><body>{''.join(map(_anchor, rows))}</body>"
        usual = "text/html"
    upstream.serve(path or f"/simple/{project}/", body.encode(), content_type or usual)


def _anchor(row: dict[str, Any]) -> str:
    """Return the row as HTML; a link has room for one hash."""
    fragment = "".join(f"#{name}={value}" for name, value in list(row["hashes"].items())[:1])
    return f'<a href="{html.escape(row["url"])}{fragment}">{html.escape(row["filename"])}</a>\n'
