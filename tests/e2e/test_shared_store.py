"""Real clients behind a daemon that sends them to a bucket, and a daemon whose bucket goes away."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from tests.e2e.clients import UV, installed
from tests.e2e.conftest import MakeClient, MakeDaemon, publish_tree
from tests.e2e.process import DaemonProcess
from tests.fake.threaded import ThreadedFakeUpstream
from tests.s3.servers import Endpoint, new_bucket

pytestmark = pytest.mark.clients


@pytest.fixture
async def bucket(moto: Endpoint) -> str:
    """Return the name of an empty bucket."""
    async with new_bucket(moto) as made:
        return made._client.bucket


def drain(daemon: DaemonProcess) -> None:
    """Wait until nothing waits for the bucket."""
    deadline = time.monotonic() + 20
    while daemon.ask("status")["store"]["waiting_files"]:
        assert time.monotonic() < deadline, daemon.log
        time.sleep(0.05)


@pytest.mark.parametrize(
    "tool",
    [
        "pip",
        pytest.param(
            "uv", marks=pytest.mark.skipif(not UV.exists(), reason="uv is not in this environment")
        ),
    ],
)
@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_shared_store__clients_follow_redirects(
    upstream: ThreadedFakeUpstream,
    make_daemon: MakeDaemon,
    make_client: MakeClient,
    moto: Endpoint,
    bucket: str,
    tmp_path: Path,
    tool: str,
    status: int,
) -> None:
    """pip and uv install what they are sent to the bucket for, verified as ever."""
    expected = publish_tree(upstream)
    daemon = make_daemon(
        upstream.url,
        **moto.environment(bucket),
        PYPICACHED_STORE__S3__SERVE="redirect",
        PYPICACHED_STORE__S3__REDIRECT_STATUS=str(status),
    ).start()
    first = make_client(daemon).pip("install", "--target", str(tmp_path / "one"), "app")
    assert (first.returncode, installed(tmp_path / "one")) == (0, expected), first.stderr
    drain(daemon)
    counted = len(upstream.requests)
    client = make_client(daemon)
    install = client.pip if tool == "pip" else client.uv
    command = "install" if tool == "pip" else "pip install"
    second = install(command, "--target", str(tmp_path / "two"), "app")
    assert (second.returncode, installed(tmp_path / "two")) == (0, expected), second.stderr
    assert len(upstream.requests) == counted
    (path,) = [p for name, p in daemon.file_paths("lib").items() if "2.1" in name]
    assert daemon.get(path)[0] == status


def test_shared_store__killed_before_the_upload(
    upstream: ThreadedFakeUpstream, make_daemon: MakeDaemon, moto: Endpoint, bucket: str
) -> None:
    """What was cached while the bucket was away is put there by the next process, after a kill."""
    publish_tree(upstream)
    settings = moto.environment(bucket)
    away = {**settings, "PYPICACHED_STORE__S3__ENDPOINT_URL": "http://127.0.0.1:9"}
    daemon = make_daemon(upstream.url, **settings)
    daemon.environment.update(away)
    daemon.start()
    daemon.fetch("lib")
    daemon.settle()
    status = daemon.ask("status")
    assert status["store"]["waiting_files"] == 3
    daemon.stop(signal.SIGKILL)
    daemon.environment.update(settings)
    daemon.start()
    drain(daemon)
    assert daemon.ask("status")["store"]["uploaded_files"] == 3
