"""Indexes with few hashes, old hashes, or hashes that nobody knows (rules 16 and 49)."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from tests.fake import FakeUpstream, make_sdist
from tests.harness import running
from tests.odd.client import assert_file, html_page, json_page, link, links
from tests.odd.rows import STYLES, Style, row, serve_page

SDIST = make_sdist("hashed")
FILE = "/f/hashed-1.0.tar.gz"


def hex_of(algorithm: str) -> str:
    return hashlib.new(algorithm, SDIST.body, usedforsecurity=False).hexdigest()


def publish(upstream: FakeUpstream, hashes: dict[str, str], style: Style) -> str:
    """Publish the file with these hashes; return its link on our page."""
    upstream.serve(FILE, SDIST.body, "application/gzip")
    serve_page(upstream, "hashed", [row(SDIST.filename, FILE, hashes)], style)
    return link(upstream.pages_origin + FILE)


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("algorithm", ["md5", "sha1", "sha384", "sha512", "blake2b"])
async def test_hash__rule_16_one_of_any_kind(
    tmp_path: Path, upstream: FakeUpstream, algorithm: str, style: Style
) -> None:
    """The one hash there is stays the one there is: no sha256 is put beside it, cached or not."""
    url = publish(upstream, {algorithm: hex_of(algorithm)}, style)
    async with running(tmp_path, upstream.url) as daemon:
        for _ in range(2):
            (told,) = (await json_page(daemon, "hashed"))["files"]
            assert told == row(SDIST.filename, url, {algorithm: hex_of(algorithm)})
            (anchor,) = (await html_page(daemon, "hashed")).anchors
            assert anchor == (SDIST.filename, f"{url}#{algorithm}={hex_of(algorithm)}", {})
            await assert_file(daemon, (await links(daemon, "hashed"))[0], SDIST.body, upstream)
            daemon.clock.advance(3600)


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("algorithm", ["md5", "sha1", "sha512", "blake2b"])
async def test_hash__rule_49_of_any_kind_is_checked(
    tmp_path: Path, upstream: FakeUpstream, algorithm: str, style: Style
) -> None:
    """Bytes that do not match the only hash are refused, whatever its kind."""
    publish(upstream, {algorithm: hex_of(algorithm)}, style)
    upstream.serve(FILE, SDIST.body[:-1] + b"?", "application/gzip")
    async with running(tmp_path, upstream.url) as daemon:
        assert (await daemon.ask((await links(daemon, "hashed"))[0])).status == 502


@pytest.mark.parametrize("style", STYLES)
async def test_hash__rule_16_none(tmp_path: Path, upstream: FakeUpstream, style: Style) -> None:
    """A file without a hash says so by an empty object, and by no fragment, cached or not."""
    url = publish(upstream, {}, style)
    async with running(tmp_path, upstream.url) as daemon:
        for _ in range(2):
            assert (await json_page(daemon, "hashed"))["files"] == [row(SDIST.filename, url)]
            assert (await html_page(daemon, "hashed")).anchors == [(SDIST.filename, url, {})]
            await assert_file(daemon, (await links(daemon, "hashed"))[0], SDIST.body, upstream)
            daemon.clock.advance(3600)


async def test_hash__rule_16_several(tmp_path: Path, upstream: FakeUpstream) -> None:
    """Every hash is kept, of unknown kinds too; HTML has the one that every client checks."""
    hashes = {"md5": hex_of("md5"), "zen64": "00ff", "sha256": SDIST.sha256}
    url = publish(upstream, hashes, "json")
    async with running(tmp_path, upstream.url) as daemon:
        (told,) = (await json_page(daemon, "hashed"))["files"]
        assert told["hashes"] == hashes
        (anchor,) = (await html_page(daemon, "hashed")).anchors
        assert anchor.href == f"{url}#sha256={SDIST.sha256}"
        await assert_file(daemon, (await links(daemon, "hashed"))[0], SDIST.body, upstream)


async def test_hash__rule_16_only_unknown(tmp_path: Path, upstream: FakeUpstream) -> None:
    """A file whose only hash nobody can check is served as one without."""
    publish(upstream, {"zen64": "00ff"}, "json")
    async with running(tmp_path, upstream.url) as daemon:
        assert (await json_page(daemon, "hashed"))["files"][0]["hashes"] == {"zen64": "00ff"}
        await assert_file(daemon, (await links(daemon, "hashed"))[0], SDIST.body, upstream)
