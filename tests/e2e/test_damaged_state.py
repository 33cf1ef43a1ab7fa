"""A daemon on a damaged directory or ledger: it serves and says so, or says why it cannot start.

Root reads what it may not, so the daemon runs without that capability (capabilities(7)), as its own
user would.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import MakeDaemon
from tests.e2e.disks import SmallDisk, small_disk
from tests.e2e.process import DaemonProcess
from tests.fake.threaded import ThreadedFakeUpstream
from tests.fake.wheels import make_wheel
from tests.ledger.test_opening import spoil_index

OBEYING = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]
WITHIN = OBEYING if os.geteuid() == 0 else []
WHEELS = {name: make_wheel(name, "1.0", size_bytes=100_000) for name in ("aa", "bb", "cc")}
Damage = Callable[[Path], object]


@pytest.fixture
def stored(upstream: ThreadedFakeUpstream, make_daemon: MakeDaemon) -> Iterator[DaemonProcess]:
    """Return a daemon that has stored the wheel of `aa`, and was stopped."""
    for name, wheel in WHEELS.items():
        upstream.add(name, wheel)
    daemon = make_daemon(upstream.url).start(within=WITHIN)
    assert_serves(daemon, "aa")
    daemon.settle()
    assert daemon.stop() == 0
    yield daemon
    for path in [daemon.cache, *daemon.cache.rglob("*")]:
        if path.is_dir():
            path.chmod(0o700)


def assert_serves(daemon: DaemonProcess, *names: str) -> None:
    """Clients get what upstream has."""
    for name in names:
        assert daemon.fetch(name) == {WHEELS[name].filename: WHEELS[name].body}


def chmod(where: str, mode: int) -> Damage:
    """Return what takes rights away from all that a pattern names."""

    def change(cache: Path) -> None:
        for path in cache.glob(where):
            path.chmod(mode)

    return change


def replace(where: str, make: Callable[[Path], object]) -> Damage:
    """Return what puts something else in a place."""

    def change(cache: Path) -> None:
        path = cache / where
        shutil.rmtree(path) if path.is_dir() else path.unlink()
        make(path)

    return change


def write(path: Path) -> None:
    """Make a file that is not ours."""
    path.write_text("mine")


def make_newer(cache: Path) -> None:
    """Let the ledger be of a program that is yet to come."""
    with contextlib.closing(sqlite3.connect(cache / "ledger.sqlite")) as db:
        db.execute("PRAGMA user_version = 1000")
        db.commit()


# ── starting all the same ────────────────────────────────────────────────────────────────────

# Damage → (words of `status` or of the log, how often the file is then fetched from upstream).
STARTS: dict[str, tuple[Damage, str, int]] = {
    "ledger missing": (
        lambda cache: (cache / "ledger.sqlite").unlink(),
        "serves on",
        0,
    ),
    "ledger empty": (
        lambda cache: os.truncate(cache / "ledger.sqlite", 0),
        "serves on",
        0,
    ),
    "ledger garbage": (
        lambda cache: (cache / "ledger.sqlite").write_bytes(os.urandom(9000)),
        "was set aside as",
        0,
    ),
    "ledger cut": (
        lambda cache: os.truncate(cache / "ledger.sqlite", 5000),
        "was set aside as",
        0,
    ),
    "ledger newer": (make_newer, "is of a newer version (1000); it was set aside as", 0),
    "log garbage": (
        lambda cache: (cache / "ledger.sqlite-wal").write_bytes(b"x" * 5000),
        "serves on",
        0,
    ),
    "pins a directory": (
        lambda cache: (cache / "pins.txt").mkdir(),
        "cannot be read (Is a directory): nothing is evicted or pruned",
        0,
    ),
    "blob unreadable": (chmod("blobs/sha256/*/*", 0), "cannot be read: Permission denied", 1),
    "blobs gone": (lambda cache: shutil.rmtree(cache / "blobs"), "cannot be used: missing", 1),
    "all gone": (shutil.rmtree, "serves on", 1),
    "blobs unreadable": (chmod("blobs/sha256", 0), "could not keep", 1),
    "shards unreadable": (chmod("blobs/sha256/*", 0), "could not keep", 1),
    "shards read-only": (chmod("blobs/sha256/*", 0o500), "serves on", 0),
    "tmp read-only": (chmod("tmp", 0o500), "serves on", 0),
}


@pytest.mark.parametrize("name", STARTS)
def test_state__starts(upstream: ThreadedFakeUpstream, stored: DaemonProcess, name: str) -> None:
    """It starts, twice, says what it found, and the client gets the right bytes."""
    damage, words, fetched = STARTS[name]
    damage(stored.cache)
    upstream.clear()
    stored.start(within=WITHIN)
    assert_serves(stored, "aa")
    stored.settle()
    assert upstream.count("*.whl") == fetched
    assert words in "\n".join([*stored.ask("status")["problems"], stored.log])
    assert stored.get("/readyz")[0] == 200
    assert stored.stop() == 0
    stored.start(within=WITHIN)
    assert_serves(stored, "aa", "bb")


def test_state__one_directory_unreadable(
    upstream: ThreadedFakeUpstream, stored: DaemonProcess
) -> None:
    """Blobs are taken back from all directories that can be read, whatever one of them is like."""
    stored.start(within=WITHIN)
    assert_serves(stored, "bb", "cc")
    stored.settle()
    assert stored.stop() == 0
    shards = sorted((stored.cache / "blobs" / "sha256").iterdir())
    assert len(shards) == 3
    shards[0].chmod(0)
    (stored.cache / "ledger.sqlite").unlink()
    upstream.clear()
    stored.start(within=WITHIN)
    give_up_at = time.monotonic() + 10.0
    while "took back" not in stored.log and time.monotonic() < give_up_at:
        stored.ask("status")
    assert "took back 2 stored blobs that had no entry" in stored.log
    assert f"Permission denied: '{shards[0]}'" in stored.log
    assert_serves(stored, "aa", "bb", "cc")
    assert upstream.count("*.whl") == 1


def test_state__damage_that_no_start_reads(
    upstream: ThreadedFakeUpstream, stored: DaemonProcess
) -> None:
    """A ledger that proves damaged while it runs serves what it can, and goes at the next start."""
    spoil_index(stored.cache / "ledger.sqlite")
    stored.start(within=WITHIN)
    assert_serves(stored, "aa", "bb")
    problems = "\n".join(stored.ask("status")["problems"])
    assert "malformed; the next start sets it aside and takes the stored files back" in problems
    assert stored.stop() == 1  # it could not write its counters
    upstream.clear()
    stored.start(within=WITHIN)
    assert "was set aside as" in "\n".join(stored.ask("status")["problems"])
    assert_serves(stored, "aa")
    assert upstream.count("*.whl") == 0
    assert stored.stop() == 0


# ── not starting ─────────────────────────────────────────────────────────────────────────────

REFUSES: dict[str, tuple[Damage, str]] = {
    "ledger a directory": (replace("ledger.sqlite", Path.mkdir), "it is no file: move it away"),
    "ledger unreadable": (chmod("ledger.sqlite", 0), "it cannot be read and written: give it to"),
    "ledger read-only": (chmod("ledger.sqlite", 0o400), "it cannot be read and written: give it"),
    "lock a directory": (replace("lock", Path.mkdir), "lock: Is a directory"),
    "blobs a file": (replace("blobs", write), "it is no directory; move away what stands there"),
    "tmp a file": (replace("tmp", write), "it is no directory; move away what stands there"),
    "lists a file": (replace("lists", write), "it is no directory; move away what stands there"),
    "tmp unreadable": (chmod("tmp", 0), "tmp: Permission denied; give all of"),
    "lists unreadable": (chmod("lists", 0), "lists: Permission denied; give all of"),
}


@pytest.mark.parametrize("name", REFUSES)
def test_state__refuses_to_start(stored: DaemonProcess, name: str) -> None:
    """It ends with exit code 1 and one sentence that says where and what to do; all stays."""
    damage, words = REFUSES[name]
    damage(stored.cache)
    before = names_in(stored.cache)
    done = stored.command("serve", within=WITHIN)
    assert (done.returncode, done.stdout) == (1, "")
    (sentence,) = done.stderr.splitlines()
    assert sentence.startswith("pypicached: cannot ")
    assert (str(stored.cache) in sentence, words in sentence) == (True, True), sentence
    assert names_in(stored.cache) == before


def names_in(cache: Path) -> list[str]:
    """Return every name below a directory, but for those that come and go with an attempt."""
    passing = ("lock", "ledger.sqlite-shm", "ledger.sqlite-wal")
    return sorted(str(path) for path in cache.rglob("*") if path.name not in passing)


# ── damage under a running daemon ────────────────────────────────────────────────────────────


def test_state__ledger_locked(stored: DaemonProcess) -> None:
    """Somebody's lock costs what is to be recorded, and no client a wait; it ends by itself."""
    stored.start(within=WITHIN)
    ledger = sqlite3.connect(stored.cache / "ledger.sqlite", isolation_level=None)
    with contextlib.closing(ledger):
        ledger.execute("BEGIN IMMEDIATE")
        began = time.monotonic()
        assert_serves(stored, "aa", "bb", "cc")
        assert "another process has locked it" in "\n".join(stored.ask("status")["problems"])
        assert time.monotonic() - began < 8.0
    assert stored.stop() == 0
    stored.start(within=WITHIN)
    assert stored.ask("status")["problems"] == []


def test_state__ledger_removed(upstream: ThreadedFakeUpstream, stored: DaemonProcess) -> None:
    """It is said at once; the daemon goes on, and its next start takes the files back."""
    stored.start(within=WITHIN)
    (stored.cache / "ledger.sqlite").unlink()
    assert_serves(stored, "aa", "bb")
    stored.settle()
    (problem,) = stored.ask("status")["problems"]
    assert "was removed or replaced under the running daemon" in problem
    assert stored.stop() == 0
    upstream.clear()
    stored.start(within=WITHIN)
    assert_serves(stored, "aa", "bb")
    assert upstream.count("*.whl") == 0


def test_state__directory_emptied(upstream: ThreadedFakeUpstream, stored: DaemonProcess) -> None:
    """`rm -rf` of all that is in the cache directory costs what was in it, and no more."""
    stored.start(within=WITHIN)
    for path in stored.cache.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert_serves(stored, "aa", "bb")
    stored.settle()
    assert len(stored.blobs_of(len(WHEELS["aa"].body))) == 2
    assert stored.get("/readyz")[0] == 200
    upstream.clear()
    assert_serves(stored, "aa", "bb")
    assert upstream.count("*.whl") == 0


def test_state__disk_refuses_writes(upstream: ThreadedFakeUpstream, stored: DaemonProcess) -> None:
    """While nothing can be written to the cache, hits are served and the rest passes through."""
    stored.start(within=WITHIN)
    chmod("tmp", 0o500)(stored.cache)
    assert_serves(stored, "aa", "bb")
    assert upstream.count("*.whl") == 2
    assert "cannot write to the cache disk: Permission denied" in "\n".join(
        stored.ask("status")["problems"]
    )
    chmod("tmp", 0o700)(stored.cache)
    for _ in range(2):
        assert_serves(stored, "bb")
        stored.settle()
    assert upstream.count("*.whl") == 3


# ── small disks ──────────────────────────────────────────────────────────────────────────────


@pytest.fixture(params=["cache", "ledger"])
def disk(request: pytest.FixtureRequest, stored: DaemonProcess) -> Iterator[SmallDisk]:
    """Put a cache, or a ledger alone, on a small disk of its own, and start its daemon there."""
    place = stored.directory / "disk"
    with small_disk(place, "24m") as disk:
        stored.environment["PYPICACHED_CACHE__LEDGER"] = str(place / "ledger.sqlite")
        if request.param == "cache":
            stored.environment["PYPICACHED_CACHE__DIRECTORY"] = str(place)
        stored.start(within=disk.within)
        assert_serves(stored, "aa")
        stored.settle()
        yield disk
        stored.close()


def test_disk__fills_up(stored: DaemonProcess, disk: SmallDisk) -> None:
    """On a full disk all is served, said, and ready; once there is room, it is kept again."""
    disk.fill()
    assert_serves(stored, "aa", "bb", "cc")
    problems = "\n".join(stored.ask("status")["problems"])
    assert "cannot write to the ledger: database or disk is full" in problems
    assert stored.get("/readyz")[0] == 200
    disk.empty()
    assert_serves(stored, "bb")
    stored.settle()
    assert [row["project"] for row in stored.ask("list")] == ["aa", "bb"]
    # What could not be kept is told for a while; the ledger is well again.
    problems = stored.ask("status")["problems"]
    assert not [text for text in problems if text.startswith("cannot write to the ledger")]
    assert stored.stop() == 0


def test_disk__full_at_the_start(stored: DaemonProcess, disk: SmallDisk) -> None:
    """It does not start, and says why; with room again the same ledger is in use."""
    assert stored.stop() == 0
    disk.fill()
    done = stored.command("serve", within=disk.within)
    assert (done.returncode, "its disk is full: make room" in done.stderr) == (1, True), done.stderr
    disk.empty()
    stored.start(within=disk.within)
    assert [row["project"] for row in stored.ask("list")] == ["aa"]


def test_disk__read_only_at_the_start(stored: DaemonProcess, disk: SmallDisk) -> None:
    """It does not start, and says why; writable again, the same ledger is in use."""
    assert stored.stop() == 0
    disk.set_read_only(True)
    done = stored.command("serve", within=disk.within)
    assert (done.returncode, "mounted read-only" in done.stderr) == (1, True), done.stderr
    disk.set_read_only(False)
    stored.start(within=disk.within)
    assert [row["project"] for row in stored.ask("list")] == ["aa"]


@pytest.mark.parametrize("disk", ["cache"], indirect=True)
def test_disk__full_of_what_a_crash_left(stored: DaemonProcess, disk: SmallDisk) -> None:
    """Unfinished downloads that fill the disk go first: no start fails for want of their room."""
    assert stored.stop() == 0
    disk.fill()
    disk.rename_ballast("tmp/1-1")
    stored.start(within=disk.within)
    assert_serves(stored, "aa", "bb")
    assert stored.ask("status")["problems"] == []
