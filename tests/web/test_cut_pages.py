"""Half a page is no page: it would hide the other half of a project (invariant 6)."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

import pytest

from tests.fake import FakeUpstream, make_wheel
from tests.harness import JSON, running

ROWS = "".join(f'<a href="alpha-1.{n}.tar.gz">alpha-1.{n}.tar.gz</a><br/>\n' for n in range(3000))
PAGE = f"<!DOCTYPE html><html><body>\n{ROWS}</body></html>".encode()


@pytest.mark.parametrize("part", [0.5, 0.999])
async def test_cut_page__gzip_without_its_end(tmp_path: Path, part: float) -> None:
    """A gzip stream that was cut is refused, though its Content-Length is that of the cut."""
    packed = gzip.compress(PAGE)
    async with FakeUpstream() as upstream:
        cut = packed[: int(len(packed) * part)]
        upstream.serve("/simple/alpha/", cut, "text/html", Content_Encoding="gzip")
        async with running(tmp_path, upstream.url) as daemon:
            reply = await daemon.ask("/simple/alpha/", Accept=JSON)
            assert reply.status == 503
            upstream.serve("/simple/alpha/", packed, "text/html", Content_Encoding="gzip")
            assert len((await daemon.page("alpha"))["files"]) == 3000  # type: ignore[arg-type]


@pytest.mark.parametrize("coding", ["deflate", "x-gzip"])
async def test_cut_page__other_codings(tmp_path: Path, coding: str) -> None:
    """Both forms of deflate, and gzip's old name, are understood."""
    forms = [gzip.compress(PAGE)]
    if coding == "deflate":
        raw = zlib.compressobj(wbits=-zlib.MAX_WBITS)
        forms = [zlib.compress(PAGE), raw.compress(PAGE) + raw.flush()]
    for number, body in enumerate(forms):
        async with FakeUpstream() as upstream:
            upstream.serve("/simple/alpha/", body, "text/html", Content_Encoding=coding)
            async with running(tmp_path / str(number), upstream.url) as daemon:
                assert len((await daemon.page("alpha"))["files"]) == 3000  # type: ignore[arg-type]


async def test_cut_page__drips_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An upstream that drips is given up in the end, and asked anew."""
    monkeypatch.setattr("pypicached.cache.refresh.Refresh.attempt_seconds", 0.3)
    async with FakeUpstream() as upstream:
        upstream.add("alpha", make_wheel("alpha"))
        upstream.fault("/simple/alpha/", "throttle", times=1, rate=1)
        async with running(tmp_path, upstream.url) as daemon:
            reply = await daemon.ask("/simple/alpha/", Accept=JSON)
            assert (reply.status, "did not finish" in (reply.reason or "")) == (503, True)
            assert (await daemon.page("alpha"))["name"] == "alpha"


async def test_upstream__address_that_is_no_url(tmp_path: Path) -> None:
    """A redirect that no client can follow is a bad answer, not an error of ours."""
    async with FakeUpstream() as upstream, running(tmp_path, upstream.url) as daemon:
        for number, host in enumerate(("a..b", "x" * 64, "[1.2]", "h:99999")):
            upstream.redirect(f"/simple/p{number}/", f"http://{host}/simple/")
            reply = await daemon.ask(f"/simple/p{number}/", Accept=JSON)
            assert reply.status in (502, 503)
            assert "internal" not in reply.text
            assert reply.reason is not None
            assert reply.reason.startswith("index pypi")
