"""Other caches from PyPI, in an environment of their own that is kept from one run to the next.

Each runs as its makers say: proxpi by gunicorn with two threads, devpi-server with a mirror index.
What cannot be installed or started is a TargetError, which a bench shows in its row.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench import processes
from bench.processes import REPOSITORY, TargetError, free_port
from bench.targets import Target

ENVIRONMENT = REPOSITORY / ".peers"
REQUIREMENTS = REPOSITORY / "requirements" / "peers.txt"
INSTALL_SECONDS = 600
# Room for all that a run asks of it: the default of 5 GB would evict.
PROXPI_BYTES = 50_000_000_000


def install() -> None:
    """Make the environment, unless it is there with these pins. Raises TargetError."""
    wanted = REQUIREMENTS.read_text()
    marker = ENVIRONMENT / "installed.txt"
    if marker.exists() and marker.read_text() == wanted:
        return
    python = str(ENVIRONMENT / "bin" / "python")
    for command in (
        [sys.executable, "-m", "venv", "--clear", str(ENVIRONMENT)],
        [
            *(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"),
            *("-r", str(REQUIREMENTS)),
        ],
    ):
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise TargetError("not installed: took too long") from error
        if done.returncode:
            raise TargetError(f"not installed: {done.stderr.strip()[-500:]}")
    marker.write_text(wanted)


@contextmanager
def proxpi(index_url: str, directory: Path) -> Iterator[Target]:
    """Run proxpi on an empty cache. Raises TargetError."""
    port = free_port()
    command = [_program("gunicorn"), "--workers", "1", "--threads", "2"]
    # Without it gunicorn writes a control socket into the caller's home.
    command += ["--bind", f"127.0.0.1:{port}", "--worker-tmp-dir", "/dev/shm"]
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(directory),
        "PROXPI_INDEX_URL": index_url,
        "PROXPI_CACHE_DIR": str(directory / "cache"),
        "PROXPI_CACHE_SIZE": str(PROXPI_BYTES),
        "PROXPI_LOGGING_LEVEL": "WARNING",
    }
    base = f"http://127.0.0.1:{port}"
    with processes.running(
        [*command, "proxpi.server:app"], directory, environment, ready_url=base + "/health"
    ) as pid:
        yield Target("proxpi", base, pid, "/index/")


@contextmanager
def devpi(index_url: str, directory: Path) -> Iterator[Target]:
    """Run devpi-server with an empty mirror index. Raises TargetError."""
    port = free_port()
    directory.mkdir(parents=True)
    environment = {"PATH": os.environ["PATH"], "HOME": str(directory)}
    where = ["--serverdir", str(directory / "server")]
    made = subprocess.run(
        [_program("devpi-init"), *where, "--no-root-pypi", "--root-passwd", ""],
        env=environment,
        cwd=directory,
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode:
        raise TargetError(f"devpi-init: {made.stderr.strip()[-500:]}")
    command = [_program("devpi-server"), *where, "--host", "127.0.0.1", "--port", str(port)]
    # Off as it comes, and still called experimental: with it installers need fewer wheels.
    command += ["--enable-core-metadata"]
    base = f"http://127.0.0.1:{port}"
    with processes.running(command, directory, environment, ready_url=base + "/+api") as pid:
        login = _ask(base + "/+login", "POST", {"user": "root", "password": ""}, "")
        mirror = {
            "type": "mirror",
            "mirror_url": index_url,
            "mirror_provides_core_metadata": True,
        }
        _ask(base + "/root/mirror", "PUT", mirror, str(login["result"]["password"]))
        yield Target("devpi", base, pid, "/root/mirror/+simple/")


def _program(name: str) -> str:
    program = ENVIRONMENT / "bin" / name
    if not program.exists():
        raise TargetError("not installed")
    return str(program)


def _ask(url: str, method: str, body: dict[str, Any], token: str) -> Any:
    headers = {"Content-Type": "application/json", "Accept": "application/json"}
    if token:
        headers["X-Devpi-Auth"] = base64.b64encode(f"root:{token}".encode()).decode()
    request = urllib.request.Request(url, json.dumps(body).encode(), headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=processes.START_SECONDS) as answer:
            return json.load(answer)
    except OSError as error:
        raise TargetError(f"devpi: {error}") from error
