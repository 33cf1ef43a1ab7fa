"""Killed between each two steps: what was kept is whole, what was not leaves nothing behind."""

from __future__ import annotations

from pathlib import Path

import pytest

from pypicached.messages import InvalidateRequest, PruneRequest
from tests.crash.stage import Part, Stage, staged, walk
from tests.crash.whole import files_in, wrong_in
from tests.fake import make_sdist, make_wheel
from tests.fake.threaded import ThreadedFakeUpstream

SIZE = 100_000


# ── keeping ──────────────────────────────────────────────────────────────────────────────────


def publish_new(stage: Stage) -> None:
    name = stage.project
    stage.publish(name, make_wheel(name, size_bytes=SIZE), make_sdist(name))


def fetch_new(stage: Stage) -> None:
    stage.fetch_all(stage.project)


@pytest.mark.parametrize("sidecars", ["hash", "off"])
def test_steps__keep(tmp_path: Path, upstream: ThreadedFakeUpstream, sidecars: str) -> None:
    """Page, sidecar (fetched, or made of the wheel), wheel and sdist: right after any death."""
    upstream.dialect.sidecars = sidecars  # type: ignore[assignment]
    with staged(tmp_path, upstream) as stage:
        walk(stage, publish_new, fetch_new, fetch_new, least=40)


def keep_twin(stage: Stage) -> None:
    stage.publish("first", make_wheel("shared", size_bytes=SIZE))
    stage.fetch_all("first")
    stage.publish(stage.project, make_wheel("shared", size_bytes=SIZE))


def test_steps__link(tmp_path: Path, upstream: ThreadedFakeUpstream) -> None:
    """A file whose bytes are here under another name costs neither of them anything."""
    with staged(tmp_path, upstream) as stage:
        walk(stage, keep_twin, fetch_new, fetch_new, least=8)


def fetch_list(stage: Stage) -> None:
    stage.control.invalidate(InvalidateRequest(project_list=True))
    status, body = stage.daemon.get("/simple/", Accept="text/html")
    assert (status, f">{stage.project}<".encode() in body) == (200, True)


def test_steps__project_list(tmp_path: Path, upstream: ThreadedFakeUpstream) -> None:
    """A list that is rendered to a file is counted, and none is served by halves."""
    with staged(tmp_path, upstream) as stage:
        walk(stage, publish_new, fetch_list, fetch_list, least=8)


# ── removing ─────────────────────────────────────────────────────────────────────────────────


def keep_new(stage: Stage) -> None:
    publish_new(stage)
    fetch_new(stage)


def prune(stage: Stage) -> None:
    answer = stage.control.prune(PruneRequest(days=0), lambda _step: None)
    assert answer.failed == []


def invalidate(stage: Stage) -> None:
    request = InvalidateRequest(projects=[stage.project], files=True)
    assert stage.control.invalidate(request).failed == []


@pytest.mark.parametrize("act", [prune, invalidate])
def test_steps__remove(tmp_path: Path, upstream: ThreadedFakeUpstream, act: Part) -> None:
    """What was to go is gone or whole; all of it can be had again, and goes the next time."""

    def check(stage: Stage) -> None:
        fetch_new(stage)
        stage.settle()
        prune(stage)
        assert files_in(stage.daemon.cache / "blobs") == {}
        assert wrong_in(stage.daemon) == []

    with staged(tmp_path, upstream) as stage:
        walk(stage, keep_new, act, check, least=12)


def test_steps__evict(tmp_path: Path, upstream: ThreadedFakeUpstream) -> None:
    """A download that pushes others out: no room is lost, and none is given twice."""

    def fill(stage: Stage) -> None:
        for name in ("old", "older"):
            stage.publish(name, make_wheel(name, size_bytes=SIZE))
            stage.fetch_all(name)
        publish_new(stage)

    with staged(tmp_path, upstream, PYPICACHED_CACHE__MAX_SIZE="250KB") as stage:
        walk(stage, fill, fetch_new, fetch_new, least=30)
        assert "evicted" in stage.daemon.log


def test_steps__repair(tmp_path: Path, upstream: ThreadedFakeUpstream) -> None:
    """A damaged blob that was being dropped is dropped, or found again."""

    def damage(stage: Stage) -> None:
        keep_new(stage)
        stage.settle()
        for path in stage.daemon.blobs_of(SIZE):
            with path.open("r+b") as file:
                file.write(b"damaged")

    def repair(stage: Stage) -> None:
        stage.control.verify([], repair=True, on_progress=lambda _step: None)

    with staged(tmp_path, upstream) as stage:
        walk(stage, damage, repair, fetch_new, least=3, mend=repair)


# ── beside the blobs ─────────────────────────────────────────────────────────────────────────


def test_steps__pins(tmp_path: Path, upstream: ThreadedFakeUpstream) -> None:
    """The pins are those from before or those from after, and nothing else lies beside them."""
    told: list[str] = []

    def change(stage: Stage) -> None:
        stage.control.pin([stage.project])
        told.append(stage.project)
        stage.control.unpin(["kept"])
        told.remove("kept")
        stage.control.pin(["kept"])
        told.append("kept")

    def check(stage: Stage) -> None:
        now = [row.requirement for row in stage.control.pins()]
        assert len(now) == len(set(now))
        # At most the one change that nobody was told of differs.
        assert len(set(now) ^ set(told)) <= 1
        told[:] = now
        if "kept" not in now:
            stage.control.pin(["kept"])
            told.append("kept")
        assert sorted(path.name for path in stage.daemon.cache.glob("pins*")) == ["pins.txt"]

    def prepare(stage: Stage) -> None:
        if "kept" not in told:
            stage.control.pin(["kept"])
            told.append("kept")

    with staged(tmp_path, upstream) as stage:
        walk(stage, prepare, change, check, least=9)


def test_steps__backup(tmp_path: Path, upstream: ThreadedFakeUpstream) -> None:
    """Half a copy of the ledger does not stay, and its room is given back."""

    def back_up(stage: Stage) -> None:
        stage.control.backup(lambda _piece: None, lambda _step: None)

    with staged(tmp_path, upstream) as stage:
        walk(stage, keep_new, back_up, fetch_new, least=2)
