"""Answers of upstream that are no page: never served, never stored, never taken for absence."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from pypicached.cache import refresh, worker
from tests.fake import FakeUpstream, make_wheel
from tests.harness import JSON, Reply, running

PAGE = "/simple/alpha/"
WHEEL = make_wheel("alpha", "1.0")
LOGIN = (
    b"<!DOCTYPE html><html><body><form action='/login'>"
    b"<input type=password name=p><a href='alpha-1.0.zip'>alpha-1.0.zip</a></form></body></html>"
)
WHOLE = json.dumps({"meta": {"api-version": "1.0"}, "name": "alpha", "files": []}).encode()
MAJOR_2 = WHOLE.replace(b'"1.0"', b'"2.0"')
BOMB = gzip.compress(b" " * 8_000_000 + WHOLE)

Spoil = Callable[[FakeUpstream], object]


def serve(body: bytes, content_type: str, **headers: str) -> Spoil:
    return lambda upstream: upstream.serve(PAGE, body, content_type, **headers)


def fault(kind: str, **arguments: object) -> Spoil:
    return lambda upstream: upstream.fault(PAGE, kind, **arguments)  # type: ignore[arg-type]


WRONG: dict[str, tuple[Spoil, str]] = {
    "login page": (serve(LOGIN, "text/html"), "login form"),
    "no index page": (serve(b"<html><body>Welcome!</body></html>", "text/html"), "no index page"),
    "empty": (serve(b"", "text/html"), "no index page"),
    "empty JSON": (serve(b"", JSON), "cut or no JSON"),
    "cut JSON": (serve(WHOLE[:-5], JSON), "cut or no JSON"),
    "other JSON": (serve(b'{"message": "ok"}', JSON), "not that of an index page"),
    "picture": (serve(b"\x89PNG", "image/png"), "Content-Type is not that of an index page"),
    "another major version": (serve(MAJOR_2, JSON), "another major API version"),
    "another major type": (serve(WHOLE, JSON.replace("v1", "v2")), "another major API version"),
    "too large": (serve(WHOLE + b" " * 100_000, JSON), "[limits] page_size"),
    "gzip bomb": (serve(BOMB, JSON, Content_Encoding="gzip"), "[limits] page_size"),
    "no gzip": (serve(WHOLE, JSON, Content_Encoding="gzip"), "does not unpack"),
    "418": (fault("status", code=418), "answered 418"),
    "204": (fault("status", code=204), "answered 204"),
    "304 unasked": (fault("status", code=304), "answered 304"),
    "206": (fault("status", code=206), "answered 206"),
    "401": (fault("status", code=401), "answered 401"),
    "403": (fault("status", code=403), "answered 403"),
    "redirect loop": (lambda upstream: upstream.redirect(PAGE, PAGE), "redirected more than 5"),
    "redirect to a file": (lambda upstream: upstream.redirect(PAGE, "file:///x"), "no http"),
    "redirect nowhere": (lambda upstream: upstream.redirect(PAGE, ""), "no http"),
}


def check_refusal(reply: Reply, reason: str) -> None:
    """Rule 41: 502 or 503, Retry-After of at most 2, reason in the status line and the body."""
    assert reply.status in (502, 503)
    assert int(reply.headers["Retry-After"]) <= 2
    assert reply.headers["Cache-Control"] == "no-store"
    assert reply.reason is not None
    assert re.fullmatch(r"[ -~]{10,79}", reply.reason)
    assert "index pypi: " in reply.reason
    assert reason in reply.reason
    assert reply.reason in reply.text


@pytest.mark.parametrize("wrong", WRONG)
async def test_page__rule_41_wrong_answer_with_nothing_stored(
    tmp_path: Path, upstream: FakeUpstream, wrong: str
) -> None:
    """With nothing stored it is a 502 that says why; as soon as upstream is well, so are we."""
    upstream.add("alpha", WHEEL)
    spoil, reason = WRONG[wrong]
    spoil(upstream)
    async with running(tmp_path, upstream.url, limits__page_size="50KiB") as daemon:
        reply = await daemon.ask(PAGE, Accept=JSON)
        check_refusal(reply, reason)
        assert reply.status == 502
        upstream.heal()
        upstream._site.static.clear()
        assert WHEEL.filename in (await daemon.ask(PAGE, Accept=JSON)).text


@pytest.mark.parametrize("wrong", sorted(WRONG.keys() - {"304 unasked"}))
async def test_page__rule_38_wrong_answer_with_a_stored_page(
    tmp_path: Path, upstream: FakeUpstream, wrong: str
) -> None:
    """With a stored page it is that page, stale, with the reason in Cache-Status."""
    upstream.add("alpha", WHEEL)
    spoil, reason = WRONG[wrong]
    async with running(tmp_path, upstream.url, limits__page_size="50KiB") as daemon:
        before = await daemon.ask(PAGE, Accept=JSON)
        daemon.clock.advance(700)
        spoil(upstream)
        reply = await daemon.ask(PAGE, Accept=JSON)
        assert (reply.status, reply.body) == (200, before.body)
        told = re.fullmatch(
            r'pypicached; fwd=stale; detail="([ -~]+)"', reply.headers["Cache-Status"]
        )
        assert told is not None
        assert reason in told[1]
        assert int(reply.headers["Age"]) >= 700


async def test_page__rule_41_words_of_upstream_are_not_repeated(
    tmp_path: Path, upstream: FakeUpstream
) -> None:
    """Neither body nor headers of a refusal repeat what upstream said."""
    upstream.fault(PAGE, "status", code=500, body=b"EVIL", headers={"X-Evil": "EVIL"})
    async with running(tmp_path, upstream.url) as daemon:
        reply = await daemon.ask(PAGE)
        assert reply.status == 503
        assert "EVIL" not in f"{reply.reason}{reply.headers}{reply.text}"


async def test_page__unusable_rows_are_left_out(tmp_path: Path, upstream: FakeUpstream) -> None:
    """One bad row on a good page is left out; all the others are there."""
    good = {"filename": "alpha-1.0.tar.gz", "url": "https://h/alpha-1.0.tar.gz", "hashes": {}}
    bad = [
        good | {"url": "https://h/%2e%2e/x.tar.gz"}, good | {"url": "ftp://h/alpha-1.1.tar.gz"},
        good | {"url": "https://h/a%2fb.tar.gz"}, good | {"filename": "../x.tar.gz"},
        good | {"filename": "a\nb.tar.gz", "url": "https://h/ab.tar.gz"}, {"url": "x"}, 7, None,
        good | {"url": "https://h/alpha-1.0.tar.gz?again"}, good | {"url": "https:///x.tar.gz"},
    ]  # fmt: skip
    page = {"meta": {"api-version": "1.0"}, "name": "alpha", "files": [*bad[:4], good, *bad[4:]]}
    upstream.serve(PAGE, json.dumps(page).encode(), JSON)
    async with running(tmp_path, upstream.url) as daemon:
        files = (await daemon.page("alpha"))["files"]
        assert files == [good | {"url": "../../files/pypi/h/alpha-1.0.tar.gz"}]


async def test_page__worker_that_fails_is_like_a_failing_upstream(
    tmp_path: Path, upstream: FakeUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If a huge page cannot be parsed here, the stored page is served stale; without one, a 502."""
    upstream.add("alpha", WHEEL)
    upstream.add("beta", make_wheel("beta"))
    async with running(tmp_path, upstream.url) as daemon:
        before = await daemon.ask(PAGE, Accept=JSON)
        monkeypatch.setattr(refresh, "INLINE_BYTES", 0)
        monkeypatch.setattr(worker, "TIME_LIMIT_SECONDS", 0.0)
        upstream.add("alpha", make_wheel("alpha", "2.0"))
        daemon.clock.advance(700)
        reply = await daemon.ask(PAGE, Accept=JSON)
        assert (reply.status, reply.body) == (200, before.body)
        assert reply.headers["Cache-Status"].startswith("pypicached; fwd=stale; detail=")
        check_refusal(await daemon.ask("/simple/beta/"), "")
