"""Ways to see from a running daemon what one setting makes of it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import pytest

from pypicached.errors import NotFoundError
from pypicached.history import Question
from tests.cache.client import settled
from tests.fake import make_wheel
from tests.harness import Running
from tests.reload.world import ALPHA, World, file_path, owner

HOUR = 3600.0


class Place(NamedTuple):
    """A running daemon and what is around it; `caplog` has its log."""

    world: World
    daemon: Running
    caplog: pytest.LogCaptureFixture

    @property
    def parts(self) -> Any:
        """The daemon's parts."""
        return self.daemon.parts


Look = Callable[[Place], Awaitable[object]]


# ── looks ────────────────────────────────────────────────────────────────────────────────────


def part(path: str) -> Look:
    """Look at a value of a part, for what takes a while to show from outside."""

    async def look(place: Place) -> object:
        found: Any = place.parts
        for name in path.split("."):
            found = found[name] if isinstance(found, dict) else getattr(found, name)
        return found

    return look


async def page(place: Place) -> object:
    """Status and Cache-Control of a page that is in memory."""
    for _ in range(2):
        reply = await place.daemon.ask("/simple/alpha/")
    return reply.status, reply.headers.get("Cache-Control")


async def proxied(place: Place) -> object:
    """Whether a client behind a proxy may connect."""
    return (await place.daemon.ask("/simple/alpha/", X_Forwarded_For="10.1.2.3")).status


async def file(place: Place) -> object:
    """Status of a stored file at its URL."""
    path = file_path("main", place.world.main, ALPHA)
    statuses = [(await place.daemon.ask(path)).status]
    await settled(place.daemon)
    return [*statuses, (await place.daemon.ask(path)).status]


async def withdrawn_file(place: Place) -> object:
    """Status of a stored file that its index has removed."""
    await place.daemon.ask(file_path("main", place.world.main, ALPHA))
    await settled(place.daemon)
    place.world.main.remove("alpha")
    await place.daemon.ask("/simple/alpha/", Cache_Control="no-cache")
    place.daemon.clock.advance(HOUR)
    await place.daemon.ask("/simple/alpha/")
    return (await place.daemon.ask(file_path("main", place.world.main, ALPHA))).status


async def access_log(place: Place) -> object:
    """Lines of the access log for one request."""
    with place.caplog.at_level(logging.INFO, "pypicached.access"):
        place.caplog.clear()
        await place.daemon.ask("/simple/alpha/")
        return [r.name for r in place.caplog.records].count("pypicached.access")


async def log_settings(place: Place) -> object:
    """How the log was configured last; at a start `serve` does it."""
    server = place.daemon.daemon.configuration.settings.server
    server = place.world.logged[-1] if place.world.logged else server
    return server.log_format, server.log_level


async def drain(place: Place) -> object:
    """For how long a stop would wait."""
    return place.daemon.daemon._settings.server.drain


async def expired_page(place: Place) -> object:
    """How a page is answered that has just expired."""
    await place.daemon.ask("/simple/alpha/", Cache_Control="no-cache")
    place.daemon.clock.advance(700)
    status = (await place.daemon.ask("/simple/alpha/")).headers["Cache-Status"]
    await asyncio.gather(*place.parts.catalog.pages["main"]._flights._tasks.values())
    return status


async def page_in_an_outage(place: Place) -> object:
    """Status of an expired page while upstream is down."""
    await place.daemon.ask("/simple/alpha/")
    place.daemon.clock.advance(HOUR)
    place.world.main.fault("*", "status", code=500)
    status = (await place.daemon.ask("/simple/alpha/")).status
    place.world.main.heal()
    place.daemon.clock.advance(HOUR)
    return status


async def absence(place: Place) -> object:
    """How often upstream is asked for what it has not got, within 30 s."""
    before = place.world.main.count("/simple/absent/")
    for _ in range(2):
        await place.daemon.ask("/simple/absent/")
        place.daemon.clock.advance(30)
    place.daemon.clock.advance(HOUR)
    return place.world.main.count("/simple/absent/") - before


async def new_page(place: Place) -> object:
    """Status of a page that was never asked for."""
    project = f"beta{len(place.world.main.requests)}"
    place.world.main.add(project, make_wheel(project))
    return (await place.daemon.ask(f"/simple/{project}/")).status


async def limit(place: Place) -> object:
    """The limit as `status` tells it."""
    return (await place.parts.operations.status()).disk.limit_bytes


async def min_free(place: Place) -> object:
    """Whether `status` misses free space."""
    problems = (await place.parts.operations.status()).problems
    return any("min_free" in problem for problem in problems)


async def aged(place: Place) -> object:
    """Whether what was not used for 40 days goes."""
    await place.daemon.ask(file_path("main", place.world.main, ALPHA))
    await settled(place.daemon)
    place.daemon.clock.advance(40 * 86400)
    return (await place.parts.ageing.drop()).blobs


async def memory(place: Place) -> object:
    """How many pages and small files are held ready."""
    await file(place)
    await page(place)
    return len(place.parts.page_memory), len(place.parts.small_memory)


async def fetched_by(place: Place) -> object:
    """How many clients are remembered."""
    await place.daemon.ask(file_path("main", place.world.main, ALPHA))
    await settled(place.daemon)
    await place.daemon.ask(file_path("main", place.world.main, ALPHA))
    try:
        batches = [batch async for batch in place.parts.history.who(Question())]
    except NotFoundError:
        return "nothing"
    return sum(len(batch) for batch in batches if isinstance(batch, list))


async def asked_with(place: Place) -> object:
    """Which upstream is asked, and how it signs."""
    for upstream in (place.world.main, place.world.other):
        upstream.clear()
    await place.daemon.ask("/simple/alpha/", Cache_Control="no-cache")
    place.daemon.clock.advance(HOUR)
    await place.daemon.ask("/simple/alpha/")
    seen = [(u is place.world.main, u.requests) for u in (place.world.main, place.world.other)]
    return {(main, r.headers.get("authorization")) for main, found in seen for r in found}


async def owners(place: Place) -> object:
    """Who answers for a name."""
    place.daemon.clock.advance(HOUR)
    return await owner(place.daemon, "alpha"), await owner(place.daemon, "alpha", "/main")


async def guarded(place: Place) -> object:
    """Where the index may lead."""
    return place.parts.connections["main"]._sessions.guard._allowed


async def proxies(place: Place) -> object:
    """By which proxy the index is asked."""
    connection = place.parts.connections["main"]
    proxy = connection._sessions._reach.proxies.of(connection.url)
    return None if proxy is None else str(proxy.url)


async def sent_away(place: Place) -> object:
    """How clients are sent to the shared store; that it happens is shown in `tests/fleet`."""
    redirects = place.daemon.parts.file_handler.redirects
    return None if redirects is None else redirects.manner
