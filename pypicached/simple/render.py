"""The front door of rendering, re-exported from the two formats.

Rendering turns upstream URLs into links of ours and claims no more than a page carries; it must
not decide what is listed: policy and offline filtering have happened on the page it gets.
"""

from __future__ import annotations

from pypicached.simple.render_html import (
    html_pieces,
    list_html_chunks,
    render_html,
    render_list_html,
)
from pypicached.simple.render_json import (
    json_pieces,
    list_json_chunks,
    render_json,
    render_list_json,
)

__all__ = [
    "html_pieces",
    "json_pieces",
    "list_html_chunks",
    "list_json_chunks",
    "render_html",
    "render_json",
    "render_list_html",
    "render_list_json",
]
