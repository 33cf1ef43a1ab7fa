"""What counts as fetched, and what as refused, of requests on the public listener."""

from __future__ import annotations

from pathlib import Path

import pytest

from pypicached.history import Question
from pypicached.messages import WhoAnswer, WhoRow
from pypicached.requirement import parse_requirement
from tests.cache.client import settled
from tests.fake import FakeUpstream, make_wheel
from tests.harness import Clock, Running, running

SMALL = make_wheel("alpha", "1.0", size_bytes=20_000)
LARGE = make_wheel("alpha", "2.0", size_bytes=300_000)
PIP = 'pip/23.0.1 {"ci":null}'


async def who(daemon: Running, *, refused: bool = False) -> list[WhoRow]:
    """Return all that is noted."""
    found = [step async for step in daemon.parts.history.who(Question(refused=refused))]
    assert isinstance(found[-1], WhoAnswer)
    return [row for part in found if isinstance(part, list) for row in part]


async def target(daemon: Running, filename: str) -> str:
    """Return the path of a file of ours."""
    return (await daemon.file_url("alpha", filename)).removeprefix(daemon.url)


@pytest.mark.parametrize("wheel", [SMALL, LARGE], ids=["small", "large"])
async def test_fetched__miss_and_hits(
    daemon: Running, upstream: FakeUpstream, wheel: object
) -> None:
    """Whoever is sent a file, or a range of one, has fetched it, from upstream or from here."""
    assert isinstance(wheel, type(SMALL))
    upstream.add("alpha", wheel)
    path = await target(daemon, wheel.filename)
    assert await who(daemon) == []
    await daemon.ask(path, User_Agent=PIP)
    await settled(daemon)
    await daemon.ask(path, User_Agent=PIP)
    await daemon.ask(path, User_Agent=PIP, Range="bytes=0-0")
    await daemon.ask(path)
    rows = {row.agent: row for row in await who(daemon)}
    assert {agent: row.count for agent, row in rows.items()} == {"pip/23.0.1": 3, "unknown": 1}
    row = rows["pip/23.0.1"]
    assert (row.client, row.index, row.project) == ("127.0.0.1", "pypi", "alpha")
    assert (row.version, row.filename) == (wheel.filename.split("-")[1], wheel.filename)


async def test_fetched__nothing_was_sent(daemon: Running, upstream: FakeUpstream) -> None:
    """Headers alone, a 304, a 416, a sidecar and a page are no fetch."""
    upstream.add("alpha", SMALL)
    path = await target(daemon, SMALL.filename)
    await daemon.ask(path, "HEAD")
    await daemon.ask(f"{path}.metadata")
    await daemon.ask(f"/simple/alpha/{SMALL.filename}")
    assert await who(daemon) == []
    await daemon.ask(path, User_Agent="once/1")
    await settled(daemon)
    assert (await daemon.ask(path, "HEAD")).status == 200
    assert (await daemon.ask(path, If_None_Match=f'"{SMALL.sha256}"')).status == 304
    assert (await daemon.ask(path, Range="bytes=99999999-")).status == 416
    assert [(row.agent, row.count) for row in await who(daemon)] == [("once/1", 1)]


async def test_fetched__without_room(tmp_path: Path, upstream: FakeUpstream) -> None:
    """A file that is streamed through was fetched like any other."""
    upstream.add("alpha", LARGE)
    async with running(tmp_path, upstream.url, cache__max_size="100KB") as daemon:
        path = await target(daemon, LARGE.filename)
        assert (await daemon.ask(path, "HEAD")).status == 200
        assert await who(daemon) == []
        reply = await daemon.ask(path)
        assert (reply.body, "no room" in reply.headers["Cache-Status"]) == (LARGE.body, True)
        assert [(row.filename, row.count) for row in await who(daemon)] == [(LARGE.filename, 1)]


async def test_fetched__of_unknown_length(tmp_path: Path) -> None:
    """Also a file whose length nobody knows before its end."""
    huge = make_wheel("alpha", "3.0", size_bytes=8_000_000)
    async with FakeUpstream(style="html") as upstream:
        upstream.add("alpha", huge)
        upstream.fault("*.whl", "no_length")
        async with running(tmp_path, upstream.url) as daemon:
            path = await target(daemon, huge.filename)
            async with daemon.get(path) as reply:
                assert "Content-Length" not in reply.headers
                assert await reply.read() == huge.body
            assert [row.count for row in await who(daemon)] == [1]


async def test_fetched__behind_a_proxy(tmp_path: Path, upstream: FakeUpstream) -> None:
    """Noted is the client behind trusted proxies; a header of anybody else counts for nothing."""
    upstream.add("alpha", SMALL)
    async with running(tmp_path, upstream.url, server__trusted_proxies=["127.0.0.1"]) as daemon:
        path = await target(daemon, SMALL.filename)
        await daemon.ask(path, X_Forwarded_For="203.0.113.1, ::ffff:198.51.100.7")
        assert [row.client for row in await who(daemon)] == ["198.51.100.7"]
    async with running(tmp_path, upstream.url) as daemon:
        await daemon.ask(path, X_Forwarded_For="203.0.113.1")
        assert [row.client for row in await who(daemon)] == ["127.0.0.1", "198.51.100.7"]


async def test_refused__by_quarantine(
    daemon: Running, upstream: FakeUpstream, clock: Clock
) -> None:
    """Whoever asks for a refused file, in whatever way, is noted with it; nobody fetched it."""
    upstream.add("alpha", SMALL)
    path = await target(daemon, SMALL.filename)
    upstream.add("alpha", status="quarantined")
    clock.advance(3600)
    await daemon.page("alpha")
    for method, suffix in (("GET", ""), ("HEAD", ""), ("GET", ".metadata")):
        assert (await daemon.ask(path + suffix, method, User_Agent=PIP)).status == 403
    (row,) = await who(daemon, refused=True)
    assert (row.filename, row.count, row.version) == (SMALL.filename, 3, "1.0")
    assert await who(daemon) == []


async def test_refused__by_policy(tmp_path: Path, upstream: FakeUpstream) -> None:
    """A file that a rule refuses is noted by its name, a project refused as a whole without one."""
    upstream.add("alpha", SMALL, LARGE)
    upstream.add("beta", make_wheel("beta", "1.0"))
    async with running(tmp_path, upstream.url) as daemon:
        path = await target(daemon, SMALL.filename)
    async with running(tmp_path, upstream.url, policy__deny=["alpha<2", "beta"]) as daemon:
        assert (await daemon.ask(path, User_Agent=PIP)).status == 403
        assert (await daemon.ask("/simple/beta/", User_Agent=PIP)).status == 403
        assert (await daemon.ask("/simple/alpha/", User_Agent=PIP)).status == 200
        rows = await who(daemon, refused=True)
        assert [(row.project, row.filename) for row in rows] == [
            ("alpha", SMALL.filename),
            ("beta", ""),
        ]
        question = Question(requirement=parse_requirement("beta<1"), refused=True)
        found = [step async for step in daemon.parts.history.who(question)]
        assert [row.project for part in found if isinstance(part, list) for row in part] == ["beta"]


async def test_refused__is_not_what_allow_from_refuses(
    tmp_path: Path, upstream: FakeUpstream
) -> None:
    """Who may not connect has asked for nothing."""
    async with running(tmp_path, upstream.url, server__allow_from=["10.0.0.0/8"]) as daemon:
        await daemon.ask("/simple/alpha/")
        assert await who(daemon, refused=True) == []


async def test_history__of_versions(daemon: Running, upstream: FakeUpstream) -> None:
    """A requirement selects by the version in a file's name."""
    upstream.add("alpha", SMALL, LARGE)
    for wheel in (SMALL, LARGE):
        await daemon.ask(await target(daemon, wheel.filename))

    async def files(requirement: str) -> list[str]:
        question = Question(requirement=parse_requirement(requirement))
        steps = [step async for step in daemon.parts.history.who(question)]
        return [row.filename for part in steps if isinstance(part, list) for row in part]

    assert await files("alpha") == [SMALL.filename, LARGE.filename]
    assert await files("Alpha<2") == [SMALL.filename]
    assert await files("alpha==2.*") == [LARGE.filename]
    assert await files("alpha>2") == []


async def test_history__when_the_ledger_refuses(
    daemon: Running, upstream: FakeUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What cannot be written now is missing, and said to be."""
    upstream.add("alpha", SMALL)
    path = await target(daemon, SMALL.filename)
    await daemon.ask(path)
    await who(daemon)
    await daemon.ask(path)
    monkeypatch.setattr("pypicached.ledger.audit.NOTE", "INSERT INTO nowhere VALUES (?)")
    *parts, answer = [step async for step in daemon.parts.history.who(Question())]
    assert isinstance(answer, WhoAnswer)
    assert answer.note.startswith("what was done since the last write is missing: cannot write")
    assert [row.count for part in parts if isinstance(part, list) for row in part] == [1]
    monkeypatch.undo()
    assert [row.count for row in await who(daemon)] == [2]


async def test_audit__off(tmp_path: Path, upstream: FakeUpstream) -> None:
    """Off, no client address is in the ledger, and `who` says so."""
    upstream.add("alpha", SMALL)
    async with running(
        tmp_path, upstream.url, audit__keep="off", server__trusted_proxies=["127.0.0.1"]
    ) as daemon:
        await daemon.ask(await target(daemon, SMALL.filename), X_Forwarded_For="203.0.113.77")
        with pytest.raises(Exception, match=r'\[audit\] keep is "off"'):
            await who(daemon)
        await daemon.parts.ledger.usage.flush()
    stored = b"".join(path.read_bytes() for path in (tmp_path / "cache").glob("ledger*"))
    assert b"\xff\xff\xcb\x00\x71\x4d" not in stored
    assert b"203.0.113.77" not in stored
