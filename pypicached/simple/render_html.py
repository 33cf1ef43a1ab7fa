"""Renders HTML project pages and project lists (PEP 503, 592, 629, 658, 714, 740, 792).

HTML has no place for sizes, versions and upload times, and no API version demands them there, so
a page claims what upstream claimed, at most 1.4. Everything foreign is escaped.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

from pypicached.simple.claims import claimable_version
from pypicached.simple.model import ProjectFile, ProjectPage
from pypicached.simple.names import normalize
from pypicached.simple.steps import batches
from pypicached.simple.urls import link_paths

_NAMES_PER_CHUNK = 2048  # about 100 KiB of HTML
# A link has room for one hash: sha256, which every client checks, else the strongest.
_BEST_HASHES = ("sha512", "sha384", "sha3_512", "sha3_256", "blake2b", "sha224", "sha1")

_HEAD = '<!DOCTYPE html>\n<html>\n<head>\n<meta charset="utf-8">\n'
_META = '<meta name="%s" content="%s">\n'


def escape(text: str) -> str:
    """Escape for element text and double-quoted attributes; CR too, which parsers turn into LF."""
    if text.isalnum():
        return text
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return text.replace('"', "&quot;").replace("\r", "&#13;")


def render_html(page: ProjectPage, prefix: str) -> bytes:
    """Return a project page as `text/html` (and `…v1+html`), UTF-8.

    `prefix` is the relative way to the files of its index, such as `../../files/pypi/`. A
    quarantined project lists no files (rule 23).
    """
    return b"".join(html_pieces(page, prefix))


def html_pieces(page: ProjectPage, prefix: str) -> Iterator[bytes]:
    """Yield what `render_html` returns in pieces, each a step's work."""
    files = [] if page.status == "quarantined" else page.files
    prefix = escape(prefix)
    title = f"Links for {escape(page.name)}"
    head = _HEAD + _metas(page)
    yield _octets(f"{head}<title>{title}</title>\n</head>\n<body>\n<h1>{title}</h1>\n")
    for batch in batches(files):
        links = link_paths([file.url for file in batch])
        anchors = [_anchor(file, prefix, link) for file, link in zip(batch, links, strict=True)]
        yield _octets("".join(anchors))
    yield b"</body>\n</html>\n"


def _octets(text: str) -> bytes:
    return text.encode("utf-8", "replace")


def _metas(page: ProjectPage) -> str:
    """Return the version (PEP 629) and status (PEP 792) metas."""
    metas = _META % ("pypi:repository-version", claimable_version(page))
    if page.status is not None:
        metas += _META % ("pypi:project-status", page.status)
    if page.status_reason is not None:
        metas += _META % ("pypi:project-status-reason", escape(page.status_reason))
    return metas


def _anchor(file: ProjectFile, prefix: str, link: str) -> str:
    """Return the anchor of a file; never `data-gpg-sig`, for no `.asc` is served (rule 26)."""
    if "&" in link:  # of all that link_paths leaves in a link, alone special in an attribute
        link = escape(link)
    return (
        f'<a href="{prefix}{link}{_fragment(file.hashes)}"{_attributes(file)}>'
        f"{escape(file.filename)}</a><br>\n"
    )


def _fragment(hashes: dict[str, str]) -> str:
    """Return `#sha256=…`, of the best hash, or nothing."""
    if "sha256" in hashes:
        return f"#sha256={escape(hashes['sha256'])}"
    if not hashes:
        return ""
    algorithm = next((name for name in _BEST_HASHES if name in hashes), None) or next(iter(hashes))
    return f"#{escape(algorithm)}={escape(hashes[algorithm])}"


def _attributes(file: ProjectFile) -> str:
    """Return the `data-` attributes of a file, each with a space in front."""
    text = ""
    if file.requires_python is not None:
        text = f' data-requires-python="{escape(file.requires_python)}"'
    if file.core_metadata:
        claim = "true"
        if isinstance(file.core_metadata, dict):
            claim = _fragment(file.core_metadata)[1:] or "true"
        # PEP 714: older clients know only the second name.
        text += f' data-core-metadata="{claim}" data-dist-info-metadata="{claim}"'
    if file.yanked is not False:
        text += f' data-yanked="{"" if file.yanked is True else escape(file.yanked)}"'
    if file.provenance is not None:
        text += f' data-provenance="{escape(file.provenance)}"'
    return text


def render_list_html(names: list[str]) -> bytes:
    """Return a project list as `text/html` (and `…v1+html`)."""
    return b"".join(list_html_chunks(names))


def list_html_chunks(names: Iterable[str]) -> Iterator[bytes]:
    """Yield the same list in pieces of about 100 KiB; its links are relative to the list."""
    left = iter(names)
    head = _HEAD + _META % ("pypi:repository-version", "1.0")
    head += "<title>Simple index</title>\n</head>\n<body>\n"
    while batch := list(islice(left, _NAMES_PER_CHUNK)):
        rows = [f'<a href="{escape(normalize(name))}/">{escape(name)}</a>\n' for name in batch]
        yield (head + "".join(rows)).encode()
        head = ""
    yield (head + "</body>\n</html>\n").encode()
