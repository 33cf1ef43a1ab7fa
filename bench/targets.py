"""What a bench measures: a running server and where it has what. Each kind is started here.

The daemon and the two nginx; `bench.peers` has other caches, `bench.bare` the least that a
Python server does.
"""

from __future__ import annotations

import gzip
import json
import os
import sys
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from bench import processes
from bench.processes import REPOSITORY, START_SECONDS, TargetError, free_port

JSON_TYPE = "application/vnd.pypi.simple.v1+json"
# What pip 26 sends for a page, and for a file.
PIP_AGENT = (
    'pip/26.0 {"ci":null,"cpu":"x86_64","distro":{"id":"bookworm","libc":{"lib":"glibc",'
    '"version":"2.36"},"name":"Debian GNU/Linux","version":"12"},"implementation":{"name":'
    '"CPython","version":"3.11.2"},"installer":{"name":"pip","version":"26.0"},"openssl_version":'
    '"OpenSSL 3.0.16 11 Feb 2025","python":"3.11.2","system":{"name":"Linux","release":"6.1.0"}}'
)
PAGE_HEADERS = {
    "User-Agent": PIP_AGENT,
    "Accept-Encoding": "gzip, deflate",
    "Accept": f"{JSON_TYPE}, application/vnd.pypi.simple.v1+html; q=0.1, text/html; q=0.01",
    "Connection": "keep-alive",
    "Cache-Control": "max-age=0",
}
FILE_HEADERS = {
    "User-Agent": PIP_AGENT,
    "Accept-Encoding": "identity",
    "Accept": "*/*",
    "Connection": "keep-alive",
}
DAEMON = "pypicached"

NGINX = Path("/usr/sbin/nginx")
_NGINX_FRAME = """\
daemon off;
worker_processes {workers};
pid {directory}/nginx.pid;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    server_tokens off;
    sendfile on;
    tcp_nopush on;
    # wrk sends more on one connection than the default of 1,000.
    keepalive_requests 100000000;
    default_type application/octet-stream;
    client_body_temp_path {directory}/client;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
{rest}
}}
"""
_STATIC = """\
    open_file_cache max=1000 inactive=60s;
    limit_rate {rate};
    server {{
        listen 127.0.0.1:{port} backlog=1024;
        root {directory}/www;
        location /simple/ {{
            index index.json;
            default_type {json_type};
            types {{ }}
            gzip_static on;
        }}
    }}
"""
# The least that makes nginx a cache of an index: pages rewritten to point here, both kept on disk.
# A page is taken uncompressed, for the rewriting, and compressed for each client that asks for it.
_CACHING = """\
    proxy_cache_path {directory}/cache levels=1:2 keys_zone=pypi:16m max_size=50g inactive=30d;
    proxy_cache pypi;
    proxy_cache_lock on;
    proxy_cache_use_stale error timeout updating http_500 http_502 http_503 http_504;
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    proxy_set_header Accept-Encoding "";
    gzip on;
    gzip_proxied any;
    gzip_vary on;
    gzip_types {json_type};
    upstream index {{ server {index}; keepalive 16; }}
    upstream files {{ server {files}; keepalive 16; }}
    server {{
        listen 127.0.0.1:{port} backlog=1024;
        location /simple/ {{
            proxy_pass http://index;
            # An index answers in more than one format.
            proxy_cache_key $uri$http_accept;
            proxy_cache_valid 200 10m;
            proxy_cache_valid 404 1m;
            sub_filter "http://{files}/" "http://127.0.0.1:{port}/";
            sub_filter_once off;
            sub_filter_types {json_type};
        }}
        location /packages/ {{
            proxy_pass http://files;
            proxy_cache_valid 200 30d;
        }}
    }}
"""


class Target(msgspec.Struct, frozen=True):
    """A running server of an index: `base` is its origin, `pid` the process that was started."""

    name: str
    base: str
    pid: int
    index_path: str = "/simple/"

    @property
    def port(self) -> int:
        """Where it listens on loopback."""
        return urllib.parse.urlsplit(self.base).port or 0

    @property
    def index_url(self) -> str:
        """What a client is configured with."""
        return self.base + self.index_path

    def page_path(self, project: str) -> str:
        """Return the path of a project's page."""
        return f"{self.index_path}{project}/"

    def listed_file(self, project: str, filename: str) -> tuple[str, str]:
        """Return URL and sha256 of a file as the project's page lists it. Raises TargetError."""
        page_url = self.base + self.page_path(project)
        for row in get_json(page_url, JSON_TYPE)["files"]:
            if row["filename"] == filename:
                url = urllib.parse.urljoin(page_url, row["url"])
                return urllib.parse.urldefrag(url).url, row["hashes"].get("sha256", "")
        raise TargetError(f"{page_url} does not list {filename}")

    def file_path(self, project: str, filename: str) -> str:
        """Return the path of a file; it has to be on this target. Raises TargetError."""
        url, _ = self.listed_file(project, filename)
        if not url.startswith(self.base + "/"):
            raise TargetError(f"{self.name} sends its clients to {url} for {filename}")
        return url.removeprefix(self.base)


@contextmanager
def pypicached(
    index_url: str,
    directory: Path,
    settings: Mapping[str, str] | None = None,
    *,
    heartbeat: Path | None = None,
) -> Iterator[Target]:
    """Run the daemon on an empty cache. Raises TargetError.

    `settings` are variables of its environment. With `heartbeat`, its loop tells of its gaps in
    that file (`bench.heartbeat`).
    """
    port = free_port()
    program = ["-m", "pypicached"] if heartbeat is None else ["-m", "bench.heartbeat"]
    command = [sys.executable, *program, *([] if heartbeat is None else [str(heartbeat)])]
    command += ["serve", "--listen", f"127.0.0.1:{port}"]
    command += ["--index-url", index_url, "--cache-dir", str(directory / "cache")]
    # Nothing else of the caller's environment: its proxies and settings would be the daemon's.
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(directory),
        "PYTHONPATH": str(REPOSITORY),
        "PYPICACHED_SOCKET": str(directory / "control.sock"),
        **(settings or {}),
    }
    base = f"http://127.0.0.1:{port}"
    with processes.running(command, directory, environment, ready_url=base + "/readyz") as pid:
        yield Target(DAEMON, base, pid)


@contextmanager
def nginx_static(directory: Path, *, rate: int = 0, workers: int = 1) -> Iterator[Target]:
    """Run an nginx that serves `directory`/www, at `rate` bytes a second and connection (0: all).

    A project page is `simple/PROJECT/index.json`, with `index.json.gz` beside it.
    """
    port = free_port()
    rest = _STATIC.format(directory=directory, port=port, rate=rate, json_type=JSON_TYPE)
    with _nginx("nginx static", port, directory, rest, str(workers)) as target:
        yield target


@contextmanager
def nginx_caching(index: str, files: str, directory: Path) -> Iterator[Target]:
    """Run an nginx that caches an index (`host:port` of its pages and of its files)."""
    port = free_port()
    rest = _CACHING.format(
        directory=directory, port=port, index=index, files=files, json_type=JSON_TYPE
    )
    with _nginx("nginx cache", port, directory, rest, "auto") as target:
        yield target


def get_json(url: str, accept: str = "application/json") -> Any:
    """Fetch JSON from a local server."""
    request = urllib.request.Request(url, headers={"Accept": accept})
    with urllib.request.urlopen(request, timeout=START_SECONDS) as response:
        body = response.read()
        # Who has one ready body sends it to whoever asks.
        zipped = response.headers.get("Content-Encoding") == "gzip"
    return json.loads(gzip.decompress(body) if zipped else body)


@contextmanager
def _nginx(name: str, port: int, directory: Path, rest: str, workers: str) -> Iterator[Target]:
    if not NGINX.exists():
        raise TargetError("needs Debian's package nginx-light")
    directory.mkdir(parents=True, exist_ok=True)
    configuration = directory / "nginx.conf"
    frame = _NGINX_FRAME.format(directory=directory, workers=workers, rest=rest)
    if os.geteuid() == 0:
        # Its workers would become another user, who cannot read this directory.
        frame = "user root;\n" + frame
    configuration.write_text(frame)
    command = [str(NGINX), "-p", str(directory), "-c", str(configuration)]
    command += ["-e", str(directory / "error.log")]
    base = f"http://127.0.0.1:{port}"
    environment = {"PATH": os.environ["PATH"]}
    with processes.running(command, directory, environment, ready_url=base + "/") as pid:
        yield Target(name, base, pid)
