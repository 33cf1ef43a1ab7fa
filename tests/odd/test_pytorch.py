"""PyTorch's page: equal names are different files, and each build has bytes of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.fake import FakeUpstream
from tests.harness import Running, running
from tests.odd import pytorch
from tests.odd.client import (
    Anchor,
    assert_file,
    assert_files,
    assert_sidecars,
    html_page,
    json_page,
    link,
    links,
)
from tests.odd.pytorch import BUILDS, CPU, CPU_CXX11, CUDA, MOVED, PLAIN, PROJECT, Build


@pytest.fixture
async def daemon(
    tmp_path: Path, upstream: FakeUpstream, elsewhere: FakeUpstream
) -> AsyncIterator[Running]:
    pytorch.publish(upstream, elsewhere)
    async with running(tmp_path, f"{upstream.pages_origin}/whl/") as one:
        yield one


async def test_pytorch__rules_14_17_27_28_json_page(
    daemon: Running, upstream: FakeUpstream, elsewhere: FakeUpstream
) -> None:
    """Each row is kept, twins too; names have `+`, links have upstream's `%2B` and host."""

    def row(build: Build, core_metadata: Any, **members: str) -> dict[str, Any]:
        origin = elsewhere.pages_origin if build is MOVED else upstream.pages_origin
        return {
            "filename": build.wheel.filename,
            "url": link(origin + build.path),
            "hashes": {"sha256": build.wheel.sha256},
            "core-metadata": core_metadata,
            **members,
        }

    page = await json_page(daemon, PROJECT)
    assert page == {
        "meta": {"api-version": "1.0"},
        "name": PROJECT,
        "files": [
            row(CPU, {"sha256": CPU.sidecar_sha256}, **{"requires-python": ">=3.8"}),
            row(CPU_CXX11, {"sha256": CPU_CXX11.sidecar_sha256}),
            row(CUDA, True),
            row(PLAIN, True),
            row(MOVED, True),
        ],
    }
    assert page["files"][0]["filename"] == page["files"][1]["filename"]
    assert page["files"][0]["url"].endswith("/whl/cpu/torch-2.1.0%2Bcpu-py3-none-any.whl")


async def test_pytorch__rules_17_28_html_page(
    daemon: Running, upstream: FakeUpstream, elsewhere: FakeUpstream
) -> None:
    """The text of an anchor is the name with `+`; both sidecar names are there for each wheel."""
    anchors = (await html_page(daemon, PROJECT)).anchors
    expected = []
    for build in BUILDS:
        origin = elsewhere.pages_origin if build is MOVED else upstream.pages_origin
        said = f"sha256={build.sidecar_sha256}" if build.attributes else "true"
        attributes = {"data-core-metadata": said, "data-dist-info-metadata": said}
        if build is CPU:
            attributes["data-requires-python"] = ">=3.8"
        href = f"{link(origin + build.path)}#sha256={build.wheel.sha256}"
        expected.append(Anchor(build.wheel.filename, href, attributes))
    assert anchors == expected


async def test_pytorch__rule_28_files(
    daemon: Running, upstream: FakeUpstream, elsewhere: FakeUpstream
) -> None:
    """Twins of one name give the bytes of their own link, as does the file on the other host."""
    bodies = [build.wheel.body for build in BUILDS]
    await assert_files(daemon, PROJECT, bodies, upstream, elsewhere)


async def test_pytorch__rules_18_19_sidecars(
    daemon: Running, upstream: FakeUpstream, elsewhere: FakeUpstream
) -> None:
    """Every wheel has the sidecar of its own, advertised by upstream or not."""
    sidecars = [build.wheel.metadata for build in BUILDS]
    assert sidecars[0] != sidecars[1]
    await assert_sidecars(daemon, PROJECT, sidecars, upstream, elsewhere)


async def test_pytorch__first_asked_as_clients_spell_it(
    daemon: Running, upstream: FakeUpstream
) -> None:
    """A cold file is found under `+` as well, and upstream is asked as its page spells it."""
    target = (await links(daemon, PROJECT))[2]
    await assert_file(daemon, target.replace("%2B", "+"), CUDA.wheel.body)
    asked = [r.raw_path for r in upstream.requests if r.path.endswith(".whl")]
    assert asked == ["/whl/cu121/torch-2.1.0%2Bcu121-py3-none-any.whl"]


async def test_pytorch__one_twin_is_damaged(daemon: Running, upstream: FakeUpstream) -> None:
    """A twin whose bytes are those of the other one is refused (rule 49), the other one is not."""
    wrong = f"{CPU_CXX11.directory}/{CPU.wheel.filename}"
    upstream.serve(wrong, CPU.wheel.body, "binary/octet-stream")
    cpu, cxx11, *_ = await links(daemon, PROJECT)
    assert (await daemon.ask(cxx11)).status == 502
    assert (await daemon.ask(cpu)).body == CPU.wheel.body
