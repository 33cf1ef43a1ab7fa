"""A quarantined project (PEP 792) is told, lists nothing, and none of its files is served."""

from __future__ import annotations

from pathlib import Path

import aiohttp
import pytest

from tests.fake import FakeUpstream, make_wheel
from tests.harness import JSON, Clock, running


@pytest.mark.parametrize("restart", [False, True])
async def test_quarantine__rule_23_60_61_refused_everywhere(tmp_path: Path, restart: bool) -> None:
    """Status and reason are passed on; files and sidecars are 403, cached before or not."""
    clock = Clock()
    cached, fresh = make_wheel("alpha", "1.0"), make_wheel("alpha", "2.0")
    async with FakeUpstream(api_version="1.4") as upstream:
        upstream.add("alpha", cached, fresh)
        async with running(tmp_path, upstream.url, clock) as daemon:
            known = await daemon.file_url("alpha", cached.filename)
            never = await daemon.file_url("alpha", fresh.filename)
            async with daemon.session.get(known) as answer:
                assert answer.status == 200
            upstream.add("alpha", status="quarantined", status_reason="malware")
            clock.advance(3600)
            page = await daemon.page("alpha")
            assert page["files"] == []
            assert page["project-status"] == {"status": "quarantined", "reason": "malware"}
            assert page["versions"] == []
            if not restart:
                await _refused(daemon.session, [known, never])
        if restart:
            async with running(tmp_path, upstream.url, clock) as daemon:
                urls = [daemon.url + url[url.index("/files/") :] for url in (known, never)]
                await _refused(daemon.session, urls)


async def _refused(session: aiohttp.ClientSession, files: list[str]) -> None:
    for url in [*files, *(f"{file}.metadata" for file in files)]:
        async with session.get(url) as answer:
            assert answer.status == 403
            assert answer.content_type == "application/problem+json"
            problem = await answer.json(content_type=None)
            assert "alpha is quarantined" in problem["detail"]


async def test_quarantine__rule_23_lifted(tmp_path: Path) -> None:
    """A project that leaves quarantine is served again."""
    clock = Clock()
    wheel = make_wheel("alpha", "1.0")
    async with FakeUpstream(api_version="1.4") as upstream:
        upstream.add("alpha", wheel, status="quarantined")
        async with running(tmp_path, upstream.url, clock) as daemon:
            assert (await daemon.page("alpha"))["files"] == []
            upstream.add("alpha", status="active")
            clock.advance(3600)
            url = await daemon.file_url("alpha", wheel.filename)
            async with daemon.session.get(url) as answer:
                assert await answer.read() == wheel.body


@pytest.mark.parametrize("status", ["archived", "deprecated"])
async def test_quarantine__rule_24_archived_is_served(tmp_path: Path, status: str) -> None:
    """An archived or deprecated project is still listed and served."""
    wheel = make_wheel("alpha", "1.0")
    async with FakeUpstream(api_version="1.4") as upstream:
        upstream.add("alpha", wheel, status=status)
        async with running(tmp_path, upstream.url) as daemon:
            async with daemon.get("/simple/alpha/", Accept=JSON) as answer:
                page = await answer.json(content_type=None)
            assert page["project-status"]["status"] == status
            url = await daemon.file_url("alpha", wheel.filename)
            async with daemon.session.get(url) as answer:
                assert await answer.read() == wheel.body
