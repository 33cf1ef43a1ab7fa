"""`pypicached warm` of real requirements, and then nobody is asked for any target."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.e2e.clients import Client
from tests.e2e.process import DaemonProcess

pytestmark = [pytest.mark.live, pytest.mark.timeout(900)]

REQUIREMENTS = """
aiohttp alembic attrs beautifulsoup4 black boto3 celery click cryptography django fastapi flask
gunicorn httpx jinja2 jsonschema lxml mypy numpy packaging pandas paramiko pillow psutil
pydantic pytest pyyaml redis requests[socks] rich ruff setuptools sqlalchemy toml tox tqdm
typer uvicorn[standard] werkzeug wheel
"""
# pip's own names of what the friendly ones stand for, best first.
PLATFORMS = {
    f"linux-{machine}": [
        *(f"manylinux_2_{minor}_{machine}" for minor in range(40, 16, -1)),
        f"manylinux2014_{machine}",
    ]
    for machine in ("x86_64", "aarch64")
}
PYTHONS = ("3.11", "3.13")


def test_warm__then_offline_for_every_target(live_daemon: DaemonProcess, tmp_path: Path) -> None:
    """40 requirements for two Pythons and two platforms: pip has all of it with nobody asked."""
    path = tmp_path / "requirements.txt"
    path.write_text(REQUIREMENTS.replace(" ", "\n"))
    targets = [f"--python={python}" for python in PYTHONS]
    targets += [f"--platform={name}" for name in PLATFORMS]
    document = tmp_path / "warm.json"
    done = live_daemon.begin("warm", "-r", str(path), *targets, "--json")
    out, error = done.communicate(timeout=600)
    document.write_text(out)
    wrong = [i for i in json.loads(out)["items"] if i["outcome"] not in ("fetched", "cached")]
    assert (done.returncode, wrong) == (0, []), error
    live_daemon.ask("offline", "on")
    for python in PYTHONS:
        for name, tags in PLATFORMS.items():
            client = Client(tmp_path / f"{python}-{name}", live_daemon.simple_url, seconds=600)
            platforms = [f"--platform={tag}" for tag in tags]
            got = client.pip(
                "download",
                *("--only-binary=:all:", f"--python-version={python}", *platforms),
                *("--quiet", "--dest", str(tmp_path / "wheels"), "-r", str(path)),
            )
            assert got.returncode == 0, got.stderr
