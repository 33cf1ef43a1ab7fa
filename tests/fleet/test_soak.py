"""Two hosts with small disks and a store that misbehaves, killed again and again under traffic.

It takes longer than the others, and so is one of those that `make test-s3` runs.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
import signal
import time
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from tests.e2e.conftest import MakeDaemon, directory, make_daemon  # noqa: F401
from tests.e2e.process import DaemonProcess
from tests.fake.threaded import ThreadedFakeUpstream
from tests.fake.wheels import DistFile, make_wheel
from tests.fleet import faulty
from tests.fleet.faulty import FaultyStore
from tests.s3.servers import Endpoint, skip_without_ceph

ROUNDS = 6
LIFE_SECONDS = (0.8, 2.5)
CLIENTS = 12
FAULTS = (
    faulty.wrong,
    faulty.wrong_end,
    faulty.shorter,
    faulty.longer,
    faulty.page,
    faulty.denied,
    faulty.failing,
    faulty.cut_after(20_000),
)


def misbehave(store: FaultyStore, source: random.Random) -> None:
    """Have a third of all requests go wrong; what is stored wrong is as long as the right bytes."""

    def broken(request: web.BaseRequest) -> object:
        if source.random() < 0.15:
            return source.choice([faulty.failing, faulty.denied])(request, b"")
        return None

    async def fault(request: web.BaseRequest, body: bytes) -> web.StreamResponse:
        if source.random() < 0.25:
            return await source.choice(FAULTS)(request, body)
        return faulty.whole(request, body)

    store.broken = broken  # type: ignore[assignment]
    store.fault = fault


class Traffic:
    """Clients of one daemon, each asking for one random file after another."""

    def __init__(self, wheels: dict[str, DistFile], source: random.Random) -> None:
        self.answers = 0
        self.refused = 0
        self._wheels = wheels
        self._source = source

    async def run(self, daemon: DaemonProcess, paths: dict[str, str]) -> None:
        """Ask until the daemon is gone. AssertionError for a wrong answer."""
        async with aiohttp.ClientSession(daemon.url) as session, asyncio.TaskGroup() as group:
            for _ in range(CLIENTS):
                group.create_task(self._ask(session, paths))

    async def _ask(self, session: aiohttp.ClientSession, paths: dict[str, str]) -> None:
        while True:
            name = self._source.choice(sorted(paths))
            try:
                async with session.get(paths[name], allow_redirects=False) as answer:
                    body = await answer.read()
            except aiohttp.ClientPayloadError:
                continue  # never completed, which is honest
            except (aiohttp.ClientError, OSError):
                return  # killed
            if answer.status != 200:
                assert answer.status in (502, 503), (answer.status, answer.reason)
                self.refused += 1
                continue
            assert hashlib.sha256(body).hexdigest() == self._wheels[name].sha256, name
            self.answers += 1


@pytest.mark.ceph
@pytest.mark.timeout(240)
async def test_soak__two_hosts_and_a_bad_store(
    make_daemon: MakeDaemon,  # noqa: F811
    store: FaultyStore,
    tmp_path: Path,
) -> None:
    """No client completes a wrong file; in the end the store has only right ones, all that wait."""
    skip_without_ceph()
    source = random.Random(1)  # the moments of death differ all the same
    made = [make_wheel("alpha", f"{n}.0", size_bytes=40_000 * (1 + n % 9)) for n in range(60)]
    wheels = {wheel.filename: wheel for wheel in made}
    with ThreadedFakeUpstream() as upstream:
        upstream.add("alpha", *made)
        settings = Endpoint(store.url).environment("wheels")
        hosts = [
            make_daemon(upstream.url, **settings, PYPICACHED_CACHE__MAX_SIZE="6MB")
            for _ in range(2)
        ]
        traffic = Traffic(wheels, source)
        for number in range(ROUNDS):
            misbehave(store, source)
            for host in hosts:
                await asyncio.to_thread(host.start)
            paths = await asyncio.to_thread(hosts[0].file_paths, "alpha")
            await asyncio.to_thread(hosts[1].file_paths, "alpha")
            if number % 3 == 2:
                upstream.fault("*.whl", "status", code=503)
            running = [asyncio.create_task(traffic.run(host, paths)) for host in hosts]
            await asyncio.sleep(source.uniform(*LIFE_SECONDS))
            for host in hosts:
                await asyncio.to_thread(host.stop, signal.SIGKILL)
            await asyncio.gather(*running)
            upstream.heal()
        store.broken = store.fault = None
        for host in hosts:
            await asyncio.to_thread(host.start)
        until = time.monotonic() + 90
        for host in hosts:
            while (await asyncio.to_thread(host.ask, "status"))["store"]["waiting_files"]:
                assert time.monotonic() < until, host.log
                await asyncio.sleep(0.2)
            verified = await asyncio.to_thread(host.command, "verify")
            assert verified.returncode == 0, verified.stdout + verified.stderr
        assert traffic.answers > 100
        assert len(store.objects) > 10
        assert store.objects.keys() <= {wheel.sha256 for wheel in made} | {
            hashlib.sha256(wheel.metadata or b"").hexdigest() for wheel in made
        }
        for sha256, body in store.objects.items():
            assert hashlib.sha256(body).hexdigest() == sha256
        here = {
            path.name
            for host in hosts
            for path in (host.cache / "blobs" / "sha256").rglob("*")
            if path.is_file()
        }
        # Whoever met wrong bytes removed them; who had put them there finds out within a day.
        assert here <= store.objects.keys() | store.deleted
