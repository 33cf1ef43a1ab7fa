"""What the ledger forgets by itself: absence that has run out, and pages of another index."""

from __future__ import annotations

from pathlib import Path

from pypicached.ledger import Ledger, Page
from tests.fake import FakeUpstream, make_wheel
from tests.harness import JSON, running, write_config


def page(project: str, state: str, checked_at: float) -> Page:
    return Page(
        index="pypi",
        project=project,
        state=state,  # type: ignore[arg-type]
        body=b"x" if state == "present" else None,
        etag=None,
        last_modified=None,
        serial=None,
        fetched_at=checked_at,
        checked_at=checked_at,
    )


async def test_forgetting__absence_that_has_run_out(tmp_path: Path) -> None:
    """Remembered 404s go in batches, oldest first; pages and removals stay; only pages count."""
    async with Ledger.open(tmp_path / "ledger.sqlite") as ledger:
        for number in range(5):
            await ledger.pages.put(page(f"made-up-{number}", "absent", 100.0 + number))
        await ledger.pages.put(page("there", "present", 1.0))
        await ledger.pages.put(page("gone", "removed", 1.0))
        assert await ledger.pages.count() == 1
        assert await ledger.pages.drop_absent(103.0) == 3
        assert await ledger.pages.get("pypi", "made-up-2") is None
        assert await ledger.pages.get("pypi", "made-up-3") is not None
        assert await ledger.pages.get("pypi", "gone") is not None


async def test_forgetting__another_address_is_another_index(tmp_path: Path) -> None:
    """Pages of an index that has moved are neither fresh, nor stale, nor removed."""
    async with FakeUpstream() as old, FakeUpstream() as new:
        old.add("alpha", make_wheel("alpha", "1.0"))
        old.add("gamma", make_wheel("gamma", "1.0"))
        new.add("alpha", make_wheel("alpha", "2.0"))
        async with running(tmp_path, old.url) as daemon:
            await daemon.page("alpha")
            await daemon.page("gamma")
        async with running(tmp_path, new.url) as daemon:
            files = (await daemon.page("alpha"))["files"]
            assert [file["filename"] for file in files] == [  # type: ignore[attr-defined]
                make_wheel("alpha", "2.0").filename
            ]
            assert (await daemon.ask("/simple/gamma/", Accept=JSON)).status == 404
        async with running(tmp_path, new.url) as daemon:
            await daemon.page("alpha")
        assert new.count("/simple/alpha/") == 1
        config = write_config(
            tmp_path, {"name": "pypi", "url": new.url}, {"name": "second", "url": old.url}
        )
        async with running(tmp_path, config=config) as daemon:
            gamma = (await daemon.page("gamma"))["files"]
            assert len(gamma) == 1  # type: ignore[arg-type]
