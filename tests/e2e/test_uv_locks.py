"""Locks made by the real uv are warmed, and then installed with the upstream gone."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from pypicached.cli.address import parse_address
from pypicached.cli.recipes import build_recipe
from tests.e2e.clients import UV, installed
from tests.e2e.conftest import MakeClient, publish_tree
from tests.e2e.process import DaemonProcess
from tests.fake.threaded import ThreadedFakeUpstream

pytestmark = pytest.mark.clients

PROJECT = """
[project]
name = "mine"
version = "1"
requires-python = ">=3.11"
dependencies = ["app"]

[tool.uv]
package = false
"""
# uv's own, which it need not fetch.
_BACKEND = """
[build-system]
requires = ["uv_build"]
build-backend = "uv_build"
"""


@pytest.mark.parametrize("name", ["uv.lock", "pylock.toml"])
def test_warm__a_lock_of_uv(
    upstream: ThreadedFakeUpstream,
    daemon: DaemonProcess,
    make_client: MakeClient,
    tmp_path: Path,
    name: str,
) -> None:
    """Exactly the files of the lock are brought, and uv installs from them alone."""
    expected = publish_tree(upstream)
    project = tmp_path / "project"
    project.mkdir()
    (project / "pyproject.toml").write_text(PROJECT)
    maker = make_client(daemon)
    assert maker.uv("lock", "--directory", str(project)).returncode == 0
    lock = project / name
    if name == "pylock.toml":
        done = maker.uv("export", "--format=pylock.toml", f"-o={lock}", "--directory", str(project))
        assert done.returncode == 0, done.stderr
    daemon.ask("prune", "--days", "0")
    document = daemon.ask("warm", "--lock", str(lock))
    assert {item["outcome"] for item in document["items"]} == {"fetched"}
    assert len(document["items"]) == len(expected)
    assert daemon.command("warm", "--lock", str(lock), "--check").returncode == 0
    upstream.down()
    client = make_client(daemon)
    if name == "uv.lock":
        done = client.uv("sync", "--frozen", "--directory", str(project))
        (target,) = (project / ".venv").glob("lib/python*/site-packages")
    else:
        target = tmp_path / "target"
        done = client.uv("pip install", "--target", str(target), "-r", str(lock))
    assert done.returncode == 0, done.stderr
    assert installed(target) == expected


def test_recipe__a_committed_lock(
    upstream: ThreadedFakeUpstream, daemon: DaemonProcess, make_client: MakeClient, tmp_path: Path
) -> None:
    """What `client uv` recommends installs all of it through the cache, and leaves the lock.

    The lock was made against the index itself, as before there was a cache.
    """
    expected = publish_tree(upstream)
    project = tmp_path / "project"
    (project / "src/mine").mkdir(parents=True)
    (project / "src/mine/__init__.py").touch()
    (project / "pyproject.toml").write_text(PROJECT.partition("[tool.uv]")[0] + _BACKEND)
    client = make_client(daemon)
    own = {
        "PATH": f"{UV.parent}:{client.environment['PATH']}",
        "UV_PYTHON_DOWNLOADS": "never",
        # Each command has to fetch what it needs.
        "UV_NO_CACHE": "1",
    }

    def run(index: str, *lines: str) -> None:
        done = subprocess.run(
            ["/bin/bash", "-e", "-c", "\n".join(lines)],
            env=client.environment | own | {"UV_DEFAULT_INDEX": index},
            cwd=project, capture_output=True, text=True, check=False, timeout=50,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr

    run(upstream.url, "uv lock")
    committed, asked = (project / "uv.lock").read_bytes(), len(upstream.requests)
    recipe = re.findall("^# +(uv .*)$", build_recipe("uv", parse_address(daemon.url), {}), re.M)
    assert len(recipe) == 4
    run(daemon.simple_url, *recipe[:-1], recipe[-1].replace("COMMAND", "python -c 'import mine'"))
    (target,) = (project / ".venv").glob("lib/python*/site-packages")
    assert installed(target) == expected | {"mine": "1"}
    assert (project / "uv.lock").read_bytes() == committed
    assert len(upstream.requests) - asked == daemon.upstream_requests()
