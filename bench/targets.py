"""Start what a bench measures, each in a process and a directory of its own, and end it by pid."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[1]
JSON_TYPE = "application/vnd.pypi.simple.v1+json"
START_SECONDS = 20.0
STOP_SECONDS = 15.0

_NGINX = """\
daemon off;
master_process off;
pid {directory}/nginx.pid;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    sendfile on;
    # Paced best: with 2 MB pieces, the default, 100 limited clients finish a third later.
    sendfile_max_chunk 0;
    tcp_nopush on;
    default_type application/octet-stream;
    limit_rate {rate};
    client_body_temp_path {directory}/client;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    server {{
        listen 127.0.0.1:{port} backlog=1024;
        root {directory}/www;
    }}
}}
"""


class TargetError(Exception):
    """A target did not start; the message holds the end of what it said."""


@contextmanager
def fake_index(*, projects: int, size_bytes: int, rate: int) -> Iterator[str]:
    """Run the fake upstream; gives its index URL."""
    command = [sys.executable, "-m", "tests.fake", "--projects", str(projects)]
    command += ["--size", str(size_bytes), "--throttle", str(rate)]
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().strip()
        finally:
            _end(process)


@contextmanager
def pypicached(
    index_url: str, directory: Path, settings: Mapping[str, str] | None = None
) -> Iterator[tuple[str, int]]:
    """Run the daemon on an empty cache; gives its base URL and pid. Raises TargetError.

    `settings` are variables of its environment.
    """
    port = free_port()
    command = [sys.executable, "-m", "pypicached", "serve", "--listen", f"127.0.0.1:{port}"]
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
    with _logged(command, directory, environment) as process:
        _wait_until_answers(base + "/readyz", process, directory)
        yield base, process.pid


@contextmanager
def nginx(file: tuple[str, bytes], *, rate: int, directory: Path) -> Iterator[tuple[str, int]]:
    """Run a static nginx that serves one file; gives its URL and pid. Raises TargetError."""
    name, body = file
    port = free_port()
    (directory / "www").mkdir(parents=True)
    (directory / "www" / name).write_bytes(body)
    configuration = directory / "nginx.conf"
    configuration.write_text(_NGINX.format(directory=directory, port=port, rate=rate))
    command = ["/usr/sbin/nginx", "-p", str(directory), "-c", str(configuration)]
    command += ["-e", str(directory / "error.log")]
    base = f"http://127.0.0.1:{port}"
    with _logged(command, directory, {"PATH": os.environ["PATH"]}) as process:
        _wait_until_answers(base + "/", process, directory)
        yield f"{base}/{urllib.parse.quote(name)}", process.pid


def free_port() -> int:
    """Return a port of loopback that is free now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def get_json(url: str, accept: str = "application/json") -> Any:
    """Fetch JSON from a local server."""
    request = urllib.request.Request(url, headers={"Accept": accept})
    with urllib.request.urlopen(request, timeout=START_SECONDS) as response:
        return json.load(response)


def listed_file(base: str, project: str, filename: str) -> tuple[str, str]:
    """Return URL and sha256 of a file as the project's page lists it."""
    page_url = f"{base}/simple/{project}/"
    for row in get_json(page_url, JSON_TYPE)["files"]:
        if row["filename"] == filename:
            return urllib.parse.urljoin(page_url, row["url"]), row["hashes"]["sha256"]
    raise TargetError(f"{page_url} does not list {filename}")


def memory_of(pid: int) -> dict[str, int]:
    """Return VmRSS, VmHWM and RssAnon of a process, in bytes (proc_pid_status(5))."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    fields = dict(line.split(":", 1) for line in lines)
    return {name: int(fields[name].split()[0]) * 1024 for name in ("VmRSS", "VmHWM", "RssAnon")}


def reset_peak_of(pid: int) -> None:
    """Let VmHWM start again from what is resident now (proc_pid_clear_refs(5))."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def cpu_seconds_of(pid: int) -> float:
    """Return user and system time of a process so far (proc_pid_stat(5), fields 14 and 15)."""
    after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(after_name[11]) + int(after_name[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def _logged(
    command: list[str], directory: Path, environment: dict[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    directory.mkdir(parents=True, exist_ok=True)
    with (
        (directory / "output.log").open("wb") as log,
        subprocess.Popen(
            command, cwd=directory, env=environment, stdout=log, stderr=subprocess.STDOUT
        ) as process,
    ):
        try:
            yield process
        finally:
            _end(process)


def _wait_until_answers(url: str, process: subprocess.Popen[bytes], directory: Path) -> None:
    """Return once the server answers anything but a 5xx."""
    give_up_at = time.monotonic() + START_SECONDS
    while time.monotonic() < give_up_at and process.poll() is None:
        try:
            urllib.request.urlopen(url, timeout=1).close()
        except urllib.error.HTTPError as answer:
            answer.close()
            if answer.code < 500:
                return
        except OSError:
            pass
        else:
            return
        time.sleep(0.05)
    said = (directory / "output.log").read_text(errors="replace")[-2000:]
    raise TargetError(f"{url} does not answer\n{said}")


def _end(process: subprocess.Popen[Any]) -> None:
    if process.poll() is None:
        process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
