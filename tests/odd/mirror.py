"""What a static mirror of HTML pages serves: no JSON, sizes, validators or word of sidecars.

Files lie on the same host, linked relatively. The sidecars lie beside them all the same, as a tool
that copies whole directories leaves them.
"""

from __future__ import annotations

from tests.fake import FakeUpstream, make_sdist, make_wheel

PROJECT = "mirrored"
WHEEL = make_wheel(PROJECT, "1.0", requires_python="<4,>=3.8")
YANKED = make_wheel(PROJECT, "0.9", yanked=True)
SDIST = make_sdist(PROJECT, "1.0", yanked="wrong licence")
FILES = [WHEEL, YANKED, SDIST]


def upstream() -> FakeUpstream:
    """Return the mirror, with one project, not yet running."""
    server = FakeUpstream(
        style="html",
        api_version="1.0",
        validators=False,
        serials=False,
        links="relative",
        separate_files=False,
        root="/mirror/web/simple/",
    )
    server.add(PROJECT, *FILES)
    return server
