"""The commands of PRODUCT section 3 against a real daemon, as an operator types them."""

from __future__ import annotations

import contextlib
import sqlite3
import stat
import time

from tests.e2e.conftest import MakeDaemon
from tests.e2e.process import DaemonProcess
from tests.fake.threaded import ThreadedFakeUpstream
from tests.fake.wheels import make_wheel

OLD = make_wheel("old", "1.0", size_bytes=70_000)
NEW = make_wheel("new", "1.0", size_bytes=80_000)
DAY_SECONDS = 86_400


def let_age(daemon: DaemonProcess, project: str, days: float) -> None:
    """Let the last use of all that a stopped daemon has of `project` be so long ago."""
    moment = time.time() - days * DAY_SECONDS
    with contextlib.closing(sqlite3.connect(daemon.cache / "ledger.sqlite")) as ledger, ledger:
        for statement in (
            "UPDATE blob SET last_used_at = :at WHERE sha256 IN "
            "(SELECT sha256 FROM file WHERE project = :project)",
            "UPDATE file SET last_used_at = :at WHERE project = :project",
            "UPDATE page SET last_used_at = :at WHERE project = :project",
        ):
            changed = ledger.execute(statement, {"at": moment, "project": project})
            assert changed.rowcount == 1


# ── prune ────────────────────────────────────────────────────────────────────────────────────


def test_prune__what_was_announced_goes(
    upstream: ThreadedFakeUpstream, daemon: DaemonProcess
) -> None:
    """`--dry-run` removes nothing and names just what the same command then removes."""
    for project, wheel in (("old", OLD), ("new", NEW)):
        upstream.add(project, wheel)
        daemon.fetch(project)
    daemon.settle()
    assert daemon.stop() == 0
    let_age(daemon, "old", days=31)
    daemon.start()

    announced = daemon.ask("prune", "--days", "30", "--dry-run")
    assert announced["dry_run"] is True
    assert [file["filename"] for file in announced["files"]] == [OLD.filename]
    assert (announced["pages"], announced["bytes"] >= len(OLD.body)) == (1, True)
    assert {row["project"] for row in daemon.ask("list")} == {"old", "new"}
    assert len(daemon.blobs_of(len(OLD.body))) == 1

    removed = daemon.ask("prune", "--days", "30")
    assert removed == announced | {"dry_run": False}
    assert {row["project"] for row in daemon.ask("list")} == {"new"}
    assert daemon.blobs_of(len(OLD.body)) == []

    upstream.clear()
    assert daemon.fetch("new") == {NEW.filename: NEW.body}
    assert len(upstream.requests) == 0
    assert daemon.fetch("old") == {OLD.filename: OLD.body}
    assert upstream.count(f"*/{OLD.filename}") == 1


def test_prune__text(upstream: ThreadedFakeUpstream, daemon: DaemonProcess) -> None:
    """Each file is named on a line of its own, and the last line says how much it was."""
    upstream.add("old", OLD)
    daemon.fetch("old")
    daemon.settle()
    done = daemon.command("prune", "--days", "0")
    lines = done.stdout.splitlines()
    assert done.returncode == 0, done.stderr
    assert any(OLD.filename in line.split("\t") for line in lines)
    assert lines[-1].startswith("removed 1 file and 1 page, ")
    assert daemon.ask("list") == []


def test_prune__nothing_asked(daemon: DaemonProcess) -> None:
    """`prune` without anything to work on is wrong usage, and removes nothing."""
    done = daemon.command("prune")
    assert (done.returncode, done.stdout) == (2, "")
    assert "--days" in done.stderr


# ── pin ──────────────────────────────────────────────────────────────────────────────────────


def test_pin__holds_over_restarts(upstream: ThreadedFakeUpstream, daemon: DaemonProcess) -> None:
    """A pin holds what is cached later, over a restart and the loss of the ledger, until unpin."""
    done = daemon.command("pin", "new>=1,<2")
    assert (done.returncode, done.stdout) == (0, "pinned new<2,>=1: no file\n")
    for project, wheel in (("old", OLD), ("new", NEW)):
        upstream.add(project, wheel)
        daemon.fetch(project)
    daemon.settle()
    pinned = [{"requirement": "new<2,>=1", "files": 1, "size_bytes": len(NEW.body)}]
    assert daemon.ask("pin") == pinned
    assert [row["pinned"] for row in daemon.ask("list", "new")] == [True]
    daemon.stop()
    (daemon.cache / "ledger.sqlite").unlink()
    daemon.start()
    for project in ("old", "new"):
        daemon.fetch(project)
    assert daemon.ask("pin") == pinned
    removed = daemon.ask("prune", "--days", "0")
    assert [file["project"] for file in removed["files"]] == ["old"]
    assert (removed["pinned"], upstream.count("*.whl")) == (1, 2)

    done = daemon.command("invalidate", "new", "--files")
    assert (done.returncode, NEW.filename in done.stderr) == (1, True)
    assert daemon.command("unpin", "new").returncode == 1
    assert daemon.command("unpin", "new>=1,<2").returncode == 0
    assert daemon.command("prune", "--days", "0").returncode == 0
    assert daemon.ask("list") == []


# ── verify ───────────────────────────────────────────────────────────────────────────────────


def test_verify__damage_is_found_and_fetched_again(
    upstream: ThreadedFakeUpstream, daemon: DaemonProcess
) -> None:
    """A flipped byte is found (1), dropped by `--repair` (0), and the file comes whole again."""
    upstream.add("new", NEW)
    daemon.fetch("new")
    daemon.settle()
    assert daemon.command("verify").returncode == 0
    (blob,) = daemon.blobs_of(len(NEW.body))
    blob.write_bytes(NEW.body[:-1] + b"?")
    done = daemon.command("verify")
    assert done.returncode == 1
    assert f"new\t{NEW.filename}\twrong digest\tdamaged" in done.stdout.splitlines()
    answer = daemon.ask("verify", "new", "--repair")
    assert [problem["repaired"] for problem in answer["problems"]] == [True]
    assert daemon.fetch("new") == {NEW.filename: NEW.body}
    daemon.settle()
    assert daemon.ask("verify")["problems"] == []
    assert daemon.command("verify", "other").returncode == 1


# ── backup ───────────────────────────────────────────────────────────────────────────────────


def test_backup__comes_back(upstream: ThreadedFakeUpstream, daemon: DaemonProcess) -> None:
    """A copy of the running daemon's ledger, put in its place, has pages and files again."""
    upstream.add("new", NEW)
    daemon.fetch("new")
    daemon.settle()
    assert daemon.command("backup", "copy.sqlite").returncode == 0
    assert list((daemon.cache / "tmp").iterdir()) == []
    refused = daemon.command("backup", "--force", str(daemon.cache / "ledger.sqlite"))
    assert (refused.returncode, "in use" in refused.stderr) == (1, True)
    daemon.stop()
    for path in daemon.cache.glob("ledger.sqlite*"):
        path.unlink()
    (daemon.directory / "copy.sqlite").rename(daemon.cache / "ledger.sqlite")
    upstream.down()
    daemon.start()
    assert daemon.fetch("new") == {NEW.filename: NEW.body}
    assert daemon.command("status", "--check").returncode == 0


# ── status, stats, list, invalidate ──────────────────────────────────────────────────────────


def test_status_check__index_failing(upstream: ThreadedFakeUpstream, daemon: DaemonProcess) -> None:
    """`status --check` ends with 0 while all is well, and with 1 and a line once an index fails."""
    done = daemon.command("status", "--check")
    assert (done.returncode, done.stdout) == (0, "no problems\n")
    upstream.down()
    assert daemon.get("/simple/alpha/")[0] == 503
    done = daemon.command("status", "--check")
    assert done.returncode == 1
    assert done.stdout.startswith("index pypi is failing since ")
    assert daemon.command("status").returncode == 0


def test_stats__count_what_happened(upstream: ThreadedFakeUpstream, daemon: DaemonProcess) -> None:
    """`stats` tells misses from hits, and bytes from upstream from bytes of the cache."""
    upstream.add("new", NEW)
    for _ in range(3):
        daemon.fetch("new")
        daemon.settle()
    stats = daemon.ask("stats")
    file = stats["kinds"]["file"]
    assert (file["requests"], file["misses"], file["hits"]) == (3, 1, 2)
    assert file["bytes_from_upstream"] == len(NEW.body)
    assert file["bytes_from_cache"] == 2 * len(NEW.body)
    assert stats["kinds"]["page"]["upstream_requests"] == 1
    assert stats["top"][0]["project"] == "new"


def test_list__projects_and_files(upstream: ThreadedFakeUpstream, daemon: DaemonProcess) -> None:
    """`list` has a line per project, `list PROJECT` per file; an unknown project ends with 1."""
    upstream.add("new", NEW)
    daemon.fetch("new")
    daemon.settle()
    assert [row["project"] for row in daemon.ask("list")] == ["new"]
    (row,) = daemon.ask("list", "New")
    assert (row["filename"], row["sha256"], row["size_bytes"], row["index"]) == (
        NEW.filename,
        NEW.sha256,
        len(NEW.body),
        "pypi",
    )
    heading, line = daemon.command("list").stdout.splitlines()
    assert heading.split("\t")[0] == "project"
    assert line.split("\t")[:2] == ["new", "1"]
    done = daemon.command("list", "nothing")
    assert (done.returncode, "nothing" in done.stderr) == (1, True)


def test_invalidate__page_then_files(upstream: ThreadedFakeUpstream, daemon: DaemonProcess) -> None:
    """After `invalidate` the page is asked for anew; with `--files` the files are, too."""
    upstream.add("new", NEW)
    daemon.fetch("new")
    upstream.add("new", make_wheel("new", "2.0"))
    assert NEW.filename in daemon.fetch("new")
    assert daemon.ask("invalidate", "new")["pages"] == 1
    assert len(daemon.fetch("new")) == 2
    daemon.settle()
    assert (upstream.count("/simple/new/"), upstream.count("*.whl")) == (2, 2)
    answer = daemon.ask("invalidate", "new", "--files")
    assert (answer["files"], daemon.ask("list")) == (2, [])
    assert len(daemon.fetch("new")) == 2
    assert (upstream.count("/simple/new/"), upstream.count("*.whl")) == (3, 4)


def test_invalidate__upstream_away(upstream: ThreadedFakeUpstream, daemon: DaemonProcess) -> None:
    """An invalidated page stays in reserve until upstream has answered."""
    upstream.add("new", NEW)
    daemon.fetch("new")
    daemon.settle()
    upstream.down()
    daemon.ask("invalidate", "new")
    assert daemon.fetch("new") == {NEW.filename: NEW.body}


# ── the control socket ───────────────────────────────────────────────────────────────────────


def test_control_socket__mode(daemon: DaemonProcess) -> None:
    """Only the owner and the group may connect."""
    assert stat.S_IMODE(daemon.socket.stat().st_mode) == 0o660


def test_command__no_daemon(make_daemon: MakeDaemon) -> None:
    """Without a daemon a command ends with 3, and says where it looked and how to start one."""
    daemon = make_daemon()
    done = daemon.command("status")
    assert (done.returncode, done.stdout) == (3, "")
    assert str(daemon.socket) in done.stderr
    assert "pypicached serve" in done.stderr


# ── who ──────────────────────────────────────────────────────────────────────────────────────


def test_who__over_restarts(upstream: ThreadedFakeUpstream, daemon: DaemonProcess) -> None:
    """What was fetched is remembered over a restart, and forgotten when the audit is off."""
    upstream.add("old", OLD)
    daemon.fetch("old")
    daemon.stop()
    daemon.start()
    daemon.fetch("old")
    (row,) = daemon.ask("who", "old<2", "--client", "127.0.0.0/8", "--since", "1h")
    assert (row["client"], row["agent"], row["count"]) == ("127.0.0.1", "unknown", 2)
    assert (row["filename"], row["version"], row["index"]) == (OLD.filename, "1.0", "pypi")
    assert daemon.ask("who", "old>1") == daemon.ask("who", "--refused") == []
    done = daemon.command("who", "never-heard-of")
    assert (done.returncode, done.stdout) == (1, "")
    assert "nothing is known of never-heard-of" in done.stderr
    daemon.stop()
    daemon.environment["PYPICACHED_AUDIT__KEEP"] = "off"
    daemon.start()
    assert "the records of who fetched what were removed (1)" in daemon.log
    done = daemon.command("who")
    assert (done.returncode, '[audit] keep is "off"' in done.stderr) == (1, True)
