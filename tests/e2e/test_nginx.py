"""The daemon behind a reverse proxy that serves it below a path of its own."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pypicached_client
import pytest

from tests.e2e.clients import Client, installed
from tests.e2e.conftest import publish_tree
from tests.e2e.process import WAIT_SECONDS, DaemonProcess
from tests.fake.threaded import ThreadedFakeUpstream

NGINX = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")

pytestmark = [
    pytest.mark.clients,
    pytest.mark.skipif(NGINX is None, reason="nginx is not installed"),
]

_CONFIGURATION = """
worker_processes 1;
daemon off;
pid {directory}/nginx.pid;
error_log {directory}/error.log;
events {{ worker_connections 64; }}
http {{
    access_log off;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    server {{
        listen 127.0.0.1:{port};
        location /some/where/ {{ proxy_pass {backend}/; }}
    }}
}}
"""


@pytest.fixture
def prefixed_url(daemon: DaemonProcess, directory: Path) -> Iterator[str]:
    """Return the index URL of `daemon` as nginx serves it, below a prefix."""
    assert NGINX is not None
    configuration = directory / "nginx.conf"
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port, descriptor = listener.getsockname()[1], listener.fileno()
        text = _CONFIGURATION.format(directory=directory, port=port, backend=daemon.url)
        configuration.write_text(text)
        # As at an upgrade of nginx: it takes over a socket that listens already, so nobody waits.
        nginx = subprocess.Popen(
            [NGINX, "-c", str(configuration), "-p", str(directory)],
            env={"NGINX": f"{descriptor};"},
            pass_fds=[descriptor],
        )
    try:
        yield f"http://127.0.0.1:{port}/some/where/simple/"
    finally:
        nginx.terminate()
        nginx.wait(WAIT_SECONDS)


def test_prefix__pip_and_uv_install(
    prefixed_url: str, upstream: ThreadedFakeUpstream, tmp_path: Path
) -> None:
    """Behind a proxy with a prefix every link leads back through it, so clients install."""
    expected = publish_tree(upstream)
    pip = Client(tmp_path / "pip", prefixed_url).pip
    done = pip("install", "--target", str(tmp_path / "one"), "app")
    assert (done.returncode, installed(tmp_path / "one")) == (0, expected), done.stderr
    uv = Client(tmp_path / "uv", prefixed_url).uv
    done = uv("pip install", "--target", str(tmp_path / "two"), "app")
    assert (done.returncode, installed(tmp_path / "two")) == (0, expected), done.stderr


def test_prefix__redirects_stay_below_it(
    prefixed_url: str, upstream: ThreadedFakeUpstream, tmp_path: Path
) -> None:
    """A redirect of ours (here from the URLs of proxpi) leads to a place below the prefix."""
    publish_tree(upstream)
    root = prefixed_url.removesuffix("simple/")
    client = Client(tmp_path / "home", f"{root}index/")
    done = client.pip("install", "--target", str(tmp_path / "one"), "Base_Lib")
    assert (done.returncode, installed(tmp_path / "one")) == (0, {"base_lib": "5"}), done.stderr


def test_prefix__known_to_the_client_program(prefixed_url: str, daemon: DaemonProcess) -> None:
    """`pypicached-client` knows us behind nginx, which puts its own Server in place of ours."""
    reply = pypicached_client.ask(pypicached_client.parse_address(prefixed_url))
    assert reply == pypicached_client.Reply("pypicached")
    wrong = prefixed_url.replace("/where/", "/else/")
    assert "no pypicached" in pypicached_client.ask(pypicached_client.parse_address(wrong)).reason
    assert daemon.upstream_requests() == 0
