"""Locks made by the real uv are warmed, and then installed with the upstream gone."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.clients import installed
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
