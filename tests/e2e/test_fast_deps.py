"""pip's lazy wheels (`--use-feature=fast-deps`): metadata by ranges of a wheel, through a daemon.

A pip that knows our sidecars (23.2 and later) has no need of ranges, so there its lazy wheel is
also used by itself. What pip asked and got is what its HTTP library logs.
"""

from __future__ import annotations

import json
import re
from typing import Literal

import pytest

from tests.e2e.clients import installed, pip_version
from tests.e2e.conftest import MakeClient
from tests.e2e.process import DaemonProcess
from tests.fake.threaded import ThreadedFakeUpstream
from tests.fake.wheels import make_wheel

pytestmark = pytest.mark.clients

# Until then it reads a key of the JSON page that PEP 714 withdrew, and so finds no sidecars.
USES_RANGES = pip_version() < (23, 2)
# Of a wheel that lazily is a few pieces of 10 KiB.
SIZE_BYTES = 400_000
STYLES = pytest.mark.parametrize("style", ["json", "html"])
Style = Literal["json", "html"]

_EXCHANGE = re.compile(r'"([A-Z]+) (/files/\S+) HTTP/1\.1" ([0-9]+) ([0-9]+|None)')
_LAZY_WHEEL = """
import json, logging, sys
logging.basicConfig(level=logging.DEBUG)
from pip._internal.network.lazy_wheel import dist_from_wheel_url
from pip._internal.network.session import PipSession
wheel = dist_from_wheel_url("app", sys.argv[1], PipSession())
print(json.dumps([str(wheel.version), [str(needed) for needed in wheel.iter_dependencies()]]))
"""


def answers(log: str, suffix: str) -> list[tuple[str, int, int]]:
    """Return (method, status, length) of the requests for files that end so, in their order."""
    found = [match.groups() for match in _EXCHANGE.finditer(log)]
    return [
        (method, int(status), int(length))
        for method, path, status, length in found
        if path.endswith(suffix)
    ]


@STYLES
def test_lazy_wheel__ranges_cold_and_warm(
    style: Style, upstream: ThreadedFakeUpstream, daemon: DaemonProcess, make_client: MakeClient
) -> None:
    """pip's lazy wheel reads a wheel by ranges alone, a cold one too (rule 52)."""
    upstream.dialect.style = style
    wheel = make_wheel("app", "1.0", requires=["lib>=2"], size_bytes=SIZE_BYTES)
    upstream.add("app", wheel)
    url = daemon.url + daemon.file_paths("app")[wheel.filename]
    for _ in ("cold", "warm"):
        done = make_client(daemon).python(_LAZY_WHEEL, url)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout) == ["1.0", ["lib>=2"]]
        head, *ranges = answers(done.stderr, ".whl")
        assert head[:2] == ("HEAD", 200)
        assert ranges
        assert {(method, status) for method, status, _ in ranges} == {("GET", 206)}
        assert sum(length for _, _, length in ranges) < SIZE_BYTES / 4
        daemon.settle()
        # The first range has started the download, and that does for all of them.
        gets = [r for r in upstream.requests if (r.method, r.path[-4:]) == ("GET", ".whl")]
        assert [r.sent_bytes for r in gets] == [len(wheel.body)]


@STYLES
def test_pip_fast_deps__metadata_without_the_wheel(
    style: Style, upstream: ThreadedFakeUpstream, daemon: DaemonProcess, make_client: MakeClient
) -> None:
    """With fast-deps pip turns a release down without its wheel, and installs the right one."""
    upstream.dialect.style = style
    upstream.add("app", make_wheel("app", "1.0", requires=["lib"]))
    upstream.add("app", make_wheel("app", "2.0", requires=["lib>=9"], size_bytes=SIZE_BYTES))
    upstream.add("lib", make_wheel("lib", "1.0", size_bytes=SIZE_BYTES))
    suffix = "app-2.0-py3-none-any.whl" + ("" if USES_RANGES else ".metadata")
    arrived: list[int] = []
    expected = {("HEAD", 200), ("GET", 206)} if USES_RANGES else {("GET", 200)}
    for _ in ("cold", "warm"):
        client = make_client(daemon)
        target = client.home / "target"
        done = client.pip(
            "install", "-vvv", "--use-feature=fast-deps", "--target", str(target), "app"
        )
        assert (done.returncode, installed(target)) == (0, {"app": "1.0", "lib": "1.0"}), (
            done.stdout + done.stderr
        )
        asked = answers(done.stdout, suffix)
        assert {(method, status) for method, status, _ in asked} == expected
        if not USES_RANGES:
            assert answers(done.stdout, "app-2.0-py3-none-any.whl") == []
        daemon.settle()
        arrived.append(len(upstream.requests))
    assert arrived[0] == arrived[1]
