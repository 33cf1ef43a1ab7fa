"""The real pip and uv behind odd upstreams: what they install is what upstream has."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Literal

import pytest

from tests.e2e.clients import Client, installed
from tests.fake import DistFile, FakeUpstream
from tests.harness import Running, running, write_config
from tests.odd import devpi, directories, mirror, nexus, pytorch, signed

pytestmark = pytest.mark.clients

Kind = Literal["mirror", "nexus", "pytorch", "devpi", "listing", "signed"]
# What to ask for, and the wheel that comes.
WANTED: dict[Kind, tuple[str, DistFile]] = {
    "mirror": (f"{mirror.PROJECT}==1.0", mirror.WHEEL),
    "nexus": (nexus.PROJECT, nexus.WHEEL),
    "pytorch": ("torch==2.1.0+cu121", pytorch.CUDA.wheel),
    "devpi": (devpi.PROJECT, devpi.OWN),
    "listing": (directories.PROJECT, directories.WHEEL),
    "signed": (f"{signed.PROJECT}==1.0+x", signed.WHEEL),
}
KINDS: list[Kind] = list(WANTED)


def _server(kind: Kind) -> FakeUpstream:
    if kind == "mirror":
        return mirror.upstream()
    if kind == "nexus":
        return nexus.upstream()
    return FakeUpstream(root=f"{devpi.INDEX}/+simple/" if kind == "devpi" else "/simple/")


@pytest.fixture
async def daemon(
    request: pytest.FixtureRequest, tmp_path: Path, elsewhere: FakeUpstream
) -> AsyncIterator[Running]:
    """A daemon in front of the upstream that the test names."""
    kind: Kind = request.param
    async with AsyncExitStack() as stack:
        upstream = await stack.enter_async_context(_server(kind))
        index: dict[str, object] = {"name": "odd", "url": upstream.url}
        if kind == "nexus":
            index |= {"username": nexus.USER, "password": nexus.PASSWORD}
        elif kind == "pytorch":
            pytorch.publish(upstream, elsewhere)
            index["url"] = f"{upstream.pages_origin}/whl/"
        elif kind == "devpi":
            devpi.publish(upstream)
        elif kind == "listing":
            directories.publish(upstream, "apache")
        elif kind == "signed":
            signed.Store(upstream)
        config = write_config(tmp_path, index)
        yield await stack.enter_async_context(running(tmp_path, config=config))


@pytest.mark.parametrize("tool", ["pip", "uv"])
@pytest.mark.parametrize(("daemon", "kind"), [(kind, kind) for kind in KINDS], indirect=["daemon"])
async def test_client__installs(daemon: Running, tmp_path: Path, kind: Kind, tool: str) -> None:
    """Each client installs the right file by the links and sidecars that we serve."""
    requirement, wheel = WANTED[kind]
    target = tmp_path / "target"
    client = Client(tmp_path / "home", f"{daemon.url}/simple/")
    run = client.pip if tool == "pip" else client.uv
    command = "install" if tool == "pip" else "pip install"
    done = await asyncio.to_thread(run, command, "--target", str(target), requirement)
    name, version, *_ = wheel.filename.split("-")
    found = {n.replace("-", "_"): v for n, v in installed(target).items()}
    assert (done.returncode, found) == (0, {name: version}), done.stderr
