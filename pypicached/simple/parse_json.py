"""Parses JSON project pages and project lists (PEP 691, 700, 714, 740, 792).

Well-formed pages take one typed decoding. Only a page that it refuses is read row by row, so that
one wrong member costs that member, and one wrong row that row, instead of the page. The same goes
for half a surrogate pair, which JSON may escape and UTF-8 cannot say (RFC 8259 §8.2).
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any, Generic, TypeVar

import msgspec

from pypicached.simple.model import ProjectFile, ProjectPage
from pypicached.simple.names import is_valid
from pypicached.simple.rows import (
    FileRows,
    ParseError,
    are_digests,
    check_count,
    check_version,
    digests,
    provenance,
    status,
)
from pypicached.simple.steps import Steps, batches

# RFC 8259 §6: integers beyond this do not survive every JSON reader.
_MAX_SIZE = 2**53 - 1
_BOM = b"\xef\xbb\xbf"
# msgspec lets the errors of a bad string and of deep nesting through as they are.
_UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
_LEGACY = b"dist-info-metadata"
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")

R = TypeVar("R")
T = TypeVar("T")
CoreMetadata = bool | dict[str, str] | None


class _Meta(msgspec.Struct, rename="kebab", frozen=True):
    api_version: str = "1.0"


class _Status(msgspec.Struct):
    status: str | None = None
    reason: str | None = None


class _UsualRow(msgspec.Struct, rename="kebab", gc=False):
    filename: str
    url: str
    hashes: dict[str, str] = {}
    size: int | None = None
    upload_time: str | None = None
    requires_python: str | None = None
    core_metadata: CoreMetadata = None
    yanked: bool | str | None = None
    gpg_sig: bool | None = None
    provenance: str | None = None


class _Row(_UsualRow, rename="kebab", gc=False):
    # PEP 714: what `core-metadata` was called before.
    dist_info_metadata: CoreMetadata = None
    data_dist_info_metadata: CoreMetadata = None


class _Page(msgspec.Struct, Generic[R], rename="kebab"):
    files: list[R]
    meta: _Meta = _Meta()
    versions: list[str] | None = None
    project_status: _Status | None = None


class _LoosePage(msgspec.Struct, rename="kebab"):
    files: list[msgspec.Raw]
    meta: _Meta = _Meta()
    versions: Any = None
    project_status: Any = None


class _Named(msgspec.Struct, gc=False):
    name: str


class _List(msgspec.Struct):
    projects: list[_Named]
    meta: _Meta = _Meta()


class _LooseList(msgspec.Struct):
    projects: list[Any]
    meta: _Meta = _Meta()


_USUAL_PAGE = msgspec.json.Decoder(_Page[_UsualRow])
_PAGE = msgspec.json.Decoder(_Page[_Row])
_LOOSE_PAGE = msgspec.json.Decoder(_LoosePage)
_ROW = msgspec.json.Decoder(_Row)
_LIST = msgspec.json.Decoder(_List)
_LOOSE_LIST = msgspec.json.Decoder(_LooseList)
_FIELDS = {field.encode_name: field.type for field in msgspec.structs.fields(_Row)}


def page_json_steps(body: bytes, url: str, project: str) -> Steps[ProjectPage]:
    """Parse the page of `project` that `body`, fetched from `url`, says; raises `ParseError`."""
    page, unreadable = _decode(body.removeprefix(_BOM))
    rows = FileRows(url)
    rows.dropped = unreadable
    files: list[ProjectFile] = []
    for batch in batches(page.files):
        files += _files(batch, rows)
        yield
    marker = page.project_status or _Status()
    return ProjectPage(
        name=project,
        files=files,
        versions=page.versions,
        status=status(marker.status),
        status_reason=marker.reason or None,
        api_version=check_version(page.meta.api_version),
        dropped=rows.dropped,
    )


def parse_list_json(body: bytes) -> list[str]:
    """Return the valid names of a JSON project list (PEP 691), in its order.

    Raises `ParseError` if it is none, or of another major version.
    """
    body = body.removeprefix(_BOM)
    try:
        listed = _LIST.decode(body)
        names = [row.name for row in listed.projects]
        claim = listed.meta.api_version
    except _UNREADABLE:
        loose = _loosely(_LOOSE_LIST, body)
        entries = [row.get("name") for row in loose.projects if isinstance(row, dict)]
        names = [name for name in entries if isinstance(name, str)]
        claim = loose.meta.api_version
    check_version(claim)
    return [name for name in names if is_valid(name)]


def _decode(body: bytes) -> tuple[_Page[_UsualRow] | _Page[_Row], int]:
    """Return the page and the number of its rows that could not be read at all.

    What says its sidecar claims twice, as PyPI's pages do, is read without the legacy ones: they
    are a third of the work, and count for nothing there.
    """
    page: _Page[_UsualRow] | _Page[_Row]
    try:
        page = _USUAL_PAGE.decode(body)
        if _LEGACY in body and any(row.core_metadata is None for row in page.files):
            page = _PAGE.decode(body)
    except _UNREADABLE:
        return _decode_loosely(body)
    check_count(len(page.files))
    return page, 0


def _decode_loosely(body: bytes) -> tuple[_Page[_Row], int]:
    """Read a page some members of which have a wrong type, or cannot be said."""
    loose = _loosely(_LOOSE_PAGE, body)
    check_count(len(loose.files))
    rows = [row for raw in loose.files if (row := _loose_row(raw)) is not None]
    page = _Page(
        files=rows,
        meta=loose.meta,
        versions=_convert(loose.versions, list[str]),
        project_status=_loose_status(loose.project_status),
    )
    return page, len(loose.files) - len(rows)


def _loose_status(raw: object) -> _Status | None:
    """Return a project status whose reason may be none: the marker counts all the same."""
    if not isinstance(raw, dict):
        return None
    return _Status(_convert(raw.get("status"), str), _convert(raw.get("reason"), str))


def _without_surrogates(body: bytes, error: Exception) -> bytes:
    """Return an unreadable body without the members that hold half a surrogate pair.

    Raises `ParseError`, caused by `error`, if that is not what is wrong with it.
    """
    if _SURROGATE.search(body) is None:
        raise ParseError("page is cut or no JSON") from error
    try:
        page = json.loads(body)
        if isinstance(page, dict):
            lists = {name: value for name, value in page.items() if isinstance(value, list)}
            rows = {name: [_whole_members(row) for row in value] for name, value in lists.items()}
            page = _whole_members(page | rows)
        return json.dumps(page, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as cause:
        raise ParseError("page is cut or no JSON") from cause


def _whole_members(row: Any) -> Any:
    """Return an object without its members that UTF-8 cannot say, None for another such value."""
    if _is_whole(row):
        return row
    if not isinstance(row, dict):
        return None
    return {name: value for name, value in row.items() if _is_whole({name: value})}


def _is_whole(value: Any) -> bool:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def _loosely(decoder: msgspec.json.Decoder[T], body: bytes) -> T:
    """Decode, if need be without what cannot be said, or raise `ParseError`."""
    try:
        try:
            return decoder.decode(body)
        except msgspec.ValidationError:
            raise
        except _UNREADABLE as error:
            return decoder.decode(_without_surrogates(body, error))
    except msgspec.ValidationError as error:
        raise ParseError("JSON is not that of an index page") from error
    except _UNREADABLE as error:
        raise ParseError("page is cut or no JSON") from error


def _loose_row(raw: msgspec.Raw) -> _Row | None:
    """Return a row without its members of a wrong type; None if it then lacks name or URL."""
    try:
        return _ROW.decode(raw)
    except _UNREADABLE:
        pass
    try:
        members = msgspec.json.decode(raw)
    except _UNREADABLE:
        return None
    if not isinstance(members, dict):
        return None
    right = {
        name: value
        for name, value in members.items()
        if name in _FIELDS and _convert(value, _FIELDS[name]) is not None
    }
    return _convert(right, _Row)


def _convert(value: Any, to: type[T]) -> T | None:
    """Return the value in a type, None where it does not fit."""
    try:
        return msgspec.convert(value, to)
    except msgspec.ValidationError:
        return None


def _files(batch: Sequence[_UsualRow], rows: FileRows) -> list[ProjectFile]:
    """Return those rows that are kept, as the model has them."""
    urls = rows.place([row.filename for row in batch], [row.url for row in batch])
    hashes = [row.hashes for row in batch]
    if not are_digests(hashes):
        hashes = [digests(claimed) for claimed in hashes]
    judged = zip(batch, urls, hashes, _core_metadata(batch), strict=True)
    return [
        _file(row, url, checked, claim) for row, url, checked, claim in judged if url is not None
    ]


def _file(
    row: _UsualRow, url: str, hashes: dict[str, str], core_metadata: CoreMetadata
) -> ProjectFile:
    size = row.size
    return ProjectFile(
        filename=row.filename,
        url=url,
        hashes=hashes,
        size=size if size is not None and 0 <= size <= _MAX_SIZE else None,
        upload_time=row.upload_time or None,
        requires_python=row.requires_python or None,
        core_metadata=core_metadata,
        yanked=True if row.yanked == "" else row.yanked or False,  # PEP 592: "" is no reason
        gpg_sig=row.gpg_sig,
        provenance=provenance(row.provenance),
    )


def _core_metadata(batch: Sequence[_UsualRow]) -> list[CoreMetadata]:
    """Return the sidecar claims; a sidecar whose hashes are unusable is still a sidecar."""
    claims = [row.core_metadata for row in batch]
    if None in claims:
        claims = [_claim(row) for row in batch]
    hashes = [claim for claim in claims if isinstance(claim, dict)]
    if all(hashes) and are_digests(hashes):
        return claims
    return [digests(claim) or True if isinstance(claim, dict) else claim for claim in claims]


def _claim(row: _UsualRow) -> CoreMetadata:
    """Return the sidecar claim; the legacy keys count where the new one is silent (PEP 714)."""
    if row.core_metadata is not None or not isinstance(row, _Row):
        return row.core_metadata
    if row.dist_info_metadata is not None:
        return row.dist_info_metadata
    return row.data_dist_info_metadata
