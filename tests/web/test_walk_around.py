"""Ways around policy and quarantine that were tried, and must not lead anywhere."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from pypicached.errors import LedgerError
from pypicached.ledger import CachedFile
from pypicached.ledger.files import Files
from pypicached.ledger.pages import Pages
from tests.cache.client import settled
from tests.fake import DistFile, FakeUpstream, make_wheel
from tests.harness import JSON, Clock, Running, running
from tests.web.test_policy import DAY, names_of, uploaded

OLD = make_wheel("evil", "1.0", upload_time=uploaded(100), size_bytes=90_000)
OTHER = make_wheel("evil", "0.9", upload_time=uploaded(100))


async def cached(daemon: Running, file: DistFile = OLD, project: str = "evil") -> str:
    """Cache a file and its sidecar; return its path."""
    path = (await daemon.file_url(project, file.filename)).removeprefix(daemon.url)
    assert (await daemon.ask(path)).status == 200
    assert (await daemon.ask(f"{path}.metadata")).status == 200
    await settled(daemon)
    return path


async def statuses(daemon: Running, path: str) -> set[int]:
    return {(await daemon.ask(target)).status for target in (path, f"{path}.metadata")}


async def refresh(daemon: Running, project: str = "evil") -> int:
    daemon.clock.advance(3600)
    return (await daemon.ask(f"/simple/{project}/", Accept=JSON)).status


@pytest.mark.parametrize("invalidate", [False, True])
async def test_quarantine__rule_23_then_deleted(tmp_path: Path, invalidate: bool) -> None:
    """Malware is put into quarantine, then deleted: what is cached of it stays refused."""
    clock = Clock()
    async with FakeUpstream() as upstream:
        upstream.add("evil", OLD, OTHER)
        async with running(tmp_path, upstream.url, clock) as daemon:
            path = await cached(daemon)
            upstream.add("evil", status="quarantined")
            assert await refresh(daemon) == 200
            upstream.remove("evil")
            assert await refresh(daemon) == 404
            if invalidate:
                await daemon.parts.catalog.pages["pypi"]._ledger.pages.expire("evil", None)
                daemon.parts.catalog.pages["pypi"].forget("evil")
                assert await refresh(daemon) == 404
            assert await statuses(daemon, path) == {403}
        async with running(tmp_path, upstream.url, clock) as daemon:
            assert await statuses(daemon, path) == {403}
            assert await refresh(daemon) == 404
            assert await statuses(daemon, path) == {403}


async def test_quarantine__index_at_another_address(tmp_path: Path) -> None:
    """An index whose URL is spelt otherwise has not lifted its quarantine."""
    clock = Clock()
    async with FakeUpstream() as upstream:
        upstream.add("evil", OLD, OTHER)
        async with running(tmp_path, upstream.url, clock) as daemon:
            path = await cached(daemon)
            upstream.add("evil", status="quarantined")
            await refresh(daemon)
        url = upstream.url.replace("127.0.0.1", "localhost")
        async with running(tmp_path, url, clock) as daemon:
            assert await statuses(daemon, path) == {403}


async def test_quarantine__reason_that_is_no_text(tmp_path: Path) -> None:
    """The marker counts, whatever its reason is."""
    async with FakeUpstream() as upstream:
        status = {"status": "quarantined", "reason": 5}
        upstream.add("evil", OLD, members={"project-status": status})
        async with running(tmp_path, upstream.url) as daemon:
            page = await daemon.page("evil")
            assert page["files"] == []
            path = f"/files/pypi/{upstream.url_of(OLD).removeprefix('http://')}"
            assert await statuses(daemon, path) == {403}


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("young", [False, True])
async def test_replaced__after_it_was_gone(tmp_path: Path, whole: bool, young: bool) -> None:
    """A file that left its page and comes back with other bytes, or another date, is another."""
    clock = Clock()
    new = make_wheel("evil", "1.0", size_bytes=95_000, upload_time=uploaded(1 if young else 90))
    async with FakeUpstream(file_paths="flat") as upstream:
        upstream.add("evil", OLD, OTHER)
        async with running(tmp_path, upstream.url, clock, policy__min_age="7d") as daemon:
            path = await cached(daemon)
            upstream.remove("evil", None if whole else OLD.filename)
            await refresh(daemon)
            upstream.add("evil", new, OTHER)
            assert await refresh(daemon) == 200
            reply = await daemon.ask(path)
            assert (reply.status, reply.body == new.body) == (
                (403, False) if young else (200, True)
            )


async def test_redated__after_it_was_gone(tmp_path: Path) -> None:
    """The same bytes with a younger date are as young as their page says."""
    clock = Clock()
    async with FakeUpstream() as upstream:
        upstream.add("evil", OLD, OTHER)
        async with running(tmp_path, upstream.url, clock, policy__min_age="7d") as daemon:
            path = await cached(daemon)
            upstream.remove("evil", OLD.filename)
            await refresh(daemon)
            upstream.add("evil", OLD, rows={OLD.filename: {"upload-time": uploaded(1)}})
            await refresh(daemon)
            assert await statuses(daemon, path) == {403}


async def test_removed__while_it_is_downloaded(tmp_path: Path) -> None:
    """What its page stops listing before it is kept is known to be removed."""
    clock = Clock()
    async with FakeUpstream() as upstream:
        upstream.add("evil", OLD, OTHER)
        async with running(tmp_path, upstream.url, clock, policy__removed_files="refuse") as daemon:
            path = (await daemon.file_url("evil", OLD.filename)).removeprefix(daemon.url)
            gate = upstream.hold("*evil-1.0*.whl", after_bytes=70_000)
            first = asyncio.create_task(daemon.ask(path))
            await gate.reached()
            upstream.remove("evil", OLD.filename, keep_served=True)
            await refresh(daemon)
            gate.open()
            assert (await first).status == 200  # it had begun
            await settled(daemon)
            assert (await daemon.ask(path)).status == 403


async def test_removed__before_an_upgrade(tmp_path: Path) -> None:
    """What an older program did not notice is noticed with a page that has not changed."""
    clock = Clock()
    async with FakeUpstream() as upstream:
        upstream.add("evil", OLD, OTHER)
        async with running(tmp_path, upstream.url, clock) as daemon:
            path = await cached(daemon)
            upstream.remove("evil", OLD.filename)
            await refresh(daemon)
        with sqlite3.connect(tmp_path / "cache" / "ledger.sqlite") as db:
            db.execute("UPDATE file SET removed_at = NULL")
        db.close()
        async with running(tmp_path, upstream.url, clock, policy__removed_files="refuse") as daemon:
            assert await statuses(daemon, path) == {200}
            assert await refresh(daemon) == 200  # a 304
            assert await statuses(daemon, path) == {403}


async def test_ledger__that_cannot_be_written_for_a_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page that could not be stored is not taken for what the ledger holds."""
    clock = Clock()
    async with FakeUpstream() as upstream:
        upstream.add("evil", OLD, OTHER)
        async with running(tmp_path, upstream.url, clock) as daemon:
            path = await cached(daemon)
            upstream.add("evil", status="quarantined")

            async def refuse(*_: object, **__: object) -> None:
                raise LedgerError("the ledger is locked")

            with monkeypatch.context() as patch:
                patch.setattr(Pages, "put", refuse)
                await refresh(daemon)
            await refresh(daemon)
        async with running(tmp_path, upstream.url, clock) as daemon:
            assert names_of(await daemon.page("evil")) == []
            assert await statuses(daemon, path) == {403}


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        ({"policy__deny": ["evil==1.0"]}, "deny"),
        ({"policy__deny": ["evil"]}, "deny"),
        ({"policy__min_age": "1000d", "policy__exempt": ["other"]}, "min_age"),
    ],
)
async def test_policy__listed_by_another_project(
    tmp_path: Path, rules: dict[str, Any], words: str
) -> None:
    """A file on the page of another project is also that of the project which its name tells."""
    async with FakeUpstream() as upstream:
        upstream.add("other", OLD, make_wheel("other", "1.0", upload_time=uploaded(2000)))
        upstream.add("evil", OLD)
        async with running(tmp_path, upstream.url, **rules) as daemon:
            assert names_of(await daemon.page("other")) == ["other-1.0-py3-none-any.whl"]
            path = f"/files/pypi/{upstream.url_of(OLD).removeprefix('http://')}"
            reply = await daemon.ask(path)
            assert (reply.status, words in reply.text) == (403, True)


@pytest.mark.parametrize("rules", [{"policy__deny": ["evil==1.0"]}, {"policy__allow": ["evil==9"]}])
async def test_policy__name_that_is_not_in_the_url(tmp_path: Path, rules: dict[str, Any]) -> None:
    """A client may go by the name in a file's URL: both are judged."""
    async with FakeUpstream() as upstream:
        disguised = {"filename": "evil-9-py3-none-any.whl"}
        upstream.add("evil", OLD, OTHER, rows={OLD.filename: disguised})
        async with running(tmp_path, upstream.url, **rules) as daemon:
            reply = await daemon.ask("/simple/evil/", Accept=JSON)
            assert "evil-9" not in reply.text
            path = f"/files/pypi/{upstream.url_of(OLD).removeprefix('http://')}"
            assert (await daemon.ask(path)).status == 403


async def test_policy__clock_set_back(tmp_path: Path) -> None:
    """A file that is not of age any more is on no page; then builds can choose another one."""
    clock = Clock()
    fresh = make_wheel("evil", "2.0", upload_time=uploaded(0))
    async with FakeUpstream() as upstream:
        upstream.add("evil", OLD, fresh)
        clock.advance(8 * DAY)
        async with running(tmp_path, upstream.url, clock, policy__min_age="7d") as daemon:
            assert len(names_of(await daemon.page("evil"))) == 2
            clock.advance(-8 * DAY)
            assert names_of(await daemon.page("evil")) == [OLD.filename]


async def test_policy__what_a_name_may_also_be(tmp_path: Path) -> None:
    """A file of nobody is a 404, also where part of its name is denied."""
    async with (
        FakeUpstream() as upstream,
        running(tmp_path, upstream.url, policy__deny=["foo"]) as daemon,
    ):
        host = upstream.files_origin.removeprefix("http://")
        assert (await daemon.ask(f"/files/pypi/{host}/foo-bar-9.0.tar.gz")).status == 404
        assert (await daemon.ask(f"/files/pypi/{host}/foo-9.0.tar.gz")).status == 403


async def test_ledger__that_fails_within_a_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was replaced is not served from memory, whatever else the ledger did not take."""
    clock = Clock()
    new = make_wheel("evil", "1.0", size_bytes=95_000)
    async with FakeUpstream(file_paths="flat") as upstream:
        upstream.add("evil", OLD, OTHER)
        async with running(tmp_path, upstream.url, clock) as daemon:
            path = await cached(daemon)
            await cached(daemon, OTHER)
            upstream.remove("evil")
            upstream.add("evil", new)

            async def refuse(*_: object) -> None:
                raise LedgerError("the ledger is locked")

            with monkeypatch.context() as patch:
                patch.setattr(Files, "mark_removed", refuse)
                await refresh(daemon)
            assert (await daemon.ask(path)).body == new.body


async def test_removed__project_while_it_is_downloaded(tmp_path: Path) -> None:
    """A project that is gone before its file is kept takes the file with it."""
    clock = Clock()
    async with FakeUpstream() as upstream:
        upstream.add("evil", OLD, OTHER)
        async with running(tmp_path, upstream.url, clock, policy__removed_files="refuse") as daemon:
            path = (await daemon.file_url("evil", OLD.filename)).removeprefix(daemon.url)
            gate = upstream.hold("*evil-1.0*.whl", after_bytes=70_000)
            first = asyncio.create_task(daemon.ask(path))
            await gate.reached()
            upstream.remove("evil", keep_served=True)
            assert await refresh(daemon) == 404
            gate.open()
            await first
            await settled(daemon)
            assert (await daemon.ask(path)).status == 403


async def test_removed__kept_while_its_page_is_taken_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that comes between the look at what is cached and the new page is found later."""
    clock = Clock()
    async with FakeUpstream() as upstream:
        upstream.add("evil", OLD, OTHER)
        async with running(tmp_path, upstream.url, clock, policy__removed_files="refuse") as daemon:
            path = (await daemon.file_url("evil", OLD.filename)).removeprefix(daemon.url)
            gate = upstream.hold("*evil-1.0*.whl", after_bytes=70_000)
            first = asyncio.create_task(daemon.ask(path))
            await gate.reached()
            upstream.remove("evil", OLD.filename, keep_served=True)
            looked = Files.of_project

            async def look_and_wait(files: Files, project: str) -> list[CachedFile]:
                rows = await looked(files, project)
                gate.open()
                await first
                await settled(daemon)
                return rows

            with monkeypatch.context() as patch:
                patch.setattr(Files, "of_project", look_and_wait)
                await refresh(daemon)
            assert await refresh(daemon) == 200  # a 304
            assert (await daemon.ask(path)).status == 403


@pytest.mark.parametrize("advertised", ["off", "plain", "hash"])
async def test_removed__not_what_only_moved(tmp_path: Path, advertised: str) -> None:
    """A wheel at another address with the same digest is the same, and so is its sidecar."""
    clock = Clock()
    async with FakeUpstream(sidecars=advertised) as upstream:
        upstream.add("evil", OLD, OTHER)
        async with running(tmp_path, upstream.url, clock, policy__removed_files="refuse") as daemon:
            path = await cached(daemon)
            upstream.dialect.file_paths = "flat"
            upstream.add("evil", OLD, OTHER)
            await refresh(daemon)
            assert await statuses(daemon, path) == {200}


async def test_removed__not_what_is_spelt_otherwise(tmp_path: Path) -> None:
    """A file at the same address is the same, however its page spells its name."""
    clock = Clock()
    async with FakeUpstream() as upstream:
        upstream.add("evil", OLD, OTHER)
        async with running(tmp_path, upstream.url, clock, policy__removed_files="refuse") as daemon:
            path = await cached(daemon)
            other = {"filename": OLD.filename.replace("evil", "Evil")}
            upstream.add("evil", rows={OLD.filename: other})
            await refresh(daemon)
            assert await statuses(daemon, path) == {200}
