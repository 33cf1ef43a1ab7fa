"""What the upstream of `bench.wire` publishes: 200 projects, pages of 5, 200 and 10,000 files.

Most rows of a large page have no file behind them: they are as rich as others, and nobody asks for
them. The files that are asked for are real wheels of 20 KB, 2 MB and 200 MB. What is fetched cold
is fetched once by each target, so that each round has projects of its own.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from tests.fake.wheels import UPLOAD_TIME, make_wheel

SMALL_BYTES, MEDIUM_BYTES, LARGE_BYTES = 20_000, 2_000_000, 200_000_000
FEW, MANY, HUGE = 5, 200, 10_000
PROJECTS = 200
# What `pip download` and `uv pip install` bring: as many wheels as a web application has, of sizes
# like theirs.
APP_BYTES = [60_000] * 30 + [400_000] * 20 + [MEDIUM_BYTES] * 8 + [20_000_000] * 2
HOT, HUGE_HOT, LARGE_HOT = "hot", "huge", "large"
VERSION = "1.0"


class Wheel(msgspec.Struct, frozen=True):
    """A real file: whose, where below the upstream's directory, and what its row says."""

    project: str
    filename: str
    size: int
    sha256: str
    path: str
    metadata_sha256: str


class Corpus:
    """Makes wheels and pages in a directory; what it made stands in `projects`."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.projects: list[str] = []

    def publish_wheel(self, project: str, size: int, requires: Sequence[str] = ()) -> Wheel:
        """Make one wheel of about that size and its sidecar."""
        made = make_wheel(project, VERSION, size_bytes=size, requires=requires)
        digest = hashlib.blake2b(made.sha256.encode(), digest_size=32).hexdigest()
        path = f"packages/{digest[:2]}/{digest[2:4]}/{digest[4:]}/{made.filename}"
        place = self._directory / path
        place.parent.mkdir(parents=True)
        place.write_bytes(made.body)
        metadata = made.metadata or b""
        place.with_name(place.name + ".metadata").write_bytes(metadata)
        return Wheel(
            project,
            made.filename,
            len(made.body),
            made.sha256,
            path,
            hashlib.sha256(metadata).hexdigest(),
        )

    def publish_page(
        self, project: str, wheels: Sequence[Wheel], length: int, files: str, *, html: bool = False
    ) -> None:
        """Write a page of `length` files, the wheels last; `files` is the files' `host:port`."""
        source = random.Random(project)
        rows = [_row_of_none(project, n, source) for n in range(length - len(wheels))]
        rows += [_row_of(wheel) for wheel in wheels]
        for row in rows:
            row["url"] = f"http://{files}/{row['url']}"
        place = self._directory / "simple" / project
        place.mkdir(parents=True)
        if html:
            _write(place / "index.html", _html_of(project, rows))
        else:
            _write(place / "index.json", _json_of(project, rows))
        self.projects.append(project)

    def publish_list(self) -> None:
        """Write the project list, filled up to 200 names; those that fill it have no page."""
        missing = PROJECTS - len(self.projects)
        names = [*self.projects, *(f"other-{n}" for n in range(missing))]
        body = {"meta": {"api-version": "1.1"}, "projects": [{"name": n} for n in sorted(names)]}
        _write(self._directory / "simple" / "index.json", json.dumps(body).encode())


def _row_of(wheel: Wheel) -> dict[str, Any]:
    return _row(wheel.filename, wheel.path, wheel.sha256, wheel.size, wheel.metadata_sha256)


def _row_of_none(project: str, number: int, source: random.Random) -> dict[str, Any]:
    # Random digests, as real ones: others compress too well.
    digest, where, metadata = (source.randbytes(32).hex() for _ in range(3))
    filename = f"{project.replace('-', '_')}-0.{number}-py3-none-any.whl"
    path = f"packages/{where[:2]}/{where[2:4]}/{where[4:]}/{filename}"
    return _row(filename, path, digest, source.randrange(10_000, 5_000_000), metadata)


def _row(filename: str, url: str, sha256: str, size: int, metadata: str) -> dict[str, Any]:
    return {
        "core-metadata": {"sha256": metadata},
        "data-dist-info-metadata": {"sha256": metadata},
        "filename": filename,
        "hashes": {"sha256": sha256},
        "provenance": None,
        "requires-python": ">=3.8",
        "size": size,
        "upload-time": UPLOAD_TIME,
        "url": url,
        "yanked": False,
    }


def _json_of(project: str, rows: list[dict[str, Any]]) -> bytes:
    versions = [row["filename"].split("-")[1] for row in rows]
    meta = {"_last-serial": 12345678, "api-version": "1.4"}
    body = {"alternate-locations": [], "files": rows, "meta": meta, "name": project}
    body |= {"project-status": {"status": "active"}, "versions": versions}
    return json.dumps(body, separators=(",", ":")).encode()


def _html_of(project: str, rows: list[dict[str, Any]]) -> bytes:
    head = '<!DOCTYPE html>\n<html>\n<head>\n<meta name="pypi:repository-version" content="1.4">\n'
    anchors = [
        f'<a href="{row["url"]}#sha256={row["hashes"]["sha256"]}" '
        f'data-requires-python="&gt;=3.8" '
        f'data-dist-info-metadata="sha256={row["core-metadata"]["sha256"]}" '
        f'data-core-metadata="sha256={row["core-metadata"]["sha256"]}">'
        f"{row['filename']}</a><br />\n"
        for row in rows
    ]
    title = f"<title>Links for {project}</title>\n</head>\n<body>\n<h1>Links for {project}</h1>\n"
    return "".join([head, title, *anchors, "</body>\n</html>\n"]).encode()


def _write(place: Path, body: bytes) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(body)
    place.with_name(place.name + ".gz").write_bytes(gzip.compress(body, 6, mtime=0))
