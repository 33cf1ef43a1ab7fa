"""The fake index speaks as it says: a test against it is only as true as the index is."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import signal
import subprocess
import sys
import tarfile
import urllib.request
import zipfile
from pathlib import Path

import aiohttp
import pytest

from tests.fake import (
    DistFile,
    FakeUpstream,
    ThreadedFakeUpstream,
    make_sdist,
    make_wheel,
)
from tests.fake.__main__ import parse_size

JSON = "application/vnd.pypi.simple.v1+json"
REPOSITORY = Path(__file__).parents[2]


# ── distribution files ───────────────────────────────────────────────────────────────────────


def test_make_wheel__padded() -> None:
    """A wheel has the asked size to two bytes, a complete RECORD, and its METADATA as sidecar."""
    made = make_wheel("Foo.Bar", "1.0+local", requires=["beta>=2"], size_bytes=123_456)
    assert abs(len(made.body) - 123_456) <= 2
    assert made.filename == "foo_bar-1.0+local-py3-none-any.whl"
    archive = zipfile.ZipFile(io.BytesIO(made.body))
    assert archive.read("foo_bar-1.0+local.dist-info/METADATA") == made.metadata
    assert b"Requires-Dist: beta>=2" in (made.metadata or b"")
    record = archive.read("foo_bar-1.0+local.dist-info/RECORD").decode().splitlines()
    assert sorted(line.split(",")[0] for line in record) == sorted(archive.namelist())


def test_make_wheel__same_arguments() -> None:
    """The same arguments give the same bytes, so that digests can be relied on."""
    first, second = (make_wheel("a", "1", size_bytes=10_000) for _ in range(2))
    assert first == second
    assert first.sha256 == hashlib.sha256(first.body).hexdigest()
    assert len(gzip.compress(first.body)) > 9_000


def test_make_sdist__members() -> None:
    """An sdist holds PKG-INFO and pyproject.toml below its one directory (PEP 625, 517)."""
    made = make_sdist("alpha", "1.0")
    with tarfile.open(fileobj=io.BytesIO(made.body)) as archive:
        assert {"alpha-1.0/PKG-INFO", "alpha-1.0/pyproject.toml"} <= set(archive.getnames())


# ── speaking ─────────────────────────────────────────────────────────────────────────────────


async def test_page__json(
    upstream: FakeUpstream, client: aiohttp.ClientSession, wheel: DistFile
) -> None:
    """A JSON page lists the file with all that PEP 691, 700 and 714 know, on the other origin."""
    async with client.get(upstream.url + "alpha/", headers={"Accept": JSON}) as response:
        assert response.headers["Content-Type"] == JSON
        assert response.headers["X-PyPI-Last-Serial"] == "1"
        page = json.loads(await response.read())
    assert page["meta"]["api-version"] == "1.4"
    assert page["versions"] == ["1.0"]
    [row] = page["files"]
    assert row["url"] == upstream.url_of(wheel)
    assert row["url"].startswith(upstream.files_origin + "/packages/")
    assert not row["url"].startswith(upstream.pages_origin)
    assert row["size"] == len(wheel.body)
    assert row["core-metadata"] == {"sha256": hashlib.sha256(wheel.metadata or b"").hexdigest()}


async def test_page__json_1_0(client: aiohttp.ClientSession) -> None:
    """API 1.0 knows neither sizes, nor versions, nor upload times."""
    async with FakeUpstream(api_version="1.0") as upstream:
        upstream.add("alpha", make_wheel("alpha"))
        async with client.get(upstream.url + "alpha/", headers={"Accept": JSON}) as response:
            page = json.loads(await response.read())
    assert "versions" not in page
    assert not {"size", "upload-time"} & set(page["files"][0])


async def test_page__html_only(client: aiohttp.ClientSession) -> None:
    """An HTML-only index answers HTML whatever is asked, without sidecars, values escaped."""
    async with FakeUpstream(style="html", charset=True) as upstream:
        upstream.add("alpha", make_wheel("alpha", requires_python=">=3.8", yanked='"bad"'))
        async with client.get(upstream.url + "alpha/", headers={"Accept": JSON}) as response:
            assert response.headers["Content-Type"] == "text/html; charset=utf-8"
            text = await response.text()
    assert 'data-requires-python="&gt;=3.8"' in text
    assert 'data-yanked="&quot;bad&quot;"' in text
    assert "metadata=" not in text


async def test_page__relative_links(client: aiohttp.ClientSession) -> None:
    """Relative links resolve against the page's URL to a file that is served."""
    async with FakeUpstream(links="relative", separate_files=False) as upstream:
        wheel = make_wheel("alpha", "1.0+cu118")
        upstream.add("alpha", wheel)
        async with client.get(upstream.url + "alpha/", headers={"Accept": JSON}) as response:
            link = json.loads(await response.read())["files"][0]["url"]
        assert link.startswith("../../packages/")
        assert link.endswith("/alpha-1.0%2Bcu118-py3-none-any.whl")
        async with client.get(upstream.url_of(wheel)) as response:
            assert await response.read() == wheel.body


@pytest.mark.parametrize("header", ["ETag", "Last-Modified"])
async def test_page__conditional(
    upstream: FakeUpstream, client: aiohttp.ClientSession, wheel: DistFile, header: str
) -> None:
    """Either validator earns a 304 until the page changes."""
    condition = {"ETag": "If-None-Match", "Last-Modified": "If-Modified-Since"}[header]
    async with client.get(upstream.url + "alpha/") as response:
        known = {condition: response.headers[header]}
    async with client.get(upstream.url + "alpha/", headers=known) as response:
        assert (response.status, await response.read()) == (304, b"")
    upstream.add("alpha", make_wheel("alpha", "2.0"))
    async with client.get(upstream.url + "alpha/", headers=known) as response:
        assert response.status == 200


async def test_page__validators_off(client: aiohttp.ClientSession) -> None:
    """An index without validators sends none, and so never a 304."""
    async with FakeUpstream(validators=False) as upstream:
        upstream.add("alpha", make_wheel("alpha"))
        async with client.get(upstream.url + "alpha/") as response:
            assert not {"ETag", "Last-Modified"} & set(response.headers)


async def test_page__options(
    upstream: FakeUpstream, client: aiohttp.ClientSession, wheel: DistFile
) -> None:
    """Page options set the serial, the status and the URL of a file; quarantine lists nothing."""
    upstream.add("alpha", serial=7, urls={wheel.filename: "http://127.0.0.1:1/else"})
    async with client.get(upstream.url + "alpha/", headers={"Accept": JSON}) as response:
        assert response.headers["X-PyPI-Last-Serial"] == "7"
        assert json.loads(await response.read())["files"][0]["url"] == "http://127.0.0.1:1/else"
    upstream.add("alpha", status="quarantined", status_reason="looked at")
    async with client.get(upstream.url + "alpha/", headers={"Accept": JSON}) as response:
        page = json.loads(await response.read())
    assert page["files"] == []
    assert page["project-status"] == {"status": "quarantined", "reason": "looked at"}


async def test_page__other_names(
    upstream: FakeUpstream, client: aiohttp.ClientSession, wheel: DistFile
) -> None:
    """A name that is not normalized is redirected, an unknown one is 404, the list has the rest."""
    async with client.get(upstream.url + "Alpha", allow_redirects=False) as response:
        assert (response.status, response.headers["Location"]) == (301, "/simple/alpha/")
    async with client.get(upstream.url + "omega/") as response:
        assert response.status == 404
    async with client.get(upstream.url, headers={"Accept": JSON}) as response:
        assert json.loads(await response.read())["projects"] == [{"name": "alpha"}]
    assert upstream.projects == ["alpha"]


async def test_remove__keep_served(
    upstream: FakeUpstream, client: aiohttp.ClientSession, wheel: DistFile
) -> None:
    """A removed project is 404; its file too, unless it was to stay at its URL."""
    upstream.remove("alpha", keep_served=True)
    assert (await client.get(upstream.url + "alpha/")).status == 404
    assert (await client.get(upstream.url_of(wheel))).status == 200
    upstream.add("alpha", wheel)
    upstream.remove("alpha", wheel.filename)
    assert (await client.get(upstream.url + "alpha/")).status == 200
    assert (await client.get(upstream.url_of(wheel))).status == 404


async def test_sidecar__served_and_not(
    upstream: FakeUpstream, client: aiohttp.ClientSession, wheel: DistFile
) -> None:
    """An advertised sidecar answers the wheel's METADATA, or 404 where it is to be missing."""
    async with client.get(upstream.url_of(wheel) + ".metadata") as response:
        assert await response.read() == wheel.metadata
    upstream.dialect.sidecars_served = False
    assert (await client.get(upstream.url_of(wheel) + ".metadata")).status == 404


@pytest.mark.parametrize(
    ("auth", "header"),
    [(("user", "secret"), "Basic dXNlcjpzZWNyZXQ="), ("t0ken", "Bearer t0ken")],
)
async def test_credentials__required(
    client: aiohttp.ClientSession, auth: tuple[str, str] | str, header: str
) -> None:
    """Pages without the right credentials are 401; the files' origin asks for none by default."""
    async with FakeUpstream(auth=auth) as upstream:
        wheel = make_wheel("alpha")
        upstream.add("alpha", wheel)
        assert (await client.get(upstream.url + "alpha/")).status == 401
        right = {"Authorization": header}
        assert (await client.get(upstream.url + "alpha/", headers=right)).status == 200
        assert (await client.get(upstream.url_of(wheel))).status == 200
        assert [request.origin for request in upstream.requests] == ["pages", "pages", "files"]
        upstream.require("another")
        assert (await client.get(upstream.url + "alpha/", headers=right)).status == 401


async def test_redirect__and_serve(upstream: FakeUpstream, client: aiohttp.ClientSession) -> None:
    """Redirects and fixed answers can be put on any path."""
    upstream.redirect("/simple/moved/", upstream.files_origin + "/there")
    upstream.serve("/there", b"here", "text/plain", X_Test="1")
    async with client.get(upstream.url + "moved/") as response:
        assert (await response.read(), response.headers["X-Test"]) == (b"here", "1")


# ── files ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("asked", "first", "last"),
    [("0-0", 0, 0), ("100-199", 100, 199), ("299000-", 299_000, -1), ("-7", -7, -1)],
)
async def test_range__satisfiable(
    upstream: FakeUpstream,
    client: aiohttp.ClientSession,
    wheel: DistFile,
    asked: str,
    first: int,
    last: int,
) -> None:
    """One range is a 206 with exact bytes and Content-Range (RFC 9110 §14)."""
    size = len(wheel.body)
    first, last = first % size, last % size
    headers = {"Range": f"bytes={asked}"}
    async with client.get(upstream.url_of(wheel), headers=headers) as response:
        assert response.status == 206
        assert response.headers["Content-Range"] == f"bytes {first}-{last}/{size}"
        assert await response.read() == wheel.body[first : last + 1]


async def test_range__unsatisfiable(
    upstream: FakeUpstream, client: aiohttp.ClientSession, wheel: DistFile
) -> None:
    """A range behind the end is a 416 that tells the size; an unknown unit is ignored."""
    size = len(wheel.body)
    behind = {"Range": f"bytes={size}-"}
    async with client.get(upstream.url_of(wheel), headers=behind) as response:
        assert (response.status, response.headers["Content-Range"]) == (416, f"bytes */{size}")
    async with client.get(upstream.url_of(wheel), headers={"Range": "lines=1-2"}) as response:
        assert response.status == 200


async def test_range__if_range(
    upstream: FakeUpstream, client: aiohttp.ClientSession, wheel: DistFile
) -> None:
    """If-Range with the ETag is a 206; once the ETag has changed it is a whole 200."""
    async with client.head(upstream.url_of(wheel)) as response:
        headers = {"Range": "bytes=1-", "If-Range": response.headers["ETag"]}
    async with client.get(upstream.url_of(wheel), headers=headers) as response:
        assert response.status == 206
    upstream.fault("*.whl", "change_etag")
    async with client.get(upstream.url_of(wheel), headers=headers) as response:
        assert (response.status, response.headers["ETag"]) == (200, '"changed"')


async def test_head__length(
    upstream: FakeUpstream, client: aiohttp.ClientSession, wheel: DistFile
) -> None:
    """HEAD tells the length, sends no body, and the connection takes the next request."""
    async with client.head(upstream.url_of(wheel)) as response:
        assert response.headers["Content-Length"] == str(len(wheel.body))
    async with client.get(upstream.url_of(wheel)) as response:
        assert await response.read() == wheel.body
    assert [(r.method, r.sent_bytes) for r in upstream.requests] == [
        ("HEAD", 0),
        ("GET", len(wheel.body)),
    ]
    assert upstream.count("*.whl", "GET") == 1
    upstream.clear()
    assert upstream.count("*") == 0


# ── other ways to run it ─────────────────────────────────────────────────────────────────────


def test_threaded__from_outside() -> None:
    """The threaded index answers a blocking client, holds it at a gate, and can go down and up."""
    with ThreadedFakeUpstream() as upstream:
        upstream.add("alpha", make_wheel("alpha"))
        gate = upstream.hold("/simple/alpha/", after_bytes=5)
        with urllib.request.urlopen(upstream.url + "alpha/") as response:
            gate.wait_reached()
            gate.open()
            assert b"alpha-1.0" in response.read()
        upstream.down()
        with pytest.raises(OSError, match="refused"):
            urllib.request.urlopen(upstream.url)
        upstream.up()
        with urllib.request.urlopen(upstream.url) as response:
            assert response.status == 200


def test_standalone__until_sigterm() -> None:
    """`python -m tests.fake` prints its URL first, tells its records, and ends on SIGTERM."""
    command = [sys.executable, "-m", "tests.fake", "--projects", "2", "--size", "100kB"]
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().strip()
            with urllib.request.urlopen(url + "alpha/") as response:
                assert b"alpha-1.1" in response.read()
            with urllib.request.urlopen(url.removesuffix("/simple/") + "/-/requests") as response:
                assert [seen["path"] for seen in json.load(response)] == ["/simple/alpha/"]
        finally:
            process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0


@pytest.mark.parametrize(
    ("text", "size"), [("20MB", 20_000_000), ("1.5GiB", 1_610_612_736), ("7", 7), ("2k", 2000)]
)
def test_parse_size__units(text: str, size: int) -> None:
    """Sizes have decimal or binary units."""
    assert parse_size(text) == size
