"""Reverse proxies in front of a daemon, run from the very examples that the package ships.

Only ports, names and paths of certificates are put into them; what else a proxy needs to run as a
test (directories, no ports and no network of its own) stands around the example.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from bench.rehearsal.tls import Certificates
from tests.e2e.process import WAIT_SECONDS, DaemonProcess

EXAMPLES = Path(__file__).parents[2] / "packaging/debian/examples"
NGINX = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
CADDY = shutil.which("caddy")

_NGINX = """
worker_processes 1;
daemon off;
pid {directory}/nginx.pid;
error_log {directory}/nginx.log;
events {{ worker_connections 64; }}
http {{
    access_log off;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    {servers}
}}
"""
_SITE = """
server {{
    listen 127.0.0.1:{port} ssl;
    ssl_certificate {certificate};
    ssl_certificate_key {key};
    {location}
}}
"""
# No control port, no certificate authority, no port 80: it must not reach for any network.
_CADDY = """
{{
    admin off
    auto_https off
    storage file_system {directory}/storage
}}
{site}
"""


class Front:
    """A reverse proxy that runs: its base URL, what it may write to, and its certificates."""

    def __init__(self, url: str, directory: Path, certificates: Certificates) -> None:
        self.url = url
        self.directory = directory
        self.authority = certificates.authority

    @property
    def written_bytes(self) -> int:
        """What it keeps on the disk of what passes through."""
        kept = self.directory.joinpath("proxy").rglob("*")
        return sum(path.stat().st_size for path in kept if path.is_file())


@contextlib.contextmanager
def nginx(daemon: DaemonProcess, directory: Path, example: str) -> Iterator[Front]:
    """Run nginx with one of the examples."""
    assert NGINX is not None
    certificates = Certificates(directory / "certificates")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port, descriptor = listener.getsockname()[1], listener.fileno()
        text = _placed(example, daemon, certificates)
        if "\nserver {" not in text:
            where = {"certificate": certificates.valid, "key": certificates.key}
            text = _SITE.format(port=port, location=text, **where)
        # The second address is one that every host has, with or without IPv6.
        text = text.replace("listen 443", f"listen 127.0.0.1:{port}")
        text = text.replace("listen [::]:443", f"listen 127.0.0.9:{port}")
        configuration = directory / "nginx.conf"
        configuration.write_text(_NGINX.format(directory=directory, servers=text))
        # As at an upgrade of nginx: it takes over a socket that listens already, so nobody waits.
        process = subprocess.Popen(
            [NGINX, "-c", str(configuration), "-p", str(directory)],
            env={"NGINX": f"{descriptor};"},
            pass_fds=[descriptor],
        )
    prefix = "/pypi" if "location /pypi/" in text else ""
    with _ended(process):
        yield Front(f"https://127.0.0.1:{port}{prefix}", directory, certificates)


@contextlib.contextmanager
def caddy(daemon: DaemonProcess, directory: Path, example: str) -> Iterator[Front]:
    """Run Caddy with its example."""
    assert CADDY is not None
    certificates = Certificates(directory / "certificates")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    text = _placed(example, daemon, certificates)
    site = text.replace("pypi.example.net {", f"https://127.0.0.1:{port} {{")
    configuration = directory / "Caddyfile"
    configuration.write_text(_CADDY.format(directory=directory, site=site))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notices:
        notices.bind(str(directory / "caddy-notify"))
        notices.settimeout(WAIT_SECONDS)
        with (directory / "caddy.log").open("wb") as log:
            process = subprocess.Popen(
                [CADDY, "run", "--adapter", "caddyfile", "--config", str(configuration)],
                env={"HOME": str(directory), "NOTIFY_SOCKET": str(directory / "caddy-notify")},
                stdin=subprocess.DEVNULL,
                stderr=log,
            )
        with _ended(process):
            try:
                while b"READY=1" not in notices.recv(4096):
                    pass
            except TimeoutError:
                raise AssertionError((directory / "caddy.log").read_text()) from None
            yield Front(f"https://127.0.0.1:{port}", directory, certificates)


@contextlib.contextmanager
def _ended(process: subprocess.Popen[bytes]) -> Iterator[None]:
    try:
        yield
    finally:
        process.terminate()
        process.wait(WAIT_SECONDS)


def _placed(example: str, daemon: DaemonProcess, certificates: Certificates) -> str:
    """Return an example for this daemon and these certificates."""
    text = (EXAMPLES / example).read_text()
    text, found = re.subn(r"127\.0\.0\.1:3143", urlsplit(daemon.url).netloc, text)
    assert found, f"{example} no longer leads to the default address"
    text = text.replace("/etc/ssl/certs/pypi.example.net.pem", str(certificates.valid))
    for private in ("/etc/ssl/private", "/etc/caddy"):
        text = text.replace(f"{private}/pypi.example.net.key", str(certificates.key))
    return text
