"""Plans from the real PyPI's pages and metadata, through a daemon, and pip's for the same."""

from __future__ import annotations

from pathlib import Path

import aiohttp
import pytest

from pypicached.warm.plan import Job
from pypicached.warm.resolver import run_resolver
from pypicached.warm.targets import host_target
from tests.e2e.clients import Client
from tests.e2e.process import DaemonProcess
from tests.warm.http import HttpSource
from tests.warm.pip import reported
from tests.warm.shelf import wish

pytestmark = [pytest.mark.live, pytest.mark.timeout(600)]

SETS = [
    ["flask", "requests[socks]<2.32", "pytest>=7,<8"],
    ["fastapi[standard]", "sqlalchemy[asyncio]", "httpx[http2]"],
    ["jupyterlab", "ipykernel<6.29"],
    # Two that are seldom content with the same version of a third.
    ["boto3", "aiobotocore<2.12", "s3fs"],
    ["black", "mypy", "ruff", "pre-commit", "sphinx<7.2", "docutils<0.20"],
]


@pytest.mark.parametrize("wishes", SETS, ids=lambda wishes: wishes[0])
async def test_plan__of_pypi(wishes: list[str], live_daemon: DaemonProcess, tmp_path: Path) -> None:
    """What is planned is, to the file, what pip would install."""
    job = Job(
        targets=(host_target(),),
        wishes=tuple(wish(text, line) for line, text in enumerate(wishes, 1)),
        only_binary=(":all:",),
    )
    async with aiohttp.ClientSession() as session:
        (plan,) = await run_resolver(job, HttpSource(session, live_daemon.simple_url, tmp_path))
    client = Client(tmp_path / "home", live_daemon.simple_url, seconds=300.0)
    done = client.pip(
        "install --dry-run --ignore-installed --only-binary=:all: --quiet",
        f"--report={tmp_path / 'report.json'}",
        *wishes,
    )
    assert done.returncode == 0, done.stderr
    ours = {item.project: item.file.filename for item in plan.items}
    assert (ours, plan.problems) == (reported(tmp_path / "report.json"), ())
