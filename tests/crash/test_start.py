"""Killed at its start: a ledger that is made, migrated or set aside is never lost on the way."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sqlite3
from pathlib import Path

from pypicached.ledger.schema import VERSION
from tests.crash.stage import Stage, staged, walk_start
from tests.crash.whole import files_in, ledger_of
from tests.fake import make_wheel
from tests.fake.threaded import ThreadedFakeUpstream

NEXT = "CREATE TABLE later (id INTEGER PRIMARY KEY) STRICT; INSERT INTO later VALUES (1)"


def keep_something(stage: Stage, *migrations: str) -> None:
    """Have a page and a file in a cache of this version, or of a newer one, and die."""
    stage.daemon.migrations = [*migrations]
    stage.publish("kept", make_wheel("kept", size_bytes=100_000))
    stage.daemon.start()
    stage.fetch_all("kept")
    stage.settle()
    stage.daemon.stop(signal.SIGKILL)


def assert_kept(stage: Stage) -> None:
    """What was kept is served, and the index is not asked."""
    stage.upstream.clear()
    stage.daemon.start()
    stage.fetch_all("kept")
    stage.daemon.stop(signal.SIGKILL)
    assert stage.upstream.requests == []


def test_start__new(tmp_path: Path, upstream: ThreadedFakeUpstream) -> None:
    """A first start that dies anywhere is a first start again."""

    def clear(stage: Stage) -> None:
        shutil.rmtree(stage.daemon.cache, ignore_errors=True)

    with staged(tmp_path, upstream) as stage:
        walk_start(stage, clear, keep_something, least=20)


def test_start__unfinished_downloads(tmp_path: Path, upstream: ThreadedFakeUpstream) -> None:
    """Start-up that dies while it tidies up tidies up the next time; what is kept stays."""
    with staged(tmp_path, upstream) as stage:
        keep_something(stage)

        def litter(stage: Stage) -> None:
            for name in ("tmp/1-1", "tmp/1-2/deep", "lists/old"):
                (stage.daemon.cache / name).parent.mkdir(exist_ok=True)
                (stage.daemon.cache / name).write_bytes(b"half")
            (stage.daemon.cache / "pins.txt.new").write_bytes(b"hal")

        def check(stage: Stage) -> None:
            assert files_in(stage.daemon.cache / "tmp") == {}
            assert files_in(stage.daemon.cache / "lists") == {}
            assert_kept(stage)

        walk_start(stage, litter, check, least=8)


def test_start__migration(tmp_path: Path, upstream: ThreadedFakeUpstream) -> None:
    """A migration happens wholly or not at all, and the copy of what was before it is whole."""
    with staged(tmp_path, upstream) as stage:
        keep_something(stage)
        stage.daemon.migrations = [NEXT]
        old = tmp_path / "old"
        shutil.copytree(stage.daemon.cache, old)

        def grow_old(stage: Stage) -> None:
            shutil.rmtree(stage.daemon.cache)
            shutil.copytree(old, stage.daemon.cache)

        def check(stage: Stage) -> None:
            with ledger_of(stage.daemon.cache) as db:
                assert db.execute("PRAGMA user_version").fetchone() == (VERSION + 1,)
                assert db.execute("SELECT id FROM later").fetchall() == [(1,)]
            assert_kept(stage)
            copies = sorted(stage.daemon.cache.glob("ledger.sqlite.*"))
            assert copies
            for copy in copies:
                with contextlib.closing(sqlite3.connect(copy)) as db:
                    assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
                    assert db.execute("PRAGMA user_version").fetchone() == (VERSION,)
                    assert db.execute("SELECT COUNT(*) FROM page").fetchone() == (1,)

        walk_start(stage, grow_old, check, least=20, problems=("was brought to version",))


def test_start__garbage(tmp_path: Path, upstream: ThreadedFakeUpstream) -> None:
    """A file that is no ledger is set aside whole, and the blobs are taken back."""
    garbage = os.urandom(20_000)
    with staged(tmp_path, upstream) as stage:
        keep_something(stage)

        def spoil(stage: Stage) -> None:
            for path in stage.daemon.cache.glob("ledger.sqlite*"):
                path.unlink()
            (stage.daemon.cache / "ledger.sqlite").write_bytes(garbage)

        def check(stage: Stage) -> None:
            aside = list(stage.daemon.cache.glob("ledger.sqlite.garbage*"))
            assert [path.read_bytes() for path in aside] == [garbage]
            assert len(files_in(stage.daemon.cache / "blobs")) == 2

        walk_start(stage, spoil, check, least=20, problems=("was no ledger",))


def test_start__newer_ledger(tmp_path: Path, upstream: ThreadedFakeUpstream) -> None:
    """A ledger of a newer version is set aside with what its write-ahead log holds."""
    with staged(tmp_path, upstream) as stage:
        # It is killed, so that what is newest stands in the log alone.
        keep_something(stage, NEXT)
        stage.daemon.migrations = []
        newer = tmp_path / "newer"
        shutil.copytree(stage.daemon.cache, newer)

        def overtake(stage: Stage) -> None:
            shutil.rmtree(stage.daemon.cache)
            shutil.copytree(newer, stage.daemon.cache)

        def check(stage: Stage) -> None:
            (aside,) = (
                path
                for path in stage.daemon.cache.glob(f"ledger.sqlite.version-{VERSION + 1}*")
                if not path.name.endswith(("-wal", "-shm"))
            )
            with contextlib.closing(sqlite3.connect(aside)) as db:
                assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
                assert db.execute("SELECT COUNT(*) FROM file").fetchone() == (2,)

        walk_start(stage, overtake, check, least=20, problems=("is of a newer version",))
