"""A cache on each host, in front of one that they share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.clients import installed
from tests.e2e.conftest import MakeClient, MakeDaemon, publish_tree
from tests.e2e.process import DaemonProcess
from tests.fake.threaded import ThreadedFakeUpstream

pytestmark = pytest.mark.clients


def test_shared__own_cache_outlives_it(
    daemon: DaemonProcess,
    upstream: ThreadedFakeUpstream,
    make_daemon: MakeDaemon,
    make_client: MakeClient,
    tmp_path: Path,
) -> None:
    """Clients install through both, and through their own alone when the shared one is down."""
    expected = publish_tree(upstream)
    own = make_daemon(daemon.simple_url).start()
    done = make_client(own).pip("install", "--target", str(tmp_path / "one"), "app")
    assert (done.returncode, installed(tmp_path / "one")) == (0, expected), done.stderr
    asked = len(upstream.requests)
    assert daemon.stop() == 0
    done = make_client(own).uv("pip install", "--target", str(tmp_path / "two"), "app")
    assert (done.returncode, installed(tmp_path / "two")) == (0, expected), done.stderr
    assert len(upstream.requests) == asked
