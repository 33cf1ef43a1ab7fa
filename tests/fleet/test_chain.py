"""A daemon whose index is another daemon."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.cache.client import fetch, settled
from tests.fake import DistFile, FakeUpstream, make_wheel
from tests.harness import Running, running


@pytest.fixture
def wheel(upstream: FakeUpstream) -> DistFile:
    made = make_wheel("alpha", "1.0", size_bytes=300_000)
    upstream.add("alpha", made)
    return made


@contextlib.asynccontextmanager
async def chain(
    directory: Path, upstream: FakeUpstream, **of_parent: object
) -> AsyncIterator[tuple[Running, Running]]:
    """Run a parent in front of the upstream, and a child in front of the parent."""
    places = [directory / "parent", directory / "child"]
    for place in places:
        place.mkdir(exist_ok=True)
    async with (
        running(places[0], upstream.url, None, None, None, **of_parent) as parent,
        running(places[1], f"{parent.url}/simple/") as child,
    ):
        yield parent, child


async def test_chain__files_and_sidecars(
    tmp_path: Path, upstream: FakeUpstream, wheel: DistFile
) -> None:
    """Pages, files and sidecars come through both, right to the byte, each asked for once."""
    async with chain(tmp_path, upstream) as (parent, child):
        ours = (await parent.page("alpha"))["files"]
        theirs = (await child.page("alpha"))["files"]
        assert isinstance(ours, list)
        assert isinstance(theirs, list)
        for told in ("hashes", "size", "upload-time", "core-metadata", "requires-python"):
            assert ours[0].get(told) == theirs[0].get(told)
        url = await child.file_url("alpha", wheel.filename)
        assert url.startswith(child.url)
        for _ in range(2):
            got = await fetch(child, url)
            assert (got.status, got.body) == (200, wheel.body)
            sidecar = await fetch(child, url + ".metadata")
            assert (sidecar.status, sidecar.body) == (200, wheel.metadata)
            await settled(child)
            await settled(parent)
    assert upstream.count("*.whl") == 1
    assert upstream.count("/simple/alpha/") == 1


async def test_chain__serial_and_revalidation(
    tmp_path: Path, upstream: FakeUpstream, wheel: DistFile
) -> None:
    """The serial is passed on; an expired page is a 304 from the parent, a new one is seen."""
    async with chain(tmp_path, upstream) as (parent, child):
        async with child.get("/simple/alpha/") as answer:
            serial = answer.headers["X-PyPI-Last-Serial"]
        async with parent.get("/simple/alpha/") as answer:
            assert answer.headers["X-PyPI-Last-Serial"] == serial
        child.clock.advance(700)
        async with child.get("/simple/alpha/") as answer:
            assert "fwd-status=304" in answer.headers["Cache-Status"]
        upstream.add("alpha", make_wheel("alpha", "2.0"))
        parent.clock.advance(700)
        child.clock.advance(700)
        assert len((await child.page("alpha"))["files"]) == 2  # type: ignore[arg-type]


async def test_chain__parent_away(tmp_path: Path, upstream: FakeUpstream, wheel: DistFile) -> None:
    """What the child has goes on without the parent; what it lacks is an honest 503."""
    (tmp_path / "parent").mkdir()
    (tmp_path / "child").mkdir()
    async with running(tmp_path / "parent", upstream.url) as parent:
        address = f"{parent.url}/simple/"
        async with running(tmp_path / "child", address) as child:
            path = (await child.file_url("alpha", wheel.filename)).removeprefix(child.url)
            assert (await fetch(child, child.url + path)).body == wheel.body
            await settled(child)
            await child.written()
    async with running(tmp_path / "child", address) as child:
        child.clock.advance(86400)
        async with child.get("/simple/alpha/") as answer:
            assert answer.status == 200
            assert "fwd=stale" in answer.headers["Cache-Status"]
        assert (await fetch(child, child.url + path)).body == wheel.body
        async with child.get("/simple/beta/") as answer:
            assert answer.status in (502, 503)


async def test_chain__upstream_of_the_parent_down(
    tmp_path: Path, upstream: FakeUpstream, wheel: DistFile
) -> None:
    """The parent's 503 is no absence at the child, and the child says 503 itself."""
    async with chain(tmp_path, upstream) as (_, child):
        upstream.fault("/simple/*", "status", code=503)
        async with child.get("/simple/gamma/") as answer:
            assert answer.status in (502, 503)
            assert answer.headers["Retry-After"] == "1"
        upstream.heal()
        async with child.get("/simple/none-such/") as answer:
            assert answer.status == 404


async def test_chain__refused_by_the_parent(
    tmp_path: Path, upstream: FakeUpstream, wheel: DistFile
) -> None:
    """What the parent's rules refuse is refused at the child in the parent's words; no failure."""
    async with chain(tmp_path, upstream, policy__deny=["alpha"]) as (_, child):
        for path in ("/simple/alpha/", f"/simple/alpha/{wheel.filename}"):
            async with child.get(path) as answer:
                assert answer.status == 403
                assert answer.content_type == "application/problem+json"
                assert answer.reason is not None
                assert answer.reason.startswith("index pypi: refused there: ")
                assert "[policy] deny" in answer.reason
        status = await child.parts.operations.status()
        assert status.problems == []
        assert status.indexes[0].state == "ok"
        async with child.get("/simple/beta/") as answer:
            assert answer.status == 404


async def test_chain__refused_by_the_parent_later(
    tmp_path: Path, upstream: FakeUpstream, wheel: DistFile
) -> None:
    """A page that the parent has come to refuse is served no more, not even as a stale one."""
    async with chain(tmp_path, upstream) as (parent, child):
        await child.page("alpha")
        address = f"{parent.url}/simple/"
    places = (tmp_path / "parent", tmp_path / "child")
    port = int(parent.url.rpartition(":")[2])
    async with running(places[1], address) as child:
        child.clock.advance(700)
        async with running(
            places[0],
            upstream.url,
            server__listen=[f"127.0.0.1:{port}"],
            policy__deny=["alpha"],
        ):
            for _ in range(2):
                async with child.get("/simple/alpha/") as answer:
                    assert answer.status == 403
        async with child.get("/simple/alpha/") as answer:
            assert answer.status == 503, "the parent is gone, and its last word was no"


async def test_chain__a_file_refused_by_the_parent(
    tmp_path: Path, upstream: FakeUpstream, wheel: DistFile
) -> None:
    """A file that the parent comes to refuse is a 403 with its words, not an outage."""
    async with chain(tmp_path, upstream) as (parent, child):
        url = await child.file_url("alpha", wheel.filename)
    port, old = int(parent.url.rpartition(":")[2]), child.url
    async with (
        running(
            tmp_path / "parent",
            upstream.url,
            server__listen=[f"127.0.0.1:{port}"],
            policy__deny=["alpha==1.0"],
        ),
        running(tmp_path / "child", f"{parent.url}/simple/") as child,
    ):
        async with child.get(url.removeprefix(old)) as answer:
            assert answer.status == 403
            assert answer.reason is not None
            assert "refused there: " in answer.reason
        assert (await child.parts.operations.status()).problems == []


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"detail": "a \\"rule\\" \\\\ \\u00e9 \\r\\nX: y"}', "a 'rule' / ? ??X: y"),
        (b'{"detail": "' + b"x" * 3000 + b'"}', "x" * 51 + "?"),
        (b'{"detail": "' + b"x" * 9_000_000 + b'"}', "Forbidden"),
        (b'{"detail": 7}', "Forbidden"),
        (b"\xff" * 10, "Forbidden"),
        (b"[" * 4000, "Forbidden"),
        (b"", "Forbidden"),
    ],
    ids=["odd", "long", "huge", "number", "bytes", "deep", "empty"],
)
async def test_chain__odd_words_of_a_refusal(
    tmp_path: Path, upstream: FakeUpstream, body: bytes, words: str
) -> None:
    """What a parent says of its refusal goes on short and harmless, whatever it is."""
    problem = {"Content-Type": "application/problem+json"}
    upstream.fault("/simple/*", "status", code=403, body=body, headers=problem)
    async with running(tmp_path, upstream.url) as child, child.get("/simple/alpha/") as answer:
        assert answer.status == 403
        assert answer.reason == f"index pypi: refused there: {words}"
        assert "X" not in answer.headers


async def test_chain__a_refusal_that_drips(tmp_path: Path, upstream: FakeUpstream) -> None:
    """Nobody waits long for why something is refused."""
    problem = {"Content-Type": "application/problem+json"}
    body = b'{"detail": "slow"}'
    upstream.fault("/simple/*", "status", code=403, body=body, headers=problem)
    gate = upstream.hold("/simple/*", after_bytes=5)
    async with running(tmp_path, upstream.url) as child, asyncio.timeout(8):
        async with child.get("/simple/alpha/") as answer:
            assert (answer.status, answer.reason) == (403, "index pypi: refused there: Forbidden")
        gate.open()


# ── who answered ─────────────────────────────────────────────────────────────────────────────


async def test_status__of_both(tmp_path: Path, upstream: FakeUpstream, wheel: DistFile) -> None:
    """`Cache-Status` lists both where both were asked, the client's own last (RFC 9211 §2)."""
    async with chain(tmp_path, upstream) as (parent, child):
        await parent.page("alpha")
        async with child.get("/simple/alpha/") as answer:
            assert answer.headers["Cache-Status"] == (
                "pypicached; hit, pypicached; fwd=miss; stored"
            )
        async with child.get("/simple/alpha/") as answer:
            assert answer.headers["Cache-Status"] == "pypicached; hit"
        child.clock.advance(700)
        async with child.get("/simple/alpha/") as answer:
            assert answer.headers["Cache-Status"] == (
                "pypicached; hit, pypicached; fwd=stale; fwd-status=304"
            )
        url = await child.file_url("alpha", wheel.filename)
        got = await fetch(child, url)
        assert got.headers["Cache-Status"] == (
            "pypicached; fwd=miss; stored, pypicached; fwd=miss; stored"
        )
        await settled(child)
        got = await fetch(child, url)
        assert got.headers["Cache-Status"] == "pypicached; hit"


@pytest.mark.parametrize(
    "told", ['proxy; detail="', "a" * 500, 'x; detail="\\"', "caf\xe9; hit"], ids=range(4)
)
async def test_status__unfit_is_left_out(
    tmp_path: Path, upstream: FakeUpstream, wheel: DistFile, told: str
) -> None:
    """What would make ours unreadable is not passed on."""
    upstream.fault("/simple/*", "header", name="Cache-Status", value=told)
    async with running(tmp_path, upstream.url) as child, child.get("/simple/alpha/") as answer:
        assert answer.headers["Cache-Status"] == "pypicached; fwd=miss; stored"


# ── circles ──────────────────────────────────────────────────────────────────────────────────


async def test_circle__of_two(tmp_path: Path, unused_tcp_port: int) -> None:
    """Two daemons that ask each other end at once, in words, whoever is asked."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    first = f"127.0.0.1:{unused_tcp_port}"
    async with (
        running(tmp_path / "two", f"http://{first}/simple/") as two,
        running(tmp_path / "one", f"{two.url}/simple/", server__listen=[first]) as one,
    ):
        for asked in (one, two):
            async with asyncio.timeout(3), asked.get("/simple/alpha/") as answer:
                assert answer.status == 508
                assert answer.reason == ("index pypi: leads back to a cache that asks it: a circle")
            status = await asked.parts.operations.status()
            assert [p for p in status.problems if "a circle" in p]


async def test_circle__what_others_say(
    tmp_path: Path, upstream: FakeUpstream, wheel: DistFile
) -> None:
    """Of what a client says of its way only our own form goes on, and only for its own request."""
    ids = ["0123456789abcdef", "fedcba9876543210"]
    told = f'fastly, pypicached; id={ids[0]}, x; y="z, pypicached;id={ids[1]}'
    async with running(tmp_path, upstream.url) as child:
        async with child.get("/simple/alpha/", **{"CDN_Loop": told}) as answer:
            assert answer.status == 200
        async with child.get("/simple/beta/") as answer:
            assert answer.status == 404
        first, second = (
            [part.strip() for part in request.headers["cdn-loop"].split(",")]
            for request in upstream.requests
            if request.path.startswith("/simple/")
        )
        assert first[:2] == [f"pypicached; id={one}" for one in ids]
        assert second == first[2:]
        many = ", ".join(f"pypicached; id={number:016x}" for number in range(8))
        async with child.get("/simple/gamma/", **{"CDN_Loop": many}) as answer:
            assert answer.status == 508
            assert "in a circle" in (answer.reason or "")


async def test_herd__of_two_children(
    tmp_path: Path, upstream: FakeUpstream, wheel: DistFile
) -> None:
    """Fifty clients of two children cost the parent a request a child, and upstream one."""
    for name in ("parent", "one", "two"):
        (tmp_path / name).mkdir()
    upstream.fault("*.whl", "delay", seconds=0.3)
    async with (
        running(tmp_path / "parent", upstream.url) as parent,
        running(tmp_path / "one", f"{parent.url}/simple/") as one,
        running(tmp_path / "two", f"{parent.url}/simple/") as two,
    ):
        asked = [one, two] * 25
        urls = {child: await child.file_url("alpha", wheel.filename) for child in (one, two)}
        got = await asyncio.gather(*(fetch(child, urls[child]) for child in asked))
        assert {reply.body for reply in got} == {wheel.body}
        usage = parent.parts.ledger.usage
        await usage.flush()
        kinds, _, _ = await usage.totals(0.0)
    assert kinds["file"]["requests"] == 2
    assert upstream.count("*.whl") == 1


async def test_chain__range(tmp_path: Path, upstream: FakeUpstream, wheel: DistFile) -> None:
    """A range goes through both."""
    async with chain(tmp_path, upstream) as (_, child):
        url = await child.file_url("alpha", wheel.filename)
        got = await fetch(child, url, Range="bytes=100-199")
        assert (got.status, got.body) == (206, wheel.body[100:200])
        await settled(child)
        got = await fetch(child, url)
        assert hashlib.sha256(got.body).hexdigest() == wheel.sha256


async def test_chain__quarantine(tmp_path: Path, upstream: FakeUpstream, wheel: DistFile) -> None:
    """What upstream has put into quarantine is so at the child, files that it has too."""
    async with chain(tmp_path, upstream) as (parent, child):
        url = await child.file_url("alpha", wheel.filename)
        assert (await fetch(child, url)).status == 200
        await settled(child)
        upstream.add("alpha", status="quarantined")
        for clock in (parent.clock, child.clock):
            clock.advance(700)
        page = await child.page("alpha")
        assert page["files"] == []
        assert page["project-status"] == {"status": "quarantined"}
        got = await fetch(child, url)
        assert got.status == 403


async def test_chain__refused_behind_two(
    tmp_path: Path, upstream: FakeUpstream, wheel: DistFile
) -> None:
    """A refusal passes through any number of caches, and so does HEAD of a file."""
    (tmp_path / "grandchild").mkdir()
    async with (
        chain(tmp_path, upstream, policy__deny=["beta"]) as (_, child),
        running(tmp_path / "grandchild", f"{child.url}/simple/") as grandchild,
    ):
        upstream.add("beta", make_wheel("beta", "1.0"))
        async with grandchild.get("/simple/beta/") as answer:
            assert answer.status == 403
            assert (await answer.json(content_type=None))["detail"].endswith(
                "pypi: refused there: denied by [policy] deny 'beta': beta"
            )
        url = await grandchild.file_url("alpha", wheel.filename)
        head = await fetch(grandchild, url, "HEAD")
        assert (head.status, head.headers["Content-Length"]) == (200, str(len(wheel.body)))
        assert (await fetch(grandchild, url)).body == wheel.body
