"""Which of several indexes answers for a project (PRODUCT.md section 5; rule 63)."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from pypicached.messages import InvalidateRequest
from tests.fake import FakeUpstream, make_wheel
from tests.harness import JSON, Clock, Running, running, write_config

# Past `negative_ttl` and `page_ttl`: every index is asked anew.
LATER_SECONDS = 700


@pytest.fixture
async def corp() -> AsyncIterator[FakeUpstream]:
    async with FakeUpstream() as one:
        yield one


@pytest.fixture
async def public() -> AsyncIterator[FakeUpstream]:
    async with FakeUpstream() as one:
        yield one


@contextlib.asynccontextmanager
async def two(
    directory: Path, corp: FakeUpstream, public: FakeUpstream, **of_corp: object
) -> AsyncIterator[Running]:
    """Run a daemon in front of `corp`, with these keys, and then `public`."""
    config = write_config(
        directory,
        {"name": "corp", "url": corp.url, **of_corp},
        {"name": "public", "url": public.url},
    )
    async with running(directory, None, Clock(), config) as daemon:
        yield daemon


async def owner(daemon: Running, project: str, prefix: str = "") -> str | int:
    """Return the index that the links of a page lead to, or the status if there is no page."""
    reply = await daemon.ask(f"{prefix}/simple/{project}/", Accept=JSON)
    if reply.status != 200:
        return reply.status
    return reply.text.partition("/files/")[2].partition("/")[0]


async def test_ownership__rule_63_projects_are_owned_alone(
    tmp_path: Path, corp: FakeUpstream, public: FakeUpstream
) -> None:
    """An index with `projects` answers for matching names only, and alone for them."""
    corp.add("acme-tool", make_wheel("acme-tool"))
    corp.add("other", make_wheel("other"))
    for name in ("acme-tool", "acme-gone", "other"):
        public.add(name, make_wheel(name, "9.9"))
    async with two(tmp_path, corp, public, projects=["acme-*"]) as daemon:
        assert await owner(daemon, "acme-tool") == "corp"
        assert await owner(daemon, "acme-gone") == 404
        assert await owner(daemon, "other") == "public"
        assert await owner(daemon, "Acme.Tool", "/public") == 301
        for prefix in ("/public", "/corp"):
            assert await owner(daemon, "acme-gone", prefix) == 404
        assert await owner(daemon, "acme-tool", "/public") == 404
        assert await owner(daemon, "acme-tool", "/corp") == "corp"
        assert await owner(daemon, "other", "/corp") == 404
    assert public.count("*acme*") == 0
    assert corp.count("*other*") == 0


async def test_ownership__rule_63_failing_owner_is_not_replaced(
    tmp_path: Path, corp: FakeUpstream, public: FakeUpstream
) -> None:
    """While the owner of a name fails it is 502 or 503, or its stale page; nobody else is asked."""
    for upstream in (corp, public):
        upstream.add("acme-tool", make_wheel("acme-tool"))
    async with two(tmp_path, corp, public, projects=["acme-*"]) as daemon:
        corp.fault("*", "status", code=500)
        reply = await daemon.ask("/simple/acme-tool/")
        assert (reply.status, "index corp: " in (reply.reason or "")) == (503, True)
        corp.heal()
        assert await owner(daemon, "acme-tool") == "corp"
        corp.fault("*", "status", code=403)
        daemon.clock.advance(LATER_SECONDS)
        assert await owner(daemon, "acme-tool") == "corp"
    assert public.requests == []


async def test_ownership__file_order(
    tmp_path: Path, corp: FakeUpstream, public: FakeUpstream
) -> None:
    """Indexes are asked in file order; the first that has the project owns it, unmerged."""
    corp.add("both", make_wheel("both", "1.0"))
    public.add("both", make_wheel("both", "2.0"))
    public.add("one", make_wheel("one"))
    async with two(tmp_path, corp, public) as daemon:
        assert await owner(daemon, "both") == "corp"
        assert "both-2.0-" not in (await daemon.ask("/simple/both/")).text
        assert public.count("/simple/both/") == 0
        assert await owner(daemon, "one") == "public"
        assert (corp.count("/simple/one/"), public.count("/simple/one/")) == (1, 1)
        assert await owner(daemon, "none") == 404
        # Through the name of an index, what another one owns is not there.
        assert await owner(daemon, "both", "/public") == 404
        assert await owner(daemon, "one", "/public") == "public"
        assert await owner(daemon, "one", "/corp") == 404
    assert public.count("/simple/both/") == 0


async def test_ownership__first_index_down(
    tmp_path: Path, corp: FakeUpstream, public: FakeUpstream
) -> None:
    """An index that fails is not skipped: a 503 names it, and the next one is not asked."""
    public.add("one", make_wheel("one"))
    async with two(tmp_path, corp, public) as daemon:
        await corp.stop()
        reply = await daemon.ask("/simple/one/")
        assert (reply.status, "index corp: " in reply.text) == (503, True)
        assert public.requests == []
        await corp.start()
        daemon.clock.advance(30)  # the longest pause in which a failing host is not asked
        assert await owner(daemon, "one") == "public"
        # What corp said of it is outdated now, and corp is down: it may have gained the name.
        await corp.stop()
        daemon.clock.advance(61)
        assert await owner(daemon, "one") == 503


async def test_ownership__upper_index_takes_over(
    tmp_path: Path, corp: FakeUpstream, public: FakeUpstream
) -> None:
    """An index further up that gains the project takes it over at the next refresh."""
    public.add("one", make_wheel("one"))
    async with two(tmp_path, corp, public) as daemon:
        assert await owner(daemon, "one") == "public"
        corp.add("one", make_wheel("one", "0.1"))
        daemon.clock.advance(LATER_SECONDS)
        assert await owner(daemon, "one") == "corp"


async def test_ownership__removed_by_its_owner(
    tmp_path: Path, corp: FakeUpstream, public: FakeUpstream
) -> None:
    """What its owner removes is 404, never another index's turn, until `invalidate`."""
    corp.add("both", make_wheel("both"))
    public.add("both", make_wheel("both", "9.9"))
    async with two(tmp_path, corp, public) as daemon:
        assert await owner(daemon, "both") == "corp"
        corp.remove("both")
        for _ in range(3):
            daemon.clock.advance(LATER_SECONDS)
            assert await owner(daemon, "both") == 404
            assert await owner(daemon, "both", "/public") == 404
        assert public.count("/simple/both/") == 0
        await daemon.daemon.parts.keeping.invalidate(InvalidateRequest(projects=["both"]))
        assert await owner(daemon, "both") == "public"


async def test_ownership__removed_across_a_restart(
    tmp_path: Path, corp: FakeUpstream, public: FakeUpstream
) -> None:
    """A removal is remembered across a restart: the name does not pass on then either."""
    corp.add("both", make_wheel("both"))
    public.add("both", make_wheel("both", "9.9"))
    async with two(tmp_path, corp, public) as daemon:
        assert await owner(daemon, "both") == "corp"
        corp.remove("both")
        daemon.clock.advance(LATER_SECONDS)
        assert await owner(daemon, "both") == 404
    async with two(tmp_path, corp, public) as daemon:
        daemon.clock.advance(2 * LATER_SECONDS)
        assert await owner(daemon, "both") == 404
    assert public.requests == []


async def test_ownership__exclude(tmp_path: Path, corp: FakeUpstream, public: FakeUpstream) -> None:
    """An index is never asked for what it excludes."""
    corp.add("both", make_wheel("both"))
    public.add("both", make_wheel("both"))
    async with two(tmp_path, corp, public, exclude=["bo*"]) as daemon:
        assert await owner(daemon, "both") == "public"
        assert await owner(daemon, "both", "/corp") == 404
    assert corp.requests == []


async def test_ownership__file_of_a_name_that_another_index_owns(
    tmp_path: Path, corp: FakeUpstream, public: FakeUpstream
) -> None:
    """A file URL through an index that does not own its project is 404, and nobody is asked."""
    wheel = make_wheel("acme-tool")
    public.add("acme-tool", wheel)
    async with two(tmp_path, corp, public, projects=["acme-*"]) as daemon:
        path = public.url_of(wheel).removeprefix("http://")
        assert (await daemon.ask(f"/files/public/{path}")).status == 404
    assert public.requests == []
