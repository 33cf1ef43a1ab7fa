"""Which representation and coding a client gets, and what it may do with it (rules 5-11, 29-32)."""

from __future__ import annotations

import gzip
import json

import pytest
from backports import zstd

from tests.fake import FakeUpstream, make_wheel
from tests.harness import JSON, Reply, Running

HTML = "application/vnd.pypi.simple.v1+html"
PLAIN = "text/html; charset=utf-8"
# As pip 24 and uv 0.5 send them.
PIP = f"{JSON}, {HTML}; q=0.1, text/html; q=0.01"
UV = f"{JSON}, {HTML};q=0.2, text/html;q=0.01"
PAGE, LIST = "/simple/alpha/", "/simple/"
CODINGS = ("identity", "gzip", "zstd")
both = pytest.mark.parametrize("path", [PAGE, LIST])


@pytest.fixture(autouse=True)
def _published(upstream: FakeUpstream) -> None:
    # More than 64 KiB of page, so that compression takes its way through a thread.
    upstream.add("alpha", *(make_wheel("alpha", f"1.{n}") for n in range(200)))
    upstream.add("beta", make_wheel("beta"))


def decoded(reply: Reply) -> bytes:
    coding = reply.headers.get("Content-Encoding")
    if coding == "zstd":
        return bytes(zstd.decompress(reply.body))
    return gzip.decompress(reply.body) if coding == "gzip" else reply.body


async def types(daemon: Running, path: str, *accepts: str | None) -> set[str]:
    found = set()
    for accept in accepts:
        reply = await daemon.ask(path, **({} if accept is None else {"Accept": accept}))
        assert reply.status == 200, accept
        found.add(reply.headers["Content-Type"])
    return found


@both
async def test_page__rule_05_no_preference_is_html(daemon: Running, path: str) -> None:
    """Without `Accept`, or with `*/*`, the answer is a 200 in HTML."""
    assert await types(daemon, path, None, "*/*", "", "text/*") == {PLAIN}
    assert (await daemon.ask(path)).body.startswith(b"<!DOCTYPE html>")


@both
@pytest.mark.parametrize("accept", [PIP, UV])
async def test_page__rule_06_pip_and_uv_get_json(daemon: Running, path: str, accept: str) -> None:
    """The exact `Accept` headers of pip and uv get JSON, and it is JSON."""
    reply = await daemon.ask(path, Accept=accept)
    assert reply.headers["Content-Type"] == JSON
    assert set(json.loads(reply.body)) >= {"meta"}


@both
async def test_page__rule_07_html_types(daemon: Running, path: str) -> None:
    """`text/html` gets `text/html`, `…v1+html` gets that type; the text is the same."""
    assert await types(daemon, path, "text/html") == {PLAIN}
    assert await types(daemon, path, HTML) == {HTML}
    bodies = {(await daemon.ask(path, Accept=accept)).body for accept in ("text/html", HTML)}
    assert len(bodies) == 1


@both
async def test_page__rule_08_latest(daemon: Running, path: str) -> None:
    """`…latest+json` is answered as `…v1+json`, `…latest+html` as `…v1+html`."""
    latest = "application/vnd.pypi.simple.latest"
    assert await types(daemon, path, f"{latest}+json") == {JSON}
    assert await types(daemon, path, f"{latest}+html") == {HTML}


@both
@pytest.mark.parametrize(
    "headers",
    [
        {"Accept": "image/png"},
        {"Accept": "application/vnd.pypi.simple.v2+json"},
        {"Accept": "text/html;q=0"},
        {"Accept": "*/*;q=0"},
        {"Accept_Encoding": "identity;q=0"},
        {"Accept_Encoding": "br, *;q=0"},
    ],
)
async def test_page__rule_09_nothing_acceptable(
    daemon: Running, path: str, headers: dict[str, str]
) -> None:
    """Where nothing is acceptable the answer is a 406 that lists the types, never a 300."""
    reply = await daemon.ask(path, **headers)
    assert reply.status == 406
    for media_type in (JSON, HTML, "text/html"):
        assert media_type in reply.text


@both
async def test_page__rule_09_q_values(daemon: Running, path: str) -> None:
    """The highest q decides, and q=0 rules a type out."""
    assert await types(daemon, path, f"{JSON};q=0.5, text/html;q=0.6") == {PLAIN}
    assert await types(daemon, path, f"{JSON};q=0.6, text/html;q=0.5") == {JSON}
    assert await types(daemon, path, "text/html;q=0, */*") == {HTML}


@both
@pytest.mark.parametrize(
    ("accept_encoding", "coding"),
    [
        (None, "identity"), ("", "identity"), ("br", "identity"), ("gzip", "gzip"),
        ("gzip, deflate", "gzip"), ("gzip, deflate, zstd", "zstd"), ("zstd;q=0.5, gzip", "gzip"),
        ("gzip;q=0", "identity"), ("identity;q=0, gzip;q=0.1", "gzip"), ("*", "zstd"),
        ("gzip;q=0.5, identity", "identity"),
    ],
)  # fmt: skip
async def test_page__content_coding(
    daemon: Running, path: str, accept_encoding: str | None, coding: str
) -> None:
    """The coding is the best that the client takes, and what it decodes to is the same text."""
    plain = await daemon.ask(path, Accept=JSON)
    asked = {} if accept_encoding is None else {"Accept_Encoding": accept_encoding}
    reply = await daemon.ask(path, Accept=JSON, **asked)
    assert reply.headers.get("Content-Encoding", "identity") == coding
    assert reply.headers["Content-Length"] == str(len(reply.body))
    assert decoded(reply) == plain.body
    if coding != "identity" and path == PAGE:
        assert len(reply.body) < len(plain.body) / 2


@both
async def test_page__rule_10_query_wins(daemon: Running, path: str) -> None:
    """`?format=` wins over `Accept`, its `+` encoded or not; an unknown one is a 406."""
    for form in (JSON, JSON.replace("+", "%2B"), "application/vnd.pypi.simple.latest%2Bjson"):
        reply = await daemon.ask(f"{path}?format={form}", Accept="text/html")
        assert reply.headers["Content-Type"] == JSON
    reply = await daemon.ask(f"{path}?format=text/html", Accept=JSON)
    assert reply.headers["Content-Type"] == PLAIN
    assert (await daemon.ask(f"{path}?format=image/png", Accept=JSON)).status == 406


@both
async def test_page__rule_11_vary(daemon: Running, path: str) -> None:
    """Every negotiated answer says what it varies by, a 304 too."""
    for accept in ("text/html", JSON):
        for coding in CODINGS:
            reply = await daemon.ask(path, Accept=accept, Accept_Encoding=coding)
            again = await daemon.ask(
                path, Accept=accept, Accept_Encoding=coding, If_None_Match=reply.headers["ETag"]
            )
            assert (reply.status, again.status) == (200, 304)
            for one in (reply, again):
                assert one.headers["Vary"] == "Accept, Accept-Encoding"


@both
async def test_page__rule_29_head_is_get(daemon: Running, path: str) -> None:
    """HEAD has every header of GET but Date, Age and Cache-Status, and no body."""
    for accept in ("text/html", JSON):
        for coding in CODINGS:
            asked = {"Accept": accept, "Accept_Encoding": coding}
            got = await daemon.ask(path, **asked)
            head = await daemon.ask(path, "HEAD", **asked)
            assert (head.status, head.body) == (got.status, b"")
            assert unlike(head, got) <= {"X-Request-Id", "Date", "Age", "Cache-Status"}


async def test_page__rule_29_head_first(daemon: Running, upstream: FakeUpstream) -> None:
    """HEAD of a page that is not stored says all that GET says, and stores it."""
    head = await daemon.ask(PAGE, "HEAD", Accept=JSON)
    got = await daemon.ask(PAGE, Accept=JSON)
    assert unlike(head, got) <= {"X-Request-Id", "Date", "Age", "Cache-Status"}
    assert got.headers["Cache-Status"] == "pypicached; hit"
    assert upstream.count(PAGE) == 1


@pytest.mark.parametrize(
    ("path", "status"),
    [("/simple/none/", 404), ("/nothing", 404), ("/simple/Alpha/", 301), ("/healthz", 200),
     ("/", 200), ("/readyz", 200)],
)  # fmt: skip
async def test_answer__head_of_everything_else(daemon: Running, path: str, status: int) -> None:
    """HEAD of what is no page has the status of GET, and no body."""
    head = await daemon.ask(path, "HEAD")
    got = await daemon.ask(path)
    assert (head.status, got.status, head.body) == (status, status, b"")
    assert unlike(head, got) <= {"X-Request-Id", "Date", "Content-Length"}


@both
async def test_page__rule_31_not_modified(daemon: Running, path: str) -> None:
    """If-None-Match gets a 304 with ETag, Vary and Cache-Control; another tag gets the page."""
    got = await daemon.ask(path, Accept=JSON)
    etag = got.headers["ETag"]
    for tags in (etag, f"W/{etag}", f'"other", {etag}', "*"):
        for method in ("GET", "HEAD"):
            reply = await daemon.ask(path, method, Accept=JSON, If_None_Match=tags)
            assert (reply.status, reply.body) == (304, b"")
            for name in ("ETag", "Vary", "Cache-Control"):
                assert reply.headers[name] == got.headers[name]
            assert "Content-Length" not in reply.headers
    reply = await daemon.ask(path, Accept=JSON, If_None_Match='"other"')
    assert (reply.status, reply.body) == (200, got.body)


@both
async def test_page__rule_32_tags_are_strong_and_apart(daemon: Running, path: str) -> None:
    """Each type and coding has a strong ETag of its own, the same at each request."""
    seen = {}
    for accept in ("text/html", HTML, JSON):
        for coding in CODINGS:
            asked = {"Accept": accept, "Accept_Encoding": coding}
            tags = {(await daemon.ask(path, **asked)).headers["ETag"] for _ in range(2)}
            assert len(tags) == 1
            seen[tags.pop()] = (accept, coding)
    assert len(seen) == 9
    assert all(tag.startswith('"') and tag.endswith('"') for tag in seen)


@both
async def test_page__rule_32_one_tag_fits_one_representation(daemon: Running, path: str) -> None:
    """A tag of one coding or type brings no 304 for another."""
    etag = (await daemon.ask(path, Accept=JSON, Accept_Encoding="gzip")).headers["ETag"]
    for accept, coding in ((JSON, "zstd"), (JSON, "identity"), ("text/html", "gzip")):
        reply = await daemon.ask(path, Accept=accept, Accept_Encoding=coding, If_None_Match=etag)
        assert reply.status == 200


async def test_page__rule_32_changed_page_has_another_tag(
    daemon: Running, upstream: FakeUpstream
) -> None:
    """When the page changes, so does the tag of each of its codings."""
    before = [await daemon.ask(PAGE, Accept=JSON, Accept_Encoding=coding) for coding in CODINGS]
    upstream.add("alpha", make_wheel("alpha", "2.0"))
    daemon.clock.advance(700)
    for old, coding in zip(before, CODINGS, strict=True):
        reply = await daemon.ask(
            PAGE, Accept=JSON, Accept_Encoding=coding, If_None_Match=old.headers["ETag"]
        )
        assert reply.status == 200
        assert b"alpha-2.0-" in decoded(reply)


def unlike(one: Reply, other: Reply) -> set[str]:
    """Return the names of headers that are not the same."""
    names = {name.title() for name in (*one.headers, *other.headers)}
    return {name for name in names if one.headers.get(name) != other.headers.get(name)}
