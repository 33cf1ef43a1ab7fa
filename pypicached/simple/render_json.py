"""Renders JSON project pages and project lists (PEP 691, 700, 714, 740, 792).

API 1.1 and above are claimed only for a page with all that PEP 700 requires: a size for every
file, and `versions`. Any other page claims 1.0 and has no `versions`, but keeps the sizes, upload
times, provenance and status that are known: a client may ignore keys it does not expect, while
pip's `--uploaded-prior-to` and uv's `exclude-newer` refuse files without an upload time whatever
the version says (rule 15).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

import msgspec

from pypicached.simple.claims import claimable_version, listed_versions
from pypicached.simple.model import ProjectFile, ProjectPage
from pypicached.simple.steps import batches
from pypicached.simple.urls import link_paths

_NAMES_PER_CHUNK = 4096  # about 100 KiB of JSON


class _Meta(msgspec.Struct, rename="kebab"):
    api_version: str


class _Status(msgspec.Struct, omit_defaults=True):
    status: str | None = None
    reason: str | None = None


class _Row(msgspec.Struct, rename="kebab", omit_defaults=True, gc=False):
    """Field for field a `ProjectFile` as PEP 691 spells it; `hashes` is required (rule 16)."""

    filename: str
    url: str
    hashes: dict[str, str]
    requires_python: str | None = None
    size: int | None = None
    upload_time: str | None = None
    core_metadata: bool | dict[str, str] | None = None
    yanked: bool | str = False
    provenance: str | None = None


class _Page(msgspec.Struct, rename="kebab", omit_defaults=True):
    meta: _Meta
    name: str
    files: list[_Row]
    versions: list[str] | None = None
    project_status: _Status | None = None


_ENCODER = msgspec.json.Encoder()


def render_json(page: ProjectPage, prefix: str) -> bytes:
    """Return a project page as `application/vnd.pypi.simple.v1+json`.

    `prefix` is the relative way to the files of its index, such as `../../files/pypi/`. A
    quarantined project lists no files (rule 23).
    """
    return b"".join(json_pieces(page, prefix))


def json_pieces(page: ProjectPage, prefix: str) -> Iterator[bytes]:
    """Yield what `render_json` returns in pieces, some of them empty, each a step's work."""
    if page.status == "quarantined":
        page = msgspec.structs.replace(page, files=[])
    version, versions = _claims(page)
    frame = _Page(_Meta(version), page.name, [], versions, _status(page))
    # Neither a version nor a normalized name can say that.
    head, mark, tail = _ENCODER.encode(frame).partition(b'"files":[')
    yield head + mark
    separator = b""
    for batch in batches(page.files):
        paths = link_paths([file.url for file in batch])
        rows = [_row(file, prefix + path) for file, path in zip(batch, paths, strict=True)]
        yield separator + _ENCODER.encode(rows)[1:-1]
        separator = b","
    yield tail


def _claims(page: ProjectPage) -> tuple[str, list[str] | None]:
    """Return the API version that the page can honestly have, and its versions (rule 14)."""
    version = claimable_version(page)
    if version == "1.0" or any(file.size is None for file in page.files):
        return "1.0", None
    versions = listed_versions(page)
    return ("1.0", None) if versions is None else (version, versions)


def _row(file: ProjectFile, url: str) -> _Row:
    """Return a file as PEP 691 has it; never `gpg-sig`, for no `.asc` is served (rule 26)."""
    return _Row(
        file.filename,
        url,
        file.hashes,
        file.requires_python,
        file.size,
        file.upload_time,
        file.core_metadata,
        file.yanked,
        file.provenance,
    )


def _status(page: ProjectPage) -> _Status | None:
    """Return the PEP 792 member, or None if upstream said nothing."""
    if page.status is None and page.status_reason is None:
        return None
    return _Status(page.status, page.status_reason)


def render_list_json(names: list[str]) -> bytes:
    """Return a project list as `application/vnd.pypi.simple.v1+json`."""
    return b"".join(list_json_chunks(names))


def list_json_chunks(names: Iterable[str]) -> Iterator[bytes]:
    """Yield the same list in pieces of about 100 KiB."""
    left = iter(names)
    separator = b'{"meta":{"api-version":"1.0"},"projects":['
    while batch := list(islice(left, _NAMES_PER_CHUNK)):
        yield separator + _ENCODER.encode([{"name": name} for name in batch])[1:-1]
        separator = b","
    yield b"]}" if separator == b"," else separator + b"]}"
