"""What the real pip and uv make of a download that our daemon breaks off in the middle."""

from __future__ import annotations

import signal
import subprocess
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.e2e.clients import UV, Client, installed, pip_version
from tests.e2e.process import DaemonProcess
from tests.fake.threaded import ThreadedFakeUpstream
from tests.fake.wheels import make_wheel

WHEEL = make_wheel("alpha", "1.0", size_bytes=3_000_000)
HALF = 1_500_000
# Three resumed transfers in a row without a new byte, and the daemon gives a download up.
VAIN_ATTEMPTS = 3


class WatchedClient(Client):
    """A client that tells as soon as the head of a file's answer has come."""

    def __init__(self, home: Path, index_url: str) -> None:
        super().__init__(home, index_url, environment={"PYTHONUNBUFFERED": "1"})
        self.downloading = threading.Event()

    def _run(self, line: list[str], own: dict[str, str]) -> subprocess.CompletedProcess[str]:
        with subprocess.Popen(
            line,
            env=own | self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=self.home,
        ) as process:
            assert process.stdout is not None
            said = []
            for text in process.stdout:
                said.append(text)
                if "Downloading" in text:
                    self.downloading.set()
        return subprocess.CompletedProcess(line, process.returncode, "".join(said))


Install = Callable[[Client, Path], subprocess.CompletedProcess[str]]


def by_pip(client: Client, target: Path) -> subprocess.CompletedProcess[str]:
    """Install with pip, which asks for the rest of what broke off."""
    done = client.pip("install", "--resume-retries", "5", *locked(target))
    assert "Attempting to resume incomplete download" in done.stdout
    return done


def by_uv(client: Client, target: Path) -> subprocess.CompletedProcess[str]:
    """Install with uv, which begins anew."""
    return client.uv("pip install", *locked(target))


def locked(target: Path) -> list[str]:
    """Return the options that install exactly `WHEEL` into `target`."""
    path = target.with_suffix(".txt")
    path.write_text(f"alpha==1.0 --hash=sha256:{WHEEL.sha256}\n")
    return ["--require-hashes", "-r", str(path), "--target", str(target)]


OLD_PIP = pytest.mark.skipif(pip_version() < (25, 1), reason="pip resumes from 25.1")
NO_UV = pytest.mark.skipif(not UV.exists(), reason="uv is not in this environment")
pytestmark = [
    pytest.mark.clients,
    pytest.mark.parametrize(
        "install", [pytest.param(by_pip, marks=OLD_PIP), pytest.param(by_uv, marks=NO_UV)]
    ),
]


def test_resume__upstream_breaks_off_for_good(
    install: Install, upstream: ThreadedFakeUpstream, daemon: DaemonProcess, tmp_path: Path
) -> None:
    """A client that we had to cut off, since upstream failed for good, has its file at last."""
    upstream.add("alpha", WHEEL)
    upstream.fault("*.whl", "close_after", times=1, n=HALF)
    upstream.fault("*.whl", "close_after", times=VAIN_ATTEMPTS, n=0)
    client = WatchedClient(tmp_path / "home", daemon.simple_url)
    done = install(client, tmp_path / "target")
    assert (done.returncode, installed(tmp_path / "target")) == (0, {"alpha": "1.0"}), done.stdout
    assert "broke off its answer" in daemon.log
    # What it had of the download that it gave up is not kept.
    assert upstream.count("*.whl") == 1 + VAIN_ATTEMPTS + 1


def test_resume__daemon_killed(
    install: Install, upstream: ThreadedFakeUpstream, daemon: DaemonProcess, tmp_path: Path
) -> None:
    """A client whose daemon is killed in the middle has its file once a new one runs there."""
    upstream.add("alpha", WHEEL)
    gate = upstream.hold("*.whl", after_bytes=HALF)
    client = WatchedClient(tmp_path / "home", daemon.simple_url)
    with ThreadPoolExecutor(1) as thread:
        running = thread.submit(install, client, tmp_path / "target")
        gate.wait_reached()
        assert client.downloading.wait(10)
        daemon.stop(signal.SIGKILL)
        upstream.heal()
        # The address that the client was given.
        daemon.environment["PYPICACHED_SERVER__LISTEN"] = daemon.url.removeprefix("http://")
        daemon.start()
        done = running.result()
    assert (done.returncode, installed(tmp_path / "target")) == (0, {"alpha": "1.0"}), done.stdout
    assert upstream.count("*.whl") == 2
