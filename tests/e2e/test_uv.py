"""The real uv through a real daemon."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest

from tests.e2e.clients import UV, installed
from tests.e2e.conftest import MakeClient, MakeDaemon, publish_tree
from tests.e2e.process import DaemonProcess
from tests.fake.threaded import ThreadedFakeUpstream
from tests.fake.wheels import make_sdist, make_wheel

pytestmark = [
    pytest.mark.clients,
    pytest.mark.skipif(not UV.exists(), reason="uv is not in this environment"),
]


@pytest.mark.parametrize("style", ["json", "html"])
def test_uv_install__second_host_asks_no_upstream(
    style: Literal["json", "html"],
    upstream: ThreadedFakeUpstream,
    daemon: DaemonProcess,
    make_client: MakeClient,
    tmp_path: Path,
) -> None:
    """What one client installed, another one without any cache installs from the cache alone."""
    upstream.dialect.style = style
    expected = publish_tree(upstream)
    first = make_client(daemon).uv("pip install", "--target", str(tmp_path / "one"), "app")
    assert (first.returncode, installed(tmp_path / "one")) == (0, expected), first.stderr
    counted, arrived = daemon.upstream_requests(), len(upstream.requests)
    assert counted == arrived
    second = make_client(daemon).uv("pip install", "--target", str(tmp_path / "two"), "app")
    assert (second.returncode, installed(tmp_path / "two")) == (0, expected), second.stderr
    assert (daemon.upstream_requests(), len(upstream.requests)) == (counted, arrived)


def test_uv_install__after_pip(
    upstream: ThreadedFakeUpstream, daemon: DaemonProcess, make_client: MakeClient, tmp_path: Path
) -> None:
    """What pip brought into the cache, uv installs without a file from upstream."""
    expected = publish_tree(upstream)
    make_client(daemon).pip("install", "--target", str(tmp_path / "one"), "app")
    brought = upstream.count("*.whl")
    done = make_client(daemon).uv("pip install", "--target", str(tmp_path / "two"), "app")
    assert (done.returncode, installed(tmp_path / "two")) == (0, expected), done.stderr
    assert upstream.count("*.whl") == brought == len(expected)


def test_uv_compile__sidecars_and_upstream_hashes(
    upstream: ThreadedFakeUpstream, daemon: DaemonProcess, make_client: MakeClient
) -> None:
    """A lock is made from pages and sidecars alone, with upstream's own hashes in it."""
    expected = publish_tree(upstream)
    extra = make_wheel("alpha", "1.0", size_bytes=100_000)
    upstream.add("alpha", extra)
    client = make_client(daemon)
    wanted = Path(client.environment["HOME"]) / "wanted.in"
    wanted.write_text("app\nalpha\n")
    done = client.uv("pip compile", "--generate-hashes", "--no-header", str(wanted))
    assert done.returncode == 0, done.stderr
    locked = {line.split("==")[0] for line in done.stdout.splitlines() if "==" in line}
    assert locked == {name.replace("_", "-") for name in expected} | {"alpha"}
    assert f"--hash=sha256:{extra.sha256}" in done.stdout
    assert upstream.count("*.whl") == 0


def test_uv_install__hash_checking_mode(
    upstream: ThreadedFakeUpstream, daemon: DaemonProcess, make_client: MakeClient, tmp_path: Path
) -> None:
    """The bytes that leave are those that upstream's hashes were written down for."""
    wheel = make_wheel("alpha", "1.0", size_bytes=200_000)
    upstream.add("alpha", wheel)
    locked = tmp_path / "locked.txt"
    locked.write_text(f"alpha==1.0 --hash=sha256:{wheel.sha256}\n")
    for number in range(2):  # cold, then stored
        target = tmp_path / f"target-{number}"
        done = make_client(daemon).uv(
            "pip install", "--require-hashes", "-r", str(locked), "--target", str(target)
        )
        assert (done.returncode, installed(target)) == (0, {"alpha": "1.0"}), done.stderr


def test_uv_install__sdist_and_only_binary(
    upstream: ThreadedFakeUpstream, daemon: DaemonProcess, make_client: MakeClient, tmp_path: Path
) -> None:
    """A newer sdist is built and installed, unless only wheels are wanted."""
    upstream.add("alpha", make_wheel("alpha", "1.0"), make_sdist("alpha", "2.0"))
    for options, version in ((["--only-binary", ":all:"], "1.0"), ([], "2.0")):
        target = tmp_path / version
        done = make_client(daemon).uv("pip install", *options, "--target", str(target), "alpha")
        assert (done.returncode, installed(target)) == (0, {"alpha": version}), done.stderr


def test_uv_install__yanked_and_requires_python(
    upstream: ThreadedFakeUpstream, daemon: DaemonProcess, make_client: MakeClient, tmp_path: Path
) -> None:
    """A yanked release and one for another Python are passed over; the first is told when asked."""
    upstream.add("alpha", make_wheel("alpha", "1.0"))
    upstream.add("alpha", make_wheel("alpha", "1.1", yanked="it eats homework"))
    # On the page alone: else the client would find it in the wheel as well.
    upstream.add("alpha", replace(make_wheel("alpha", "1.2"), requires_python=">=4"))
    client = make_client(daemon)
    done = client.uv("pip install", "--target", str(tmp_path / "best"), "alpha")
    assert installed(tmp_path / "best") == {"alpha": "1.0"}, done.stderr
    done = client.uv("pip install", "--target", str(tmp_path / "yanked"), "alpha==1.1")
    assert installed(tmp_path / "yanked") == {"alpha": "1.1"}, done.stderr
    assert "it eats homework" in done.stderr


def test_uv_install__exclude_newer(
    upstream: ThreadedFakeUpstream, daemon: DaemonProcess, make_client: MakeClient, tmp_path: Path
) -> None:
    """Upload times pass through, so that a client's own cool-down holds newer releases back."""
    upstream.add("alpha", make_wheel("alpha", "1.0", upload_time="2024-01-01T00:00:00Z"))
    upstream.add("alpha", make_wheel("alpha", "2.0", upload_time="2024-06-01T00:00:00.5Z"))
    done = make_client(daemon).uv(
        "pip install", "--exclude-newer", "2024-03-01", "--target", str(tmp_path / "t"), "alpha"
    )
    assert installed(tmp_path / "t") == {"alpha": "1.0"}, done.stderr


@pytest.mark.parametrize("page_ttl", ["10m", "0"])
def test_uv_install__upstream_gone_after_warm_up(
    page_ttl: str,
    upstream: ThreadedFakeUpstream,
    make_daemon: MakeDaemon,
    make_client: MakeClient,
    tmp_path: Path,
) -> None:
    """With the upstream gone, fresh and expired pages alike install what is cached."""
    expected = publish_tree(upstream)
    daemon = make_daemon(upstream.url, PYPICACHED_CACHE__PAGE_TTL=page_ttl).start()
    make_client(daemon).uv("pip install", "--target", str(tmp_path / "one"), "app")
    upstream.down()
    done = make_client(daemon).uv("pip install", "--target", str(tmp_path / "two"), "app")
    assert (done.returncode, installed(tmp_path / "two")) == (0, expected), done.stderr


def test_uv_install__upstream_gone_and_project_unknown(
    upstream: ThreadedFakeUpstream, daemon: DaemonProcess, make_client: MakeClient, tmp_path: Path
) -> None:
    """uv shows our reason, takes nothing from elsewhere, and succeeds once upstream is back."""
    upstream.add("alpha", make_wheel("alpha", "1.0"))
    upstream.down()
    arguments = ("--target", str(tmp_path / "target"), "alpha")
    done = make_client(daemon, UV_HTTP_RETRIES="0").uv("pip install", *arguments)
    assert (done.returncode != 0, installed(tmp_path / "target")) == (True, {})
    assert "503" in done.stderr
    assert "index pypi: " in done.stderr
    upstream.up()
    # Its own retries outlast the pause in which a failing host is not asked.
    done = make_client(daemon).uv("pip install", *arguments)
    assert (done.returncode, installed(tmp_path / "target")) == (0, {"alpha": "1.0"}), done.stderr


@pytest.mark.parametrize("size_bytes", [3_000, 300_000])
def test_uv_install__wrong_bytes_upstream(
    size_bytes: int,
    upstream: ThreadedFakeUpstream,
    daemon: DaemonProcess,
    make_client: MakeClient,
    tmp_path: Path,
) -> None:
    """A file that does not match its digest is never installed nor kept; a right one is."""
    wheel = make_wheel("alpha", "1.0", size_bytes=size_bytes)
    upstream.add("alpha", wheel)
    upstream.fault("*.whl", "wrong_bytes")
    client = make_client(daemon, UV_HTTP_RETRIES="0")
    arguments = ("--target", str(tmp_path / "target"), "alpha")
    done = client.uv("pip install", *arguments)
    assert (done.returncode != 0, installed(tmp_path / "target")) == (True, {}), done.stderr
    assert daemon.blobs_of(len(wheel.body)) == []
    assert "did not match" in "".join(daemon.ask("status")["problems"])
    upstream.heal()
    done = client.uv("pip install", *arguments)
    assert (done.returncode, installed(tmp_path / "target")) == (0, {"alpha": "1.0"}), done.stderr
