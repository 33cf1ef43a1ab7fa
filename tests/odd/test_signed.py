"""Signed links: kept for upstream to the character, told to nobody, and renewed when they end."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.cache.client import settled
from tests.fake import FakeUpstream
from tests.harness import JSON, Running, running
from tests.odd.client import assert_files, assert_sidecars, html_page, json_page, link, links
from tests.odd.signed import FILES, PAGE, PROJECT, SDIST, WHEEL, Store


@pytest.fixture
async def daemon(tmp_path: Path, upstream: FakeUpstream) -> AsyncIterator[Running]:
    async with running(tmp_path, upstream.url) as one:
        yield one


@pytest.mark.parametrize("style", ["html", "json"])
async def test_signed__rules_20_28_pages_and_files(
    daemon: Running, upstream: FakeUpstream, style: str
) -> None:
    """Links have no query, upstream gets the one of its page, to the character."""
    store = Store(upstream, style)
    expected = [link(upstream.url_of(file)) for file in FILES]
    assert [row["url"] for row in (await json_page(daemon, PROJECT))["files"]] == expected
    hrefs = [anchor.href for anchor in (await html_page(daemon, PROJECT)).anchors]
    assert hrefs == [f"{url}#sha256={f.sha256}" for url, f in zip(expected, FILES, strict=True)]
    for target in await links(daemon, PROJECT):
        assert (await daemon.ask(target)).status == 200
    assert [store.asked(file.filename) for file in FILES] == [[store.query]] * 2
    await assert_files(daemon, PROJECT, [file.body for file in FILES], upstream)
    # Signed links cannot be asked for a sidecar: it is made.
    await assert_sidecars(daemon, PROJECT, [WHEEL.metadata, None], upstream)


@pytest.mark.parametrize("style", ["html", "json"])
async def test_signed__told_to_nobody(
    daemon: Running, upstream: FakeUpstream, style: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A signature is in no page, redirect, error, list, metric or log line."""
    caplog.set_level(logging.DEBUG)
    store = Store(upstream, style)
    wheel, sdist = await links(daemon, PROJECT)
    told = [await daemon.ask(PAGE, Accept=accept) for accept in (JSON, "text/html")]
    assert (await daemon.ask(wheel)).status == 200
    store.expire()
    refused = await daemon.ask(sdist)
    assert refused.status == 502
    redirect = await daemon.ask(f"{PAGE}{SDIST.filename}")
    assert redirect.headers["Location"] == link(upstream.url_of(SDIST))
    told += [refused, redirect]
    told += [await daemon.ask(path) for path in ("/", "/metrics", "/simple/", f"{sdist}?a=b")]
    said = caplog.text + "".join(reply.text + str(reply.headers) for reply in told)
    status = await daemon.daemon.parts.operations.status()
    for word in ("X-Amz", "ab%2Fcd", "ab/cd+"):
        assert word not in said
        assert word not in str(status)


async def test_signed__expired_asks_the_page_once_more(
    daemon: Running, upstream: FakeUpstream
) -> None:
    """A 403 for a signed link is answered by the page's new one; both are asked for once."""
    store = Store(upstream)
    wheel, sdist = await links(daemon, PROJECT)
    old = store.query
    store.sign()
    daemon.clock.advance(60)
    upstream.clear()
    for target, file in ((wheel, WHEEL), (sdist, SDIST)):
        got = await daemon.ask(target)
        assert (got.status, got.body == file.body) == (200, True)
        await settled(daemon)
    assert store.asked(WHEEL.filename) == [old, store.query]
    # The page is fresh by now, so the second file is asked for rightly at once.
    assert store.asked(SDIST.filename) == [store.query]
    assert upstream.count(PAGE) == 1


async def test_signed__expired_on_a_page_just_fetched(
    daemon: Running, upstream: FakeUpstream
) -> None:
    """A link that is refused although its page is new is a 502, without asking more than once."""
    store = Store(upstream)
    wheel, _ = await links(daemon, PROJECT)
    store.expire()
    assert (await daemon.ask(wheel)).status == 502
    assert upstream.count(PAGE) == 1
    daemon.clock.advance(60)
    assert (await daemon.ask(wheel)).status == 502
    assert upstream.count(PAGE) == 2
    assert len(store.asked(WHEEL.filename)) == 2


async def test_signed__expired_in_the_middle(daemon: Running, upstream: FakeUpstream) -> None:
    """A download that breaks off after its link has ended goes on with the new one."""
    store = Store(upstream, "json")
    wheel, _ = await links(daemon, PROJECT)
    old = store.query
    daemon.clock.advance(60)
    gate = upstream.hold("*.whl", after_bytes=20_000)
    upstream.fault("*.whl", "reset_after", times=1, n=30_000)
    async with daemon.get(wheel) as answer:
        await gate.reached()
        store.sign()
        gate.open()
        assert (answer.status, await answer.read() == WHEEL.body) == (200, True)
    assert store.asked(WHEEL.filename) == [old, old, store.query]


async def test_signed__expired_sidecar(daemon: Running, upstream: FakeUpstream) -> None:
    """A sidecar that is made from parts of a wheel is made with the new link as well."""
    store = Store(upstream)
    wheel, _ = await links(daemon, PROJECT)
    store.sign()
    daemon.clock.advance(60)
    assert (await daemon.ask(f"{wheel}.metadata")).body == WHEEL.metadata
    assert upstream.count(PAGE) == 2


async def test_signed__expired_and_gone(daemon: Running, upstream: FakeUpstream) -> None:
    """A file that is refused, and that the page does not list any more, is a 404."""
    store = Store(upstream)
    wheel, _ = await links(daemon, PROJECT)
    store.expire()
    upstream.serve(PAGE, b"<!DOCTYPE html><html><body></body></html>")
    daemon.clock.advance(60)
    assert (await daemon.ask(wheel)).status == 404


async def test_signed__expired_and_page_down(daemon: Running, upstream: FakeUpstream) -> None:
    """A file that is refused while its page cannot be asked is an error, never absence."""
    store = Store(upstream)
    wheel, _ = await links(daemon, PROJECT)
    store.sign()
    daemon.clock.advance(60)
    upstream.fault(PAGE, "status", code=503)
    assert (await daemon.ask(wheel)).status == 502


@pytest.mark.parametrize("ended", [False, True])
async def test_signed__rule_55_head(daemon: Running, upstream: FakeUpstream, ended: bool) -> None:
    """HEAD of a cold file tells its length, though the store allows only GET, by one byte."""
    store = Store(upstream, "json", sizes=False)
    wheel, _ = await links(daemon, PROJECT)
    if ended:
        store.sign()
        daemon.clock.advance(60)
    reply = await daemon.ask(wheel, "HEAD")
    assert (reply.status, reply.headers["Content-Length"]) == (200, str(len(WHEEL.body)))
    sent = [request.sent_bytes for request in upstream.requests if request.origin == "files"]
    assert sum(sent) < 1000
