"""Ready-made answers: one page in one format and coding, with every header that does not change.

Made once, on first demand; from then on a hit sends these bytes. The ETag is strong and made from
the very bytes and their type, so each representation and coding has its own (rules 31, 32).
"""

from __future__ import annotations

import asyncio
import hashlib
import queue
from collections.abc import Container, Iterator, Mapping
from typing import NamedTuple

import msgspec
from multidict import CIMultiDict

from pypicached.cache.codings import compressed, encode, unpack
from pypicached.cache.filtering import filtered
from pypicached.cache.sidecars import with_sidecars
from pypicached.cache.stepping import each_in_turn, in_steps
from pypicached.errors import DamagedPageError, OfflineError
from pypicached.policy import NEVER, Rules, Verdict
from pypicached.simple.model import ProjectPage
from pypicached.simple.negotiate import Format
from pypicached.simple.render import html_pieces, json_pieces
from pypicached.simple.steps import STEP_ROWS
from pypicached.simple.urls import file_key
from pypicached.store.disk import DiskPool

VARY = "Accept, Accept-Encoding"
# Names and reasons of upstreams are escaped on our pages; a browser is to run nothing all the same.
HTML_POLICY = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
# Compressing so much takes a millisecond, and a thread's turn nearly as long where others compute.
INLINE_BYTES = 128 * 1024

_decoder = msgspec.msgpack.Decoder(ProjectPage)
_encoder = msgspec.msgpack.Encoder()


class Variant(NamedTuple):
    """What a rendering is made for. `up` is the way from the page to the root, such as `../../`.

    `cached`: None lists all files; offline, only those that are cached are listed, and this tells
    one state of the cached set from another (`ledger.files.changes`). `policy` tells the rules in
    force from others (`Gate.revision`).
    """

    format: Format
    coding: str
    up: str
    policy: int = 0
    cached: int | None = None

    def may_be_wanted_with(self, newest: Variant) -> bool:
        """Whether it is still worth its memory: what was made of an older state is not."""
        return self.policy == newest.policy and self.cached in (None, newest.cached)


class Rendering(msgspec.Struct, frozen=True):
    """Body, ETag, and all headers but Date, Age, Cache-Status and X-Request-Id.

    `refused`: the rules leave nothing of the page, and this is why; then there is no body.
    `valid_until`: from then on (seconds since the epoch) they leave more; before `valid_from`,
    when a clock was set back, they may leave less.
    """

    body: bytes
    etag: str
    headers: CIMultiDict[str]
    refused: Verdict | None = None
    valid_until: float = NEVER
    valid_from: float = 0.0

    def holds(self, now: float) -> bool:
        """Whether the rules leave the same at this moment."""
        return self.valid_from <= now < self.valid_until


def encode_page(page: ProjectPage) -> bytes:
    """Return canonical form, uncompressed."""
    return _encoder.encode(page)


def decode_page(body: bytes) -> ProjectPage:
    """Return the page of a ledger row's body. Raises DamagedPageError."""
    try:
        return _decoder.decode(unpack(body))
    except msgspec.DecodeError as error:
        raise DamagedPageError(f"a stored page is damaged: {error}") from error


async def build_rendering(
    page: ProjectPage,
    variant: Variant,
    *,
    index: str,
    serial: int | None,
    cache_control: str,
    disk: DiskPool,
    rules: Rules,
    now: float,
    cached: Mapping[str, Container[str]] | None = None,
) -> Rendering:
    """Render a page of an index as the rules leave it at this moment; `serial` is the index's own.

    `cached`: list only the files with these keys (by kind); OfflineError if it has none of them.
    """
    left = await in_steps(filtered(page, rules, now))
    if left.refused is not None:
        nothing: CIMultiDict[str] = CIMultiDict()
        return Rendering(b"", "", nothing, left.refused, left.valid_until, left.valid_from)
    page = left.page
    if cached is not None:
        page = only_cached(page, cached)
    page = await in_steps(with_sidecars(page))
    render = json_pieces if variant.format is Format.JSON else html_pieces
    pieces = render(page, f"{variant.up}files/{index}/")
    if len(page.files) > STEP_ROWS:
        body = await _encoded_beside(pieces, variant.coding, disk)
    else:
        body = await _encoded(b"".join(pieces), variant.coding, disk)
    etag, headers = describe(body, variant.format, variant.coding, cache_control, serial)
    return Rendering(body, etag, headers, None, left.valid_until, left.valid_from)


async def _encoded(body: bytes, coding: str, disk: DiskPool) -> bytes:
    if coding != "identity" and len(body) > INLINE_BYTES:
        return await disk.run(encode, body, coding)
    return encode(body, coding)


async def _encoded_beside(pieces: Iterator[bytes], coding: str, disk: DiskPool) -> bytes:
    """Encode in a thread what has been rendered while the rest of it is; one piece is a step."""
    if coding == "identity":
        whole: list[bytes] = []
        await each_in_turn(pieces, whole.append)
        return b"".join(whole)
    rendered: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
    coming: Iterator[bytes] = iter(rendered.get, None)
    encoding = asyncio.ensure_future(disk.run(_joined, coming, coding))
    try:
        await each_in_turn(pieces, rendered.put)
    finally:
        # Whatever became of the rendering, the thread is not to wait for more of it.
        rendered.put(None)
    return await encoding


def _joined(pieces: Iterator[bytes], coding: str) -> bytes:
    return b"".join(compressed(pieces, coding))


def only_cached(page: ProjectPage, cached: Mapping[str, Container[str]]) -> ProjectPage:
    """Return the page with only those of its files whose keys are in `cached["file"]`. Pure.

    A sidecar is advertised only where it is there as well, or can be made of its wheel. Raises
    OfflineError if that leaves none of a page that has files.
    """
    files = []
    for file in page.files:
        key = file_key(file.url)
        if key not in cached["file"]:
            continue
        made = file.filename.endswith(".whl")
        if file.core_metadata and not made and key not in cached["metadata"]:
            file = msgspec.structs.replace(file, core_metadata=None)  # noqa: PLW2901
        files.append(file)
    if page.files and not files:
        raise OfflineError(f"no file of {page.name} is cached")
    return msgspec.structs.replace(page, files=files)


def describe(
    body: bytes, format_: Format, coding: str, cache_control: str, serial: int | None
) -> tuple[str, CIMultiDict[str]]:
    """Return the ETag and the headers of a finished body."""
    # The two HTML types have the same bytes: the type counts, too.
    digest = hashlib.sha256(format_.value.encode())
    digest.update(body)
    etag = f'"{digest.hexdigest()[:32]}"'
    headers = CIMultiDict(
        {
            "Content-Type": format_.content_type,
            "Content-Length": str(len(body)),
            "ETag": etag,
            "Vary": VARY,
            "Cache-Control": cache_control,
        }
    )
    if format_ is not Format.JSON:
        headers["Content-Security-Policy"] = HTML_POLICY
    if coding != "identity":
        headers["Content-Encoding"] = coding
    if serial is not None:
        headers["X-PyPI-Last-Serial"] = str(serial)
    return etag, headers
