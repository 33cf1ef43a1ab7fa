"""Parses the HTML project list piece by piece.

The list of a large index is tens of MB (CONFORMANCE.md rule 30): it is never held as one text or
one tree, only as its names and the piece at hand.
"""

from __future__ import annotations

from urllib.parse import unquote

from selectolax.lexbor import LexborHTMLParser, LexborNode

from pypicached.simple.names import is_valid
from pypicached.simple.parse_html import check_index_page, decode_html, html_pieces
from pypicached.simple.rows import ParseError, check_version

# No anchor, and no head of a page, is longer than this.
_MAX_PENDING_BYTES = 1024 * 1024
# Enough to tell an empty list from a login page.
_HEAD_BYTES = 64 * 1024
_END = b"</a>"


class ListParser:
    """Takes the HTML project list in pieces; one per answer, fed from one place at a time.

    Memory is bounded by the piece, the names, and 1 MiB. `feed` and `close` raise `ParseError`.
    """

    def __init__(self) -> None:
        self._names: list[str] = []
        self._pending = bytearray()
        self._head = b""

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes, cut anywhere."""
        if len(self._head) < _HEAD_BYTES:
            self._head += chunk[: _HEAD_BYTES - len(self._head)]
        # An end tag may be split between two pieces; looking from there keeps this linear.
        searched = max(0, len(self._pending) - len(_END) + 1)
        self._pending += chunk
        found = self._pending[searched:].lower().rfind(_END)
        if found >= 0:
            cut = searched + found + len(_END)
            self._read(bytes(self._pending[:cut]))
            del self._pending[:cut]
        if len(self._pending) > _MAX_PENDING_BYTES:
            raise ParseError("project list has an entry without an end")

    def close(self) -> list[str]:
        """Return the names, in the order of the list, once all of it was fed."""
        self._read(bytes(self._pending))
        self._pending.clear()
        head = decode_html(self._head, None)
        tree = LexborHTMLParser(head)
        claim = tree.css_first('meta[name="pypi:repository-version"]')
        if claim is not None:
            check_version(claim.attributes.get("content") or "")
        else:
            check_index_page(head, tree, "" if not self._names else None)
        return self._names

    def _read(self, part: bytes) -> None:
        """Add the names of whole anchors."""
        for piece in html_pieces(decode_html(part, None)):
            anchors = LexborHTMLParser(piece).css("a")
            self._names += [name for node in anchors if (name := _name(node)) is not None]


def _name(node: LexborNode) -> str | None:
    """Return the name an anchor gives: its text, or else the last segment of its link.

    Links to the parent and to other orders of a listing (`?C=N`) name no project.
    """
    href = node.attributes.get("href") or ""
    segment = href.partition("#")[0].partition("?")[0].rstrip("/").rpartition("/")[2]
    text = node.text_lexbor().strip()
    if segment in ("", ".", "..") or text == "Parent Directory":
        return None
    if is_valid(text):
        return text
    segment = unquote(segment)
    return segment if is_valid(segment) else None
