"""`[server] allow_from` and `trusted_proxies`, from outside."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
from pathlib import Path

import pytest

from pypicached.chain import Chain
from pypicached.errors import ClientRefusedError
from pypicached.networks import parse_network
from pypicached.web.admission import Admission, describe_open
from pypicached.web.clients import Client, Clients
from tests.fake import FakeUpstream, make_wheel
from tests.harness import Running, running, write_config

EVERYTHING = (
    "/", "/healthz", "/readyz", "/metrics", "/simple/", "/simple/alpha/", "/simple/Alpha",
    "/pypi/simple/alpha/", "/files/pypi/files.test/a.whl", "/index/alpha/", "/nothing",
)  # fmt: skip
PROXY = ["127.0.0.1"]


@pytest.mark.parametrize("path", EVERYTHING)
@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE"])
async def test_allow_from__refuses_everything(
    tmp_path: Path, upstream: FakeUpstream, path: str, method: str
) -> None:
    """A client that is not named gets a 403 for whatever it asks, and nothing else is done."""
    async with running(tmp_path, upstream.url, server__allow_from=["10.0.0.0/8"]) as daemon:
        reply = await daemon.ask(path, method, X_Forwarded_For="10.0.0.1")
        assert reply.status == 403
        assert reply.headers["Content-Type"] == "application/problem+json"
        assert reply.headers["Connection"] == "close"
        assert reply.headers["X-Request-Id"]
        if method != "HEAD":
            problem = json.loads(reply.body)
            assert "client 127.0.0.1 may not use this cache" in problem["detail"]
            assert "[server] allow_from" in problem["detail"]
        assert upstream.requests == []


async def test_allow_from__judges_the_client_of_a_proxy(
    tmp_path: Path, upstream: FakeUpstream
) -> None:
    """Behind a trusted proxy the client is judged, not the proxy."""
    upstream.add("alpha", make_wheel("alpha", "1.0"))
    allowed = ["198.51.100.0/24", "2001:db8::/32"]
    async with running(
        tmp_path, upstream.url, server__trusted_proxies=PROXY, server__allow_from=allowed
    ) as daemon:

        async def status(*forwarded: str) -> int:
            headers = [("X-Forwarded-For", text) for text in forwarded]
            async with daemon.session.get(f"{daemon.url}/simple/alpha/", headers=headers) as reply:
                return reply.status

        assert await status("198.51.100.7") == 200
        assert await status("203.0.113.1, ::ffff:198.51.100.7") == 200
        assert await status("2001:db8::1") == 200
        assert await status("198.51.100.7", "203.0.113.1") == 403
        assert await status("junk") == 403
        assert await status() == 403


async def test_allow_from__counted_and_told_once(
    tmp_path: Path, upstream: FakeUpstream, caplog: pytest.LogCaptureFixture
) -> None:
    """Refusals are counted in `/metrics`, and told in the log once a minute."""
    async with running(
        tmp_path, upstream.url, server__trusted_proxies=PROXY, server__allow_from=["127.0.0.1"]
    ) as daemon:
        for _ in range(5):
            await daemon.ask("/simple/alpha/", X_Forwarded_For="203.0.113.1")
        metrics = (await daemon.ask("/metrics")).text
        assert '\npypicached_refusals_total{rule="allow_from"} 5.0\n' in metrics
    lines = [r for r in caplog.records if "allow_from" in r.getMessage()]
    assert [line.levelno for line in lines] == [logging.WARNING]
    assert "refused 1 request of" in lines[0].getMessage()


def test_admission__told_again(caplog: pytest.LogCaptureFixture) -> None:
    """After a minute the log is told how many there were since."""
    moment = 0.0
    admission = Admission(
        Clients(trusted=(), allowed=[parse_network("10.0.0.0/8")]), Chain(), now=lambda: moment
    )
    for now in (0.0, 1.0, 59.9, 60.0, 61.0):
        moment = now
        with pytest.raises(ClientRefusedError):
            admission.check(Client("192.0.2.1", trusted=False, admitted=False))
    told = [r.getMessage().split()[1] for r in caplog.records]
    assert told == ["1", "3"]


async def test_access_log__has_the_client(
    tmp_path: Path, upstream: FakeUpstream, caplog: pytest.LogCaptureFixture
) -> None:
    """The access log has the client behind trusted proxies, and else the peer."""
    caplog.set_level(logging.INFO, "pypicached.access")

    async def logged(daemon: Running) -> object:
        caplog.clear()
        await daemon.ask("/healthz", X_Forwarded_For="203.0.113.1")
        (record,) = [r for r in caplog.records if r.name == "pypicached.access"]
        return record.__dict__["fields"]["client"]

    async with running(
        tmp_path, upstream.url, server__trusted_proxies=PROXY, server__access_log=True
    ) as daemon:
        assert await logged(daemon) == "203.0.113.1"
    async with running(tmp_path, upstream.url, server__access_log=True) as daemon:
        assert await logged(daemon) == "127.0.0.1"


@pytest.mark.parametrize(
    ("allowed", "status"), [(["127.0.0.0/8"], 200), (["10.0.0.0/8"], 403), ([], 200)]
)
async def test_allow_from__unix_socket(
    tmp_path: Path,
    upstream: FakeUpstream,
    monkeypatch: pytest.MonkeyPatch,
    allowed: list[str],
    status: int,
) -> None:
    """A client of a Unix socket is this host, also one that calls itself like an address."""
    monkeypatch.chdir(tmp_path)
    loop = asyncio.get_running_loop()
    async with running(
        tmp_path, upstream.url, server__listen=["unix:public.sock"], server__allow_from=allowed
    ):
        with socket.socket(socket.AF_UNIX) as client:
            client.setblocking(False)
            client.bind("10.0.0.1")
            await loop.sock_connect(client, "public.sock")
            await loop.sock_sendall(client, b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            answer = await loop.sock_recv(client, 4096)
            assert answer.startswith(f"HTTP/1.1 {status} ".encode())


@pytest.mark.parametrize(
    ("listeners", "private", "told"),
    [
        (["http://127.0.0.1:3143", "http://[::1]:3143", "unix:/run/x"], ["acme"], False),
        (["http://127.0.0.1:3143", "http://0.0.0.0:3143"], ["acme"], True),
        (["http://[::]:3143"], ["acme"], True),
        (["http://192.0.2.1:3143"], [], False),
        ([], ["acme"], False),
    ],
)
def test_open_door__told(listeners: list[str], private: list[str], told: bool) -> None:
    """A listener beyond this host, in front of an index with credentials, is a problem."""
    assert (describe_open(listeners, private) is not None) is told


async def test_open_door__in_status(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`status` has the problem, unless `allow_from` says who may connect."""
    monkeypatch.setattr("pypicached.web.admission._is_local", lambda _: False)
    url = "http://user:secret@127.0.0.1:9/simple/"
    config = write_config(tmp_path, {"name": "acme", "url": url})
    async with running(tmp_path, config=config) as daemon:
        (problem,) = (await daemon.parts.operations.status()).problems
        assert problem.startswith(f"whoever reaches {daemon.url} reads the index acme")
    async with running(tmp_path, config=config, server__allow_from=["127.0.0.1"]) as daemon:
        assert (await daemon.parts.operations.status()).problems == []
