"""Pages that are damaged in the ledger: as if they were not stored, and stored anew."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import pytest

from pypicached.cache import codings
from tests.fake import FakeUpstream, make_wheel
from tests.harness import running


def spoil(ledger: Path, how: str) -> None:
    """Change every stored body."""
    with contextlib.closing(sqlite3.connect(ledger)) as db:
        for row, body in db.execute("SELECT id, body FROM page").fetchall():
            changed = bytearray(body)
            if how == "cut":
                del changed[len(changed) // 2 :]
            elif how == "flipped":
                changed[len(changed) // 2] ^= 1
            elif how == "another shape":
                changed = bytearray(codings.pack(b"\x93\x01\x02\x03"))
            db.execute("UPDATE page SET body = ? WHERE id = ?", (bytes(changed), row))
        db.commit()


@pytest.mark.parametrize("how", ["cut", "flipped", "another shape"])
@pytest.mark.parametrize("target", ["/simple/alpha/", "/simple/"])
async def test_damaged_page__comes_from_upstream(
    tmp_path: Path,
    upstream: FakeUpstream,
    caplog: pytest.LogCaptureFixture,
    target: str,
    how: str,
) -> None:
    """A page whose bytes have changed in the ledger is fetched whole again, said, and well then."""
    if (target, how) == ("/simple/", "another shape"):
        pytest.skip("a list is names, and has no other shape")
    upstream.add("alpha", *(make_wheel("alpha", f"{n}.0") for n in range(20)))
    async with running(tmp_path, upstream.url) as daemon:
        first = await daemon.ask(target)
    ledger = daemon.parts.ledger.path
    spoil(ledger, how)
    for _ in range(2):
        async with running(tmp_path, upstream.url) as daemon:
            reply = await daemon.ask(target)
            assert (reply.status, reply.body) == (200, first.body)
        assert upstream.count("/simple/*") == 2
    assert len([r for r in caplog.records if "a stored page is damaged" in r.getMessage()]) == 1


async def test_damaged_page__without_upstream(tmp_path: Path, upstream: FakeUpstream) -> None:
    """Without upstream it is a 503, never an error of ours, and never absence."""
    upstream.add("alpha", make_wheel("alpha"))
    async with running(tmp_path, upstream.url) as daemon:
        await daemon.ask("/simple/alpha/")
    spoil(daemon.parts.ledger.path, "cut")
    await upstream.stop()
    async with running(tmp_path, upstream.url) as daemon:
        assert (await daemon.ask("/simple/alpha/")).status == 503
        daemon.parts.offline.on = True
        assert (await daemon.ask("/simple/alpha/")).status == 503
    await upstream.start()
