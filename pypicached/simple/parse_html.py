"""Parses HTML project pages (PEP 503, 592, 629, 658, 714, 740, 792) and directory listings.

Which anchors are rows: those whose URL or text ends like a distribution file. Everything else
(`../`, subdirectories, sort links, home pages, signatures) is passed over and not counted.

Which HTML is an index page at all: an outage must never look like absence, so a page without rows
is believed only if it looks like an index that is empty. A `pypi:repository-version` proves any
page. A password field disproves any other. Without rows it must be an HTML document without
forms, scripts or redirections, and its body must say nothing, or what listings say.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import chain
from urllib.parse import unquote

from selectolax.lexbor import LexborHTMLParser, LexborNode

from pypicached.simple.model import ProjectFile, ProjectPage
from pypicached.simple.names import is_distribution, normalize
from pypicached.simple.rows import (
    FileRows,
    ParseError,
    check_count,
    check_version,
    digests,
    is_usable,
    provenance,
    status,
)
from pypicached.simple.steps import Steps
from pypicached.simple.urls import Links

# Browsers read Latin-1 as windows-1252 (WHATWG Encoding §4.2); all others here are UTF-8, because
# some of Python's codecs are slow or raise on hostile input.
_CHARSETS = dict.fromkeys(
    ("iso-8859-1", "iso8859-1", "latin1", "latin-1", "windows-1252"), "cp1252"
)
HEAD_BYTES = 64 * 1024
# As an index page needs: making a parser costs as much as 4 KiB of them.
_PIECE, _MAX_TAGS = 32 * 1024, 1000
# Of text with more tags than that, so that they cannot be nested deeply.
_SMALL_PIECE = 8 * 1024
_ANCHOR = re.compile(r"<a\s", re.IGNORECASE)
_HTML_SPACE = " \t\n\r\f"
_DOCUMENT = re.compile(r"<(?:!doctype\s+html|html|head|body)\b", re.IGNORECASE)
_NO_EMPTY_INDEX = (
    "form, input, button, script, iframe, frame, object, embed, meta[http-equiv=refresh]"
)
_LISTING_TITLES = ("links for", "index of", "directory listing for", "simple index")
_SHA256 = re.compile(r"sha256=[0-9a-f]{64}")
_FRAGMENT_HASH = re.compile(r"(?:\A|&)([a-z][a-z0-9_]*)=([0-9A-Fa-f]{16,})(?=&|\Z)")

Attributes = dict[str, str | None]
Anchor = tuple[str, str, str, Attributes]  # file name, link, its fragment, attributes


def decode_html(body: bytes, charset: str | None) -> str:
    """Return the text of a body; undecodable bytes become U+FFFD."""
    codec = _CHARSETS.get((charset or "").strip(" \"'").lower(), "utf-8-sig")
    return body.decode(codec, "replace")


def page_html_steps(body: bytes, charset: str | None, url: str, project: str) -> Steps[ProjectPage]:
    """Parse the page of `project` that `body`, fetched from `url`, says; raises `ParseError`."""
    text = decode_html(body, charset)
    pieces = html_pieces(text)
    head = LexborHTMLParser(next(pieces, ""))
    metas = _metas(head)
    version = check_version(metas.get("pypi:repository-version", "1.0"))
    rows = FileRows(_base(head, url))
    files: list[ProjectFile] = []
    for tree in chain((head,), map(LexborHTMLParser, pieces)):
        anchors = [found for node in tree.css("a") if (found := _anchor(node)) is not None]
        files += _files(anchors, rows)
        check_count(len(files) + rows.dropped)
        yield
    if "pypi:repository-version" not in metas:
        check_index_page(text, head, None if files or rows.dropped else project)
    return ProjectPage(
        name=project,
        files=files,
        status=status(metas.get("pypi:project-status")),
        status_reason=metas.get("pypi:project-status-reason") or None,
        api_version=version,
        dropped=rows.dropped,
    )


def html_pieces(text: str) -> Iterator[str]:
    """Yield the text in pieces that are parsed alone: the head of the page, then some KiB each.

    An HTML parser walks all open elements at many tags, so deep nesting costs time by the square
    of its depth: minutes for a few MB of `<div>`. Pieces bound the depth and the memory. Cutting
    before an anchor is safe, because it would end an open one anyway; only of a comment with
    anchors on a page of more than 64 KiB, those behind a cut would count.
    """
    at, least, most = 0, _SMALL_PIECE, HEAD_BYTES
    while len(text) - at > most:
        found = _ANCHOR.search(text, at + least, at + most)
        cut = found.start() if found else at + most
        yield text[at:cut]
        at = cut
        dense = text.count("<", at, at + 2 * _PIECE) > 2 * _MAX_TAGS
        least = _SMALL_PIECE if dense else _PIECE
        most = 2 * least
    yield text[at:]


def check_index_page(text: str, tree: LexborHTMLParser, empty_of: str | None) -> None:
    """Raise `ParseError` if this is no index page; see the module for how that is told.

    `empty_of` is the project whose page has no rows, None if there are rows.
    """
    if tree.css_first("input[type=password]") is not None:
        raise ParseError("page is a login form, no index page")
    if empty_of is None:
        return
    if _DOCUMENT.search(text) is None or tree.css_first(_NO_EMPTY_INDEX) is not None:
        raise ParseError("page is HTML without files, but no index page")
    visible = tree.body.text().strip().lower() if tree.body is not None else ""
    if visible and not visible.startswith(_LISTING_TITLES) and normalize(visible) != empty_of:
        raise ParseError("page is HTML without files, but no index page")


def _metas(tree: LexborHTMLParser) -> dict[str, str]:
    """Return the named metas of a page, the first of each name."""
    metas: dict[str, str] = {}
    for node in tree.css("meta"):
        attributes = node.attributes
        name, content = attributes.get("name"), attributes.get("content")
        if name and content is not None:
            metas.setdefault(name.lower(), content)
    return metas


def _base(tree: LexborHTMLParser, url: str) -> str:
    """Return what links are relative to: the first `<base href>`, itself relative to `url`."""
    for node in tree.css("base"):
        href = node.attributes.get("href")
        if href:
            base = Links(url).resolve(href.strip(_HTML_SPACE)) or url
            return url if Links(base).resolve("./") is None else base
    return url


def _anchor(node: LexborNode) -> Anchor | None:
    """Return what an anchor says that is a row, else None.

    The anchor's text is the file name (PEP 503), unless it is a label or, as in Apache's
    listings, cut short: then it is the last segment of the link.
    """
    attributes = node.attributes
    href = (attributes.get("href") or "").strip(_HTML_SPACE)
    link, _, fragment = href.partition("#")
    segment = link.partition("?")[0].rpartition("/")[2]
    if not segment:
        return None
    text = node.text_lexbor().strip()
    name = unquote(segment)
    if text != name and " " not in text and is_distribution(text) and is_usable(text):
        return text, link, fragment, attributes
    return (name, link, fragment, attributes) if is_distribution(name) else None


def _files(anchors: list[Anchor], rows: FileRows) -> list[ProjectFile]:
    """Return those rows that are kept, as the model has them."""
    urls = rows.place([anchor[0] for anchor in anchors], [anchor[1] for anchor in anchors])
    return [
        _file(filename, url, fragment, attributes)
        for (filename, _, fragment, attributes), url in zip(anchors, urls, strict=True)
        if url is not None
    ]


def _file(filename: str, url: str, fragment: str, attributes: Attributes) -> ProjectFile:
    yanked: bool | str = False
    if "data-yanked" in attributes:  # PEP 592: the presence alone says it
        yanked = attributes["data-yanked"] or True
    return ProjectFile(
        filename=filename,
        url=url,
        hashes=_hashes(fragment),
        requires_python=attributes.get("data-requires-python") or None,
        core_metadata=_core_metadata(attributes),
        yanked=yanked,
        gpg_sig=_flag(attributes.get("data-gpg-sig")),
        provenance=provenance(attributes.get("data-provenance")),
    )


def _hashes(fragment: str) -> dict[str, str]:
    """Return the digests of `#sha256=…`; `egg` and other keys hold no such long hexadecimals."""
    if not fragment:
        return {}
    if _SHA256.fullmatch(fragment):  # nearly always
        return {"sha256": fragment[7:]}
    pairs = _FRAGMENT_HASH.findall(fragment)
    return digests({name: value for name, value in pairs if name not in ("egg", "subdirectory")})


def _core_metadata(attributes: Attributes) -> bool | dict[str, str] | None:
    """Return the sidecar claim: `true`, or one hash; the new name wins (PEP 714)."""
    for name in ("data-core-metadata", "data-dist-info-metadata"):
        if name in attributes:
            claim = (attributes[name] or "").strip()
            return False if claim.lower() == "false" else _hashes(claim) or True
    return None


def _flag(value: str | None) -> bool | None:
    """Return a `true` or `false` of an attribute; anything else is unknown."""
    return {"true": True, "false": False}.get((value or "").lower())
