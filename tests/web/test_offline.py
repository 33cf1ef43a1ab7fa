"""Offline: upstreams are not asked; what is cached is listed and served, nothing is invented."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from pathlib import Path

import pytest

from pypicached.messages import InvalidateRequest, OfflineRequest, PruneRequest
from tests.cache.client import fetch, settled
from tests.fake import DistFile, FakeUpstream, make_sdist, make_wheel
from tests.harness import JSON, Reply, Running, running, write_config

OLD, NEW = make_wheel("alpha", "1.0"), make_wheel("alpha", "2.0", size_bytes=200_000)
PAGE = "/simple/alpha/"


@pytest.fixture(autouse=True)
def _published(upstream: FakeUpstream) -> None:
    upstream.add("alpha", OLD, NEW)
    upstream.add("beta", make_wheel("beta"))


async def ask(daemon: Running, path: str = PAGE, **headers: str) -> Reply:
    return await daemon.ask(path, **{"Accept": JSON, **headers})


def switch(daemon: Running, *, on: bool = True) -> None:
    daemon.parts.operations.set_offline(OfflineRequest(on))


async def cache(daemon: Running, project: str, file: DistFile) -> str:
    """Have a file cached; return its URL."""
    url = await daemon.file_url(project, file.filename)
    assert (await fetch(daemon, url)).status == 200
    await settled(daemon)
    return url


def listed(reply: Reply) -> list[str]:
    assert reply.status == 200, reply.text
    return [file["filename"] for file in json.loads(reply.body)["files"]]


async def test_offline__lists_what_is_cached(daemon: Running, upstream: FakeUpstream) -> None:
    """Of a page only the cached files are listed, with their versions; online again, all are."""
    await cache(daemon, "alpha", OLD)
    online = await ask(daemon)
    assert listed(online) == [OLD.filename, NEW.filename]
    upstream.clear()
    switch(daemon)
    reply = await ask(daemon)
    page = json.loads(reply.body)
    assert (listed(reply), page["versions"]) == ([OLD.filename], ["1.0"])
    assert reply.headers["ETag"] != online.headers["ETag"]
    assert reply.headers["Cache-Control"] == "public, no-cache"
    html = (await ask(daemon, Accept="text/html")).text
    assert (OLD.filename in html, NEW.filename in html) == (True, False)
    assert (await ask(daemon, If_None_Match=reply.headers["ETag"])).status == 304
    assert upstream.requests == []
    switch(daemon, on=False)
    assert (await ask(daemon)).body == online.body


async def test_offline__list_follows_the_cached_set(daemon: Running) -> None:
    """What comes or goes while offline is listed, or listed no longer, at once."""
    await cache(daemon, "alpha", OLD)
    await cache(daemon, "alpha", NEW)
    switch(daemon)
    assert listed(await ask(daemon)) == [OLD.filename, NEW.filename]
    used = daemon.parts.blobs.budget.used_bytes
    async for _ in daemon.parts.keeping.prune(PruneRequest(to_size_bytes=used - 1)):
        pass
    assert listed(await ask(daemon)) == [NEW.filename]


async def test_offline__expired_pages_and_files(daemon: Running, upstream: FakeUpstream) -> None:
    """Age does not matter offline, not even beyond `stale_if_error`; sidecars are served, too."""
    url = await cache(daemon, "alpha", OLD)
    upstream.clear()
    switch(daemon)
    daemon.clock.advance(400 * 86400)
    reply = await ask(daemon)
    assert listed(reply) == [OLD.filename]
    assert reply.headers["Cache-Status"] == 'pypicached; fwd=stale; detail="offline"'
    assert (await fetch(daemon, url)).body == OLD.body
    sidecar = await fetch(daemon, url + ".metadata")
    assert (sidecar.status, sidecar.body) == (200, OLD.metadata)
    assert upstream.requests == []


@pytest.mark.parametrize("path", ["/simple/none/", "/simple/beta/", "/simple/"])
async def test_offline__not_cached_is_503(
    daemon: Running, upstream: FakeUpstream, path: str
) -> None:
    """Unknown projects, and those without a cached file, are a 503 that says why, never a 404."""
    await ask(daemon, "/simple/beta/")
    upstream.clear()
    switch(daemon)
    for headers in ({}, {"Cache_Control": "no-cache"}):
        reply = await ask(daemon, path, **headers)
        assert (reply.status, (reply.reason or "").startswith("offline: ")) == (503, True)
        assert (reply.headers["Retry-After"], reply.headers["Cache-Control"]) == ("1", "no-store")
    assert upstream.requests == []


async def test_offline__file_that_is_not_cached(daemon: Running, upstream: FakeUpstream) -> None:
    """A listed file that is not here, its sidecar and its HEAD are a 503; upstream is not asked."""
    url = await daemon.file_url("alpha", NEW.filename)
    upstream.clear()
    switch(daemon)
    for path in (url, url + ".metadata"):
        got = await fetch(daemon, path)
        assert (got.status, got.reason) == (503, "offline: upstreams are not asked")
    daemon.clock.advance(3600)
    assert (await daemon.ask(url.removeprefix(daemon.url), "HEAD")).status in (200, 503)
    assert upstream.requests == []
    switch(daemon, on=False)
    assert (await fetch(daemon, url)).status == 200


async def test_offline__absence_that_is_known(daemon: Running) -> None:
    """A 404 that is still remembered is one; once it is not, nobody can tell any more."""
    assert (await ask(daemon, "/simple/none/")).status == 404
    switch(daemon)
    assert (await ask(daemon, "/simple/none/")).status == 404
    daemon.clock.advance(61)
    assert (await ask(daemon, "/simple/none/")).status == 503


async def test_offline__project_list(daemon: Running, upstream: FakeUpstream) -> None:
    """The project list names the projects of which a file is cached, in every format."""
    await cache(daemon, "beta", make_wheel("beta"))
    await ask(daemon)  # a page alone is nothing that could be installed
    upstream.clear()
    switch(daemon)
    for _ in range(2):
        reply = await ask(daemon, "/simple/")
        assert json.loads(reply.body)["projects"] == [{"name": "beta"}]
    assert 'detail="offline"' in reply.headers["Cache-Status"]
    html = (await ask(daemon, "/simple/", Accept="text/html")).text
    assert ("beta" in html, "alpha" in html) == (True, False)
    assert upstream.requests == []
    switch(daemon, on=False)
    reply = await ask(daemon, "/simple/")
    assert {"name": "alpha"} in json.loads(reply.body)["projects"]


async def test_offline__from_the_start(tmp_path: Path, upstream: FakeUpstream) -> None:
    """`[cache] offline` holds from the start: not one request leaves, and `status` says so."""
    async with running(tmp_path, upstream.url) as daemon:
        await cache(daemon, "alpha", OLD)
    upstream.clear()
    async with running(tmp_path, upstream.url, cache__offline=True) as daemon:
        assert listed(await ask(daemon)) == [OLD.filename]
        status = await daemon.parts.operations.status()
        assert (status.offline, status.problems) == (True, [])
    assert upstream.requests == []


async def test_offline__invalidated_page_is_still_served(daemon: Running) -> None:
    """`invalidate` while offline takes nothing away: upstream is asked once that is possible."""
    await cache(daemon, "alpha", OLD)
    switch(daemon)
    await daemon.parts.keeping.invalidate(InvalidateRequest(projects=["alpha"]))
    assert listed(await ask(daemon)) == [OLD.filename]


async def test_offline__several_indexes(tmp_path: Path, upstream: FakeUpstream) -> None:
    """A later index is served offline, although the earlier one's 404 is long forgotten."""
    async with FakeUpstream() as first:
        first.add("gamma", make_wheel("gamma"))
        config = write_config(
            tmp_path, {"name": "first", "url": first.url}, {"name": "second", "url": upstream.url}
        )
        async with running(tmp_path, config=config) as daemon:
            await cache(daemon, "alpha", OLD)
            await cache(daemon, "gamma", make_wheel("gamma"))
            switch(daemon)
            daemon.clock.advance(86400)
            await daemon.parts.ledger.pages.drop_absent(daemon.clock() - 60)
            assert listed(await ask(daemon)) == [OLD.filename]
            assert listed(await ask(daemon, "/second/simple/alpha/")) == [OLD.filename]
            assert (await ask(daemon, "/first/simple/alpha/")).status == 503
            names = json.loads((await ask(daemon, "/simple/")).body)["projects"]
            assert names == [{"name": "gamma"}, {"name": "alpha"}]


async def test_offline__sdist_and_removed_project(daemon: Running, upstream: FakeUpstream) -> None:
    """An sdist is listed like a wheel; a project that its index removed stays removed."""
    sdist = make_sdist("delta", "1.0")
    upstream.add("delta", sdist)
    await cache(daemon, "delta", sdist)
    switch(daemon)
    assert listed(await ask(daemon, "/simple/delta/")) == [sdist.filename]
    switch(daemon, on=False)
    upstream.remove("delta")
    daemon.clock.advance(601)
    assert (await ask(daemon, "/simple/delta/")).status == 404
    switch(daemon)
    assert (await ask(daemon, "/simple/delta/")).status == 404


async def test_offline__removed_by_its_owner(tmp_path: Path, upstream: FakeUpstream) -> None:
    """A project that its owner removed is nobody else's offline, however long ago that was."""
    async with FakeUpstream() as first:
        config = write_config(
            tmp_path, {"name": "first", "url": first.url}, {"name": "second", "url": upstream.url}
        )
        async with running(tmp_path, config=config) as daemon:
            await cache(daemon, "alpha", OLD)  # of the second
            first.add("alpha", make_wheel("alpha", "0.1"))
            daemon.clock.advance(3600)
            assert (await ask(daemon)).status == 200
            first.remove("alpha")
            daemon.clock.advance(3600)
            assert (await ask(daemon)).status == 404
            switch(daemon)
            daemon.clock.advance(86400)
            for path in (PAGE, "/second/simple/alpha/"):
                assert (await ask(daemon, path)).status == 404


async def test_offline__index_that_was_never_asked(tmp_path: Path, upstream: FakeUpstream) -> None:
    """An index that is new, and in front, may own the name: offline nobody can tell."""
    config = write_config(tmp_path, {"name": "second", "url": upstream.url})
    async with running(tmp_path, config=config) as daemon:
        await cache(daemon, "alpha", OLD)
    config = write_config(
        tmp_path,
        {"name": "first", "url": "http://127.0.0.1:9/simple/"},
        {"name": "second", "url": upstream.url},
    )
    async with running(tmp_path, config=config, cache__offline=True) as daemon:
        assert (await ask(daemon)).status == 503


async def test_offline__what_waits_for_its_turn_is_not_asked(
    daemon: Running, upstream: FakeUpstream
) -> None:
    """Requests that are queued when it is turned on stay here."""
    gate = upstream.hold("/simple/*")
    asked = [asyncio.ensure_future(ask(daemon, f"/simple/q{n}/")) for n in range(60)]
    await upstream.arrived("/simple/*", 32)
    switch(daemon)
    gate.open()
    for one in asked:
        await one
    assert upstream.count("/simple/*") == 32


async def test_offline__sidecar_of_an_sdist(daemon: Running, upstream: FakeUpstream) -> None:
    """Upstream's sidecar of an sdist is advertised offline only if it is here."""
    sdist = dataclasses.replace(make_sdist("delta", "1.0"), metadata=b"Name: delta\n")
    upstream.add("delta", sdist)
    url = await cache(daemon, "delta", sdist)

    async def advertised() -> bool:
        reply = await ask(daemon, "/simple/delta/")
        return "core-metadata" in json.loads(reply.body)["files"][0]

    assert await advertised()
    switch(daemon)
    assert not await advertised()
    switch(daemon, on=False)
    assert (await fetch(daemon, url + ".metadata")).status == 200
    await settled(daemon)
    switch(daemon)
    assert await advertised()


async def test_offline__is_said(daemon: Running) -> None:
    """The status page, the index's state and a metric say so; nothing of it is a problem."""
    switch(daemon)
    assert "Offline" in (await daemon.ask("/")).text
    assert "pypicached_offline 1.0" in (await daemon.ask("/metrics")).text
    status = await daemon.parts.operations.status()
    assert (status.indexes[0].state, status.problems) == ("offline", [])
