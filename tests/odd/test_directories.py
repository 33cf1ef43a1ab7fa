"""Directory listings of plain web servers: only the files, under their whole names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.cache.client import blobs_in
from tests.fake import FakeUpstream
from tests.harness import JSON, running
from tests.odd import directories
from tests.odd.client import (
    Anchor,
    assert_files,
    assert_sidecars,
    html_page,
    json_page,
    link,
    links,
)
from tests.odd.directories import DIRECTORY, PROJECT, SERVERS

FILES = sorted(directories.FILES, key=lambda file: file.filename)


def is_escaped(server: str) -> bool:
    """Python's server writes `+` as `%2B`, the others leave it."""
    return server == "http.server"


@pytest.mark.parametrize("server", SERVERS)
async def test_listing__rules_14_16_pages(
    tmp_path: Path, upstream: FakeUpstream, server: str
) -> None:
    """Cut texts do no harm, and what is no release is no row; nothing is known but the names."""
    directories.publish(upstream, server)
    async with running(tmp_path, upstream.url) as daemon:
        rows: list[dict[str, Any]] = []
        anchors: list[Anchor] = []
        for file in FILES:
            name = file.filename.replace("+", "%2B") if is_escaped(server) else file.filename
            url = link(upstream.pages_origin + DIRECTORY + name)
            row: dict[str, Any] = {"filename": file.filename, "url": url, "hashes": {}}
            attributes = {}
            if file.metadata is not None:
                row["core-metadata"] = True
                attributes = {"data-core-metadata": "true", "data-dist-info-metadata": "true"}
            rows.append(row)
            anchors.append(Anchor(file.filename, url, attributes))
        page = {"meta": {"api-version": "1.0"}, "name": PROJECT, "files": rows}
        assert await json_page(daemon, PROJECT) == page
        assert (await html_page(daemon, PROJECT)).anchors == anchors


@pytest.mark.parametrize("server", SERVERS)
async def test_listing__rules_19_51_files_and_sidecars(
    tmp_path: Path, upstream: FakeUpstream, server: str
) -> None:
    """Without any hash files still arrive as they are, a `.tar.gz` that is called encoded too."""
    directories.publish(upstream, server)
    async with running(tmp_path, upstream.url) as daemon:
        await assert_sidecars(daemon, PROJECT, [file.metadata for file in FILES], upstream)
        await assert_files(daemon, PROJECT, [file.body for file in FILES], upstream)


@pytest.mark.parametrize("server", SERVERS)
async def test_listing__empty_directory(
    tmp_path: Path, upstream: FakeUpstream, server: str
) -> None:
    """An empty directory is a project without files, no error and no absence."""
    directories.publish(upstream, server, [])
    async with running(tmp_path, upstream.url) as daemon:
        page = await daemon.ask(DIRECTORY, Accept=JSON)
        assert (page.status, b'"files":[]' in page.body) == (200, True)


async def test_listing__old_client_protocol(tmp_path: Path, upstream: FakeUpstream) -> None:
    """A server that ends each body by closing, without a length, gives whole files (rule 50)."""
    directories.publish(upstream, "http.server")
    upstream.fault("*", "no_length", how="close")
    async with running(tmp_path, upstream.url) as daemon:
        await assert_files(daemon, PROJECT, [file.body for file in FILES], upstream)
        hit = await daemon.ask((await links(daemon, PROJECT))[0])
        assert hit.headers["Content-Length"] == str(len(FILES[0].body))


@pytest.mark.parametrize("refusal", [403, 405, 501, None])
async def test_listing__rule_55_head(
    tmp_path: Path, upstream: FakeUpstream, refusal: int | None
) -> None:
    """HEAD of a cold file of unknown length is a 200 on servers that know no HEAD, too.

    These know no ranges either, so the length stays unknown then; nothing is downloaded for it.
    """
    directories.publish(upstream, "http.server")
    if refusal is not None:
        upstream.fault("*.whl", "status", method="HEAD", code=refusal)
    async with running(tmp_path, upstream.url) as daemon:
        (target, *_) = await links(daemon, PROJECT)
        reply = await daemon.ask(target, "HEAD")
        length = None if refusal else str(len(FILES[0].body))
        assert (reply.status, reply.headers.get("Content-Length")) == (200, length)
        assert blobs_in(daemon) == {}
        assert (await daemon.ask(target)).body == FILES[0].body
