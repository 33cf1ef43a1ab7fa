"""What PyTorch's index serves: one page with builds of one release for many machines.

The same file name stands there several times, under a directory for each kind of machine; local
versions are `%2B` in links and `+` in their text; links are absolute paths, and a few go to another
host. Some rows advertise a sidecar under the older name only.
"""

from __future__ import annotations

import hashlib
from typing import NamedTuple
from urllib.parse import quote

from tests.fake import DistFile, FakeUpstream, make_wheel

PROJECT = "torch"


class Build(NamedTuple):
    """A wheel, the directory that it lies in, and which sidecar attributes its row has."""

    directory: str
    wheel: DistFile
    attributes: tuple[str, ...] = ()

    @property
    def path(self) -> str:
        """The encoded path on the server."""
        return f"{self.directory}/{quote(self.wheel.filename)}"

    @property
    def sidecar_sha256(self) -> str:
        """The digest that its row gives."""
        assert self.wheel.metadata is not None
        return hashlib.sha256(self.wheel.metadata).hexdigest()


BOTH = ("data-core-metadata", "data-dist-info-metadata")
CPU = Build("/whl/cpu", make_wheel(PROJECT, "2.1.0+cpu", requires_python=">=3.8"), BOTH)
# The same name with other bytes, built with another ABI.
CPU_CXX11 = Build(
    "/whl/cpu-cxx11-abi", make_wheel(PROJECT, "2.1.0+cpu", requires=["filelock"]), BOTH[1:]
)
CUDA = Build("/whl/cu121", make_wheel(PROJECT, "2.1.0+cu121"))
PLAIN = Build("/whl", make_wheel(PROJECT, "2.0.0"))
# On the other host.
MOVED = Build("/whl/nightly", make_wheel(PROJECT, "2.2.0.dev1+cpu"))
BUILDS = [CPU, CPU_CXX11, CUDA, PLAIN, MOVED]


def publish(upstream: FakeUpstream, elsewhere: FakeUpstream) -> None:
    """Publish the page and its files, one of them on the other server."""
    for build in BUILDS:
        server = elsewhere if build is MOVED else upstream
        path = f"{build.directory}/{build.wheel.filename}"
        server.serve(path, build.wheel.body, "binary/octet-stream")
        if build.attributes:
            assert build.wheel.metadata is not None
            server.serve(f"{path}.metadata", build.wheel.metadata, "binary/octet-stream")
    rows = [_row(build, elsewhere.pages_origin if build is MOVED else "") for build in BUILDS]
    text = f"<!DOCTYPE html>\n<html>\n  <body>\n    <h1>Links for torch</h1>\n{''.join(rows)}"
    end = "  </body>\n</html>\n<!--TIMESTAMP 1700000000-->"
    upstream.serve(f"/whl/{PROJECT}/", (text + end).encode(), "text/html")


def _row(build: Build, origin: str) -> str:
    said = "".join(f' {name}="sha256={build.sidecar_sha256}"' for name in build.attributes)
    if build is CPU:
        said += ' data-requires-python="&gt;=3.8"'
    return (
        f'    <a href="{origin}{build.path}#sha256={build.wheel.sha256}"{said}>'
        f"{build.wheel.filename}</a><br/>\n"
    )
