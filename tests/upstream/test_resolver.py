"""Names are looked up beside everything else, and a name server that hangs holds up nobody."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from pypicached.upstream.resolver import MOST_LOOKUPS, Resolver

ADDRESS = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 80))


class NameServer:
    """Answers for every name, but for those that begin with "slow": not before `answer`."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.answer = threading.Event()

    def __call__(self, host: str, *_: int) -> list[tuple[Any, ...]]:
        """Look a name up, as socket.getaddrinfo does."""
        self.asked.append(host)
        if host.startswith("slow"):
            self.answer.wait()
        if host.startswith("none"):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [ADDRESS]


@pytest.fixture
def server() -> Iterator[NameServer]:
    one = NameServer()
    yield one
    one.answer.set()


async def test_resolver__found(server: NameServer) -> None:
    """A name gives its addresses, as the HTTP client takes them."""
    (found,) = await Resolver(5.0, server).resolve("name.example", 80)
    assert (found["host"], found["port"], found["hostname"]) == ("127.0.0.1", 80, "name.example")


async def test_resolver__unknown(server: NameServer) -> None:
    """A name that does not exist is an OSError, which the HTTP client understands."""
    with pytest.raises(socket.gaierror):
        await Resolver(5.0, server).resolve("none.example")


async def test_resolver__one_look_up_per_name(server: NameServer) -> None:
    """However many ask for a name, it is looked up once at a time."""
    resolver = Resolver(5.0, server)
    asked = [asyncio.ensure_future(resolver.resolve("slow.example")) for _ in range(50)]
    await asyncio.sleep(0)
    server.answer.set()
    found = await asyncio.gather(*asked)
    assert (len(found), server.asked) == (50, ["slow.example"])


async def test_resolver__gives_up_in_time(server: NameServer) -> None:
    """A look-up that hangs is an error in the time allowed; who comes later joins the same one."""
    resolver = Resolver(0.05, server)
    for _ in range(2):
        with pytest.raises(OSError, match="in time"):
            await resolver.resolve("slow.example")
    assert server.asked == ["slow.example"]


async def test_resolver__hanging_names_are_bounded(server: NameServer) -> None:
    """Names that hang hold a few threads of their own index, and none of another one."""
    resolver = Resolver(0.05, server)
    names = [f"slow{number}.example" for number in range(MOST_LOOKUPS + 3)]
    ends = await asyncio.gather(*map(resolver.resolve, names), return_exceptions=True)
    assert all(isinstance(end, OSError) for end in ends)
    assert len(server.asked) == MOST_LOOKUPS
    (found,) = await Resolver(5.0, server).resolve("name.example")
    assert found["host"] == "127.0.0.1"
    # Nor is the loop's own pool touched, which aiohttp's resolver would fill.
    assert await asyncio.wait_for(asyncio.to_thread(lambda: "free"), 5.0) == "free"


async def test_resolver__leaver_leaves_the_others(server: NameServer) -> None:
    """Who gives up waiting for a name does not end the look-up for the others."""
    resolver = Resolver(5.0, server)
    leaving = asyncio.ensure_future(resolver.resolve("slow.example"))
    staying = asyncio.ensure_future(resolver.resolve("slow.example"))
    await asyncio.sleep(0)
    leaving.cancel()
    await asyncio.sleep(0)
    server.answer.set()
    assert len(await staying) == 1
