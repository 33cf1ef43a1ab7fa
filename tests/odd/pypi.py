"""What PyPI serves: JSON of API 1.4 with all it has, and files on a host of their own."""

from __future__ import annotations

import dataclasses
from typing import Any

from tests.fake import FakeUpstream, make_sdist, make_wheel

PROJECT = "sample-project"
SERIAL = 18_446_744
PROVENANCE = "https://index.example/integrity/sample-project/2.0/provenance"

OLD = make_wheel(
    PROJECT,
    "1.0",
    requires_python=">=3.7,!=3.9.*",
    upload_time="2018-06-01T10:20:30.400000Z",
    yanked='broken on <Windows> & "WSL"',
)
# PyPI gives no fraction where it has none.
SDIST = make_sdist(PROJECT, "2.0", upload_time="2023-11-05T08:09:10Z")
NEW = make_wheel(PROJECT, "2.0", requires_python=">=3.8", upload_time="2023-11-05T08:09:11.000001Z")
FILES = [OLD, SDIST, NEW]


def publish(upstream: FakeUpstream) -> None:
    """Publish the project; a release without files (3.0) stands in `versions` too."""
    # What PyPI does not know of a file is there as `null`.
    rows: dict[str, dict[str, Any]] = {file.filename: {"provenance": None} for file in FILES}
    rows[NEW.filename]["provenance"] = PROVENANCE
    upstream.add(
        PROJECT,
        *FILES,
        rows=rows,
        members={"versions": ["1.0", "2.0", "3.0"], "alternate-locations": [], "tracks": []},
        serial=SERIAL,
        status="archived",
        status_reason="no longer developed",
    )


def publish_time(upstream: FakeUpstream, upload_time: str) -> None:
    """Publish a project with one file of that upload time."""
    # The fake makes a date of `upload_time`, which not every spelling survives: a row overrides it.
    wheel = dataclasses.replace(make_wheel("timed"), upload_time=None)
    upstream.add("timed", wheel, rows={wheel.filename: {"upload-time": upload_time}})
