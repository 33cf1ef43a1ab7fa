"""Upstreams of every kind: what they speak, how large they are, whom they trust."""

from __future__ import annotations

import asyncio
import base64
import json
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urljoin

import pytest

from pypicached.cache import refresh
from pypicached.cache.worker import Worker
from tests.fake import FakeUpstream, make_sdist, make_wheel
from tests.harness import JSON, Running, running, write_config

Style = Literal["json", "html"]

PAGE = "/simple/alpha/"
WHEEL = make_wheel("alpha", "1.0", requires_python=">=3.8,<4")
SDIST = make_sdist("alpha", "1.1")


async def rows(daemon: Running) -> list[dict[str, Any]]:
    files = (await daemon.page("alpha"))["files"]
    assert isinstance(files, list)
    return files


async def row(daemon: Running) -> dict[str, Any]:
    (only,) = await rows(daemon)
    return only


# ── upstreams ────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("style", ["json", "html"])
async def test_page__charset_in_the_content_type(
    daemon: Running, upstream: FakeUpstream, style: Style
) -> None:
    """`; charset=utf-8` behind upstream's Content-Type changes nothing."""
    upstream.dialect.style, upstream.dialect.charset = style, True
    upstream.add("alpha", WHEEL, SDIST)
    assert [file["filename"] for file in await rows(daemon)] == [WHEEL.filename, SDIST.filename]


async def test_page__html_upstream_serves_json_clients(
    daemon: Running, upstream: FakeUpstream
) -> None:
    """From an HTML-only upstream a JSON client gets what HTML can say, and nothing invented."""
    upstream.dialect.style, upstream.dialect.api_version = "html", "1.0"
    upstream.add("alpha", WHEEL)
    assert (await daemon.page("alpha"))["meta"] == {"api-version": "1.0"}
    told = await row(daemon)
    assert told["hashes"] == {"sha256": WHEEL.sha256}
    assert not {"size", "upload-time", "yanked", "provenance"} & set(told)


@pytest.mark.parametrize("style", ["json", "html"])
async def test_page__huge_page_is_parsed_in_a_worker(
    tmp_path: Path, upstream: FakeUpstream, style: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page of more than 8 MiB goes through the worker process, and says the same as inline."""
    upstream.serve(PAGE, *_huge(style))
    parsed = []
    parse_page = Worker.parse_page

    async def noted(self: Worker, body: bytes, *others: str) -> Any:
        parsed.append(len(body))
        return await parse_page(self, body, *others)

    monkeypatch.setattr(Worker, "parse_page", noted)
    async with running(tmp_path / "worker", upstream.url) as daemon:
        by_worker = await daemon.ask(PAGE, Accept=JSON)
    assert parsed == [len(_huge(style)[0])]
    monkeypatch.setattr(refresh, "INLINE_BYTES", 1 << 30)
    async with running(tmp_path / "inline", upstream.url) as daemon:
        inline = await daemon.ask(PAGE, Accept=JSON)
    assert (by_worker.status, len(parsed)) == (200, 1)
    assert by_worker.body.count(b'"filename"') == HUGE_FILES
    assert by_worker.body == inline.body


HUGE_FILES = 10_000


def _huge(style: str) -> tuple[bytes, str]:
    names = [f"alpha-1.{n}-py3-none-any.whl" for n in range(HUGE_FILES)]
    padding = "x" * 800
    if style == "json":
        files = [
            {"filename": name, "url": f"/f/{name}", "hashes": {}, "unknown": padding}
            for name in names
        ]
        page = {"meta": {"api-version": "1.0"}, "name": "alpha", "files": files}
        return json.dumps(page).encode(), JSON
    links = "".join(f'<a data-x="{padding}" href="/f/{name}">{name}</a>' for name in names)
    return f"<!DOCTYPE html><html><body>{links}</body></html>".encode(), "text/html"


async def test_page__rule_47_a_hundred_cold_requests(
    daemon: Running, upstream: FakeUpstream
) -> None:
    """100 cold requests for a page are one upstream request, and all get the page."""
    upstream.add("alpha", WHEEL)
    gate = upstream.hold(PAGE)
    asked = [asyncio.ensure_future(daemon.ask(PAGE, Accept=JSON)) for _ in range(100)]
    await gate.reached()
    gate.open()
    replies = await asyncio.gather(*asked)
    assert upstream.count(PAGE) == 1
    assert {(reply.status, reply.body) for reply in replies} == {(200, replies[0].body)}
    told = [reply.headers["Cache-Status"] for reply in replies]
    assert told.count("pypicached; fwd=miss; stored") == 1
    assert set(told) <= {
        "pypicached; fwd=miss; stored",
        "pypicached; fwd=miss; collapsed",
        "pypicached; hit",
    }


# ── credentials ──────────────────────────────────────────────────────────────────────────────


async def test_page__rule_37_public_and_private(tmp_path: Path, upstream: FakeUpstream) -> None:
    """Pages of an index with credentials say `private`, others `public`; files likewise."""
    upstream.add("alpha", WHEEL)
    for name, secret in (("public", {}), ("private", {"token": "s3cret"})):
        directory = tmp_path / name
        directory.mkdir()
        config = write_config(directory, {"name": "corp", "url": upstream.url, **secret})
        async with running(directory, config=config) as daemon:
            page = await daemon.ask(PAGE, Accept=JSON)
            file = await daemon.ask(urljoin(PAGE, (await row(daemon))["url"]))
            listed = await daemon.ask("/simple/")
            for reply in (page, file, listed):
                assert reply.headers["Cache-Control"].split(",")[0] == name


@pytest.mark.parametrize("by", ["url", "keys", "token"])
async def test_page__credentials_go_to_their_origin_only(tmp_path: Path, by: str) -> None:
    """Credentials reach the pages' origin, and no files host of another origin."""
    secret: Any = "t0ken" if by == "token" else ("us%er", "p:ss/w@rd")
    async with FakeUpstream(auth=secret) as upstream:
        upstream.add("alpha", WHEEL)
        table: dict[str, object] = {"name": "corp", "url": upstream.url}
        if by == "url":
            table["url"] = upstream.url.replace("//", "//us%25er:p%3Ass%2Fw%40rd@", 1)
        elif by == "keys":
            table |= {"username": secret[0], "password": secret[1]}
        else:
            table["token"] = secret
        async with running(tmp_path, config=write_config(tmp_path, table)) as daemon:
            url = urljoin(PAGE, (await row(daemon))["url"])
            assert (await daemon.ask(url)).body == WHEEL.body
        sent = {asked.origin: asked.headers.get("authorization") for asked in upstream.requests}
        basic = base64.b64encode(b"us%er:p:ss/w@rd").decode()
        told = "Bearer t0ken" if by == "token" else f"Basic {basic}"
        assert sent == {"pages": told, "files": None}


async def test_page__credentials_do_not_follow_a_redirect(tmp_path: Path) -> None:
    """A redirect to another origin is followed without credentials (rule 62)."""
    async with FakeUpstream(auth="t0ken") as upstream, FakeUpstream() as other:
        other.add("alpha", WHEEL)
        upstream.redirect(PAGE, f"{other.url}alpha/")
        table: dict[str, object] = {"name": "corp", "url": upstream.url, "token": "t0ken"}
        async with running(tmp_path, config=write_config(tmp_path, table)) as daemon:
            assert (await row(daemon))["filename"] == WHEEL.filename
        assert upstream.requests[0].headers["authorization"] == "Bearer t0ken"
        assert ["authorization" in request.headers for request in other.requests] == [False]
