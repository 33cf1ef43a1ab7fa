"""PyPI: everything that it says of a project arrives, and nothing else."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.fake import DistFile, FakeUpstream
from tests.harness import JSON, Running, running
from tests.odd import pypi
from tests.odd.client import Anchor, assert_files, assert_sidecars, html_page, json_page, link
from tests.odd.pypi import NEW, OLD, PROJECT, PROVENANCE, SDIST, SERIAL

PAGE = f"/simple/{PROJECT}/"


@pytest.fixture
async def daemon(tmp_path: Path, upstream: FakeUpstream) -> AsyncIterator[Running]:
    pypi.publish(upstream)
    async with running(tmp_path, upstream.url) as one:
        yield one


def sidecar_sha256(file: DistFile) -> str:
    assert file.metadata is not None
    return hashlib.sha256(file.metadata).hexdigest()


async def test_pypi__rules_14_16_17_25_json_page(daemon: Running, upstream: FakeUpstream) -> None:
    """The page claims 1.4 and carries every member that it had; a release without files goes."""
    assert await json_page(daemon, PROJECT) == {
        "meta": {"api-version": "1.4"},
        "name": PROJECT,
        "versions": ["1.0", "2.0"],
        "project-status": {"status": "archived", "reason": "no longer developed"},
        "files": [
            {
                "filename": OLD.filename,
                "url": link(upstream.url_of(OLD)),
                "hashes": {"sha256": OLD.sha256},
                "requires-python": ">=3.7,!=3.9.*",
                "size": len(OLD.body),
                "upload-time": "2018-06-01T10:20:30.400000Z",
                "core-metadata": {"sha256": sidecar_sha256(OLD)},
                "yanked": 'broken on <Windows> & "WSL"',
            },
            {
                "filename": SDIST.filename,
                "url": link(upstream.url_of(SDIST)),
                "hashes": {"sha256": SDIST.sha256},
                "size": len(SDIST.body),
                "upload-time": "2023-11-05T08:09:10Z",
            },
            {
                "filename": NEW.filename,
                "url": link(upstream.url_of(NEW)),
                "hashes": {"sha256": NEW.sha256},
                "requires-python": ">=3.8",
                "size": len(NEW.body),
                "upload-time": "2023-11-05T08:09:11.000001Z",
                "core-metadata": {"sha256": sidecar_sha256(NEW)},
                "provenance": PROVENANCE,
            },
        ],
    }


async def test_pypi__rules_16_17_25_html_page(daemon: Running, upstream: FakeUpstream) -> None:
    """HTML carries what HTML can: the hash, sidecars under both names, reasons unharmed."""
    page = await html_page(daemon, PROJECT)
    assert page.metas == {
        "pypi:repository-version": "1.4",
        "pypi:project-status": "archived",
        "pypi:project-status-reason": "no longer developed",
    }
    old, new = f"sha256={sidecar_sha256(OLD)}", f"sha256={sidecar_sha256(NEW)}"
    assert page.anchors == [
        Anchor(
            OLD.filename,
            f"{link(upstream.url_of(OLD))}#sha256={OLD.sha256}",
            {
                "data-requires-python": ">=3.7,!=3.9.*",
                "data-core-metadata": old,
                "data-dist-info-metadata": old,
                "data-yanked": 'broken on <Windows> & "WSL"',
            },
        ),
        Anchor(SDIST.filename, f"{link(upstream.url_of(SDIST))}#sha256={SDIST.sha256}", {}),
        Anchor(
            NEW.filename,
            f"{link(upstream.url_of(NEW))}#sha256={NEW.sha256}",
            {
                "data-requires-python": ">=3.8",
                "data-core-metadata": new,
                "data-dist-info-metadata": new,
                "data-provenance": PROVENANCE,
            },
        ),
    ]


async def test_pypi__files_and_sidecars(daemon: Running, upstream: FakeUpstream) -> None:
    """Every file and advertised sidecar is behind its link, and asked of upstream once."""
    await assert_files(daemon, PROJECT, [file.body for file in pypi.FILES], upstream)
    await assert_sidecars(daemon, PROJECT, [file.metadata for file in pypi.FILES], upstream)


async def test_pypi__serial_and_etag(daemon: Running, upstream: FakeUpstream) -> None:
    """The serial is passed on, and an expired page is asked for with upstream's ETag."""
    first = await daemon.ask(PAGE, Accept=JSON)
    assert first.headers["X-PyPI-Last-Serial"] == str(SERIAL)
    daemon.clock.advance(3600)
    upstream.clear()
    again = await daemon.ask(PAGE, Accept=JSON)
    assert again.headers["Cache-Status"] == "pypicached; fwd=stale; fwd-status=304"
    assert (again.body, again.headers["ETag"]) == (first.body, first.headers["ETag"])
    assert again.headers["X-PyPI-Last-Serial"] == str(SERIAL)
    assert "if-none-match" in upstream.requests[0].headers


@pytest.mark.parametrize(
    "upload_time",
    [
        "2024-01-02T03:04:05Z",
        "2024-01-02T03:04:05.6Z",
        "2024-01-02T03:04:05.678900Z",
        "2024-01-02T03:04:05.678901234Z",
        "2024-01-02T03:04:05+00:00",
        "2024-01-02T03:04:05.678901",
        "2024-01-02 03:04:05",
    ],
)
async def test_pypi__rule_15_upload_time_to_the_character(
    tmp_path: Path, upstream: FakeUpstream, upload_time: str
) -> None:
    """An upload time is what upstream wrote, in whatever way it writes times."""
    pypi.publish_time(upstream, upload_time)
    async with running(tmp_path, upstream.url) as daemon:
        (row,) = (await json_page(daemon, "timed"))["files"]
        assert row["upload-time"] == upload_time
