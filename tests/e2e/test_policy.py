"""Real clients behind `[policy]`: they take what may be served, and are told what may not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.e2e.clients import installed
from tests.e2e.conftest import MakeClient, MakeDaemon
from tests.e2e.process import DaemonProcess
from tests.fake import DistFile
from tests.fake.threaded import ThreadedFakeUpstream
from tests.fake.wheels import make_wheel

pytestmark = pytest.mark.clients

FRESH_AT = (datetime.now(UTC) - timedelta(days=1)).isoformat()
FRESH = make_wheel("app", "2.0", requires=["lib"], size_bytes=150_000, upload_time=FRESH_AT)


@pytest.fixture
def daemon(upstream: ThreadedFakeUpstream, make_daemon: MakeDaemon) -> DaemonProcess:
    """Return a daemon that holds releases back for a week; app and lib have a fresh one each."""
    upstream.add("app", make_wheel("app", "1.0", requires=["lib"]), FRESH)
    upstream.add("lib", make_wheel("lib", "1.5"), make_wheel("lib", "1.6", upload_time=FRESH_AT))
    return make_daemon(upstream.url, PYPICACHED_POLICY__MIN_AGE="7d").start()


def url_at(daemon: DaemonProcess, upstream: ThreadedFakeUpstream, file: DistFile) -> str:
    """Return where a daemon would serve a file that its page does not list."""
    path = f"/files/pypi/{upstream.url_of(file).removeprefix('http://')}"
    return daemon.simple_url.replace("/simple/", path)


@pytest.mark.parametrize("tool", ["pip", "uv"])
def test_min_age__the_older_release(
    daemon: DaemonProcess, make_client: MakeClient, tmp_path: Path, tool: str
) -> None:
    """A client that knows of no such rule installs the newest release that is old enough."""
    client = make_client(daemon)
    target = ("--target", str(tmp_path / "target"), "app")
    done = client.pip("install", *target) if tool == "pip" else client.uv("pip install", *target)
    assert done.returncode == 0, done.stderr
    assert installed(tmp_path / "target") == {"app": "1.0", "lib": "1.5"}


@pytest.mark.parametrize("tool", ["pip", "uv"])
def test_min_age__pinned_by_url(
    daemon: DaemonProcess,
    upstream: ThreadedFakeUpstream,
    make_client: MakeClient,
    tmp_path: Path,
    tool: str,
) -> None:
    """A lock file that has the fresh release's own address is refused, in the client's output."""
    locked = tmp_path / "locked.txt"
    address = url_at(daemon, upstream, FRESH)
    locked.write_text(f"app @ {address} --hash=sha256:{FRESH.sha256}\n")
    line = ("-r", str(locked), "--no-deps", "--target", str(tmp_path / "target"))
    client = make_client(daemon)
    done = client.pip("install", *line) if tool == "pip" else client.uv("pip install", *line)
    assert done.returncode != 0
    assert "held back by [policy] min_age until" in done.stderr
    assert installed(tmp_path / "target") == {}
    assert daemon.blobs_of(len(FRESH.body)) == []


@pytest.mark.parametrize("tool", ["pip", "uv"])
def test_min_age__pinned_by_version(
    daemon: DaemonProcess, make_client: MakeClient, tmp_path: Path, tool: str
) -> None:
    """A lock file that has its version finds none, and `explain` says why."""
    line = ("app==2.0", "--target", str(tmp_path / "target"))
    client = make_client(daemon)
    done = client.pip("install", *line) if tool == "pip" else client.uv("pip install", *line)
    assert done.returncode != 0
    assert "app==2.0" in done.stderr
    (file,) = daemon.ask("explain", "app==2.0")["files"]
    assert (file["listed"], file["rule"]) == (False, "min_age")


@pytest.mark.parametrize("tool", ["pip", "uv"])
def test_deny__a_project(
    upstream: ThreadedFakeUpstream,
    make_daemon: MakeDaemon,
    make_client: MakeClient,
    tmp_path: Path,
    tool: str,
) -> None:
    """A denied project is a 403 of which its index never hears."""
    upstream.add("app", make_wheel("app", "1.0", requires=["evil"]))
    upstream.add("evil", make_wheel("evil", "1.0"))
    daemon = make_daemon(upstream.url, PYPICACHED_POLICY__DENY="evil").start()
    client, line = make_client(daemon), ("app", "--target", str(tmp_path / "target"))
    done = client.pip("install", *line) if tool == "pip" else client.uv("pip install", *line)
    assert done.returncode != 0
    # pip tells no status of a page.
    assert ("for evil" if tool == "pip" else "403 Forbidden") in done.stderr
    assert upstream.count("*evil*") == 0
    assert b'pypicached_refusals_total{rule="deny"}' in daemon.get("/metrics")[1]
