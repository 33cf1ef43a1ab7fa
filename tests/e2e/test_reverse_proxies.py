"""The package's examples of reverse proxies, as they are shipped: clients come through TLS."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import pytest

from tests.e2e.clients import Client, installed
from tests.e2e.conftest import MakeDaemon, publish_tree
from tests.e2e.fronts import CADDY, NGINX, Front, caddy, nginx
from tests.e2e.process import JSON, WAIT_SECONDS, DaemonProcess
from tests.fake.threaded import ThreadedFakeUpstream
from tests.fake.wheels import make_wheel
from tests.tls import needs_openssl

pytestmark = [pytest.mark.clients, needs_openssl]

_needs_nginx = pytest.mark.skipif(NGINX is None, reason="nginx is not installed")
_needs_caddy = pytest.mark.skipif(CADDY is None, reason="caddy is not installed")
_EXAMPLES = [
    pytest.param((nginx, "nginx.conf"), marks=_needs_nginx, id="nginx"),
    pytest.param((nginx, "nginx-prefix.conf"), marks=_needs_nginx, id="nginx-prefix"),
    pytest.param((caddy, "Caddyfile"), marks=_needs_caddy, id="caddy"),
]
# Far more than any buffer of a proxy or a socket.
LARGE_BYTES = 40_000_000


@pytest.fixture
def daemon(upstream: ThreadedFakeUpstream, make_daemon: MakeDaemon) -> DaemonProcess:
    """Return a daemon that believes its proxy, as the examples say, and admits two clients."""
    return make_daemon(
        upstream.url,
        PYPICACHED_SERVER__TRUSTED_PROXIES="127.0.0.1",
        PYPICACHED_SERVER__ALLOW_FROM="127.0.0.1,127.0.0.2",
    ).start()


@pytest.fixture(params=_EXAMPLES)
def front(
    request: pytest.FixtureRequest, daemon: DaemonProcess, directory: Path
) -> Iterator[Front]:
    """A proxy in front of `daemon`, as one of the examples makes it."""
    run, example = request.param
    with run(daemon, directory, example) as made:
        yield made


@contextlib.contextmanager
def asking(
    front: Front, path: str, *, client: str = "127.0.0.1", method: str = "GET", **headers: str
) -> Iterator[http.client.HTTPResponse]:
    """Yield an answer to a request from this address, below the proxy's base URL."""
    parts = urlsplit(front.url)
    connection = http.client.HTTPSConnection(
        parts.netloc,
        timeout=WAIT_SECONDS,
        context=ssl.create_default_context(cafile=str(front.authority)),
        source_address=(client, 0),
    )
    with contextlib.closing(connection):
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, parts.path + path, headers=named)
        yield connection.getresponse()


def file_path(front: Front, project: str) -> str:
    """Return the path of a project's one file, below the proxy's base URL."""
    page = f"/simple/{project}/"
    with asking(front, page, Accept=JSON) as answer:
        assert answer.status == 200, answer.read()
        (file,) = json.loads(answer.read())["files"]
    path = urljoin(front.url + page, str(file["url"]))
    assert path.startswith(f"{front.url}/"), path
    return path.removeprefix(front.url)


def test_front__pip_and_uv_install(
    front: Front, upstream: ThreadedFakeUpstream, tmp_path: Path
) -> None:
    """pip and uv install through TLS, with `--cert` and SSL_CERT_FILE for the authority."""
    expected = publish_tree(upstream)
    pip = Client(tmp_path / "pip", f"{front.url}/simple/").pip
    authority = str(front.authority)
    done = pip("install", "--cert", authority, "--target", str(tmp_path / "one"), "app")
    assert (done.returncode, installed(tmp_path / "one")) == (0, expected), done.stderr
    trusting = {"SSL_CERT_FILE": authority}
    uv = Client(tmp_path / "uv", f"{front.url}/simple/", environment=trusting).uv
    done = uv("pip install", "--target", str(tmp_path / "two"), "app")
    assert (done.returncode, installed(tmp_path / "two")) == (0, expected), done.stderr


def test_front__odd_names(front: Front, upstream: ThreadedFakeUpstream, tmp_path: Path) -> None:
    """A file whose URL has escaped characters is found through it, too."""
    upstream.add("app", make_wheel("app", "1.0+cpu.1"))
    pip = Client(tmp_path / "pip", f"{front.url}/simple/").pip
    authority = str(front.authority)
    done = pip("install", "--cert", authority, "--target", str(tmp_path / "one"), "app")
    assert (done.returncode, installed(tmp_path / "one")) == (0, {"app": "1.0+cpu.1"}), done.stderr
    with asking(front, file_path(front, "app").replace("+", "%2B")) as answer:
        assert answer.status == 200


def test_front__tells_who_the_client_is(
    front: Front, daemon: DaemonProcess, upstream: ThreadedFakeUpstream
) -> None:
    """`who` and `allow_from` go by the proxy's client, whatever that says of itself."""
    upstream.add("app", make_wheel("app", "1.0"))
    path = file_path(front, "app")
    with asking(front, path, client="127.0.0.2", X_Forwarded_For="203.0.113.9") as answer:
        assert (answer.status, len(answer.read()) > 0) == (200, True)
    assert {row["client"] for row in daemon.ask("who")} == {"127.0.0.2"}
    with asking(front, path, client="127.0.0.3", X_Forwarded_For="127.0.0.2") as answer:
        assert answer.status == 403


def test_front__ranges_and_validators(front: Front, upstream: ThreadedFakeUpstream) -> None:
    """Ranges, HEAD and "not modified" come through as they are."""
    wheel = make_wheel("app", "1.0", size_bytes=200_000)
    upstream.add("app", wheel)
    path = file_path(front, "app")
    with asking(front, path) as answer:
        assert answer.read() == wheel.body
        tag = answer.headers["ETag"]
    with asking(front, path, Range="bytes=1000-2999") as answer:
        assert (answer.status, answer.read()) == (206, wheel.body[1000:3000])
        assert answer.headers["Content-Range"] == f"bytes 1000-2999/{len(wheel.body)}"
    with asking(front, path, method="HEAD") as answer:
        assert (answer.status, answer.headers["Content-Length"]) == (200, str(len(wheel.body)))
    with asking(front, path, If_None_Match=tag) as answer:
        assert answer.status == 304


def test_front__page_as_it_is(
    front: Front, daemon: DaemonProcess, upstream: ThreadedFakeUpstream
) -> None:
    """A page has the coding, tag and length that the daemon gave it, packed or not."""
    for number in range(200):
        upstream.add("app", make_wheel("app", f"1.{number}"))
    for coding in ("identity", "gzip"):
        asked = {"Accept": JSON, "Accept-Encoding": coding}
        with daemon.asking("/simple/app/", **asked) as answer:
            names = ("ETag", "Content-Length", "Content-Encoding", "Content-Type", "Vary")
            expected = {name: answer.headers[name] for name in names}, answer.read()
        with asking(front, "/simple/app/", **asked) as answer:
            assert ({name: answer.headers[name] for name in names}, answer.read()) == expected


def test_front__streams(
    front: Front, daemon: DaemonProcess, upstream: ThreadedFakeUpstream
) -> None:
    """A large file reaches the client while it still arrives, and is not put on a disk between."""
    wheel = make_wheel("app", "1.0", size_bytes=LARGE_BYTES)
    upstream.add("app", wheel)
    path = file_path(front, "app")
    half = LARGE_BYTES // 2
    gate = upstream.hold("*.whl", after_bytes=half)
    with asking(front, path) as answer:
        # The daemon holds back the last 64 KiB of what it has.
        begun = answer.read(half - 100_000)
        gate.wait_reached()
        gate.open()
        # The daemon has all of it, while this client does not read: a proxy could have it, too.
        daemon.settle()
        with asking(front, path) as another:
            assert another.read() == wheel.body
        assert front.written_bytes == 0
        assert begun + answer.read() == wheel.body


def test_front__uses_connections_again(
    front: Front, daemon: DaemonProcess, upstream: ThreadedFakeUpstream, request: Any
) -> None:
    """However many clients come, the proxy keeps a few connections to the daemon."""
    if "nginx-prefix" in request.node.name:
        pytest.skip("lines within a site that exists have no `upstream`, which is what keeps them")
    upstream.add("app", make_wheel("app", "1.0"))
    new = []
    for _ in range(4):
        before = _sockets_at(urlsplit(daemon.url).port)
        for _ in range(10):
            with asking(front, "/simple/app/") as answer:
                assert answer.read()
        # A connection that was closed leaves a socket behind for a minute (TIME_WAIT).
        new.append(_sockets_at(urlsplit(daemon.url).port) - before)
    # Now and then one is not back in its pool when the next client comes.
    assert min(new) == 0
    assert sum(new) < 10


def _sockets_at(port: int | None) -> int:
    """Return the number of local connections to a port, those that are being forgotten too."""
    assert port is not None
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    there = f"{socket.inet_aton('127.0.0.1')[::-1].hex().upper()}:{port:04X}"
    return sum(line.split()[2] == there for line in lines)


def test_front__errors_say_why(front: Front, upstream: ThreadedFakeUpstream, request: Any) -> None:
    """An error's body comes through; its reason phrase, which is all that pip shows, with nginx."""
    upstream.fault("*", "status", code=500)
    with asking(front, "/simple/app/") as answer:
        assert answer.status == 503
        body = answer.read().decode()
    assert "500" in body
    if "caddy" in request.node.name:
        # Its language's library writes the usual words of a status.
        assert answer.reason == "Service Unavailable"
    else:
        assert "500" in answer.reason
