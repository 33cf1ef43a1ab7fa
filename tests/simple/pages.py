"""Hypothesis strategies for pages, and the base that turns rendered links back into upstream's."""

from __future__ import annotations

from hypothesis import strategies as st

from pypicached.simple.model import ProjectFile, ProjectPage, ProjectStatus

UPSTREAM = "https://up.example/simple/foo/"
# Rendered with this prefix, our links are the upstream URLs again.
BACK = "https://"

SHA256 = st.binary(min_size=32, max_size=32).map(bytes.hex)
TEXT = st.text(
    st.characters(exclude_categories=("C", "Z")) | st.sampled_from(" <>&\"'"), min_size=1
)
_SIDECARS = st.sampled_from([None, False, True]) | st.builds(lambda d: {"sha256": d}, SHA256)


@st.composite
def files(draw: st.DrawFn, version: str, number: int, *, html: bool) -> ProjectFile:
    """One file; with `html`, only what an HTML page can say."""
    name = f"foo-{version}-{number}-py3-none-any.whl"
    segment = draw(st.sampled_from(["p", "a+b", "a%2Bb", "~!$&'()*,;=:@", "%20", "%C3%A9"]))
    digest = st.builds(lambda d: {"sha256": d}, SHA256)
    sidecar = draw(_SIDECARS)
    return ProjectFile(
        filename=name,
        url=f"https://h{number % 3}.example/{segment}/{name}",
        hashes=draw(st.just({}) | digest),
        size=None if html else draw(st.integers(0, 2**53 - 1)),
        upload_time=None if html else draw(st.none() | TEXT),
        requires_python=draw(st.none() | TEXT),
        # HTML says nothing where there is no sidecar.
        core_metadata=None if html and sidecar is False else sidecar,
        yanked=draw(st.booleans() | TEXT),
        provenance=draw(st.none() | st.just("https://h/i?a=1&b=2")),
    )


@st.composite
def pages(draw: st.DrawFn, *, html: bool) -> ProjectPage:
    """A page whose rendering loses nothing: no signatures, no rows dropped, honest versions."""
    versions = draw(st.lists(st.integers(0, 99).map(str), unique=True, max_size=4))
    listed = [
        draw(files(version, number, html=html))
        for number, version in enumerate(
            v for v in versions for _ in range(draw(st.integers(1, 3)))
        )
    ]
    marks: list[ProjectStatus | None] = [None, "active", "archived", "deprecated"]
    status = draw(st.sampled_from(marks))
    return ProjectPage(
        name="foo",
        files=listed,
        versions=None if html else versions,
        status=status,
        status_reason=draw(st.none() | TEXT) if status else None,
        api_version=draw(st.sampled_from(["1.1", "1.3", "1.4"])),
    )
