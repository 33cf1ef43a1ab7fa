"""What every tool with a lock file has to be able to do through a real daemon.

`test_poetry.py` and its like say how a tool is used; the tests are here, the same for all. The
upstream is also the tools' proxy, so that its record holds whatever they ask past the daemon.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import ClassVar, Literal

import pytest

from tests.e2e.conftest import MakeDaemon, publish_tree
from tests.e2e.process import DaemonProcess
from tests.e2e.tools import MakeWorkplace, Workplace
from tests.fake.threaded import ThreadedFakeUpstream
from tests.fake.wheels import make_wheel
from tests.s3.servers import Endpoint, new_bucket

STYLES = pytest.mark.parametrize("style", ["json", "html"])
Style = Literal["json", "html"]


class LockingTool:
    """How one tool is used; a subclass named `Test…` runs the tests below for it."""

    name: str
    lock_command: tuple[str, ...]
    install_command: tuple[str, ...]
    lock_filename: str
    environment: ClassVar[dict[str, str]]

    def write_project(self, directory: Path, requirement: str) -> None:
        """Write the project file of somebody who needs `requirement`."""
        raise NotImplementedError

    def locked_hashes(self, lock: str) -> dict[str, set[str]]:
        """Return project → hashes (`sha256:…`) that the text of a lock file has."""
        raise NotImplementedError

    # ── set-up ───────────────────────────────────────────────────────────────────────────────

    @pytest.fixture
    def make_workplace(self, tmp_path: Path, upstream: ThreadedFakeUpstream) -> MakeWorkplace:
        """Return a maker of projects that need `app`, set up by the recipe for this tool."""
        made: list[Workplace] = []

        def make(daemon: DaemonProcess) -> Workplace:
            home = tmp_path / f"home-{len(made)}"
            made.append(Workplace(home, self.name, upstream.pages_origin, **self.environment))
            made[-1].follow(daemon.command("client", self.name).stdout)
            self.write_project(made[-1].directory, "app")
            return made[-1]

        return make

    def lock(self, workplace: Workplace) -> str:
        """Make the lock file, which has to succeed, and return its text."""
        done = workplace.run(*self.lock_command)
        assert done.returncode == 0, done.stdout + done.stderr
        return (workplace.directory / self.lock_filename).read_text()

    def install(self, workplace: Workplace) -> bool:
        """Install what the lock file says; return whether that succeeded."""
        return workplace.run(*self.install_command).returncode == 0

    # ── rules ────────────────────────────────────────────────────────────────────────────────

    @STYLES
    def test_lock__second_host_asks_no_upstream(
        self,
        style: Style,
        upstream: ThreadedFakeUpstream,
        daemon: DaemonProcess,
        make_workplace: MakeWorkplace,
    ) -> None:
        """What one host locked and installed, one without any cache does again from our cache."""
        upstream.dialect.style = style
        expected = publish_tree(upstream)
        first, second = make_workplace(daemon), make_workplace(daemon)
        lock = self.lock(first)
        assert (self.install(first), first.installed()) == (True, expected)
        counted, arrived = daemon.upstream_requests(), len(upstream.requests)
        assert counted == arrived
        assert self.lock(second) == lock
        assert (self.install(second), second.installed()) == (True, expected)
        assert (daemon.upstream_requests(), len(upstream.requests)) == (counted, arrived)

    @STYLES
    def test_lock__hashes_of_upstream(
        self,
        style: Style,
        upstream: ThreadedFakeUpstream,
        daemon: DaemonProcess,
        make_workplace: MakeWorkplace,
    ) -> None:
        """A lock file has upstream's own hashes, and our address nowhere."""
        upstream.dialect.style = style
        wheel = make_wheel("app", "1.0", requires=["lib"], size_bytes=100_000)
        needed = make_wheel("lib", "2.0")
        upstream.add("app", wheel)
        upstream.add("lib", needed)
        lock = self.lock(make_workplace(daemon))
        expected = {"app": {f"sha256:{wheel.sha256}"}, "lib": {f"sha256:{needed.sha256}"}}
        assert self.locked_hashes(lock) == expected
        assert "127.0.0.1" not in lock

    @STYLES
    def test_install__upstream_gone_after_warm_up(
        self,
        style: Style,
        upstream: ThreadedFakeUpstream,
        make_daemon: MakeDaemon,
        make_workplace: MakeWorkplace,
    ) -> None:
        """With the upstream gone and every page expired, what is cached is locked and installed."""
        upstream.dialect.style = style
        expected = publish_tree(upstream)
        daemon = make_daemon(upstream.url, PYPICACHED_CACHE__PAGE_TTL="0").start()
        first, second = make_workplace(daemon), make_workplace(daemon)
        lock = self.lock(first)
        assert self.install(first)
        daemon.settle()
        upstream.down()
        assert self.lock(second) == lock
        assert (self.install(second), second.installed()) == (True, expected)

    @STYLES
    def test_install__wrong_bytes_upstream(
        self,
        style: Style,
        upstream: ThreadedFakeUpstream,
        daemon: DaemonProcess,
        make_workplace: MakeWorkplace,
    ) -> None:
        """A file that does not match its digest is never installed nor kept; a right one is."""
        upstream.dialect.style = style
        wheel = make_wheel("app", "1.0", size_bytes=300_000)
        upstream.add("app", wheel)
        workplace = make_workplace(daemon)
        self.lock(workplace)
        # A lock may have cost the wheel, and what is cached already is right.
        daemon.ask("prune", "--days", "0")
        upstream.fault("*.whl", "wrong_bytes")
        assert (self.install(workplace), workplace.installed()) == (False, {})
        assert daemon.blobs_of(len(wheel.body)) == []
        assert "did not match" in "".join(daemon.ask("status")["problems"])
        upstream.heal()
        assert (self.install(workplace), workplace.installed()) == (True, {"app": "1.0"})

    def test_lock__min_age(
        self,
        upstream: ThreadedFakeUpstream,
        make_daemon: MakeDaemon,
        make_workplace: MakeWorkplace,
    ) -> None:
        """Behind a minimum age the older release is locked; a lock of the fresh one is refused."""
        yesterday = (datetime.now(UTC) - timedelta(days=1)).isoformat()
        fresh = make_wheel("app", "2.0", size_bytes=100_000, upload_time=yesterday)
        upstream.add("app", make_wheel("app", "1.0"), fresh)
        lock = self.lock(make_workplace(make_daemon(upstream.url).start()))
        assert self.locked_hashes(lock) == {"app": {f"sha256:{fresh.sha256}"}}
        strict = make_daemon(upstream.url, PYPICACHED_POLICY__MIN_AGE="7d").start()
        careful, hasty = make_workplace(strict), make_workplace(strict)
        assert self.lock(careful) != lock
        assert (self.install(careful), careful.installed()) == (True, {"app": "1.0"})
        (hasty.directory / self.lock_filename).write_text(lock)
        done = hasty.run(*self.install_command)
        assert (done.returncode != 0, hasty.installed()) == (True, {})
        assert "app" in done.stdout + done.stderr
        assert strict.blobs_of(len(fresh.body)) == []

    async def test_install__from_a_shared_store(
        self,
        upstream: ThreadedFakeUpstream,
        make_daemon: MakeDaemon,
        make_workplace: MakeWorkplace,
        moto: Endpoint,
    ) -> None:
        """A tool that is sent to the bucket follows, locks the same hashes and installs."""
        expected = publish_tree(upstream)
        async with new_bucket(moto) as bucket:
            settings = moto.environment(bucket._client.bucket)
        settings["PYPICACHED_STORE__S3__SERVE"] = "redirect"
        daemon = make_daemon(upstream.url, **settings).start()
        lock = self.lock(make_workplace(daemon))
        daemon.ask("warm", "app")
        daemon.wait_uploaded(len(expected))
        (path,) = [path for name, path in daemon.file_paths("lib").items() if "2.1" in name]
        assert daemon.get(path)[0] == 302
        arrived = len(upstream.requests)
        workplace = make_workplace(daemon)
        assert self.lock(workplace) == lock
        assert (self.install(workplace), workplace.installed()) == (True, expected)
        assert len(upstream.requests) == arrived

    @STYLES
    def test_warm__the_lock_is_enough(
        self,
        style: Style,
        upstream: ThreadedFakeUpstream,
        make_daemon: MakeDaemon,
        make_workplace: MakeWorkplace,
    ) -> None:
        """What a lock was warmed for installs from it with the upstream gone, on an empty cache."""
        upstream.dialect.style = style
        expected = publish_tree(upstream)
        lock = self.lock(make_workplace(make_daemon(upstream.url).start()))
        daemon = make_daemon(upstream.url).start()
        workplace = make_workplace(daemon)
        path = workplace.directory / self.lock_filename
        path.write_text(lock)
        document = daemon.ask("warm", "--lock", str(path))
        assert {item["outcome"] for item in document["items"]} == {"fetched"}
        upstream.down()
        assert (self.install(workplace), workplace.installed()) == (True, expected)
