"""What an index is believed by, and what it is shown: files that a setting names."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from bench.rehearsal.tls import Certificates
from tests.harness import JSON, Running
from tests.reload.world import World, changed
from tests.tls import TlsSite, needs_openssl

PAGE = b'{"meta": {"api-version": "1.0"}, "name": "alpha", "files": []}'


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    """Return an authority, and a pair of it."""
    return Certificates(tmp_path / "certificates")


async def status(daemon: Running) -> int:
    """Return the status of a page that upstream is asked for now."""
    daemon.clock.advance(3600)
    return (await daemon.ask("/simple/alpha/", Accept=JSON)).status


@needs_openssl
async def test_tls__files_and_their_content(world: World, certificates: Certificates) -> None:
    """`ca_file`, `client_cert` and `client_key` act at once, also where only their content changed.

    A file that cannot be used is refused in words, and what was in force stays so.
    """
    ca, cert, key = (world.directory / name for name in ("ca.pem", "client.pem", "client.key"))
    shutil.copy(certificates.authority, ca)
    shutil.copy(certificates.valid, cert)
    shutil.copy(certificates.key, key)
    async with TlsSite(certificates).running() as site:
        site.say("/simple/alpha/", "HTTP/1.1 200 OK", f"Content-Type: {JSON}", body=PAGE)
        url = f'"{site.origin}/simple/"'
        plain = world.index(url=url)
        trusting = world.index(url=url, ca_file='"ca.pem"')
        certified = world.index(
            url=url, ca_file='"ca.pem"', client_cert='"client.pem"', client_key='"client.key"'
        )
        async with world.running(plain) as daemon:
            assert await status(daemon) == 503
            assert changed(await world.reload(daemon, trusting)) == ["index.main.ca_file"]
            assert (await status(daemon), site.certified[-1]) == (200, False)

            both = ["index.main.client_cert", "index.main.client_key"]
            assert changed(await world.reload(daemon, certified)) == both
            assert (await status(daemon), site.certified[-1]) == (200, True)
            assert changed(await world.reload(daemon, certified)) == []

            ca.write_text("no certificate")
            answer = await world.reload(daemon, certified)
            (problem,) = answer.problems
            assert problem.key == "index.main.ca_file"
            assert problem.message == f"{ca} cannot be used: it holds no certificate in PEM form"
            assert (await status(daemon), site.certified[-1]) == (200, True)

            # Another authority, under the same name: the index is believed no more.
            shutil.copy(Certificates(world.directory / "others").authority, ca)
            assert changed(await world.reload(daemon, certified)) == ["index.main.ca_file"]
            daemon.clock.advance(40 * 86400)
            assert await status(daemon) == 503
