"""Ways to lead the daemon where it has no business, and that it does not go there (rule 62)."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import pytest

from bench.rehearsal.tls import Certificates
from tests.fake import FakeUpstream, make_wheel
from tests.harness import JSON, Running, running, write_config
from tests.network import PUBLIC, Network
from tests.tls import TlsSite, needs_openssl

PAGE = "/simple/alpha/"
WHEEL = make_wheel("alpha", "1.0")
# Names as anybody may have them, looked up in a network of the test's own.
INDEX, FILES, TRAP = "index.vendor.net", "files.vendor.net", "trap.vendor.net"


class Victim:
    """A listener on loopback that nobody may connect to; it would give away what is asked for."""

    def __init__(self) -> None:
        self.accepted = 0
        self.port = 0

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        with contextlib.suppress(asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(WHEEL.body)}\r\nConnection: close\r\n\r\n"
        writer.write(head.encode() + WHEEL.body)
        await writer.drain()
        writer.close()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Victim]:
        """Listen on both loopback addresses, at one port."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        with contextlib.suppress(OSError):  # a host without IPv6
            second = await asyncio.start_server(self._serve, "::1", self.port)
        try:
            yield self
        finally:
            server.close()
            with contextlib.suppress(UnboundLocalError):
                second.close()


@pytest.fixture
async def victim() -> AsyncIterator[Victim]:
    async with Victim().running() as one:
        yield one


@contextlib.asynccontextmanager
async def public_daemon(
    tmp_path: Path, upstream: FakeUpstream, network: Network, host: str = INDEX, **index: object
) -> AsyncIterator[Running]:
    """Run a daemon whose index is `upstream`, under a public name and address."""
    network.names.setdefault(INDEX, PUBLIC)
    network.names.setdefault(FILES, PUBLIC)
    url = f"http://{host}:{urlsplit(upstream.url).port}/simple/"
    config = write_config(tmp_path, {"name": "vendor", "url": url, **index})
    async with running(tmp_path, config=config) as daemon:
        yield daemon


def serve_link(upstream: FakeUpstream, link: str) -> None:
    """Publish a page whose one file is at `link`, with a sidecar."""
    row = {"filename": WHEEL.filename, "url": link, "hashes": {}, "core-metadata": True}
    page = {"meta": {"api-version": "1.0"}, "name": "alpha", "files": [row]}
    upstream.serve(PAGE, json.dumps(page).encode(), JSON)


async def ask_for_the_file(daemon: Running) -> list[tuple[int, str]]:
    """Ask for the listed file in every way there is; return statuses and bodies."""
    files = (await daemon.page("alpha"))["files"]
    assert isinstance(files, list)
    if not files:
        return []  # the row was left off
    path = urljoin(PAGE, files[0]["url"])
    replies = [
        await daemon.ask(path),
        await daemon.ask(f"{path}.metadata"),
        await daemon.ask(path, "HEAD"),
        await daemon.ask(path, Range="bytes=0-10"),
        await daemon.ask(path.replace("alpha-1", "alpha%2d1")),
    ]
    return [(reply.status, reply.body.decode("utf-8", "replace")) for reply in replies]


# ── links ────────────────────────────────────────────────────────────────────────────────────

LINKS = [
    "127.0.0.1",
    "127.1.2.3",
    "localhost",
    "LOCALHOST.",
    "a.localhost",
    "127.0.0.1.",
    "2130706433",
    "017700000001",
    "0x7f000001",
    "0x7f.1",
    "0177.0.0.1",
    "127.1",
    "0.0.0.0",
    "0",
    "①②⑦.⓪.⓪.①",
    "127。0。0。1",
    "[::1]",
    "[::]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::127.0.0.1]",
    "[64:ff9b::7f00:1]",
    "[2002:7f00:1::1]",
    "[::1%25lo]",
    "user:password@127.0.0.1",
    "8.8.8.8@127.0.0.1",
    "169.254.169.254",
    "[fe80::1]",
    "[fd00:ec2::254]",
    "100.100.100.200",
    "10.0.0.1",
    "192.168.0.1",
    "100.64.0.1",
    "[fd12::1]",
    "metadata.google.internal",
    TRAP,
    "both.vendor.net",
]


@pytest.mark.parametrize("host", LINKS)
async def test_link__rule_62_no_connection(
    tmp_path: Path, upstream: FakeUpstream, network: Network, victim: Victim, host: str
) -> None:
    """A link of a public index to an inner address, however spelled, is not connected to."""
    inner = "127.0.0.1"
    network.names |= {"localhost": inner, "a.localhost": inner, TRAP: inner}
    network.names |= {"metadata.google.internal": "169.254.169.254", "both.vendor.net": "10.0.0.1"}
    serve_link(upstream, f"http://{host}:{victim.port}/{WHEEL.filename}")
    async with public_daemon(tmp_path, upstream, network) as daemon:
        for status, body in await ask_for_the_file(daemon):
            assert status in (404, 502), body
    assert victim.accepted == 0
    assert set(network.dialled) == {PUBLIC}


async def test_link__rule_62_refusal_in_words(
    tmp_path: Path, upstream: FakeUpstream, network: Network, victim: Victim
) -> None:
    """The refusal is a 502 that names the address, its kind and the setting; the host stays ok."""
    serve_link(upstream, f"http://127.0.0.1:{victim.port}/{WHEEL.filename}")
    async with public_daemon(tmp_path, upstream, network) as daemon:
        for _ in range(8):
            told = await ask_for_the_file(daemon)
        status, words = told[0]
        hosts = list(daemon.parts.connections["vendor"].hosts)
        assert daemon.parts.connections["vendor"].health.condition.state == "ok"
    assert status == 502
    assert "index vendor: led to 127.0.0.1 (loopback): not allowed, see allow_addresses" in words
    assert [host.name for host in hosts if host.breaker.open] == []


async def test_link__rule_62_exception(
    tmp_path: Path, upstream: FakeUpstream, network: Network, victim: Victim
) -> None:
    """`allow_addresses` opens what it says, which also shows that the way there is a way."""
    serve_link(upstream, f"http://127.0.0.1:{victim.port}/{WHEEL.filename}")
    allowed = ["127.0.0.0/8"]
    async with public_daemon(tmp_path, upstream, network, allow_addresses=allowed) as daemon:
        told = await ask_for_the_file(daemon)
    assert told[0][0] == 200
    assert victim.accepted > 0


async def test_link__rule_62_another_answer_of_a_name(
    tmp_path: Path, upstream: FakeUpstream, network: Network, victim: Victim
) -> None:
    """Of a name's addresses, those that may not be connected to are left aside, not the others."""
    port = urlsplit(upstream.files_origin).port
    upstream.add("alpha", WHEEL)
    upstream.serve(f"/{WHEEL.filename}", WHEEL.body, "application/zip")
    network.names["both.vendor.net"] = f"127.0.0.1 {PUBLIC}"
    serve_link(upstream, f"http://both.vendor.net:{port}/{WHEEL.filename}")
    async with public_daemon(tmp_path, upstream, network) as daemon:
        assert (await ask_for_the_file(daemon))[0][0] == 200
    assert set(network.dialled) == {PUBLIC}


# ── redirects, base, rebinding ───────────────────────────────────────────────────────────────

TARGETS = ["127.0.0.1", "[::1]", "2130706433", "0x7f.1", "169.254.169.254", "10.0.0.1", TRAP]


@pytest.mark.parametrize("host", TARGETS)
async def test_redirect__rule_62_of_a_page(
    tmp_path: Path, upstream: FakeUpstream, network: Network, victim: Victim, host: str
) -> None:
    """A page that redirects inside is like a page that fails: nothing is connected to."""
    network.names[TRAP] = "127.0.0.1"
    upstream.redirect(PAGE, f"http://{host}:{victim.port}{PAGE}")
    async with public_daemon(tmp_path, upstream, network) as daemon:
        reply = await daemon.ask(PAGE, Accept=JSON)
    assert reply.status == 502
    assert victim.accepted == 0
    assert set(network.dialled) == {PUBLIC}


@pytest.mark.parametrize("host", TARGETS)
async def test_redirect__rule_62_of_a_file(
    tmp_path: Path, upstream: FakeUpstream, network: Network, victim: Victim, host: str
) -> None:
    """A file that redirects inside, the second time only, is not fetched there."""
    network.names[TRAP] = "127.0.0.1"
    port = urlsplit(upstream.files_origin).port
    serve_link(upstream, f"http://{FILES}:{port}/{WHEEL.filename}")
    upstream.redirect("/alpha-*", f"http://{FILES}:{port}/second")
    upstream.redirect("/second", f"http://{host}:{victim.port}/{WHEEL.filename}")
    async with public_daemon(tmp_path, upstream, network) as daemon:
        assert {status for status, _ in await ask_for_the_file(daemon)} == {502}
    assert upstream.count("/second") > 0
    assert victim.accepted == 0
    assert set(network.dialled) == {PUBLIC}


async def test_redirect__rule_62_stored_page_is_served(
    tmp_path: Path, upstream: FakeUpstream, network: Network, victim: Victim
) -> None:
    """Where a page is stored, a redirect inside is an outage like others: the page is stale."""
    serve_link(upstream, f"http://{FILES}/{WHEEL.filename}")
    async with public_daemon(tmp_path, upstream, network) as daemon:
        await daemon.page("alpha")
        upstream.redirect(PAGE, f"http://127.0.0.1:{victim.port}{PAGE}")
        daemon.clock.advance(3600)
        reply = await daemon.ask(PAGE, Accept=JSON)
    assert (reply.status, victim.accepted) == (200, 0)
    assert "fwd=stale" in reply.headers["Cache-Status"]


async def test_base__rule_62(
    tmp_path: Path, upstream: FakeUpstream, network: Network, victim: Victim
) -> None:
    """A `<base>` that leads inside makes links that are not followed."""
    body = (
        f'<html><head><base href="http://127.0.0.1:{victim.port}/"></head><body>'
        f'<a href="{WHEEL.filename}">{WHEEL.filename}</a></body></html>'
    )
    upstream.serve(PAGE, body.encode())
    async with public_daemon(tmp_path, upstream, network) as daemon:
        assert (await ask_for_the_file(daemon))[0][0] == 502
    assert victim.accepted == 0


async def test_rebinding__rule_62_of_a_file_host(
    tmp_path: Path, upstream: FakeUpstream, network: Network, victim: Victim
) -> None:
    """A file host whose name is public at first and loopback then: the address is what counts."""
    network.names[TRAP] = [PUBLIC, "127.0.0.1"]
    port = urlsplit(upstream.files_origin).port
    serve_link(upstream, f"http://{TRAP}:{port}/{WHEEL.filename}")
    async with public_daemon(tmp_path, upstream, network) as daemon:
        await ask_for_the_file(daemon)
        serve_link(upstream, f"http://{TRAP}:{victim.port}/{WHEEL.filename}")
        daemon.clock.advance(3600)
        assert (await ask_for_the_file(daemon))[0][0] == 502
    assert victim.accepted == 0
    assert set(network.dialled) == {PUBLIC}


@pytest.mark.parametrize("inner", ["127.0.0.1", "10.0.0.1", "169.254.169.254"])
async def test_rebinding__rule_62_of_the_index_itself(
    tmp_path: Path, upstream: FakeUpstream, network: Network, victim: Victim, inner: str
) -> None:
    """The index's own name, public at first, leads inside then: neither its port nor others."""
    network.names[INDEX] = [PUBLIC, inner]
    serve_link(upstream, f"http://{INDEX}:{victim.port}/{WHEEL.filename}")
    async with public_daemon(tmp_path, upstream, network) as daemon:
        assert {status for status, _ in await ask_for_the_file(daemon)} == {502}
        own = urlsplit(upstream.url).port
        serve_link(upstream, f"http://{INDEX}:{own}/{WHEEL.filename}")
        daemon.clock.advance(3600)
        assert (await ask_for_the_file(daemon))[0][0] == 502
    assert victim.accepted == 0
    assert set(network.dialled) == {PUBLIC}


async def test_rebinding__rule_62_from_the_first_look_up_on(
    tmp_path: Path, upstream: FakeUpstream, network: Network
) -> None:
    """A public name that leads to loopback and proves nothing is not believed, even at first."""
    network.names[INDEX] = "127.0.0.1"
    async with public_daemon(tmp_path, upstream, network) as daemon:
        reply = await daemon.ask(PAGE, Accept=JSON)
    assert (reply.status, network.dialled) == (502, [])
    assert "allow_addresses" in reply.text


# ── indexes that live inside ─────────────────────────────────────────────────────────────────


async def test_home__rule_62_files_beside_a_private_index(
    tmp_path: Path, upstream: FakeUpstream, network: Network
) -> None:
    """An index with a name for inside has its files on a private host, also before any page."""
    port = urlsplit(upstream.files_origin).port
    upstream.serve(f"/{WHEEL.filename}", WHEEL.body, "application/zip")
    serve_link(upstream, f"http://files.vendor.net:{port}/{WHEEL.filename}")
    network.names |= {"nexus.internal": "10.1.1.1", FILES: "10.1.1.2"}
    async with public_daemon(tmp_path, upstream, network, host="nexus.internal") as daemon:
        path = urljoin(PAGE, await daemon.file_url("alpha", WHEEL.filename))
        path = urlsplit(path).path
    # A new process knows nothing yet of where the index lives.
    async with public_daemon(tmp_path, upstream, network, host="nexus.internal") as daemon:
        assert (await daemon.ask(path)).body == WHEEL.body
    assert network.dialled == ["10.1.1.1", "10.1.1.1", "10.1.1.2"]


@needs_openssl
@pytest.mark.parametrize("proved", [True, False])
async def test_home__rule_62_proved_by_a_certificate(
    tmp_path: Path, upstream: FakeUpstream, network: Network, proved: bool
) -> None:
    """Where a public name leads inside, its files may be there if a certificate proved it."""
    certificates = Certificates(tmp_path / "tls")
    network.names |= {INDEX: "10.1.1.1", FILES: "10.1.1.2"}
    upstream.serve(f"/{WHEEL.filename}", WHEEL.body, "application/zip")
    link = f"http://{FILES}:{urlsplit(upstream.files_origin).port}/{WHEEL.filename}"
    body = f'<html><body><a href="{link}">{WHEEL.filename}</a></body></html>'.encode()
    table: dict[str, object] = {"name": "vendor"}
    async with TlsSite(certificates).running() as index:
        table["url"] = f"https://{INDEX}:{urlsplit(index.origin).port}/simple/"
        index.say(PAGE, "HTTP/1.1 200 OK", "Content-Type: text/html", body=body)
        index.say("/simple/", "HTTP/1.1 200 OK")
        trusted: dict[str, object] = {"ca_file": str(certificates.authority)}
        async with running(tmp_path, config=write_config(tmp_path, table | trusted)) as daemon:
            path = urlsplit(await daemon.file_url("alpha", WHEEL.filename)).path
        # Another process: the page is stored, nothing is known, and perhaps nothing can be proved.
        table |= trusted if proved else {}
        async with running(tmp_path, config=write_config(tmp_path, table)) as daemon:
            reply = await daemon.ask(path)
    assert reply.status == (200 if proved else 502)
    assert ("10.1.1.2" in network.dialled) == proved


async def test_home__rule_62_private_is_not_loopback(
    tmp_path: Path, upstream: FakeUpstream, network: Network, victim: Victim
) -> None:
    """Being private opens neither loopback nor metadata."""
    network.names |= {"nexus.internal": "10.1.1.1", TRAP: "169.254.169.254"}
    for link in (f"127.0.0.1:{victim.port}", f"{TRAP}:{victim.port}"):
        serve_link(upstream, f"http://{link}/{WHEEL.filename}")
        directory = tmp_path / link.partition(":")[0]
        directory.mkdir()
        async with public_daemon(directory, upstream, network, host="nexus.internal") as daemon:
            assert (await ask_for_the_file(daemon))[0][0] == 502
    assert victim.accepted == 0
    assert set(network.dialled) == {"10.1.1.1"}
