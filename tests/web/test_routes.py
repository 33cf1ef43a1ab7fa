"""Names, paths, methods and redirects of the public listener."""

from __future__ import annotations

import asyncio
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import pytest

from pypicached import __version__
from tests.fake import FakeUpstream, make_wheel
from tests.harness import JSON, Running, running, write_config

WHEEL = make_wheel("foo-bar", "1.0")


@pytest.fixture
def published(upstream: FakeUpstream) -> FakeUpstream:
    upstream.add("foo-bar", WHEEL)
    return upstream


# ── names ────────────────────────────────────────────────────────────────────────────────────


async def test_page__rule_02_missing_slash_redirects(daemon: Running) -> None:
    """`/simple/NAME` redirects to its slash form, normalized at once, without asking upstream."""
    for name in ("foo-bar", "Foo_Bar"):
        reply = await daemon.ask(f"/simple/{name}?format=x")
        assert (reply.status, reply.headers["Location"]) == (301, "foo-bar/?format=x")
    reply = await daemon.ask("/pypi/simple/foo-bar")
    assert (reply.status, reply.headers["Location"]) == (301, "foo-bar/")


@pytest.mark.parametrize("name", ["Foo-Bar", "foo_bar", "foo.bar", "FOO--bar", "foo-_.bar"])
async def test_page__rule_03_unnormalized_name_redirects(
    daemon: Running, published: FakeUpstream, name: str
) -> None:
    """A name that is not normalized gets 301 to the normalized one, query kept."""
    target = f"/simple/{name}/?format=json&x=%2B"
    reply = await daemon.ask(target)
    assert reply.status == 301
    assert urljoin(target, reply.headers["Location"]) == "/simple/foo-bar/?format=json&x=%2B"
    assert published.requests == []


@pytest.mark.parametrize(
    "segment",
    [
        "foo%0a", "foo%0A", "foo%00", "%20foo", "foo%20", "f%C3%B6%C3%B6", "%C5%BF", "%E2%84%AA",
        "..", ".", "%2e%2e", "%2E%2e", "foo%2fbar", "foo%5cbar", "foo%2Fsimple", "-foo", "foo-",
        "foo.", "_foo", "foo$", "foo%23", "a" * 201, "%", "%zz", "foo;bar", "foo+bar", "@foo",
    ],
)  # fmt: skip
@pytest.mark.parametrize("form", ["/simple/{}/", "/simple/{}", "/pypi/simple/{}/"])
async def test_page__rule_04_name_outside_the_grammar(
    daemon: Running, published: FakeUpstream, segment: str, form: str
) -> None:
    """A name outside the grammar is 404 without an upstream request and without being echoed."""
    reply = await daemon.ask(form.format(segment))
    assert reply.status == 404
    assert segment.strip(".%-_") not in reply.text or len(segment) < 5
    assert reply.headers["Cache-Control"] == "no-store"
    assert published.requests == []


@pytest.mark.parametrize("raw", [b"/simple/f\xc3\xb6\xc3\xb6/", b"/simple/\xff/"])
async def test_page__rule_04_bare_bytes_in_the_target(
    daemon: Running, published: FakeUpstream, raw: bytes
) -> None:
    """Bytes beyond ASCII in a target are 404 or 400, and nothing is asked upstream."""
    status, _ = await _raw(daemon, b"GET " + raw + b" HTTP/1.1\r\nHost: x\r\n\r\n")
    assert status in (400, 404)
    assert published.requests == []


@pytest.mark.parametrize("length", [200, 1])
async def test_page__longest_and_shortest_name(daemon: Running, length: int) -> None:
    """A name of 1 and of 200 characters is a name: upstream is asked, and says that it has none."""
    reply = await daemon.ask(f"/simple/{'a' * length}/")
    assert (reply.status, "no index here has a project named a" in reply.text) == (404, True)


# ── paths ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "path",
    [
        "/nothing", "/simple/foo-bar/a/b", "/simple//", "/simple/foo-bar//", "//simple/",
        "/pypi/", "/pypi/foo", "/pypi/foo/json", "/other/simple/", "/other/simple/foo-bar/",
        "/healthz/", "/metrics/x", "/readyz/x", "/files", "/files/", "/files/pypi", "/static/x",
        "/api/x", "/simple/foo-bar/..", "/simple/../simple/foo-bar/", "/favicon.ico",
    ],
)  # fmt: skip
async def test_route__unknown_path(daemon: Running, published: FakeUpstream, path: str) -> None:
    """A path that PRODUCT.md section 2 does not name is 404, not to be stored, asked of nobody."""
    reply = await daemon.ask(path)
    assert (reply.status, reply.headers["Cache-Control"]) == (404, "no-store")
    assert published.count("/simple/foo-bar/..*") == 0
    assert published.count("*..*") == 0


@pytest.mark.parametrize("tail", ["", ".metadata"])
@pytest.mark.parametrize(
    "path",
    [
        "{}/..", "../{}", "./{}", "a//{}", "%2e%2e/{}", "a%2f{}", "a%5c{}", "{}%00", "{}%2f",
        "a/%2E/{}", "a\\{}",
    ],
)  # fmt: skip
async def test_file__rule_64_dangerous_segments(
    daemon: Running, published: FakeUpstream, path: str, tail: str
) -> None:
    """Dot segments, empty ones, NUL and encoded slashes are 404, asked of nobody."""
    host = published.files_origin.removeprefix("http://")
    reply = await daemon.ask(f"/files/pypi/{host}/{path.format(WHEEL.filename)}{tail}")
    assert reply.status == 404
    assert published.requests == []


async def test_route__absolute_form(daemon: Running, published: FakeUpstream) -> None:
    """A target in absolute form (RFC 9112 §3.2.2) is answered like its path."""
    head = b"GET http://elsewhere.example/simple/foo-bar/ HTTP/1.1\r\nHost: x\r\n\r\n"
    status, body = await _raw(daemon, head)
    assert status == 200
    assert WHEEL.filename.encode() in body
    assert published.count("/simple/foo-bar/") == 1


# ── methods ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "PURGE"])
@pytest.mark.parametrize("path", ["/simple/foo-bar/", "/", "/legacy/", "/metrics", "/simple/"])
async def test_route__rule_67_other_methods(
    daemon: Running, published: FakeUpstream, method: str, path: str
) -> None:
    """Anything but GET and HEAD is 405 with Allow, whatever the path, and changes nothing."""
    reply = await daemon.ask(path, method)
    assert (reply.status, reply.headers["Allow"]) == (405, "GET, HEAD")
    assert reply.headers["Cache-Control"] == "no-store"
    assert "pypicached invalidate" in reply.text
    assert published.requests == []


# ── redirects of ours ────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("/index", "/simple/"),
        ("/index/", "/simple/"),
        ("/index/foo-bar/", "/simple/foo-bar/"),
        ("/index/foo-bar/?format=json", "/simple/foo-bar/?format=json"),
        ("/index/foo-bar/foo_bar-1.0.whl", "/simple/foo-bar/foo_bar-1.0.whl"),
    ],
)
async def test_route__index_is_simple(daemon: Running, old: str, new: str) -> None:
    """`/index/…` is a permanent redirect to `/simple/…`, for people who arrive from proxpi."""
    reply = await daemon.ask(old)
    assert reply.status == 301
    assert urljoin(old, reply.headers["Location"]) == new


@pytest.mark.parametrize(
    "path", ["/index//evil.example/", "/index///evil.example", "/index/http:/e"]
)
async def test_route__index_never_leaves_this_host(daemon: Running, path: str) -> None:
    """A redirect of ours leads to no other host, however its path is made up."""
    reply = await daemon.ask(path)
    assert (
        urlsplit(urljoin(daemon.url + path, reply.headers["Location"])).netloc
        == urlsplit(daemon.url).netloc
    )


@pytest.mark.parametrize("prefix", ["/simple", "/pypi/simple"])
@pytest.mark.parametrize("name", ["foo-bar", "Foo.Bar"])
async def test_route__project_and_filename_redirect(
    daemon: Running, published: FakeUpstream, prefix: str, name: str
) -> None:
    """`/simple/PROJECT/FILENAME[.metadata]` is a 302 to the listed file, which has those bytes."""
    for tail, content in (("", WHEEL.body), (".metadata", WHEEL.metadata)):
        target = f"{prefix}/{name}/{WHEEL.filename}{tail}"
        reply = await daemon.ask(target)
        assert reply.status == 302
        assert not reply.headers["Location"].startswith("/")
        followed = await daemon.ask(urljoin(target, reply.headers["Location"]))
        assert (followed.status, followed.body) == (200, content)


async def test_route__filename_that_is_not_listed(daemon: Running, published: FakeUpstream) -> None:
    """A name that the project's page does not list is 404."""
    reply = await daemon.ask("/simple/foo-bar/foo_bar-9.9-py3-none-any.whl")
    assert reply.status == 404


async def test_route__links_and_redirects_hold_behind_a_prefix(
    daemon: Running, published: FakeUpstream
) -> None:
    """Every link and Location is relative, so a reverse proxy may put us under any path."""
    for path in ("/simple", "/simple/foo-bar", "/simple/Foo/", "/index/foo/", "/pypi/simple"):
        location = (await daemon.ask(path)).headers["Location"]
        outside = urljoin(f"https://proxy.example/deep/down{path}", location)
        inside = urljoin(f"{daemon.url}{path}", location)
        assert outside.removeprefix("https://proxy.example/deep/down") == inside.removeprefix(
            daemon.url
        )
    for prefix in ("/simple", "/pypi/simple"):
        target = f"{prefix}/foo-bar/"
        page = await daemon.ask(target, Accept=JSON)
        link = page.text.partition('"url":"')[2].partition('"')[0]
        outside = urljoin(f"https://proxy.example/deep/down{target}", link)
        path = outside.removeprefix("https://proxy.example/deep/down")
        assert (await daemon.ask(path)).body == WHEEL.body


# ── what every answer carries ────────────────────────────────────────────────────────────────


async def test_answer__id_and_server(daemon: Running, published: FakeUpstream) -> None:
    """Every answer has an X-Request-Id of its own and `Server: pypicached/VERSION`."""
    published.fault("/simple/broken/", "status", code=418)
    published.fault("/simple/down/", "status", code=500)
    seen = {}
    etag = (await daemon.ask("/simple/foo-bar/")).headers["ETag"]
    for path, method, headers in [
        ("/", "GET", {}), ("/healthz", "GET", {}), ("/readyz", "GET", {}), ("/metrics", "GET", {}),
        ("/simple/", "GET", {}), ("/simple/", "HEAD", {}), ("/simple/foo-bar/", "GET", {}),
        ("/simple/foo-bar/", "HEAD", {}), ("/simple/foo-bar/", "GET", {"If-None-Match": etag}),
        ("/simple/foo-bar", "GET", {}), ("/simple/foo-bar/", "GET", {"Accept": "image/png"}),
        ("/simple/none/", "GET", {}), ("/simple/broken/", "GET", {}), ("/nothing", "GET", {}),
        ("/simple/down/", "GET", {}), ("/simple/", "POST", {}), ("/index/x/", "GET", {}),
    ]:  # fmt: skip
        reply = await daemon.ask(path, method, **headers)
        assert reply.headers["Server"] == f"pypicached/{__version__}", path
        request_id = reply.headers["X-Request-Id"]
        seen[request_id] = reply.status
        if reply.status >= 400:
            assert request_id in reply.text, path
    assert len(seen) == 17
    assert set(seen.values()) == {200, 301, 304, 404, 405, 406, 502, 503}


@pytest.mark.parametrize(
    "head",
    [
        b"GET /simple/ HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 20_000 + b"\r\n\r\n",
        b"no request at all\r\n\r\n",
    ],
)
async def test_answer__id_and_server_on_what_is_no_request(daemon: Running, head: bytes) -> None:
    """What cannot be read as a request is a 400, with our headers and without a trace of Python."""
    status, answer = await _raw(daemon, head)
    assert status == 400
    assert f"Server: pypicached/{__version__}\r\n".encode() in answer
    assert b"X-Request-Id: " in answer
    assert b"aiohttp" not in answer


async def test_page__through_the_index_of_that_name(
    tmp_path: Path, published: FakeUpstream
) -> None:
    """`/INDEX/simple/PROJECT/` is the page of that index, with links that work from there."""
    config = write_config(tmp_path, {"name": "corp-1", "url": published.url})
    async with running(tmp_path, config=config) as daemon:
        target = "/corp-1/simple/foo-bar/"
        page = await daemon.ask(target, Accept=JSON)
        link = page.text.partition('"url":"')[2].partition('"')[0]
        assert urljoin(target, link).startswith("/files/corp-1/127.0.0.1:")
        assert (await daemon.ask(urljoin(target, link))).body == WHEEL.body
        assert (await daemon.ask("/pypi/simple/foo-bar/")).status == 404


async def _raw(daemon: Running, head: bytes) -> tuple[int, bytes]:
    """Send bytes as they are; return the status and all that comes back until a second's pause."""
    host, _, port = daemon.url.removeprefix("http://").rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(head)
        answer = await reader.readuntil(b"\r\n\r\n")
        length = answer.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
        answer += await reader.readexactly(int(length))
    finally:
        writer.close()
        await writer.wait_closed()
    return int(answer.split(b" ", 2)[1]), answer
